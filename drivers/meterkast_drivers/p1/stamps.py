"""Time stamps of meters: `YYMMDDhhmmss` and a letter that says summer (S) or winter (W)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from meterkast.model.time import HOUR_MS, UtcMs, from_datetime

EARLIEST_MS = UtcMs(1_136_073_600_000)
"""2006-01-01: a stamp before it is a clock that was never set; DSMR 1.0 is from 2007."""

_HOURS_KEPT = 64


@dataclass(slots=True)
class TimePolicy:
    """What the stamps of a country's meters mean.

    Attributes:
        summer_ms: What a clock with the letter S is ahead of UTC.
        winter_ms: The same for W.
        zone: Where a stamp without a letter is local time; None where it has the offset of W.
    """

    summer_ms: int
    winter_ms: int
    zone: str | None
    _hours: dict[str, int | None] = field(default_factory=dict, repr=False, compare=False)

    def utc(self, stamp: str) -> UtcMs | None:
        """The instant; None where the stamp is not a date, such as 000000000000W or 632525252525W."""
        digits, letter = stamp[:12], stamp[12:]
        if len(stamp) == 10:  # YYMMDDhhmm, without seconds
            digits, letter = stamp + "00", ""
        if len(digits) != 12 or not (digits.isascii() and digits.isdigit()) or letter not in ("", "S", "W"):
            return None
        minute, second = int(digits[8:10]), int(digits[10:])
        if minute > 59 or second > 59:
            return None
        key = digits[:8] + letter
        hours = self._hours
        if key in hours:
            hour = hours[key]
        else:
            if len(hours) >= _HOURS_KEPT:
                hours.clear()
            hour = hours[key] = self._hour(digits, letter)
        return None if hour is None else UtcMs(hour + minute * 60_000 + second * 1_000)

    def _hour(self, digits: str, letter: str) -> int | None:
        year, month, day, hour = (int(digits[at : at + 2]) for at in (0, 2, 4, 6))
        # 700101010000W is the zero of Unix clocks, not the year 2070.
        century = 1900 if year >= 70 else 2000
        try:
            moment = datetime(century + year, month, day, hour, tzinfo=UTC)
        except ValueError:
            return None
        if not letter and self.zone is not None:
            return from_datetime(moment.replace(tzinfo=ZoneInfo(self.zone)))
        return from_datetime(moment) - (self.summer_ms if letter == "S" else self.winter_ms)


def central(zone: str) -> TimePolicy:
    """Central European time; the letter decides, whatever the date."""
    return TimePolicy(2 * HOUR_MS, HOUR_MS, zone)
