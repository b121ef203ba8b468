"""The clock: the only file that reads the time of day.

Nothing is closed or sent before the time is known to be right. For now one gate decides that: the kernel
says it is synchronised, or two telegrams in a row bear a stamp that agrees with the clock.
"""

from __future__ import annotations

import asyncio
import ctypes
import time

from meterkast.model.time import UtcMs
from meterkast.ports import Trust

STAMP_LIMIT_MS = 60_000
"""How far a telegram's stamp may be from the clock and still confirm it."""

# What a telegram needs from the wire into the gateway, in real time: at 115200 baud 0.1 s, at 9600 baud 1 s,
# and a loaded Pi. A fast clock multiplies it.
_PROCESSING_MS = 1_500

# How long a fast clock waits for a meter whose stamps it could follow, in real seconds.
_NO_METER_S = 5.0

_STA_UNSYNC = 0x40
_TIME_ERROR = 5


class _Timex(ctypes.Structure):
    # struct timex, adjtimex(2); only `status` and the return value are read.
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_char * 256),
    )


def kernel_synchronised() -> bool:
    """Whether the kernel's clock is disciplined by a time service (adjtimex(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    timex = _Timex()
    state = libc.adjtimex(ctypes.byref(timex))
    return 0 <= state < _TIME_ERROR and not timex.status & _STA_UNSYNC


class SystemClock:
    """The machine's own clock."""

    speed = 1.0

    def __init__(self) -> None:
        self._agreed = 0
        self._trust = Trust.UNKNOWN
        self._asked_ns = 0

    def now_ms(self) -> UtcMs:
        return UtcMs(time.time_ns() // 1_000_000)

    def boot_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def utc_of(self, boot_ns: int) -> UtcMs:
        return UtcMs(self.now_ms() - (self.boot_ns() - boot_ns) // 1_000_000)

    @property
    def trust(self) -> Trust:
        """Asks the kernel at most once in ten seconds; a gained trust is kept for the boot."""
        if self._trust is not Trust.TRUSTED:
            boot_ns = self.boot_ns()
            if not self._asked_ns or boot_ns - self._asked_ns > 10_000_000_000:
                self._asked_ns = boot_ns
                if kernel_synchronised():
                    self._trust = Trust.TRUSTED
        return self._trust

    def offer(self, stamp_ms: UtcMs, seen_ns: int) -> None:
        if self._trust is Trust.UNKNOWN:
            agrees = abs(self.utc_of(seen_ns) - stamp_ms) <= STAMP_LIMIT_MS
            self._agreed = self._agreed + 1 if agrees else 0
            if self._agreed >= 2:
                self._trust = Trust.METER

    def allowance_ms(self, limit_ms: int) -> int:
        return limit_ms

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def sleep_until(self, at_ms: UtcMs) -> None:
        # In steps: the clock may be set while we wait.
        while (left_ms := at_ms - self.now_ms()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left_ms / 1000, 30))


class FastClock:
    """A clock that runs `speed` times as fast from a given start: for the demo, tests and rehearsals.

    It follows the simulated meter: processes that were started seconds apart would otherwise be minutes
    apart. It must never send to a real platform: `meterkast run --speed` refuses every address that is not
    loopback.
    """

    def __init__(self, speed: float, start_ms: UtcMs | None = None) -> None:
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
    def trust(self) -> Trust:
        """Known once a meter's stamps were followed, or when no meter with a clock turned up."""
        if self._agreed:
            return Trust.METER
        return Trust.TRUSTED if self.boot_ns() > _NO_METER_S * self.speed * 1e9 else Trust.UNKNOWN

    def offer(self, stamp_ms: UtcMs, seen_ns: int) -> None:
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
        while (left_ms := at_ms - self.now_ms()) > 0:  # noqa: ASYNC110 - the clock may be moved meanwhile
            await asyncio.sleep(min(left_ms / 1000 / self.speed, 1.0))
