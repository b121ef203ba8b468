"""Energy entries: what a register rose by in each quarter of an hour, as BeNext shows it.

Source: myBeNext API documentation, chapter 1: "energyentries are calculated values with corrected,
interpolated values at a fixed 15 minute interval"; 4.3: "normalized to 15 minute interval values", not
cumulative, "can be summed to gain a total over a period of time". An entry is named by its start: the start
of a query is included and its end is not. The documentation gives no longest gap; ours is `MOST_GAP_MS`.

Pure: readings in, entries out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from meterkast.model.datatypes import DatatypeId
from meterkast.model.quantity import Quantity
from meterkast.model.time import HOUR_MS, MINUTE_MS, UtcMs

QUARTER_MS = 15 * MINUTE_MS

DATATYPES_WITH_ENTRIES = tuple(map(DatatypeId, (39, 47, 50, 51, 52, 63, 103)))
"""Documentation 3.3.1.1: cumulative energy, gas, water, heat and cooling."""

MOST_GAP_MS = 24 * HOUR_MS
"""Between two readings further apart nothing is interpolated: some meters report once a day, none less."""

MORE_DECIMALS = 3
"""Digits that an interpolated register has more than its readings."""


class Point(NamedTuple):
    """One good reading of a register: when, what, and in which of its epochs."""

    at_ms: UtcMs
    value: Quantity
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyEntry:
    """What a register rose by in [start, start + 15 minutes).

    Attributes:
        start_ms: A whole quarter of UTC, which is one of every zone's clock.
        value: In the register's canonical unit; None where it is not known.
        interpolated: The register at its start or end is not a reading of that instant.
    """

    start_ms: UtcMs
    value: Quantity | None
    interpolated: bool


def energy_entries(points: Sequence[Point], start_ms: UtcMs, end_ms: UtcMs) -> Iterator[EnergyEntry]:
    """The entries of all quarters that start in [start, end).

    The register at a quarter's boundary is the reading of that instant, or lies on the straight line between
    the readings before and after it: both must be of one epoch, not fall, and not be further apart than
    `MOST_GAP_MS`. Entries are differences of these, so their sum is the register's difference exactly.

    Args:
        points: Good readings, oldest first; those around the first and the last boundary too.
        start_ms, end_ms: Rounded up to whole quarters.

    Returns:
        One for each quarter, oldest first, none left out.
    """
    decimals = max((point.value.decimals for point in points), default=0) + MORE_DECIMALS
    boundary = UtcMs(-(-start_ms // QUARTER_MS) * QUARTER_MS)
    place = 0
    before: _Level | None = None
    first = True
    while boundary < end_ms + QUARTER_MS:
        while place < len(points) and points[place].at_ms < boundary:
            place += 1
        level = _level(points, place, boundary, decimals)
        if not first:
            yield _entry(UtcMs(boundary - QUARTER_MS), before, level, decimals)
        elif boundary >= end_ms:
            return
        before, first = level, False
        boundary = UtcMs(boundary + QUARTER_MS)


class _Level(NamedTuple):
    """A register at a boundary; whole number at the entries' decimals."""

    whole: int
    epoch: int
    measured: bool


def _level(points: Sequence[Point], place: int, at_ms: UtcMs, decimals: int) -> _Level | None:
    """The register at an instant.

    Args:
        place: Of the first reading at or after it.
    """
    if place == len(points):
        return None
    after = points[place]
    if after.at_ms == at_ms:
        return _Level(after.value.rescaled(decimals), after.epoch, measured=True)
    if not place:
        return None
    before = points[place - 1]
    gap_ms = after.at_ms - before.at_ms
    low, high = before.value.rescaled(decimals), after.value.rescaled(decimals)
    if before.epoch != after.epoch or gap_ms > MOST_GAP_MS or high < low:
        return None
    # Rounded down, so that levels never fall.
    return _Level(low + (high - low) * (at_ms - before.at_ms) // gap_ms, before.epoch, measured=False)


def _entry(start_ms: UtcMs, before: _Level | None, after: _Level | None, decimals: int) -> EnergyEntry:
    if before is None or after is None or before.epoch != after.epoch or after.whole < before.whole:
        return EnergyEntry(start_ms=start_ms, value=None, interpolated=False)
    return EnergyEntry(
        start_ms=start_ms,
        value=Quantity(after.whole - before.whole, decimals),
        interpolated=not (before.measured and after.measured),
    )
