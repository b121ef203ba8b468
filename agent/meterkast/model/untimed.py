"""Readings whose time is not known yet: a table over the time since the machine's start."""

from __future__ import annotations

from dataclasses import dataclass, field

from meterkast.model.reading import Batch, Layout, TimeSource
from meterkast.model.time import UtcMs


@dataclass(slots=True)
class Untimed:
    """Batches of one layout and one kind of time, oldest first as they arrived.

    Attributes:
        layout: The columns.
        source: How their time is known, once it is.
        seen_ms: CLOCK_BOOTTIME at arrival of each row, in ms.
        device_ms: The device's own time for each; None in all rows where it gives none.
        rows: As many rows of whole numbers.
    """

    layout: Layout
    source: TimeSource
    seen_ms: list[int] = field(default_factory=list)
    device_ms: list[UtcMs | None] = field(default_factory=list)
    rows: list[tuple[int, ...]] = field(default_factory=list)

    def batches(self) -> list[Batch]:
        """The rows as batches again, their arrival known to the millisecond."""
        return [
            Batch(self.layout, values, seen_ms * 1_000_000, device_ms, self.source)
            for seen_ms, device_ms, values in zip(self.seen_ms, self.device_ms, self.rows, strict=True)
        ]


def gather(batches: list[Batch]) -> list[Untimed]:
    """Batches as tables, in the order in which each table's first one came."""
    tables: dict[tuple[int, bool, TimeSource], Untimed] = {}
    for batch in batches:
        timed = batch.device_ms is not None
        key = id(batch.layout), timed, batch.source
        if (table := tables.get(key)) is None:
            source = batch.source if timed else TimeSource.ARRIVAL
            table = tables[key] = Untimed(batch.layout, source)
        table.seen_ms.append(batch.seen_ns // 1_000_000)
        table.device_ms.append(batch.device_ms)
        table.rows.append(batch.values)
    return list(tables.values())
