"""Half-hours out: which intervals are complete, what they come to, and what goes into the outbox for them.

Deterministic and without I/O: readings and the time go in, half-hours and items come out. The keeper makes
both durable in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from meterkast.model.delivery import NewItem, Stream
from meterkast.model.emptyings import EMPTIED_PERCENT
from meterkast.model.epoch import Epoch
from meterkast.model.half_hour import Cause, HalfHour
from meterkast.model.product import Property, PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.reading import Frames
from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, Grid, UtcMs
from meterkast.pipeline.columns import Values, columns_of
from meterkast.pipeline.composing import BoundStream, Composing
from meterkast.pipeline.recent import KEPT_MS, Recent
from meterkast.pipeline.registers import Registers
from meterkast.pipeline.series import Series, replay_ms
from meterkast.ports.uplink import Binding, Uplink

Why = Callable[[Property, UtcMs, UtcMs], Cause]
"""Why a property has no reading in (start, end]."""


@dataclass(slots=True)
class Closed:
    """What one round of closing came to; see `ports.store.Keep`."""

    half_hours: list[HalfHour] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)
    items: list[NewItem] = field(default_factory=list)
    composed: dict[tuple[str, str], UtcMs] = field(default_factory=dict)
    closed: dict[tuple[PropertyId, int], UtcMs] = field(default_factory=dict)


class Closing:
    """Knows every series, how far each is closed, and what is composed from them.

    Args:
        grid: The site's wall clock.
        grace_ms: How long after its end an interval still takes readings.
        why: Names the cause of a missing interval.

    Attributes:
        registers: The registers among the series.
        recent: What was closed of late.
        streams: What is composed.
    """

    def __init__(self, grid: Grid, grace_ms: int, why: Why) -> None:
        self.grid = self._grid = grid
        self._grace_ms = grace_ms
        self._why = why
        self._series: dict[PropertyId, Series] = {}
        self._closed: dict[PropertyId, dict[int, UtcMs]] = {}
        self._now_ms = UtcMs(-1)
        self._begun: dict[tuple[PropertyId, int], UtcMs] = {}  # where closing began, to be kept
        self._retired: dict[PropertyId, UtcMs] = {}
        self._away: dict[PropertyId, tuple[UtcMs, UtcMs]] = {}  # from its retirement until it came back
        self.registers = Registers(self._series)
        self.recent = Recent(self._series, grid, grace_ms)
        self._composing = Composing(self)
        self.streams: list[BoundStream] = []

    def know(self, prop: Property, closed: Mapping[int, UtcMs] | None = None) -> None:
        """Close this property from now on.

        Args:
            closed: How far each length was closed before a restart.
        """
        if prop.id not in self._series:
            self._series[prop.id] = Series(prop, self.registers.changed)
            self._closed[prop.id] = dict(closed or {})

    def update(self, prop: Property) -> None:
        """Its description changed: a device reports at another pace."""
        if (series := self._series.get(prop.id)) is not None:
            series.update(prop)

    def retire(self, property_id: PropertyId, at_ms: UtcMs) -> None:
        """Close nothing more of this property after the interval that holds an instant."""
        self._retired[property_id] = at_ms

    def revive(self, property_id: PropertyId, at_ms: UtcMs) -> None:
        """A retired property is read again: it is closed as before, and the time between is a gap."""
        if (since_ms := self._retired.pop(property_id, None)) is not None:
            self._away[property_id] = since_ms, at_ms

    def is_retired(self, property_id: PropertyId) -> bool:
        """Whether nothing more is closed of it."""
        return property_id in self._retired

    def is_closed(self, property_id: PropertyId, length_ms: int, end_ms: UtcMs) -> bool:
        """Whether nothing more is to be closed of the interval that ends then."""
        closed_ms = self._closed[property_id].get(length_ms)
        if closed_ms is not None and closed_ms >= end_ms:
            return True
        retired_ms = self._retired.get(property_id)
        over = end_ms + self._grace_ms <= self._now_ms
        return over and retired_ms is not None and (closed_ms is None or closed_ms >= retired_ms)

    def newest_end_ms(self) -> UtcMs:
        """The newest end that is closed of anything; -1 where nothing is."""
        return max((end for lengths in self._closed.values() for end in lengths.values()), default=UtcMs(-1))

    def newest_ms(self, property_id: PropertyId) -> UtcMs:
        """When the newest reading in memory was measured; -1 before the first."""
        return self._series[property_id].minutes.newest_ms

    def peaks(self, property_id: PropertyId, emptied_percent: int = EMPTIED_PERCENT) -> None:
        """Close this property by its maximum, and keep the maximum before each emptying.

        Args:
            emptied_percent: A fall by more than this share of the maximum is an emptying.
        """
        self._series[property_id].minutes.take_peaks(emptied_percent)

    def also(self, property_id: PropertyId, length_ms: int, now_ms: UtcMs | None = None) -> None:
        """Close another length of a property too.

        Args:
            now_ms: From then on; None for all that its half-hours are still open for.
        """
        closed = self._closed[property_id]
        half_hours = closed.get(HALF_HOUR_MS)
        if length_ms not in closed and half_hours is not None:
            now_ms = UtcMs(half_hours + 1) if now_ms is None else now_ms
            since = max(half_hours, self._grid.start_of(self._grid.end_of(now_ms, length_ms), length_ms))
            closed[length_ms] = self._grid.start_of(self._grid.next_end(since, length_ms), length_ms)
            self._begun[property_id, length_ms] = closed[length_ms]

    def reads(self, stream: Stream) -> bool:
        """Whether all properties of a stream have been read, so that it can begin."""
        return all(stream.length_ms in self._closed[property_id] for property_id in stream.properties)

    def bind(
        self,
        stream: Stream,
        uplink: Uplink,
        bindings: Mapping[Binding, PropertyId],
        composed_ms: UtcMs | None,
    ) -> UtcMs:
        """Compose this stream from now on; all its properties have been read.

        Args:
            composed_ms: How far it was composed before; None for a new one, which begins with the interval
                that is open now.

        Returns:
            How far it is composed now.
        """
        begun = composed_ms is not None
        if composed_ms is None:
            # Not the earliest: a meter on the M-Bus may give its value of weeks ago as its first.
            composed_ms = max(self._closed[one][stream.length_ms] for one in stream.properties)
        self.streams.append(BoundStream(stream, uplink, bindings, composed_ms, begun))
        return composed_ms

    def remember(self, complete_from_ms: UtcMs) -> None:
        """Readings since then were taken in again after a restart; what is older is known in part."""
        for property_id, series in self._series.items():
            since_ms = UtcMs(self._replayed_from(property_id) + HOUR_MS)
            series.complete_from_ms = max(series.complete_from_ms, complete_from_ms, since_ms)

    def feed(self, frames: Sequence[Frames], *, replay: bool = False) -> None:
        """Take in readings.

        Args:
            replay: They were taken in before a restart, so none of them is late now.
        """
        tables = [table for table in frames if table.times and not (replay and not self._needs(table))]
        for property_id, one in columns_of(tables, self._series):
            series = self._series[property_id]
            if HALF_HOUR_MS not in self._closed[property_id]:
                self._begin(series, one)
            changed = series.add(*one)
            if changed and not replay:
                self._mark_late(property_id, changed)

    def _needs(self, table: Frames) -> bool:
        """Whether a table of before a restart still matters.

        A value that is reported once a day makes two days be read again. What reports every second would
        fill the memory with them.
        """
        newest_ms = max(table.times)
        return any(
            newest_ms > self._replayed_from(column.property_id)
            for column in table.layout
            if column.property_id in self._series
        )

    def _replayed_from(self, property_id: PropertyId) -> int:
        lengths = self._closed[property_id]
        if not lengths:
            return -HOUR_MS
        return min(lengths.values()) - replay_ms(self._series[property_id].prop.description.fresh_ms)

    def _begin(self, series: Series, read: Values) -> None:
        property_id, first_ms = series.prop.id, min(read.weights.times)
        if series.guard is not None:
            first = read.values[read.weights.times.index(first_ms)]
            series.epochs.begin_first(first_ms, Quantity(first, read.decimals))
        begin_ms = self._grid.start_of(self._grid.end_of(first_ms))
        self._closed[property_id][HALF_HOUR_MS] = begin_ms
        self._begun[property_id, HALF_HOUR_MS] = begin_ms

    def _mark_late(self, property_id: PropertyId, changed: set[int]) -> None:
        earliest = min(changed)
        for length_ms, closed_ms in self._closed[property_id].items():
            if earliest <= closed_ms:
                late = [minute_end for minute_end in changed if minute_end <= closed_ms]
                self.recent.mark_late(property_id, length_ms, late)

    def close(self, now_ms: UtcMs) -> Closed:
        """All that is due: intervals whose time and grace have passed, revisions, and what they compose."""
        # Where closing began is kept at once: a restart before the first end must not begin it anew, later.
        done = Closed(closed=self._begun)
        self._begun = {}
        self._now_ms = now_ms
        self.recent.settle(now_ms)
        done.half_hours += self.recent.revise()
        for property_id, lengths in self._closed.items():
            for length_ms in lengths:
                self._close_series(self._series[property_id], length_ms, now_ms, done)
        for bound in self.streams:
            self._composing.compose(bound, done)
        done.epochs = self.registers.take_changed()
        if done.closed or done.composed:
            self._forget()
        return done

    def _close_series(self, series: Series, length_ms: int, now_ms: UtcMs, done: Closed) -> None:
        key = series.prop.id, length_ms
        late_ms = series.prop.description.late_ms
        lengths = self._closed[series.prop.id]
        while True:
            start_ms = lengths[length_ms]
            end_ms = self._grid.next_end(start_ms, length_ms)
            if (retired_ms := self._retired.get(series.prop.id)) is not None and start_ms >= retired_ms:
                break
            over = now_ms >= end_ms + self._grace_ms
            if not over or (now_ms < end_ms + self._grace_ms + late_ms and series.minutes.newest_ms < end_ms):
                break
            closed = series.close(start_ms, end_ms, length_ms, partial(self._cause, series, start_ms, end_ms))
            self.recent.put(closed)
            done.half_hours.append(closed)
            done.closed[key] = lengths[length_ms] = end_ms

    def _cause(self, series: Series, start_ms: UtcMs, end_ms: UtcMs) -> Cause:
        if series.guard is not None and (dropped := series.guard.dropped_in(start_ms, end_ms)) is not None:
            return Cause.COUNTER_RESET if dropped.low else Cause.COUNTER_JUMPED
        since_ms, until_ms = self._away.get(series.prop.id, (end_ms, end_ms))
        if since_ms <= start_ms and end_ms <= until_ms:
            return Cause.DEVICE_REMOVED
        cause = self._why(series.prop, start_ms, end_ms)
        fresh_ms = series.prop.description.fresh_ms
        if (
            cause is Cause.METER_SILENT
            and fresh_ms > end_ms - start_ms
            and series.minutes.reported(end_ms - fresh_ms, start_ms)
        ):
            return Cause.NOT_DUE
        return cause

    def _forget(self) -> None:
        behind: dict[tuple[PropertyId, int], UtcMs] = {}
        for bound in self.streams:
            if bound.held_ms is not None:
                continue  # that may take weeks; the store has it
            for property_id in self.registers.with_predecessors(bound.stream.properties):
                key = property_id, bound.stream.length_ms
                behind[key] = min(bound.composed_ms, behind.get(key, bound.composed_ms))
        for property_id, lengths in self._closed.items():
            for length_ms, closed_ms in lengths.items():
                key = property_id, length_ms
                until_ms = min(closed_ms, behind.get(key, closed_ms)) - KEPT_MS
                self.recent.forget(property_id, length_ms, until_ms)
            if lengths:
                self._series[property_id].forget(UtcMs(min(lengths.values()) - KEPT_MS))

    def all_of(self, stream: Stream) -> list[PropertyId]:
        """The properties of a stream, and the registers whose place they took."""
        return list(dict.fromkeys(self.registers.with_predecessors(stream.properties)))

    def failed(self) -> set[tuple[str, str]]:
        """(uplink, stream) whose next interval the uplink's code cannot compose; it is tried each minute."""
        return {(one.stream.uplink, one.stream.name) for one in self.streams if one.failed}
