"""Readings as they come in: tables with a time for each row, cut into a column for each property."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from meterkast.model.product import PropertyId
from meterkast.model.reading import Frames
from meterkast.model.time import MINUTE_MS, UtcMs


def minute_of(at_ms: int) -> int:
    """The end of the minute (start, end] that holds an instant."""
    return -(-at_ms // MINUTE_MS) * MINUTE_MS


class Weights:
    """How long each row of a table of readings stands, shared by all columns of the table.

    Rows are cut into runs of one minute each: (end of the minute, first row, row after the last).
    """

    def __init__(self, times: Sequence[UtcMs]) -> None:
        self.times = times
        self.runs: list[tuple[int, int, int]] = []
        first = 0
        for number in range(1, len(times) + 1):
            if number == len(times) or minute_of(times[number]) != minute_of(times[first]):
                self.runs.append((minute_of(times[first]), first, number))
                first = number
        self.ordered = list(times) == sorted(times)
        self._steps: dict[int, list[int]] = {}

    def steps(self, hold_ms: int) -> list[int]:
        """For each row but the last: how long it stands until the next, at most `hold_ms`."""
        found = self._steps.get(hold_ms)
        if found is None:
            times = self.times
            found = [min(later - at, hold_ms) for at, later in pairwise(times)]
            self._steps[hold_ms] = found
        return found


class Values(NamedTuple):
    """One property's column of a table: as many whole numbers × 10^-`decimals` as it has rows."""

    weights: Weights
    values: Sequence[int]
    decimals: int


class Joint:
    """Several tables read as one, in order of time: a telegram with one line less has a layout of its own."""

    def __init__(self, tables: Sequence[Weights]) -> None:
        times = [at_ms for table in tables for at_ms in table.times]
        self._order = sorted(range(len(times)), key=times.__getitem__)
        self._weights = Weights([times[place] for place in self._order])

    def join(self, parts: Sequence[Values]) -> Values:
        """One property's columns of those tables as one column."""
        decimals = max(part.decimals for part in parts)
        values = [value * 10 ** (decimals - part.decimals) for part in parts for value in part.values]
        return Values(self._weights, [values[place] for place in self._order], decimals)


def columns_of(tables: Iterable[Frames], known: Container[PropertyId]) -> Iterator[tuple[PropertyId, Values]]:
    """One column for each property, of all the tables that have it.

    Args:
        tables: Each with at least one row.
        known: All others are left out.
    """
    read: dict[PropertyId, list[Values]] = {}
    for table in tables:
        weights = Weights(table.times)
        for column, values in zip(table.layout, zip(*table.rows, strict=True), strict=True):
            if column.property_id in known:
                read.setdefault(column.property_id, []).append(Values(weights, values, column.decimals))
    joints: dict[tuple[int, ...], Joint] = {}
    for property_id, parts in read.items():
        one = parts[0]
        if len(parts) > 1:
            own = tuple(id(part.weights) for part in parts)
            joint = joints.get(own)
            if joint is None:
                joint = joints[own] = Joint([part.weights for part in parts])
            one = joint.join(parts)
        yield property_id, one
