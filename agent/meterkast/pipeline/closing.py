"""Half-hours out: which intervals are complete, what they come to, and what goes into the outbox for them.

Deterministic and without I/O: readings and the time go in, half-hours and items come out. The keeper makes
both durable in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from meterkast.model.delivery import NewItem, Stream
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.product import Property, PropertyId
from meterkast.model.reading import Frames
from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, Grid, UtcMs
from meterkast.pipeline.series import Series, Weights
from meterkast.ports import Binding, Uplink

KEPT_MS = 3 * HOUR_MS
"""How long minutes and closed intervals stay in memory, so that late readings can revise them."""

Why = Callable[[Property, UtcMs, UtcMs], Cause]
"""Why a property has no reading in (start, end]."""


@dataclass(slots=True)
class BoundStream:
    """A stream all of whose properties are known.

    Attributes:
        composed_ms: End of the newest interval that was composed.
    """

    stream: Stream
    uplink: Uplink
    bindings: Mapping[Binding, PropertyId]
    composed_ms: UtcMs


@dataclass(slots=True)
class Closed:
    """What one round of closing came to; see `ports.Keep`."""

    half_hours: list[HalfHour] = field(default_factory=list)
    items: list[NewItem] = field(default_factory=list)
    composed: dict[tuple[str, str], UtcMs] = field(default_factory=dict)
    closed: dict[tuple[PropertyId, int], UtcMs] = field(default_factory=dict)


class Closing:
    """Knows every series, how far each is closed, and what is composed from them.

    Args:
        grid: The site's wall clock.
        grace_ms: How long after its end an interval still takes readings.
        why: Names the cause of a missing interval.
    """

    def __init__(self, grid: Grid, grace_ms: int, why: Why) -> None:
        self._grid = grid
        self._grace_ms = grace_ms
        self._why = why
        self._series: dict[PropertyId, Series] = {}
        self._closed: dict[tuple[PropertyId, int], UtcMs] = {}
        self._done: dict[tuple[PropertyId, int], dict[UtcMs, HalfHour]] = {}
        self._late: set[tuple[PropertyId, int, UtcMs]] = set()
        self._complete_from_ms = UtcMs(0)
        self.streams: list[BoundStream] = []

    def know(self, prop: Property, closed: Mapping[int, UtcMs] | None = None) -> None:
        """Close this property from now on.

        Args:
            closed: How far each length was closed before a restart.
        """
        if prop.id not in self._series:
            self._series[prop.id] = Series(prop)
            for length_ms, end_ms in (closed or {}).items():
                self._closed[prop.id, length_ms] = end_ms

    def update(self, prop: Property) -> None:
        """Its description changed: a device reports at another pace."""
        if (series := self._series.get(prop.id)) is not None:
            series.prop = prop
            series.hold_ms = prop.description.fresh_ms

    def peaks(self, property_id: PropertyId) -> None:
        """Close this property by its maximum, and keep the maximum before each emptying."""
        self._series[property_id].take_peaks()

    def also(self, property_id: PropertyId, length_ms: int, now_ms: UtcMs) -> None:
        """Close another length of a property too, from now on."""
        key = property_id, length_ms
        half_hours = self._closed.get((property_id, HALF_HOUR_MS))
        if key not in self._closed and half_hours is not None:
            since = max(half_hours, self._grid.start_of(self._grid.end_of(now_ms, length_ms), length_ms))
            self._closed[key] = self._grid.start_of(self._grid.end_of(UtcMs(since + 1), length_ms), length_ms)

    def bind(
        self,
        stream: Stream,
        uplink: Uplink,
        bindings: Mapping[Binding, PropertyId],
        composed_ms: UtcMs | None,
    ) -> bool:
        """Compose this stream from now on.

        Args:
            composed_ms: How far it was composed before; None for a new one, which begins with the interval
                that is open now.

        Returns:
            Whether all its properties have been read, so that it could begin.
        """
        keys = [(property_id, stream.length_ms) for property_id in stream.properties]
        if any(key not in self._closed for key in keys):
            return False
        if composed_ms is None:
            composed_ms = min(self._closed[key] for key in keys)
        self.streams.append(BoundStream(stream, uplink, bindings, composed_ms))
        return True

    def remember(self, half_hours: Sequence[HalfHour], complete_from_ms: UtcMs) -> None:
        """What was closed before a restart: streams go on from there, late readings are judged by it."""
        for one in half_hours:
            self._done.setdefault((one.property_id, one.length_ms), {})[one.end_ms] = one
        self._complete_from_ms = complete_from_ms

    def feed(self, frames: Sequence[Frames], *, replay: bool = False) -> None:
        """Take in readings.

        Args:
            replay: They were taken in before a restart, so none of them is late now.
        """
        for table in frames:
            weights = Weights(table.times)
            for column, values in zip(table.layout, zip(*table.rows, strict=True), strict=True):
                series = self._series.get(column.property_id)
                if series is None:
                    continue
                changed = series.add(weights, values, column.decimals)
                first_ms = UtcMs(min(table.times))
                if (column.property_id, HALF_HOUR_MS) not in self._closed:
                    self._begin(column.property_id, first_ms)
                if not replay:
                    self._mark_late(column.property_id, changed)

    def _begin(self, property_id: PropertyId, first_ms: UtcMs) -> None:
        end_ms = self._grid.end_of(first_ms)
        self._closed[property_id, HALF_HOUR_MS] = self._grid.start_of(end_ms)

    def _mark_late(self, property_id: PropertyId, changed: set[int]) -> None:
        for (closed_id, length_ms), closed_ms in self._closed.items():
            if closed_id != property_id or not changed or min(changed) > closed_ms:
                continue
            for minute_end in changed:
                if minute_end <= closed_ms:
                    self._late.add((property_id, length_ms, self._grid.end_of(UtcMs(minute_end), length_ms)))

    def close(self, now_ms: UtcMs) -> Closed:
        """All that is due: intervals whose time and grace have passed, revisions, and what they compose."""
        done = Closed()
        self._revise(done)
        for (property_id, length_ms), closed_ms in list(self._closed.items()):
            series = self._series.get(property_id)
            if series is not None:
                self._close_series(series, length_ms, closed_ms, now_ms, done)
        for bound in self.streams:
            self._compose(bound, done)
        self._forget()
        return done

    def _close_series(
        self, series: Series, length_ms: int, closed_ms: UtcMs, now_ms: UtcMs, done: Closed
    ) -> None:
        key = series.prop.id, length_ms
        late_ms = series.prop.description.late_ms
        start_ms = closed_ms
        while True:
            end_ms = self._grid.next_end(start_ms, length_ms)
            over = now_ms >= end_ms + self._grace_ms
            if not over or (now_ms < end_ms + self._grace_ms + late_ms and series.newest_ms < end_ms):
                break
            closed = series.close(start_ms, end_ms, length_ms, self._cause(series, start_ms, end_ms))
            self._done.setdefault(key, {})[end_ms] = closed
            done.half_hours.append(closed)
            done.closed[key] = self._closed[key] = end_ms
            start_ms = end_ms

    def _cause(self, series: Series, start_ms: UtcMs, end_ms: UtcMs) -> Cause:
        fresh_ms = series.prop.description.fresh_ms
        if fresh_ms > end_ms - start_ms and series.reported(end_ms - fresh_ms, start_ms):
            return Cause.NOT_DUE
        return self._why(series.prop, start_ms, end_ms)

    def _revise(self, done: Closed) -> None:
        late, self._late = self._late, set()
        for property_id, length_ms, end_ms in sorted(late):
            known = self._done.get((property_id, length_ms), {}).get(end_ms)
            start_ms = self._grid.start_of(end_ms, length_ms)
            if known is None or start_ms < self._complete_from_ms:
                continue
            series = self._series[property_id]
            newer = series.close(start_ms, end_ms, length_ms, known.cause or Cause.METER_SILENT)
            if not newer.same_value(known):
                revision = known.revised(newer)
                self._done[property_id, length_ms][end_ms] = revision
                done.half_hours.append(revision)

    def _compose(self, bound: BoundStream, done: Closed) -> None:
        stream = bound.stream
        while True:
            end_ms = self._grid.next_end(bound.composed_ms, stream.length_ms)
            if any(self._closed[property_id, stream.length_ms] < end_ms for property_id in stream.properties):
                break
            values = {
                binding: found
                for binding, property_id in bound.bindings.items()
                if (found := self._done.get((property_id, stream.length_ms), {}).get(end_ms)) is not None
            }
            missing = [binding for binding in bound.bindings if binding not in values]
            for binding in missing:
                # The property was not yet known in that interval.
                values[binding] = HalfHour(
                    property_id=bound.bindings[binding],
                    end_ms=end_ms,
                    length_ms=stream.length_ms,
                    value=None,
                    state=State.MISSING,
                    cause=Cause.METER_SILENT,
                )
            for payload in bound.uplink.compose(stream, values, end_ms):
                done.items.append(
                    NewItem(uplink=stream.uplink, stream=stream.name, at_ms=end_ms, payload=payload)
                )
            bound.composed_ms = done.composed[stream.uplink, stream.name] = end_ms

    def _forget(self) -> None:
        for (property_id, length_ms), closed_ms in self._closed.items():
            behind = [
                bound.composed_ms
                for bound in self.streams
                if bound.stream.length_ms == length_ms and property_id in bound.stream.properties
            ]
            until_ms = min([closed_ms, *behind]) - KEPT_MS
            kept = self._done.get((property_id, length_ms), {})
            for end_ms in [end for end in kept if end <= until_ms]:
                del kept[end_ms]
        for property_id, series in self._series.items():
            lengths = [end for (closed_id, _), end in self._closed.items() if closed_id == property_id]
            if lengths:
                series.forget(UtcMs(min(lengths) - KEPT_MS))

    def newest(self, property_id: PropertyId) -> HalfHour | None:
        """The newest closed half-hour of a property that is in memory."""
        kept = self._done.get((property_id, HALF_HOUR_MS))
        return kept[max(kept)] if kept else None

    def restarts(self) -> dict[PropertyId, int]:
        """Registers that began again, and how often since the start."""
        return {
            property_id: series.guard.restarts
            for property_id, series in self._series.items()
            if series.guard is not None and series.guard.restarts
        }
