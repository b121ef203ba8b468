"""What devices sent, kept in memory until it is known which of it closed a half-hour.

Of every quarter of an hour and every layout the newest few are remembered: the reading that closes an
interval is the last in it, unless that was an outlier. Half-hours end on quarters of UTC in every zone.
"""

from __future__ import annotations

from bisect import insort_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from meterkast.model.evidence import Evidence
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import PropertyId
from meterkast.model.reading import Batch, Layout
from meterkast.model.register import CONFIRMATIONS
from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, MINUTE_MS, Grid, UtcMs

QUARTER_MS = 15 * MINUTE_MS

REMEMBERED = CONFIRMATIONS + 1
"""As many readings of a register may be held back at a boundary, and the one before them closes it."""

KEPT_MS = 2 * HOUR_MS
"""How long it is remembered: M-Bus values of the hour close their half-hour 75 minutes late."""


@dataclass(slots=True)
class _Raw:
    """One telegram or report; `kept` once it was given out as evidence."""

    at_ms: UtcMs
    seen_ns: int
    raw: bytes
    kept: bool = False


@dataclass(slots=True)
class _Newest:
    """The newest of one layout in one quarter, oldest first."""

    layout: Layout
    raws: list[_Raw] = field(default_factory=list)


class Raws:
    """Remembers the newest raw bytes of each layout up to each boundary."""

    def __init__(self) -> None:
        self._quarters: dict[int, dict[int, _Newest]] = {}

    def take(self, batch: Batch, at_ms: UtcMs) -> None:
        """Remember what a batch was read from."""
        end_ms = -(-at_ms // QUARTER_MS) * QUARTER_MS
        quarter = self._quarters.setdefault(end_ms, {})
        found = quarter.get(id(batch.layout))
        if found is None:
            found = quarter[id(batch.layout)] = _Newest(batch.layout)
        raws, one = found.raws, _Raw(at_ms, batch.seen_ns, batch.raw)
        if not raws or at_ms >= raws[-1].at_ms:
            raws.append(one)
        else:
            insort_right(raws, one, key=_when)
        if len(raws) > REMEMBERED:
            del raws[0]

    def due(
        self,
        closed: Sequence[HalfHour],
        is_register: Callable[[PropertyId], bool],
        grid: Grid,
        now_ms: UtcMs,
        utc_of: Callable[[int], UtcMs],
    ) -> list[Evidence]:
        """What is to be kept now; each is given out once.

        A reading measured at the boundary itself closes its half-hour for certain, so it is given out at
        once: a power cut before the half-hour is closed does not lose it. Every other one is when it did.

        Args:
            closed: What was closed or revised just now.
            is_register: Whether a property is one.
            grid: The site's half-hours.
            now_ms: Up to when intervals were closed: now, or the end of a block that is closed late.
            utc_of: UTC of an instant of this boot (`Clock.utc_of`).
        """
        found: dict[int, tuple[_Raw, set[PropertyId]]] = {}
        for newest, raw in self._at_boundaries(grid, now_ms):
            ids = {column.property_id for column in newest.layout if is_register(column.property_id)}
            found[id(raw)] = raw, ids
        for one in closed:
            if one.taken_ms is None or one.length_ms != HALF_HOUR_MS or not is_register(one.property_id):
                continue
            closing = self._raw_of(one.property_id, one.taken_ms)
            if closing is not None and not closing.kept:
                found.setdefault(id(closing), (closing, set()))[1].add(one.property_id)
        for end_ms in [end_ms for end_ms in self._quarters if end_ms <= now_ms - KEPT_MS]:
            del self._quarters[end_ms]
        evidence = []
        for raw, ids in found.values():
            raw.kept = True
            if ids:
                arrived_ms = utc_of(raw.seen_ns)
                evidence.append(
                    Evidence(
                        properties=tuple(sorted(ids)), at_ms=raw.at_ms, arrived_ms=arrived_ms, raw=raw.raw
                    )
                )
        return evidence

    def _at_boundaries(self, grid: Grid, now_ms: UtcMs) -> Iterator[tuple[_Newest, _Raw]]:
        for end_ms, quarter in self._quarters.items():
            if end_ms <= now_ms and grid.end_of(UtcMs(end_ms)) == end_ms:
                for newest in quarter.values():
                    raw = newest.raws[-1]
                    if raw.at_ms == end_ms and not raw.kept:
                        yield newest, raw

    def _raw_of(self, property_id: PropertyId, at_ms: UtcMs) -> _Raw | None:
        """What a reading was read from; the one that came last where two are of one instant."""
        newest: _Raw | None = None
        for found in self._quarters.get(-(-at_ms // QUARTER_MS) * QUARTER_MS, {}).values():
            if any(column.property_id == property_id for column in found.layout):
                for raw in found.raws:
                    if raw.at_ms == at_ms and (newest is None or raw.seen_ns >= newest.seen_ns):
                        newest = raw
        return newest


def _when(raw: _Raw) -> int:
    return raw.at_ms
