"""The clocks of a simulated site: the true time, and what a gateway's own clock makes of it."""

from __future__ import annotations

import asyncio

from meterkast.clock import SystemClock
from meterkast.model.time import UtcMs
from meterkast_rig.virtual.loop import VirtualLoop

_LONGEST_S = 900.0
"""Waits for an hour of the clock are made in steps, for it may be set meanwhile."""


class VirtualClock(SystemClock):
    """The clock of one boot, on a virtual loop.

    The gate that decides whether the time is known is the gateway's own; what it reads is simulated: the
    time of day is wrong until the network time is there, and right from then on.

    Args:
        loop: The loop; its time is the true time.
        start_ms: The true time at the loop's 0.
        wrong_ms: How far the clock is off before `synchronised_us`.
        synchronised_us: When, by the loop, network time sets the clock and the kernel says so.
    """

    def __init__(self, loop: VirtualLoop, start_ms: UtcMs, wrong_ms: int, synchronised_us: int) -> None:
        super().__init__()
        self._loop = loop
        self._start_ms = start_ms
        self._boot_us = loop.now_us
        self._wrong_ms = wrong_ms
        self._synchronised_us = synchronised_us

    @property
    def is_synchronised(self) -> bool:
        """What the kernel says."""
        return self._loop.now_us >= self._synchronised_us

    def now_ms(self) -> UtcMs:
        true_ms = self._start_ms + self._loop.now_us // 1000
        return UtcMs(true_ms if self.is_synchronised else true_ms + self._wrong_ms)

    def boot_ns(self) -> int:
        # A machine has run for a while when the gateway begins.
        return (self._loop.now_us - self._boot_us + 20_000_000) * 1000

    def utc_of(self, boot_ns: int) -> UtcMs:
        # In whole µs as the loop has it, so that an instant has one UTC whenever it is asked for.
        at_us = self._boot_us - 20_000_000 + boot_ns // 1000
        true_ms = self._start_ms + at_us // 1000
        return UtcMs(true_ms if self.is_synchronised else true_ms + self._wrong_ms)

    async def sleep_until(self, at_ms: UtcMs) -> None:
        # In steps: the clock may be set while we wait.
        while (left_ms := at_ms - self.now_ms()) > 0:
            steps_s = [left_ms / 1000, _LONGEST_S]
            if not self.is_synchronised:
                steps_s.append((self._synchronised_us - self._loop.now_us) / 1_000_000)
            await asyncio.sleep(min(steps_s))
