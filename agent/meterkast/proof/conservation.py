"""Conservation: what the half-hours add up to is what the meter's register counted, to the last digit.

Worked out a second time, from the raw samples and with none of the code that closed the half-hours: the
value of a half-hour is the latest reading in (start, end], and differences within an epoch are never
negative and add up to the difference of the readings at both ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from meterkast.model.datatypes import Kind
from meterkast.model.epoch import Break, Epoch
from meterkast.model.half_hour import Cause, HalfHour, RowKey, State
from meterkast.model.product import Property, PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.register import difference
from meterkast.model.time import HOUR_MS, MINUTE_MS, Grid, UtcMs, iso_utc
from meterkast.proof.books import BookedStore

_HELD = (Cause.COUNTER_RESET, Cause.COUNTER_JUMPED, Cause.CLOCK_UNKNOWN)
"""Why a half-hour is missing although its register was read."""

MOST_TOLD = 20

_IN_TIME_MS = HOUR_MS
"""A reading that came later than this after it was measured may have been too late for its half-hour."""


@dataclass(slots=True)
class Conservation:
    """What a check came to.

    Attributes:
        rows: Half-hours of registers that were compared with the samples.
        unchecked: Half-hours whose samples are no longer there, or never were kept.
        registers: Registers whose differences were added up.
        wrong: What does not agree; sentences, the first few.
        wrongs: How many there are.
    """

    rows: int = 0
    unchecked: int = 0
    registers: int = 0
    wrong: list[str] = field(default_factory=list)
    wrongs: int = 0

    def tell(self, sentence: str) -> None:
        """Something does not agree."""
        self.wrongs += 1
        if len(self.wrong) < MOST_TOLD:
            self.wrong.append(sentence)


@dataclass(slots=True)
class _Read:
    """What the samples say of one half-hour of one register.

    Attributes:
        last_ms, last: The latest reading.
        at: The reading at the instant that the half-hour's row names, if there is one.
        fits: The latest reading after it that can stand between it and the next row's.
    """

    last_ms: int = -1
    last: Quantity | None = None
    at: Quantity | None = None
    fits: Quantity | None = None


async def check(store: BookedStore, grid: Grid, after_ms: UtcMs, until_ms: UtcMs) -> Conservation:
    """Check the half-hours of all registers that end in (after, until].

    Raises:
        StorageError: The database refused.
    """
    found = Conservation()
    registers = {one.id: one for one in await store.properties() if one.kind is Kind.REGISTER}
    damaged: list[RowKey] = []
    newest: dict[PropertyId, dict[UtcMs, HalfHour]] = {}
    before_ms = grid.start_of(after_ms)
    for row in await store.half_hours(
        UtcMs(before_ms), until_ms, properties=list(registers), damaged=damaged
    ):
        newest.setdefault(row.property_id, {})[row.end_ms] = row
    minutes, reads = await _read(store, grid, newest, after_ms, until_ms)
    epochs: dict[PropertyId, list[Epoch]] = {}
    for epoch in await store.epochs():
        epochs.setdefault(epoch.property_id, []).append(epoch)
    for property_id, rows in newest.items():
        prop = registers[property_id]
        _compare(found, prop, rows, reads, minutes, after_ms)
        _add_up(found, prop, list(rows.values()), epochs.get(property_id, ()), reads)
    for property_id, own in epochs.items():
        if (known := registers.get(property_id)) is not None:
            for number, epoch in enumerate(own):
                _join(found, _named(known), epoch, own[number - 1] if number else None, epochs)
    return found


async def _read(
    store: BookedStore,
    grid: Grid,
    rows: Mapping[PropertyId, Mapping[UtcMs, HalfHour]],
    after_ms: UtcMs,
    until_ms: UtcMs,
) -> tuple[set[int], dict[tuple[PropertyId, UtcMs], _Read]]:
    """Walk the samples once: in which minutes anything was read, and what each half-hour's readings are."""
    minutes: set[int] = set()
    reads: dict[tuple[PropertyId, UtcMs], _Read] = {}
    following = {
        (property_id, one.end_ms): later.value
        for property_id, own in rows.items()
        for one, later in pairwise(_counted(own.values()))
        if one.epoch == later.epoch
    }
    async for frames in store.samples(after_ms, until_ms):
        kept_ms = max((at_ms for table in frames for at_ms in table.times), default=UtcMs(0))
        for table in frames:
            minutes |= {at_ms // MINUTE_MS for at_ms in table.times}
            for place, column in enumerate(table.layout):
                own = rows.get(column.property_id)
                if own is None:
                    continue
                for at_ms, values in zip(table.times, table.rows, strict=True):
                    if after_ms < at_ms <= until_ms:
                        key = column.property_id, grid.end_of(at_ms)
                        value = Quantity(values[place], column.decimals)
                        read = reads.setdefault(key, _Read())
                        in_time = at_ms >= kept_ms - _IN_TIME_MS
                        _take(read, at_ms, value, own.get(key[1]), following.get(key), in_time)
    return minutes, reads


def _take(
    read: _Read,
    at_ms: int,
    value: Quantity,
    row: HalfHour | None,
    following: Quantity | None,
    in_time: bool,
) -> None:
    if in_time and at_ms >= read.last_ms:
        read.last_ms, read.last = at_ms, value
    if row is None or row.value is None or row.taken_ms is None:
        return
    if at_ms == row.taken_ms and (read.at is None or _same(value, row.value)):
        read.at = value  # of two readings at one instant any may stand
    if not in_time or at_ms <= row.taken_ms or not _less(row.value, value):
        return
    # A reading that lies above what follows was an outlier, and rightly left out.
    if following is None or not _less(following, value):
        read.fits = value


def _compare(
    found: Conservation,
    prop: Property,
    rows: Mapping[UtcMs, HalfHour],
    reads: Mapping[tuple[PropertyId, UtcMs], _Read],
    minutes: set[int],
    after_ms: UtcMs,
) -> None:
    """Every row against the readings of its half-hour."""
    ends = max(rows)
    for end_ms, row in rows.items():
        if end_ms <= after_ms:
            continue
        read = reads.get((prop.id, end_ms), _Read())
        where = f"{prop.description.name} (property {prop.id}) until {iso_utc(end_ms)}"
        found.rows += 1
        if row.value is None:
            if row.cause not in _HELD and read.last is not None:
                found.tell(f"{where} is called missing ({row.cause}), and {read.last.decimal()} was read")
            continue
        if row.taken_ms is None:
            continue
        if read.at is None:
            if row.taken_ms // MINUTE_MS in minutes:
                found.tell(f"{where} says {row.value.decimal()}, which was not read then")
            else:
                found.rows -= 1
                found.unchecked += 1
        elif not _same(read.at, row.value):
            found.tell(f"{where} says {row.value.decimal()}, and {read.at.decimal()} was read")
        elif read.fits is not None and end_ms != ends and row.state is not State.SUSPECT:
            found.tell(f"{where} says {row.value.decimal()}, and {read.fits.decimal()} was read after it")


def _add_up(
    found: Conservation,
    prop: Property,
    rows: Sequence[HalfHour],
    epochs: Sequence[Epoch],
    reads: Mapping[tuple[PropertyId, UtcMs], _Read],
) -> None:
    """The differences from half-hour to half-hour against the register at both ends, epoch by epoch."""
    counted = _counted(rows)
    if len(counted) < 2:
        return
    found.registers += 1
    name = _named(prop)
    for one, later in pairwise(counted):
        assert one.value is not None
        assert later.value is not None
        if later.epoch < one.epoch:
            found.tell(f"{name}: epoch {later.epoch} follows epoch {one.epoch} at {iso_utc(later.end_ms)}")
        elif later.epoch == one.epoch and _less(later.value, one.value):
            found.tell(
                f"{name} falls from {one.value.decimal()} to {later.value.decimal()} "
                f"until {iso_utc(later.end_ms)}, and no new epoch began"
            )
    try:
        total, register = sum_of_differences(counted, epochs), counted_between(counted, epochs, reads)
    except KeyError as error:
        found.tell(f"{name}: epoch {error} of its half-hours is not known")
        return
    if not _same(total, register):
        found.tell(
            f"{name}: its half-hours add up to {total.decimal()}, and its register counted "
            f"{register.decimal()}, from {iso_utc(counted[0].end_ms)} to {iso_utc(counted[-1].end_ms)}"
        )


def _named(prop: Property) -> str:
    return f"{prop.description.name} (property {prop.id})"


def _join(
    found: Conservation,
    name: str,
    epoch: Epoch,
    before: Epoch | None,
    epochs: Mapping[PropertyId, Sequence[Epoch]],
) -> None:
    """The continued counter must go on across a break; across a swap exactly where the old one was."""
    if epoch.last is None or epoch.kind is Break.FIRST:
        return
    swapped = epoch.predecessor is not None
    if epoch.predecessor is not None:
        # Epochs of the old meter since then are of a life after that one.
        before = next(
            (one for one in reversed(epochs.get(epoch.predecessor, ())) if one.at_ms <= epoch.at_ms), None
        )
    offset = before.offset if before is not None else Quantity(0)
    begins, ended = _plus(epoch.first, epoch.offset), _plus(epoch.last, offset)
    if _less(begins, ended):
        found.tell(f"{name}: its counter as it is sent falls at the break of {iso_utc(epoch.at_ms)}")
    elif swapped and not _same(begins, ended):
        found.tell(f"{name}: its counter as it is sent leaps at the swap of {iso_utc(epoch.at_ms)}")


def sum_of_differences(rows: Sequence[HalfHour], epochs: Sequence[Epoch]) -> Quantity:
    """What half-hours of one register add up to, as the counter that goes on across its epochs.

    Args:
        rows: By end; those without a value do not count.
        epochs: Of that register.

    Raises:
        KeyError: A row's epoch is not among them.
    """
    total = Quantity(0)
    for one, later in pairwise(_counted(rows)):
        assert one.value is not None
        assert later.value is not None
        total = _plus(
            total,
            difference(
                _plus(later.value, _offset(later.epoch, epochs)), _plus(one.value, _offset(one.epoch, epochs))
            ),
        )
    return total


def counted_between(
    rows: Sequence[HalfHour],
    epochs: Sequence[Epoch],
    reads: Mapping[tuple[PropertyId, UtcMs], _Read],
) -> Quantity:
    """What the register counted between the first row and the last, from the readings themselves.

    Within an epoch the difference of its readings; over a break what lies between the last reading before it
    and the first after it, as the epoch says it.
    """
    first, last = rows[0], rows[-1]
    begin, end = _reading(first, reads), _reading(last, reads)
    if first.epoch == last.epoch:
        return difference(end, begin)
    total = Quantity(0)
    crossed = [one for one in epochs if first.epoch < one.number <= last.epoch]
    if len(crossed) != last.epoch - first.epoch:
        raise KeyError(last.epoch)
    for epoch in crossed:
        assert epoch.last is not None
        total = _plus(total, difference(epoch.last, begin))
        step = difference(epoch.offset, _offset(epoch.number - 1, epochs))
        total = _plus(total, difference(_plus(epoch.first, step), epoch.last))
        begin = epoch.first
    return _plus(total, difference(end, begin))


def _reading(row: HalfHour, reads: Mapping[tuple[PropertyId, UtcMs], _Read]) -> Quantity:
    """What was read at the instant a row names; where its samples are gone, what the row says."""
    read = reads.get((row.property_id, row.end_ms))
    assert row.value is not None
    return row.value if read is None or read.at is None else read.at


def _offset(number: int, epochs: Sequence[Epoch]) -> Quantity:
    for epoch in epochs:
        if epoch.number == number:
            return epoch.offset
    if number == 0:
        return Quantity(0)
    raise KeyError(number)


def counts(row: HalfHour) -> bool:
    """Whether a half-hour is part of a sum: nobody knows yet what a suspect one comes to."""
    return row.value is not None and row.state is not State.SUSPECT


def _counted(rows: Iterable[HalfHour]) -> list[HalfHour]:
    return [row for row in rows if counts(row)]


def _plus(one: Quantity, other: Quantity) -> Quantity:
    return difference(one, Quantity(-other.whole, other.decimals))


def _less(one: Quantity, other: Quantity) -> bool:
    return difference(one, other).whole < 0


def _same(one: Quantity, other: Quantity) -> bool:
    return difference(one, other).whole == 0
