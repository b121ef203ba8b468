"""The clocks of a simulated machine, and the gateway's own clock on top of them."""

from __future__ import annotations

from meterkast.clock import SystemClock
from meterkast.model.time import UtcMs
from meterkast.ports.clock import Trust
from meterkast.timing.machine import Machine, no_rtc
from meterkast_rig.virtual.loop import VirtualLoop
from meterkast_rig.virtual.weather import Death, Weather

_LONGEST_S = 900.0
"""A wait for an hour of the clock is made in steps: the gateway's own 30 s would be half of a year's work."""

_STARTED_US = 20_000_000
"""A machine has run for so long when the gateway begins."""


class VirtualMachine:
    """One boot of the machine: what `timing.machine.Machine` asks for, from the loop's time, which is true.

    Args:
        start_ms: The true time at the loop's 0.
        number: Of this boot.
        booted_us: By the loop, when the first gateway of this boot begins.
        born: How the clock is set then.
        weather: When it is set wrongly later.
    """

    def __init__(self, start_ms: UtcMs, number: int, booted_us: int, born: Death, weather: Weather) -> None:
        self._start_ms = start_ms
        # In whole ms, so that an instant has one UTC whoever works it out.
        self._booted_us = booted_us // 1000 * 1000 - _STARTED_US
        self._number = number
        self._born = born
        self._weather = weather

    def on(self, loop: VirtualLoop) -> Machine:
        """As the gateway's process on that loop sees it."""

        def boot_ns() -> int:
            return (loop.now_us - self._booted_us) * 1000

        def wall_ns() -> int:
            return (self._start_ms * 1000 + loop.now_us) * 1000 + self._off_ms(
                self._true_ms(loop)
            ) * 1_000_000

        def synchronised() -> bool:
            return self._synchronised(self._true_ms(loop))

        return Machine(boot_ns, wall_ns, synchronised, no_rtc, f"boot-{self._number}")

    def true_ms_of(self, boot_ns: int) -> UtcMs:
        """The true time of an instant of this boot."""
        return UtcMs(self._start_ms + (boot_ns // 1000 + self._booted_us) // 1000)

    def _true_ms(self, loop: VirtualLoop) -> int:
        return self._start_ms + loop.now_us // 1000

    def _off_ms(self, true_ms: int) -> int:
        step = self._weather.step_at(true_ms)
        if step is not None:
            return step.by_ms
        return self._born.wrong_ms if true_ms < self._born.synchronised_ms else 0

    def _synchronised(self, true_ms: int) -> bool:
        step = self._weather.step_at(true_ms)
        return true_ms >= self._born.synchronised_ms and (step is None or step.synchronised)


class VirtualClock(SystemClock):
    """The gateway's own clock, on a virtual loop."""

    @property
    def longest_s(self) -> float:
        return super().longest_s if self.trust is Trust.UNKNOWN else _LONGEST_S
