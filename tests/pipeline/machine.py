"""The clocks of a machine, as a test sets them."""

from __future__ import annotations

from meterkast.clock import SystemClock
from meterkast.model.time import DAY_MS, UtcMs

SECOND_NS = 1_000_000_000
START = UtcMs(1_773_154_800_000)
BUILT = UtcMs(START - 30 * DAY_MS)


class Machine:
    """It passes for a `timing.machine.Machine`."""

    def __init__(self) -> None:
        self.boot = 1_000 * SECOND_NS
        self.utc_ns = START * 1_000_000
        self.rtc: UtcMs | None = None
        self.good = False
        self.asked = 0
        self.boot_id = "boot-1"

    def passes(self, seconds: float) -> None:
        self.boot += int(seconds * SECOND_NS)
        self.utc_ns += int(seconds * SECOND_NS)

    def true_ms(self) -> UtcMs:
        """What a right clock shows now."""
        return UtcMs(START + (self.boot - 1_000 * SECOND_NS) // 1_000_000)

    def boot_ns(self) -> int:
        return self.boot

    def wall_ns(self) -> int:
        return self.utc_ns

    def rtc_ms(self) -> UtcMs | None:
        return self.rtc

    def synchronised(self) -> bool:
        self.asked += 1
        return self.good

    def clock(self, **more: object) -> SystemClock:
        return SystemClock(self, built_ms=BUILT, **more)  # type: ignore[arg-type]  # it has all that is asked
