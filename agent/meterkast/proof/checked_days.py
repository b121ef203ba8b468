"""Which of the site's days were checked against the samples, as ranges: ten years are a few of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta

Range = tuple[str, str]
"""The first and the last day, ISO 8601."""

MOST = 60
"""Ranges that are remembered, the newest ones; between two of them lies a day that was not checked."""

_DAY = timedelta(days=1)


def ranges_of(days: Iterable[date]) -> list[Range]:
    """Days, oldest first, as ranges."""
    found: list[Range] = []
    for day in days:
        found = with_day(found, day)
    return found


def with_day(ranges: Sequence[Range], day: date) -> list[Range]:
    """The ranges and one more day; one that is not later than all of them changes nothing."""
    kept = [(first, last) for first, last in ranges]
    last = date.fromisoformat(kept[-1][1]) if kept else None
    if last is not None and day <= last:
        return kept
    if last is not None and day - last == _DAY:
        kept[-1] = kept[-1][0], day.isoformat()
    else:
        kept.append((day.isoformat(), day.isoformat()))
    return kept[-MOST:]


def days_from(first: date, last: date) -> Iterator[date]:
    """Every day from the first to the last."""
    while first <= last:
        yield first
        first += _DAY


def holds(ranges: Sequence[Range], day: date) -> bool:
    """Whether the day is in one of them."""
    return any(first <= day.isoformat() <= last for first, last in ranges)
