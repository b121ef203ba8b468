"""A job, as an installer follows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from meterkast.network import JobView

LIMIT_S = 150.0


async def followed(network: Any, job: int, true: Callable[[JobView], bool]) -> JobView:
    """The job as soon as it is so."""
    seen = 0
    async with asyncio.timeout(LIMIT_S):
        while not true(view := await network.changed(job, seen)):
            assert view.state in ("running", "asking"), view
            seen = len(view.steps)
    return view
