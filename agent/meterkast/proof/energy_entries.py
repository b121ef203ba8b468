"""Energy entries of a gateway: from its half-hours, and from its samples where they are still kept.

Half-hours are corrected already: outliers were held back, epochs are told apart. A sample refines what lies
between two of them only where it fits between them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import NamedTuple

from meterkast.model.datatypes import Kind
from meterkast.model.energy_entries import (
    DATATYPES_WITH_ENTRIES,
    MOST_GAP_MS,
    QUARTER_MS,
    EnergyEntry,
    Point,
    energy_entries,
)
from meterkast.model.epoch import Epoch
from meterkast.model.half_hour import RowKey, State
from meterkast.model.product import Property, PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.reading import Frames
from meterkast.model.time import DAY_MS, UtcMs
from meterkast.ports.store import Store


class _Near(NamedTuple):
    """A sample beside a boundary."""

    at_ms: UtcMs
    value: Quantity


Near = dict[PropertyId, dict[int, _Near]]
"""By boundary: the last sample at or before it, or the first at or after it."""


def has_entries(prop: Property) -> bool:
    """Whether BeNext has energy entries of such a property."""
    return prop.kind is Kind.REGISTER and prop.datatype.id in DATATYPES_WITH_ENTRIES


async def entries_of(
    store: Store,
    properties: Sequence[Property],
    start_ms: UtcMs,
    end_ms: UtcMs,
    damaged: list[RowKey] | None = None,
) -> AsyncIterator[tuple[UtcMs, Mapping[PropertyId, list[EnergyEntry]]]]:
    """The entries of quarters that start in [start, end), a day at a time: memory does not grow with it.

    Args:
        store: What is kept.
        properties: Registers; others are passed over.
        damaged: Takes the keys of half-hours that are not as they were written.

    Raises:
        StorageError: The database refused.
    """
    wanted = [prop.id for prop in properties if has_entries(prop)]
    epochs: dict[PropertyId, list[Epoch]] = {}
    for epoch in await store.epochs():
        epochs.setdefault(epoch.property_id, []).append(epoch)
    day = UtcMs(-(-start_ms // QUARTER_MS) * QUARTER_MS)
    while day < end_ms:
        until = UtcMs(min(end_ms, day + DAY_MS))
        wrong: list[RowKey] = []
        points = await _edges(store, wanted, day, until, wrong)
        if damaged is not None:  # the days' edges overlap
            damaged += [key for key in wrong if key not in damaged]
        before, after = await _beside_boundaries(store, set(wanted), day, until)
        yield (
            day,
            {
                number: list(
                    energy_entries(
                        refined(
                            points.get(number, []),
                            [*before.get(number, {}).values(), *after.get(number, {}).values()],
                            epochs.get(number, ()),
                        ),
                        day,
                        until,
                    )
                )
                for number in wanted
            },
        )
        day = until


async def _edges(
    store: Store, wanted: Sequence[PropertyId], start_ms: UtcMs, end_ms: UtcMs, damaged: list[RowKey]
) -> dict[PropertyId, list[Point]]:
    """The good readings that closed half-hours, and those up to the longest gap before and after."""
    rows = await store.half_hours(
        UtcMs(start_ms - MOST_GAP_MS), UtcMs(end_ms + MOST_GAP_MS), properties=wanted, damaged=damaged
    )
    points: dict[PropertyId, list[Point]] = {}
    for row in rows:
        if row.value is not None and row.taken_ms is not None and row.state in (State.MEASURED, State.LATE):
            points.setdefault(row.property_id, []).append(Point(row.taken_ms, row.value, row.epoch))
    return points


async def _beside_boundaries(
    store: Store, wanted: set[PropertyId], start_ms: UtcMs, end_ms: UtcMs
) -> tuple[Near, Near]:
    """The samples right before and right after each boundary; of millions a few are kept."""
    before: Near = {}
    after: Near = {}
    since, until = UtcMs(start_ms - QUARTER_MS), UtcMs(end_ms + 2 * QUARTER_MS)
    async for frames in store.samples(since, until):
        for table in frames:
            _take(table, wanted, before, after)
    return before, after


def _take(table: Frames, wanted: set[PropertyId], before: Near, after: Near) -> None:
    columns = [(place, column) for place, column in enumerate(table.layout) if column.property_id in wanted]
    if not columns or not table.times:
        return
    # Of one table only the first and the last sample of each quarter can be beside a boundary.
    last: dict[int, int] = {}
    first: dict[int, int] = {}
    times = table.times
    for row, at_ms in enumerate(times):
        following = -(-at_ms // QUARTER_MS) * QUARTER_MS
        if following not in last or at_ms >= times[last[following]]:
            last[following] = row
        preceding = at_ms // QUARTER_MS * QUARTER_MS
        if preceding not in first or at_ms < times[first[preceding]]:
            first[preceding] = row
    for place, column in columns:
        for boundary, row in last.items():
            kept = before.setdefault(column.property_id, {})
            if boundary not in kept or times[row] >= kept[boundary].at_ms:
                kept[boundary] = _Near(times[row], Quantity(table.rows[row][place], column.decimals))
        for boundary, row in first.items():
            kept = after.setdefault(column.property_id, {})
            if boundary not in kept or times[row] < kept[boundary].at_ms:
                kept[boundary] = _Near(times[row], Quantity(table.rows[row][place], column.decimals))


def refined(
    edges: Sequence[Point], samples: Iterable[tuple[UtcMs, Quantity]], epochs: Sequence[Epoch]
) -> list[Point]:
    """Half-hours' readings, and samples between two of them that fit.

    A sample fits where the readings before and after it are of its epoch and it lies between them, and where
    it follows the sample before it: an outlier does not.

    Args:
        edges: Good readings, oldest first.
        samples: Any readings of the register, in any order.
        epochs: Of the register, by number.
    """
    edges = sorted(edges)
    times = [edge.at_ms for edge in edges]
    starts = [epoch.at_ms for epoch in epochs]
    found = {edge.at_ms: edge for edge in edges}
    highest: tuple[int, Quantity] | None = None
    for at_ms, value in sorted(samples):
        place = bisect_left(times, at_ms)
        if at_ms in found or not 0 < place < len(edges):
            continue
        low, high = edges[place - 1], edges[place]
        numbered = bisect_right(starts, at_ms)
        epoch = epochs[numbered - 1].number if numbered else low.epoch
        if low.epoch != high.epoch or epoch != low.epoch:
            continue
        number = value.decimal()
        if not low.value.decimal() <= number <= high.value.decimal():
            continue
        if highest is not None and highest[0] == place and number < highest[1].decimal():
            continue
        highest = place, value
        found[at_ms] = Point(at_ms, value, epoch)
    return sorted(found.values())
