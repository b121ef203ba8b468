"""The true time, and a machine, meters and a platform whose clocks a story bends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from meterkast.clock import SystemClock
from meterkast.model.delivery import Item, Stream
from meterkast.model.errors import NotDeliveredError
from meterkast.model.half_hour import HalfHour
from meterkast.model.time import HALF_HOUR_MS, UtcMs, to_datetime
from meterkast.ports.clock import Trust
from meterkast.ports.uplink import Binding, Check, Wanted
from meterkast_drivers.p1.profiles import PROFILES

from .clock_story import Phase, Story

ZONE = ZoneInfo("Europe/Amsterdam")
NETHERLANDS = PROFILES["NL 5.0"].time
KEYS = ("p1", "zwave")


class World:
    """It passes for a `timing.machine.Machine`.

    Attributes:
        true_ms: The true time.
        phase: How the sources of the time are now.
    """

    def __init__(self, story: Story) -> None:
        self.true_ms: int = story.start_ms
        self.phase: Phase = story.phases[0]
        self.boot_number = 0
        self._rate = 1 + story.drift_ppm / 1e6
        self._booted_ms = self.true_ms - 25_000
        self._frozen_ms = self.true_ms

    @property
    def boot_id(self) -> str:
        return f"boot-{self.boot_number}"

    def enter(self, phase: Phase) -> None:
        self.phase = phase
        self._frozen_ms = self.true_ms

    def boot(self, off_ms: int) -> None:
        """The power was off for so long."""
        self.true_ms += off_ms + 25_000
        self.boot_number += 1
        self._booted_ms = self.true_ms - 25_000

    def boot_ns(self) -> int:
        return round((self.true_ms - self._booted_ms) * 1e6 * self._rate)

    def wall_ns(self) -> int:
        return (self.true_ms + self.phase.wall_ms) * 1_000_000

    def synchronised(self) -> bool:
        return self.phase.synced

    def rtc_ms(self) -> UtcMs | None:
        off_ms = self.phase.rtc_ms
        return None if off_ms is None else UtcMs((self.true_ms + off_ms) // 1000 * 1000)

    def stamp_ms(self) -> UtcMs | None:
        """What the meter's telegram says, by way of the text in it."""
        if self.phase.meter_ms is None:
            return None
        shown = UtcMs((self._frozen_ms if self.phase.frozen else self.true_ms) + self.phase.meter_ms)
        local = to_datetime(shown, ZONE)
        letter = "S" if local.dst() else "W"
        return NETHERLANDS.utc(local.strftime("%y%m%d%H%M%S") + letter)

    def register(self) -> int:
        """One Wh a second: what a reading says tells when it was measured."""
        return self.true_ms // 1000 - 1_000_000_000

    @staticmethod
    def measured_ms(value: int) -> int:
        """The true time of a reading, to the second."""
        return (value + 1_000_000_000) * 1000


@dataclass
class Platform:
    """The far end; it refuses to be sent anything that must be held."""

    world: World
    clock: SystemClock

    name = "far"
    urls: Sequence[str] = ()
    warnings: Sequence[str] = ()
    parallel = 1
    continues = False

    def __post_init__(self) -> None:
        self.taken: list[tuple[str, UtcMs]] = []
        self.wrongs: list[str] = []

    def wanted(self) -> Sequence[Wanted]:
        return [
            Wanted(name=key, bindings=(Binding(product=key, key="energy"),), length_ms=HALF_HOUR_MS)
            for key in KEYS
        ]

    def batch_limit(self, stream: str) -> int:
        return 100

    def compose(self, stream: Stream, half_hours: Mapping[Binding, HalfHour], end_ms: UtcMs) -> list[bytes]:
        return [one.canonical().encode() for one in half_hours.values()]

    async def deliver(self, stream: str, items: Sequence[Item]) -> str:
        if self.clock.trust is Trust.UNKNOWN:
            self.wrongs.append("sent before the time was known")
        if self.clock.dispute:
            self.wrongs.append(f"sent in a dispute: {self.clock.dispute}")
        await self.ask_time()
        if self.world.phase.tls_ms is None:
            raise NotDeliveredError("no route", hint="Check the cable.")
        self.taken += [(stream, item.at_ms) for item in items]
        return "taken"

    async def ask_time(self) -> None:
        if (off_ms := self.world.phase.tls_ms) is not None:
            seen_ns = self.world.boot_ns()
            date_ms = UtcMs((self.world.true_ms + off_ms) // 1000 * 1000)
            self.clock.told(date_ms, seen_ns - 150_000_000, seen_ns, "far")

    def due_ms(self, end_ms: UtcMs) -> UtcMs:
        return end_ms

    async def idle(self) -> None: ...

    async def close(self) -> None: ...

    async def check(self) -> Sequence[Check]:
        return ()
