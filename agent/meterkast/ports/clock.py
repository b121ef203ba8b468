"""The port to the time: what the clock says, how far it can be relied on, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from meterkast.model.boot import Boot
from meterkast.model.time import UtcMs


class Trust(StrEnum):
    """How far the gateway's UTC can be relied on; nothing is closed or sent while unknown."""

    UNKNOWN = "unknown"
    METER = "meter"
    TRUSTED = "trusted"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """One source of time, for the page.

    Attributes:
        name: Which, in a person's words.
        off_ms: How far it is ahead of the time in force.
        heard_ms: When it spoke last.
        believed: Whether it is one of those that are followed.
        outvoted: Whether others agree on something else.
    """

    name: str
    off_ms: int
    heard_ms: UtcMs
    believed: bool
    outvoted: bool


class Clock(Protocol):
    """The only source of time. Everything else is handed it."""

    speed: float
    boot_id: str
    """The kernel's id of this boot: `boot_ns` counts from its start."""

    def now_ms(self) -> UtcMs:
        """UTC now, by the offset in force."""

    def boot_ns(self) -> int:
        """CLOCK_BOOTTIME in ns: never steps, runs through suspend."""

    def utc_of(self, boot_ns: int) -> UtcMs:
        """UTC of an instant of this boot."""

    @property
    def trust(self) -> Trust: ...

    @property
    def dispute(self) -> str:
        """Which sources of the time disagree, in one sentence; nothing is sent then. Empty: none."""

    @property
    def refused(self) -> Mapping[str, int]:
        """What sources said that cannot be, by reason, since the start."""

    def sources(self) -> Sequence[SourceStatus]:
        """What each source of the time says."""

    def offer(self, stamp_ms: UtcMs, seen_ns: int, meter: str = "") -> None:
        """A meter's telegram stamp and when it arrived, as evidence of the time.

        Args:
            meter: Which meter, where there may be several.
        """

    def told(self, date_ms: UtcMs, asked_ns: int, seen_ns: int, host: str) -> None:
        """A platform's `Date`, cut off to a second, from an answer over verified TLS.

        Args:
            asked_ns, seen_ns: `boot_ns` at the question and at the answer.
        """

    def recall(self, past: Sequence[Boot]) -> None:
        """What earlier runs knew of the time, oldest first; once, before anything is read."""

    def record(self, *, stopping: bool = False) -> Boot:
        """This boot, as it is to be kept."""

    def allowance_ms(self, limit_ms: int) -> int:
        """A limit on lateness in gateway time, widened by what a fast clock makes of real processing time."""

    async def sleep(self, seconds: float) -> None:
        """Wait in gateway time."""

    async def sleep_until(self, at_ms: UtcMs) -> None:
        """Wait until that UTC.

        It returns before, should the clock be set back meanwhile: once as much time has passed as was meant.
        Who has to be on time asks for the time again.
        """
