"""The clock: what time it is for the gateway, and how far that can be relied on.

Nothing is closed or sent before the time is known to be right. `SystemClock` learns it from several sources
(`timing`); `FastClock` is for rehearsals. Nothing else reads the time of day.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from meterkast import __released__
from meterkast.config.sections import ClockSettings
from meterkast.model.boot import Boot
from meterkast.model.time import UtcMs, parse_iso
from meterkast.ports.clock import Clock, SourceStatus, Trust
from meterkast.timing.chrony import ChronyFeed
from meterkast.timing.course import GENTLE_MS
from meterkast.timing.evidence import Source
from meterkast.timing.machine import Machine, no_rtc
from meterkast.timing.timekeeper import Timekeeper

BUILT_MS = parse_iso(f"{__released__}T00:00:00Z")
"""It is later than this."""

STAMP_LIMIT_MS = 60_000
"""How far a telegram's stamp may be from a fast clock and still confirm it."""

# What a telegram needs from the wire into the gateway, in real time: at 115200 baud 0.1 s, at 9600 baud 1 s,
# and a loaded Pi. A fast clock multiplies it.
_PROCESSING_MS = 1_500

# How long a fast clock waits for a meter whose stamps it could follow, in real seconds.
_NO_METER_S = 5.0

_ASK_KERNEL_NS = 10_000_000_000
_SLOW_NS = 1_000_000_000  # an answer that took longer says too little of when its date was written


class SystemClock:
    """The machine's time, by whoever can be believed.

    Args:
        machine: Its clocks.
        built_ms: It is later than that.
        feed: Where chrony is to be told the meter's time.
        brief: For a command; see `Timekeeper`.
    """

    speed = 1.0

    def __init__(
        self,
        machine: Machine | None = None,
        *,
        built_ms: UtcMs = BUILT_MS,
        feed: ChronyFeed | None = None,
        brief: bool = False,
    ) -> None:
        self._machine = machine or Machine()
        self._feed = feed
        self._asked_ns: int | None = None
        self.boot_id = self._machine.boot_id
        wall_ms = self._machine.wall_ns() // 1_000_000
        self._keeper = Timekeeper(self.boot_id, self._at_ms(), wall_ms, built_ms, brief=brief)

    def now_ms(self) -> UtcMs:
        self._look()
        return self._keeper.utc_of(self._at_ms())

    def boot_ns(self) -> int:
        return self._machine.boot_ns()

    def utc_of(self, boot_ns: int) -> UtcMs:
        return self._keeper.utc_of(boot_ns // 1_000_000)

    @property
    def trust(self) -> Trust:
        """Asks the kernel at most once in ten seconds; a gained trust is kept for the boot."""
        self._look()
        return self._keeper.trust

    @property
    def dispute(self) -> str:
        self._look()
        return self._keeper.dispute

    @property
    def refused(self) -> Mapping[str, int]:
        found = dict(self._keeper.refused)
        if self._feed is not None and self._feed.failed:
            found["meter's time: chrony does not take it"] = self._feed.failed
        return found

    def sources(self) -> Sequence[SourceStatus]:
        return self._keeper.statuses(self._at_ms())

    def offer(self, stamp_ms: UtcMs, seen_ns: int, meter: str = "") -> None:
        self._look()  # it must not be believed before the system's clock was heard
        seen_ms = seen_ns // 1_000_000
        heard = self._keeper.hear(Source.METER, meter, (stamp_ms, stamp_ms), seen_ms)
        self._keeper.judge(seen_ms)
        # What is not believed here would come back as the system's clock, and be believed.
        if self._feed is not None and heard and self._keeper.agrees(Source.METER, meter):
            ago_ns = self._machine.boot_ns() - seen_ns
            self._feed.send(stamp_ms, self._machine.wall_ns() - ago_ns, seen_ns)

    def told(self, date_ms: UtcMs, asked_ns: int, seen_ns: int, host: str) -> None:
        if seen_ns - asked_ns > _SLOW_NS:
            return
        self._look()
        # It was written after the question and before the answer, up to a second after what it says.
        waited_ms, seen_ms = (seen_ns - asked_ns) // 1_000_000, seen_ns // 1_000_000
        self._keeper.hear(Source.TLS, host, (date_ms, UtcMs(date_ms + 1000 + waited_ms)), seen_ms)
        self._keeper.judge(seen_ms)

    def recall(self, past: Sequence[Boot]) -> None:
        self._keeper.recall(past)
        known = [boot for boot in past if boot.offset_ms is not None]
        if known and known[-1].rtc_good and (rtc_ms := self._machine.rtc_ms()) is not None:
            self._keeper.hear(Source.RTC, "", (rtc_ms, UtcMs(rtc_ms + 1000)), self._at_ms())

    def record(self, *, stopping: bool = False) -> Boot:
        return self._keeper.record(self._at_ms(), self._machine.rtc_ms() if stopping else None)

    def _at_ms(self) -> int:
        return self._machine.boot_ns() // 1_000_000

    def _look(self) -> None:
        now_ns = self._machine.boot_ns()
        if self._asked_ns is not None and now_ns - self._asked_ns < _ASK_KERNEL_NS:
            return
        self._asked_ns = now_ns
        if self._machine.synchronised():
            before_ns = self._machine.boot_ns()
            wall_ms = UtcMs(self._machine.wall_ns() // 1_000_000)
            at_ms = (before_ns + self._machine.boot_ns()) // 2_000_000
            self._keeper.hear(Source.KERNEL, "", (wall_ms, wall_ms), at_ms)
        self._keeper.judge(now_ns // 1_000_000)

    def allowance_ms(self, limit_ms: int) -> int:
        return limit_ms

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def sleep_until(self, at_ms: UtcMs) -> None:
        await _sleep_until(self, at_ms, self.longest_s)

    @property
    def longest_s(self) -> float:
        """After how long a wait looks again whether the time was learned or moved."""
        return 30.0


async def _sleep_until(clock: Clock, at_ms: UtcMs, longest_s: float) -> None:
    meant_ms = clock.boot_ns() // 1_000_000 + at_ms - clock.now_ms()
    while (left_ms := at_ms - clock.now_ms()) > 0:
        meant_left_ms = meant_ms - clock.boot_ns() // 1_000_000
        if meant_left_ms <= 0:
            if left_ms > GENTLE_MS:
                return  # the clock was ahead, by minutes or by months: who waits has to look at it anew
            meant_left_ms = left_ms
        await asyncio.sleep(min(left_ms, meant_left_ms, longest_s * clock.speed * 1000) / 1000 / clock.speed)


def system_clock(settings: ClockSettings) -> SystemClock:
    """The machine's clock as `[clock]` asks for it."""
    machine = Machine() if settings.rtc else Machine(rtc_ms=no_rtc)
    feed = ChronyFeed(settings.chrony_socket) if settings.chrony_socket else None
    return SystemClock(machine, feed=feed)


class Undisputed(ABC):
    """What a clock that needs no evidence says when it is asked for some: clocks that are moved by hand."""

    dispute = ""
    refused: Mapping[str, int] = {}
    trust: Trust

    def __init__(self) -> None:
        self.boot_id = f"process-{uuid.uuid4().hex}"
        self._first_ms = 0
        self._learned_ms: int | None = None

    @abstractmethod
    def boot_ns(self) -> int:
        """See `meterkast.ports.clock.Clock`."""

    @abstractmethod
    def utc_of(self, boot_ns: int) -> UtcMs:
        """See `meterkast.ports.clock.Clock`."""

    def sources(self) -> Sequence[SourceStatus]:
        return ()

    def told(self, date_ms: UtcMs, asked_ns: int, seen_ns: int, host: str) -> None:  # noqa: B027 - doing nothing is right
        """It needs no evidence."""

    def recall(self, past: Sequence[Boot]) -> None:
        mine = next((boot for boot in past if boot.id == self.boot_id), None)
        self._first_ms = self.boot_ns() // 1_000_000 if mine is None else mine.first_ms
        self._learned_ms = None if mine is None else mine.learned_ms

    def record(self, *, stopping: bool = False) -> Boot:
        at_ms = self.boot_ns() // 1_000_000
        trust, known = self.trust, self.trust is not Trust.UNKNOWN
        if known and self._learned_ms is None:
            self._learned_ms = at_ms
        return Boot(
            id=self.boot_id,
            first_ms=self._first_ms,
            last_ms=at_ms,
            offset_ms=self.utc_of(0) if known else None,
            trust=trust.value,
            learned_ms=self._learned_ms if known else None,
        )


class FastClock(Undisputed):
    """A clock that runs `speed` times as fast from a given start: for the demo, tests and rehearsals.

    It follows the simulated meter: processes that were started seconds apart would otherwise be minutes
    apart. It must never send to a real platform: `meterkast run --speed` refuses every address that is not
    loopback.
    """

    def __init__(self, speed: float, start_ms: UtcMs | None = None) -> None:
        super().__init__()
        self.speed = speed
        self._real_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._start_ns = (start_ms * 1_000_000) if start_ms is not None else time.time_ns()
        self._last: tuple[UtcMs, int] | None = None
        self._agreed = False

    def boot_ns(self) -> int:
        return int((time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self._real_ns) * self.speed)

    def now_ms(self) -> UtcMs:
        return self.utc_of(self.boot_ns())

    def utc_of(self, boot_ns: int) -> UtcMs:
        return UtcMs((self._start_ns + boot_ns) // 1_000_000)

    @property
    def trust(self) -> Trust:  # type: ignore[override]  # read only here
        """Known once a meter's stamps were followed, or when no meter with a clock turned up."""
        if self._agreed:
            return Trust.METER
        return Trust.TRUSTED if self.boot_ns() > _NO_METER_S * self.speed * 1e9 else Trust.UNKNOWN

    def offer(self, stamp_ms: UtcMs, seen_ns: int, meter: str = "") -> None:
        last, self._last = self._last, (stamp_ms, seen_ns)
        if last is None:
            return
        passed_ms = (seen_ns - last[1]) / 1_000_000
        if abs((stamp_ms - last[0]) - passed_ms) > self.allowance_ms(2_000):
            return  # a capture is played, or the meter's clock was set: nothing to follow
        if abs(self.utc_of(seen_ns) - stamp_ms) > self.allowance_ms(STAMP_LIMIT_MS) // 2:
            self._start_ns = stamp_ms * 1_000_000 - seen_ns
        self._agreed = True

    def allowance_ms(self, limit_ms: int) -> int:
        return limit_ms + int(_PROCESSING_MS * (self.speed - 1))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.speed)

    async def sleep_until(self, at_ms: UtcMs) -> None:
        await _sleep_until(self, at_ms, 1.0)
