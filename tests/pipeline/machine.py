"""The clocks of a machine, as a test sets them."""

from __future__ import annotations

from meterkast.clock import SystemClock
from meterkast.model.time import DAY_MS, UtcMs
from meterkast.ports.clock import Trust

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


def stamps(clock: SystemClock, machine: Machine, off_ms: int = 0, count: int = 2, meter: str = "p1") -> None:
    """Telegrams, ten seconds apart, of a meter whose clock is so far off the truth."""
    for _ in range(count):
        machine.passes(10)
        clock.offer(UtcMs(machine.true_ms() + off_ms), machine.boot, meter)


def date(clock: SystemClock, machine: Machine, off_ms: int = 0, host: str = "far") -> None:
    """An answer of a platform over TLS that took a fifth of a second."""
    clock.told(
        UtcMs((machine.true_ms() + off_ms) // 1000 * 1000), machine.boot - SECOND_NS // 5, machine.boot, host
    )


def synchronised(machine: Machine) -> SystemClock:
    """A clock that believes the system's, to which nobody objected for half a minute."""
    machine.good = True
    clock = machine.clock()
    assert clock.trust is Trust.UNKNOWN
    machine.passes(31)
    assert clock.trust is Trust.TRUSTED
    return clock
