"""A clock that stands still until it is moved, so that a day passes as fast as it is worked through."""

from __future__ import annotations

import asyncio
import heapq
import itertools

from meterkast.clock import Undisputed
from meterkast.model.time import UtcMs
from meterkast.ports.clock import Trust


class SteppedClock(Undisputed):
    """`set` moves it and wakes who waited for that.

    Attributes:
        trust: Trusted from the start, until a test says otherwise.
    """

    speed = 1.0

    def __init__(self, start_ms: UtcMs) -> None:
        super().__init__()
        self.trust = Trust.TRUSTED
        self._start_ms = start_ms
        self._now_ms = start_ms
        self._waiting: list[tuple[UtcMs, int, asyncio.Future[None]]] = []
        self._number = itertools.count()

    def set(self, now_ms: UtcMs) -> None:
        """It is this late now."""
        self._now_ms = now_ms
        while self._waiting and self._waiting[0][0] <= now_ms:
            waiter = heapq.heappop(self._waiting)[2]
            if not waiter.done():
                waiter.set_result(None)

    def pass_ms(self, passed_ms: int) -> None:
        """So much time passes."""
        self.set(UtcMs(self._now_ms + passed_ms))

    def now_ms(self) -> UtcMs:
        return self._now_ms

    def boot_ns(self) -> int:
        return (self._now_ms - self._start_ms) * 1_000_000

    def utc_of(self, boot_ns: int) -> UtcMs:
        return UtcMs(self._start_ms + boot_ns // 1_000_000)

    def offer(self, stamp_ms: UtcMs, seen_ns: int, meter: str = "") -> None:
        """It needs no evidence."""

    def allowance_ms(self, limit_ms: int) -> int:
        return limit_ms

    async def sleep(self, seconds: float) -> None:
        await self.sleep_until(UtcMs(self._now_ms + int(seconds * 1000)))

    async def sleep_until(self, at_ms: UtcMs) -> None:
        if at_ms > self._now_ms:
            waiter = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (at_ms, next(self._number), waiter))
            await waiter
