"""One property over one day of the site: its half-hours, what they differ by, and where they are missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import groupby, pairwise

from meterkast.model.datatypes import DATATYPES, DatatypeId, Kind
from meterkast.model.epoch import Epoch
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.product import PropertyId
from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, Grid, UtcMs, to_datetime
from meterkast.pipeline.health import PropertyHealth
from meterkast.ports.store import Store
from meterkast.web.counted import Counted, Stand

# A meter that reports every hour or two: its register at midnight may stand some half-hours before it.
_LOOK_BACK_MS = 2 * HOUR_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One half-hour as it is shown.

    Attributes:
        slot: Its place in the day, from 0.
        label: Its end by the site's wall clock, 24:00 for the last.
        value: Register at the end, or the mean, in the shown unit; None where missing or not closed.
        epoch: Which of the register's epochs that belongs to.
        difference: What the register counted since `since_ms`; None where one of the two is unknown, or the
            register was reset or jumped between them.
        since_ms: The half-hour's start; earlier for a meter that reports less often.
        span: How many half-hours the difference covers.
        state: As kept, or "open" where nothing is kept.
        why: Why there is no value or no difference; empty otherwise.
    """

    slot: int
    end_ms: UtcMs
    label: str
    value: Decimal | None = None
    epoch: int = 0
    difference: Decimal | None = None
    since_ms: UtcMs | None = None
    span: int = 1
    state: str = "open"
    cause: Cause | None = None
    revision: int = 0
    why: str = ""

    @property
    def stand(self) -> Stand | None:
        """The register as it was then; None where it is not known."""
        return None if self.value is None else Stand(self.value, self.epoch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Half-hours in a row that are missing for one cause.

    Attributes:
        first, last: Labels of the first one's start and the last one's end.
        rise: What the register counted from `first` to `known_at`, exact: only how it is spread is unknown.
    """

    first: str
    last: str
    cause: str
    count: int
    rise: Decimal | None = None
    known_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The day of one property.

    Attributes:
        slots: How many half-hours the day has: 48, or 46 or 50 when the clock changes.
        ticks: Places and labels for an axis, every six hours.
        rows: Those that have ended, oldest first.
        total: What the register counted from `total_from` to `total_until`, exact over gaps as well;
            None where it was reset or jumped.
    """

    day: date
    register: bool
    slots: int
    ticks: tuple[tuple[int, str], ...]
    rows: tuple[Row, ...]
    gaps: tuple[Gap, ...]
    total: Decimal | None = None
    total_from: str = ""
    total_until: str = ""

    @property
    def closed(self) -> bool:
        """Whether anything at all is kept of the day."""
        return any(row.state != "open" for row in self.rows)


async def read_day(store: Store, grid: Grid, entry: PropertyHealth, day: date, now_ms: UtcMs) -> Day:
    """The day of a property, from the store.

    Raises:
        StorageError: The database refused, or a row is damaged.
    """
    start_ms, end_ms = grid.day(day)
    kept = await store.half_hours(
        UtcMs(start_ms - _LOOK_BACK_MS - HALF_HOUR_MS), end_ms, properties=[PropertyId(entry.id)]
    )
    power = DATATYPES[DatatypeId(entry.datatype)].power
    epochs: list[Epoch] = []
    if len({each.epoch for each in kept if each.value is not None}) > 1:
        epochs = [one for one in await store.epochs() if one.property_id == entry.id]
    register = entry.kind == Kind.REGISTER
    return day_of(kept, grid, day, now_ms, power=power, register=register, epochs=epochs)


def day_of(
    kept: Iterable[HalfHour],
    grid: Grid,
    day: date,
    now_ms: UtcMs,
    *,
    power: int,
    register: bool,
    epochs: Iterable[Epoch] = (),
) -> Day:
    """The day, from what is kept of it.

    Args:
        kept: Half-hours of one property; those before the day serve as the register at its start.
        power: Of ten, from the canonical unit to the shown one.
        register: Whether the values are a running total.
        epochs: The register's, where the half-hours are of several.
    """
    start_ms, end_ms = grid.day(day)
    by_end = {each.end_ms: each for each in kept}
    ends = list(grid.ends(start_ms, end_ms))
    labels = _labels(grid, ends)
    midnight = Row(slot=-1, end_ms=start_ms, label="00:00")
    if start_ms in by_end:
        midnight = _row(midnight, by_end[start_ms], power)
    rows = [
        Row(slot=slot, end_ms=end, label=labels[slot])
        for slot, end in enumerate(ends)
        if end <= now_ms or end in by_end
    ]
    rows = [_row(row, by_end[row.end_ms], power) if row.end_ms in by_end else row for row in rows]
    total, counted = None, Counted(epochs, power)
    if register:
        known = _Register(counted)
        for end in grid.ends(UtcMs(start_ms - _LOOK_BACK_MS - HALF_HOUR_MS), start_ms):
            known.step(by_end.get(end), end, power)
        total = _total([midnight, *rows], counted)
        rows = [known.difference(row, by_end.get(row.end_ms), power) for row in rows]
    newest = max((row.slot for row in rows if row.state != "open"), default=-1)
    rows = [
        replace(row, why="nothing kept" if row.slot < newest else "not closed yet")
        if row.state == "open"
        else row
        for row in rows
    ]
    return Day(
        day=day,
        register=register,
        slots=len(ends),
        ticks=_ticks(labels),
        rows=tuple(rows),
        gaps=tuple(_gaps(rows, labels, midnight, counted if register else None)),
        total=total[0] if total else None,
        total_from=total[1] if total else "",
        total_until=total[2] if total else "",
    )


class _Register:
    """Walks along a register, oldest first, and knows its last reading that a difference may start from."""

    def __init__(self, counted: Counted) -> None:
        self._counted = counted
        self._last: tuple[Stand, UtcMs, bool] | None = None
        self._steps = 0

    def step(self, half_hour: HalfHour | None, end_ms: UtcMs, power: int) -> None:
        self._steps += 1
        if half_hour is None or (half_hour.value is None and half_hour.cause is not Cause.NOT_DUE):
            self._last = None
        elif half_hour.value is not None:
            stand = Stand(half_hour.value.decimal(power), half_hour.epoch)
            self._last = stand, end_ms, half_hour.state is State.SUSPECT
            self._steps = 0

    def difference(self, row: Row, half_hour: HalfHour | None, power: int) -> Row:
        last, steps = self._last, self._steps + 1
        self.step(half_hour, row.end_ms, power)
        stand = row.stand
        if stand is None:
            return row
        if last is None:
            return replace(row, why="the half-hour before it is missing")
        before, since_ms, doubtful = last
        difference = self._counted.between(before, stand)
        if difference is None:
            why = "the one before it is doubtful" if doubtful else self._counted.why_not(before, stand)
            return replace(row, why=why)
        state = State.SUSPECT.value if doubtful else row.state
        return replace(row, difference=difference, since_ms=since_ms, span=steps, state=state)


def _row(row: Row, half_hour: HalfHour, power: int) -> Row:
    return replace(
        row,
        value=half_hour.value.decimal(power) if half_hour.value is not None else None,
        epoch=half_hour.epoch,
        state=half_hour.state.value,
        cause=half_hour.cause,
        revision=half_hour.revision,
        why=half_hour.cause.value if half_hour.cause else "",
    )


def _labels(grid: Grid, ends: Sequence[UtcMs]) -> list[str]:
    moments = [to_datetime(end, grid.zone) for end in ends]
    texts = [moment.strftime("%H:%M") for moment in moments]
    # In the night the clock goes back an hour comes twice; only the offset tells which is which.
    texts = [
        f"{text} {moment.strftime('%z')[:3]}" if texts.count(text) > 1 else text
        for text, moment in zip(texts, moments, strict=True)
    ]
    texts[-1] = "24:00"
    return texts


def _ticks(labels: Sequence[str]) -> tuple[tuple[int, str], ...]:
    whole = ("06:00", "12:00", "18:00", "24:00")
    return ((0, "00:00"), *((slot + 1, label) for slot, label in enumerate(labels) if label in whole))


def _gaps(rows: Sequence[Row], labels: Sequence[str], start: Row, counted: Counted | None) -> Iterable[Gap]:
    for gap_is, run in groupby(rows, key=_gap_cause):
        if gap_is is None:
            continue
        missing = list(run)
        slot, after = missing[0].slot, missing[-1].slot + 1
        rise, known_at = None, ""
        edge = rows[slot - 1] if slot else start
        if counted is not None and after < len(rows):
            rise, known_at = _rise(edge, rows[after], counted), labels[after]
        yield Gap(
            first=labels[slot - 1] if slot else "00:00",
            last=missing[-1].label,
            cause=gap_is.value,
            count=len(missing),
            rise=rise,
            known_at=known_at,
        )


def _gap_cause(row: Row) -> Cause | None:
    return None if row.cause is Cause.NOT_DUE else row.cause


def _rise(before: Row, after: Row, counted: Counted) -> Decimal | None:
    if before.stand is None or after.stand is None or State.SUSPECT in (before.state, after.state):
        return None
    return counted.between(before.stand, after.stand)


def _total(rows: Iterable[Row], counted: Counted) -> tuple[Decimal, str, str] | None:
    believed = [
        (row.stand, row.label) for row in rows if row.stand is not None and row.state != State.SUSPECT.value
    ]
    rises = [counted.between(earlier, later) for (earlier, _), (later, _) in pairwise(believed)]
    known = [rise for rise in rises if rise is not None]
    if not rises or len(known) < len(rises):
        return None
    return sum(known, Decimal(0)), believed[0][1], believed[-1][1]
