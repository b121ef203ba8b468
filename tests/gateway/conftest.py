"""The real process between a pty and both stand-ins, on a fast clock."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from meterkast_rig.site import Site, opened


@pytest.fixture
def cupboard(tmp_path: Path) -> Callable[..., contextlib.AbstractAsyncContextManager[Site]]:
    """Opens a cupboard: `async with cupboard(speed=…, start=…) as it`."""
    return partial(opened, tmp_path)
