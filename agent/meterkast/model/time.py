"""Time: whole milliseconds in UTC, and the grid of the site's wall clock.

An interval is half-open on the left, (start, end], and is named by its end: a value measured at
exactly 16:00:00 belongs to the half-hour 16:00 (RESET API V2.1, "Event - Readings").
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import NewType
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from meterkast.model.errors import ConfigError

UtcMs = NewType("UtcMs", int)
"""Milliseconds since 1970-01-01T00:00:00Z."""

SECOND_MS = 1_000
MINUTE_MS = 60_000
HALF_HOUR_MS = 30 * MINUTE_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

# Offsets change at whole minutes: mostly at an hour, but at 00:01 in Newfoundland and Gaza (until 2011) and
# at Casey (2022).
_STEP_MS = MINUTE_MS


YEARS = range(1970, 9999)
"""Years that a person may write: a day or an offset more stays within what the calendar's code can count."""


def zone(name: str) -> ZoneInfo:
    """The zone of an IANA name such as "Europe/Amsterdam".

    Raises:
        ConfigError: There is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(
            f'time zone "{name}" is unknown',
            hint='Use an IANA name such as "Europe/Amsterdam" or "Asia/Kathmandu".',
        ) from error


def to_datetime(at_ms: UtcMs, where: tzinfo = UTC) -> datetime:
    """The instant as an aware datetime in the given zone."""
    return (datetime.fromtimestamp(at_ms // 1000, UTC) + timedelta(milliseconds=at_ms % 1000)).astimezone(
        where
    )


def from_datetime(moment: datetime) -> UtcMs:
    """The instant of an aware datetime.

    Raises:
        ValueError: The datetime has no zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return UtcMs((since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000)


def iso_utc(at_ms: UtcMs) -> str:
    """ISO 8601 in UTC with a Z; milliseconds only where there are any."""
    moment = to_datetime(at_ms)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{at_ms % 1000:03d}Z" if at_ms % 1000 else f"{text}Z"


def iso_local(at_ms: UtcMs, where: tzinfo) -> str:
    """ISO 8601 as both platforms ask for it: `2017-03-15T15:00:00.000+08:00` (always `.sss±hh:mm`)."""
    return to_datetime(at_ms, where).isoformat(timespec="milliseconds")


def parse_iso(text: str) -> UtcMs:
    """The instant of an ISO 8601 text with an offset or Z.

    Raises:
        ValueError: It is no such text, it lacks the offset, or its year is not one of `YEARS`.
    """
    moment = datetime.fromisoformat(text)
    if moment.year not in YEARS:
        raise ValueError(f"{text}: its year is not from {YEARS[0]} to {YEARS[-1]}")
    return from_datetime(moment)


class Grid:
    """The intervals of a site: its wall clock's :00 and :30, and other lengths likewise.

    The grid follows the wall clock and not UTC, which differ at offsets such as +05:45. A day on
    which the clock changes simply has 46 or 50 half-hours.
    """

    def __init__(self, where: tzinfo) -> None:
        self.zone = where
        self._offsets: dict[int, int] = {}

    def offset_ms(self, at_ms: UtcMs) -> int:
        """What the wall clock is ahead of UTC at that instant, in ms."""
        step = at_ms // _STEP_MS
        offset = self._offsets.get(step)
        if offset is None:
            if len(self._offsets) > 4096:
                self._offsets.clear()
            delta = to_datetime(UtcMs(step * _STEP_MS), self.zone).utcoffset()
            offset = round(delta.total_seconds() * 1000) if delta is not None else 0
            self._offsets[step] = offset
        return offset

    def end_of(self, at_ms: UtcMs, length_ms: int = HALF_HOUR_MS) -> UtcMs:
        """The end of the interval (start, end] that holds the instant.

        Args:
            at_ms: The instant.
            length_ms: The interval's length; a divisor of 24 hours.
        """
        offset = self.offset_ms(at_ms)
        end = UtcMs(-(-(at_ms + offset) // length_ms) * length_ms - offset)
        if self.offset_ms(end) == offset:
            return end
        # The clock changes before that end: take the first instant at which the wall clock shows a
        # multiple of the length.
        step = UtcMs(-(-at_ms // _STEP_MS) * _STEP_MS)
        while (step + self.offset_ms(step)) % length_ms:
            step = UtcMs(step + _STEP_MS)
        return min(step, end) if (end + self.offset_ms(end)) % length_ms == 0 else step

    def next_end(self, end_ms: UtcMs, length_ms: int = HALF_HOUR_MS) -> UtcMs:
        """The end of the interval that follows the one named by `end_ms`."""
        return self.end_of(UtcMs(end_ms + 1), length_ms)

    def ends(self, after_ms: UtcMs, until_ms: UtcMs, length_ms: int = HALF_HOUR_MS) -> Iterator[UtcMs]:
        """The ends in (after, until], oldest first."""
        end = self.next_end(after_ms, length_ms)
        while end <= until_ms:
            yield end
            end = self.next_end(end, length_ms)

    def start_of(self, end_ms: UtcMs, length_ms: int = HALF_HOUR_MS) -> UtcMs:
        """The start of the interval named by `end_ms`: the end of the one before it."""
        probe = UtcMs(end_ms - length_ms)
        last = UtcMs(self.end_of(UtcMs(probe - length_ms), length_ms))
        start = last
        while last < end_ms:
            start = last
            last = self.next_end(last, length_ms)
        return start

    def day(self, day: date) -> tuple[UtcMs, UtcMs]:
        """First and last instant of a calendar day of the site: (midnight, next midnight]."""
        first = datetime(day.year, day.month, day.day, tzinfo=self.zone)
        following = day + timedelta(days=1)
        last = datetime(following.year, following.month, following.day, tzinfo=self.zone)
        return from_datetime(first), from_datetime(last)

    def date_of(self, at_ms: UtcMs) -> date:
        """The site's calendar day that an interval ending then belongs to (24:00 is the day before)."""
        return to_datetime(UtcMs(at_ms - 1), self.zone).date()
