"""The real gateway as the demo runs it, and what its page says of its clock and its devices meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from meterkast.lean import aiohttp
from meterkast_rig.compare_sources import Clocks

LOOK_S = 0.5
_ANSWER_S = 5.0


class Watch:
    """Looks at `/api/status` again and again.

    Attributes:
        page: The page's address; empty while there is none.
        clocks: The gateway's clock against real time.
        status: The newest answer.
        slowest_s: What the slowest answer took.
    """

    def __init__(self, speed: float) -> None:
        self.page = ""
        self.clocks = Clocks(speed)
        self.status: dict[str, Any] = {}
        self.slowest_s = 0.0

    async def run(self) -> None:
        """Look until cancelled."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_S)) as browser:
            while True:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    await self._look(browser)
                await asyncio.sleep(LOOK_S)

    async def _look(self, browser: aiohttp.ClientSession) -> None:
        if not self.page:
            return
        asked_ms = time.time() * 1000
        try:
            async with browser.get(f"{self.page}api/status") as answer:
                self.status = status = await answer.json()
        finally:
            answered_ms = time.time() * 1000
            self.slowest_s = max(self.slowest_s, (answered_ms - asked_ms) / 1000)
        # Known to half of what the answer took; a slow one says little.
        if answered_ms - asked_ms < LOOK_S * 1000:
            self.clocks.note((asked_ms + answered_ms) / 2, status["clock"]["now_ms"])


@contextlib.asynccontextmanager
async def running(config: Path, speed: float, start: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The gateway as a process of its own, in its own group: Ctrl-C is for us, and we tell it.

    Its first line, which says that it runs and where its page is, still waits to be read.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "meterkast", "run",
        "--config", str(config), "--speed", f"{speed:g}", "--start", start, "--log-level", "warning",
        stdout=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
