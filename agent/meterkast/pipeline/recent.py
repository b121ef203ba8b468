"""What was closed of late: it stays in memory for some hours, so that late readings can revise it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.product import PropertyId
from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, Grid, UtcMs
from meterkast.pipeline.series import Series

KEPT_MS = 3 * HOUR_MS
"""How long minutes and closed intervals stay in memory, so that late readings can revise them."""


class Recent:
    """The closed intervals in memory, and which of them are to be closed anew.

    Args:
        series: Of all properties.
        grid: The site's wall clock.
        grace_ms: How long after its end an interval still takes readings.

    Attributes:
        too_late: Half-hours since the start that stay as they were closed, although a reading of them came:
            what they were made of is no longer in memory.
    """

    def __init__(self, series: Mapping[PropertyId, Series], grid: Grid, grace_ms: int) -> None:
        self._series = series
        self._grid = grid
        self._grace_ms = grace_ms
        self._done: dict[tuple[PropertyId, int], dict[UtcMs, HalfHour]] = {}
        self._late: set[tuple[PropertyId, int, UtcMs]] = set()
        self._suspects: set[tuple[PropertyId, int, UtcMs]] = set()
        self.too_late = 0

    def put(self, one: HalfHour) -> None:
        """It was closed just now."""
        self._done.setdefault((one.property_id, one.length_ms), {})[one.end_ms] = one
        self._suspect(one)

    def recall(self, half_hours: Sequence[HalfHour]) -> None:
        """What was closed before: streams go on from there, late readings are judged by it."""
        for one in half_hours:
            self._done.setdefault((one.property_id, one.length_ms), {}).setdefault(one.end_ms, one)
            self._suspect(one)

    def _suspect(self, one: HalfHour) -> None:
        if one.state is State.SUSPECT:
            self._suspects.add((one.property_id, one.length_ms, one.end_ms))

    def closed_as(self, property_id: PropertyId, length_ms: int, end_ms: UtcMs) -> HalfHour | None:
        """What an interval in memory was closed as; None where it was not closed."""
        return self._done.get((property_id, length_ms), {}).get(end_ms)

    def newest(self, property_id: PropertyId) -> HalfHour | None:
        """The newest closed half-hour of a property that is in memory."""
        kept = self._done.get((property_id, HALF_HOUR_MS))
        return kept[max(kept)] if kept else None

    def mark_late(self, property_id: PropertyId, length_ms: int, minutes: Iterable[int]) -> None:
        """Intervals that were closed are to be looked at again.

        Args:
            minutes: Ends of minutes in which something changed since.
        """
        for minute_end in minutes:
            self._late.add((property_id, length_ms, self._grid.end_of(UtcMs(minute_end), length_ms)))

    def settle(self, now_ms: UtcMs) -> None:
        """Doubtful readings that nothing confirmed in time are outliers; what was suspect is decided then."""
        for series in self._series.values():
            if series.guard is not None and series.guard.oldest_held_ms is not None:
                patience_ms = series.guard.wait_ms + series.prop.description.late_ms + self._grace_ms
                series.guard.expire(UtcMs(now_ms - patience_ms))
        for key in list(self._suspects):
            property_id, length_ms, end_ms = key
            known = self.closed_as(property_id, length_ms, end_ms)
            if known is None or known.state is not State.SUSPECT:
                self._suspects.discard(key)
                continue
            guard = self._series[property_id].guard
            if guard is None or not guard.doubtful_in(self._grid.start_of(end_ms, length_ms), end_ms):
                self._late.add(key)

    def revise(self) -> list[HalfHour]:
        """Revisions of what readings that came late change, or what was suspect and is decided."""
        late, self._late = self._late, set()
        revisions: list[HalfHour] = []
        for property_id, length_ms, end_ms in sorted(late):
            known = self._done.get((property_id, length_ms), {}).get(end_ms)
            if known is not None and self._is_whole(known):
                self._revise_one(known, revisions)
            elif length_ms == HALF_HOUR_MS:
                self.too_late += 1
        return revisions

    def _is_whole(self, known: HalfHour) -> bool:
        """Whether all that it was made of is in memory."""
        start_ms = self._grid.start_of(known.end_ms, known.length_ms)
        # A suspect one had no other readings, so that nothing it was made of can be forgotten.
        return start_ms >= self._series[known.property_id].complete_from_ms or known.state is State.SUSPECT

    def _revise_one(self, known: HalfHour, revisions: list[HalfHour]) -> None:
        series = self._series[known.property_id]
        start_ms = self._grid.start_of(known.end_ms, known.length_ms)
        suspect = known.state is State.SUSPECT
        cause = known.cause or (_doubt(series, known) if suspect else Cause.METER_SILENT)
        newer = series.close(start_ms, known.end_ms, known.length_ms, lambda: cause)
        if not newer.same_value(known) or (suspect and newer.state is not State.SUSPECT):
            revision = known.revised(newer)
            self._done[known.property_id, known.length_ms][known.end_ms] = revision
            revisions.append(revision)

    def forget(self, property_id: PropertyId, length_ms: int, until_ms: int) -> None:
        """Drop what ended at or before an instant, but for what is suspect: that is decided later."""
        kept = self._done.get((property_id, length_ms), {})
        for end_ms in [
            end for end, one in kept.items() if end <= until_ms and one.state is not State.SUSPECT
        ]:
            del kept[end_ms]


def _doubt(series: Series, known: HalfHour) -> Cause:
    """Why a suspect half-hour was none: what was read in it was too low, or too high."""
    newest = series.newest
    assert known.value is not None
    low = newest is not None and known.value.decimal() < newest[1].decimal()
    return Cause.COUNTER_RESET if low else Cause.COUNTER_JUMPED
