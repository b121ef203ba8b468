"""What the machine knows of the time: the one file that asks it.

Everything is a function that can be replaced, so that no test ever depends on the clock of the machine it
runs on.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from meterkast.model.time import UtcMs

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_RTC = Path("/sys/class/rtc/rtc0/since_epoch")

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
    """Whether the kernel's clock is disciplined by a time service (adjtimex(2)).

    Setting the clock by hand takes the mark away.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    timex = _Timex()
    state = libc.adjtimex(ctypes.byref(timex))
    return 0 <= state < _TIME_ERROR and not timex.status & _STA_UNSYNC


def boot_ns() -> int:
    """CLOCK_BOOTTIME: never steps, runs through suspend."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def wall_ns() -> int:
    """The system's clock, whoever set it."""
    return time.time_ns()


def boot_id() -> str:
    """The kernel's id of this boot; where there is none, one of this process."""
    with suppress(OSError):
        return _BOOT_ID.read_text("ascii").strip()
    return f"process-{wall_ns() - boot_ns()}"


def rtc_ms() -> UtcMs | None:
    """The clock that runs without power, to the second; None where there is none."""
    with suppress(OSError, ValueError):
        return UtcMs(int(_RTC.read_text("ascii")) * 1000)
    return None


def no_rtc() -> UtcMs | None:
    """A machine without such a clock, or one whose setting says to leave it alone."""
    return None


@dataclass(slots=True)
class Machine:
    """The machine's clocks."""

    boot_ns: Callable[[], int] = boot_ns
    wall_ns: Callable[[], int] = wall_ns
    synchronised: Callable[[], bool] = kernel_synchronised
    rtc_ms: Callable[[], UtcMs | None] = rtc_ms
    boot_id: str = field(default_factory=boot_id)
