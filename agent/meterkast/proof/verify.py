"""Checks a signed report with nothing but the file: rows, seals, chain, counts and signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from meterkast.model.channel import Channel
from meterkast.model.delivery import Item, ItemId, ItemState
from meterkast.model.epoch import Break, Epoch
from meterkast.model.errors import MeterkastError, RefusedError
from meterkast.model.half_hour import HalfHour, Intervals, RowKey
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.seal import Part, Parts, digest
from meterkast.model.time import DAY_MS, HALF_HOUR_MS, MINUTE_MS, Grid, UtcMs, zone
from meterkast.proof.body import Body, ChannelPart, SealPart, plain
from meterkast.proof.ledger import Ledger
from meterkast.proof.month import month_of
from meterkast.proof.signed import message, parse
from meterkast.proof.tally import Tallies, status

_MOST_DECIMALS = 60  # as model/quantity.py


@dataclass(slots=True)
class Verdict:
    """What a check came to.

    Attributes:
        wrong: What is wrong, one sentence each; empty where the file is as it was signed.
        notes: What is no fault of the file, and still good to know.
        body: The report, where it could be read.
        public: The key that it is signed with.
    """

    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    body: Body | None = None
    public: str = ""


async def verify(text: str) -> Verdict:
    """Check a file, and name all that is wrong with it."""
    from meterkast.proof.key import good

    found = Verdict()
    try:
        tree = parse(text)
        found.public = tree["key"]
        body = found.body = _body(tree["body"])
        rows = _rows(body, found)
        _seals(body, found)
        await _counts(body, rows, found)
    except MeterkastError as error:
        found.wrong.append(f"{error}.")
        return found
    if not good(tree["key"], tree["signature"], message(tree["body"], tree["key"])):
        found.wrong.append(
            "The signature does not fit: the file was changed."
            if found.wrong
            else "The signature does not fit: something besides rows, seals and counts was changed."
        )
    return found


def _body(tree: Any) -> Body:
    try:
        body = msgspec.convert(tree, Body)
    except msgspec.ValidationError as error:
        raise RefusedError(f"the report is changed: {error}", hint="It was changed.") from error
    if plain(body) != tree:
        raise RefusedError("the report holds members that no gateway writes", hint="It was changed.")
    return body


def _row(text: str, where: str) -> HalfHour:
    try:
        row = HalfHour.from_canonical(text)
    except ValueError as error:
        raise RefusedError(f"{where}: {text!r} is no half-hour", hint="It was changed.") from error
    if row.canonical() != text or (row.value is not None and row.value.decimals > _MOST_DECIMALS):
        raise RefusedError(f"{where}: {text!r} is written as no gateway writes it", hint="It was changed.")
    return row


def _rows(body: Body, found: Verdict) -> dict[RowKey, HalfHour]:
    rows: dict[RowKey, HalfHour] = {}
    places = [("rows", body.rows), *((seal.day, (*seal.rows, *seal.amendments)) for seal in body.seals)]
    for where, texts in places:
        for text in texts:
            row = _row(text, where)
            key = RowKey(row.length_ms, row.end_ms, row.property_id, row.revision)
            if key in rows:
                found.wrong.append(f"{where}: {key} is there twice.")
            rows[key] = row
    return rows


def _seals(body: Body, found: Verdict) -> None:
    before: SealPart | None = None
    for seal in body.seals:
        if before is None:
            chained = seal.number > 1 or seal.previous == body.device
        else:
            chained = (seal.number, seal.previous) == (before.number + 1, before.digest)
            chained = chained and seal.after_ms == before.until_ms
        if not chained:
            found.wrong.append(f"{seal.day}: its seal does not follow the one before it.")
        _seal(seal, {PropertyId(one.id) for one in body.properties}, found)
        before = seal


def _seal(seal: SealPart, shown: set[PropertyId], found: Verdict) -> None:
    if seal.broken:
        found.notes.append(f"{seal.day}: its seal cannot be worked out again: {seal.broken}.")
        return
    gathered, before = Parts(), len(found.wrong)
    rows, amendments = ([_row(text, seal.day) for text in own] for own in (seal.rows, seal.amendments))
    for row, text in zip(rows, seal.rows, strict=True):
        if not seal.after_ms < row.end_ms <= seal.until_ms or row.length_ms != HALF_HOUR_MS:
            found.wrong.append(f"{seal.day}: a half-hour of another day is among its own: {text}.")
        gathered.add(row)
    for row in amendments:
        gathered.add(row)
    said = {PropertyId(int(one)): Part(*part) for one, part in seal.parts.items() if one.isdecimal()}
    for property_id, part in gathered.parts().items():
        if said.get(property_id) != part:
            found.wrong.append(f"{seal.day}: the rows of property {property_id} are not as they were sealed.")
    for property_id in shown & set(said) - set(gathered.parts()):
        found.wrong.append(f"{seal.day}: the rows of property {property_id} are not there.")
    made = digest(seal.number, seal.day, seal.after_ms, seal.until_ms, seal.previous, said)
    if made != seal.digest or sum(part.rows for part in said.values()) != seal.count:
        found.wrong.append(f"{seal.day}: its digest is not that of what it covers.")
    # The digests hold each property's own order; that between properties is nowhere else.
    if len(found.wrong) == before and any(own != sorted(own, key=_place) for own in (rows, amendments)):
        found.wrong.append(f"{seal.day}: its half-hours are not in their order.")


def _place(row: HalfHour) -> tuple[int, int, int]:
    return row.end_ms, row.property_id, row.revision


def _unsealed(body: Body, grid: Grid, found: Verdict) -> None:
    """What of the report no seal holds: days that were over, and half-hours of days that are sealed."""
    bare = []
    day_ms, until_ms = UtcMs(body.after_ms), min(body.until_ms, body.now_ms)
    while day_ms < until_ms:
        day = grid.date_of(UtcMs(day_ms + 1))
        end_ms = grid.day(day)[1]
        owed = any(
            one.from_ms < end_ms and (one.until_ms is None or one.until_ms > day_ms) for one in body.channels
        )
        if owed and end_ms <= until_ms and not _sealed(body, end_ms):
            bare.append(day.isoformat())
        day_ms = end_ms
    if bare:
        span = bare[0] if len(bare) == 1 else f"{bare[0]} to {bare[-1]}"
        found.notes.append(
            f"{len(bare)} days that were over have no seal ({span}): only the signature holds them."
        )
    known = [_row(text, "rows") for text in body.rows]
    later = sum(
        1
        for row in known
        if row.length_ms == HALF_HOUR_MS
        and row.end_ms > body.after_ms
        and _sealed(body, row.end_ms, whole=True)
    )
    if later:
        found.notes.append(
            f"{later} half-hours were made after their day was sealed, and are in no seal of this report: "
            "only the signature holds them."
        )


def _sealed(body: Body, end_ms: int, *, whole: bool = False) -> bool:
    return any(one.after_ms < end_ms <= one.until_ms and not (whole and one.broken) for one in body.seals)


class FileRows:
    """What the ledger is made of, as a report has it."""

    def __init__(self, body: Body, rows: Mapping[RowKey, HalfHour]) -> None:
        self._body = body
        self._rows = sorted(rows.items())

    async def revisions(self, intervals: Intervals, damaged: list[RowKey]) -> Sequence[HalfHour]:
        damaged += [key for one in self._body.damaged if intervals.hold(key := RowKey(*one))]
        return [row for key, row in self._rows if intervals.hold(key)]

    async def items(self, after_ms: UtcMs, until_ms: UtcMs) -> Sequence[Item]:
        return [
            Item(
                id=ItemId(0),
                uplink=one.uplink,
                stream=one.stream,
                at_ms=UtcMs(at_ms),
                payload=b"",
                state=ItemState(state),
                delivered_ms=None if delivered_ms is None else UtcMs(delivered_ms),
                receipt=receipt,
                words=words,
            )
            for one in self._body.streams
            for at_ms, state, delivered_ms, receipt, words in one.items
            if after_ms < at_ms <= until_ms
        ]


def _ledger(
    body: Body, rows: Mapping[RowKey, HalfHour], grid: Grid, begun: Mapping[PropertyId, UtcMs]
) -> Ledger:
    return Ledger(
        FileRows(body, rows),
        grid,
        closed={(PropertyId(one), length_ms): UtcMs(end_ms) for one, length_ms, end_ms in body.closed},
        composed={
            (one.uplink, one.stream): UtcMs(one.composed_ms)
            for one in body.streams
            if one.composed_ms is not None
        },
        begun=begun,
        now_ms=UtcMs(body.now_ms),
        aged_ms=UtcMs(body.aged_ms),
    )


async def _counts(body: Body, rows: Mapping[RowKey, HalfHour], found: Verdict) -> None:
    grid = Grid(zone(body.zone))
    after_ms, until_ms = UtcMs(body.after_ms), UtcMs(body.until_ms)
    # A changed digit in these could make the work endless; what they must be is known.
    if (after_ms, until_ms) != month_of(body.month, grid):
        found.wrong.append(f"Its begin and end are not those of {body.month} at {body.zone}.")
        return
    lengths = {one.length_ms for one in body.channels}
    decimals = {number[1] for one in body.epochs for number in (one.first, one.offset, one.last or one.first)}
    if any(length < MINUTE_MS or DAY_MS % length for length in lengths) or any(
        not 0 <= one <= _MOST_DECIMALS for one in decimals
    ):
        found.wrong.append("An interval's length or a number's digits are impossible.")
        return
    _unsealed(body, grid, found)
    channels = [_channel(one) for one in body.channels]
    epochs: dict[PropertyId, list[Epoch]] = {}
    for part in body.epochs:
        epochs.setdefault(PropertyId(part.property_id), []).append(
            Epoch(
                property_id=PropertyId(part.property_id),
                number=part.number,
                kind=Break(part.kind) if part.kind in set(Break) else Break.FIRST,
                at_ms=UtcMs(part.at_ms),
                first=Quantity(*part.first),
                last=None if part.last is None else Quantity(*part.last),
                offset=Quantity(*part.offset),
                predecessor=None if part.predecessor is None else PropertyId(part.predecessor),
            )
        )
    registers = {PropertyId(one.id): one.unit for one in body.properties if one.register}
    begin = Intervals(UtcMs(after_ms - 1), after_ms)
    unknown = {key.property_id for one in body.damaged if begin.hold(key := RowKey(*one))}
    begins = {
        row.property_id: row
        for key, row in sorted(rows.items())
        if begin.hold(key) and row.property_id in registers and row.property_id not in unknown
    }
    begun = {one.property_id: one.at_ms for own in epochs.values() for one in own if one.number == 0}
    ledger = _ledger(body, rows, grid, begun)
    try:
        tallies = Tallies(grid, registers, epochs, begins, after_ms=after_ms, until_ms=until_ms)
        made = await tallies.take(channels, ledger.days(channels, after_ms, until_ms))
    except (ValueError, OverflowError, OSError) as error:  # the last two: an instant beyond any calendar
        raise RefusedError(f"the report is changed: {error}", hint="It was changed.") from error
    for said, one in zip(body.channels, made, strict=False):
        wrong = [name for name in ChannelPart.__struct_fields__ if getattr(said, name) != getattr(one, name)]
        if wrong:
            found.wrong.append(
                f"{said.uplink} {said.stream} {said.name}: its {', '.join(wrong)} "
                f"{'is' if len(wrong) == 1 else 'are'} not what its rows come to."
            )
    if len(made) != len(body.channels):
        found.wrong.append("Its channels are not those that owed anything.")
    if body.status != status(made) or body.over != (body.until_ms <= body.now_ms):
        found.wrong.append("What it says first is not what its rows come to.")


def _channel(one: ChannelPart) -> Channel:
    return Channel(
        uplink=one.uplink,
        stream=one.stream,
        name=one.name,
        properties=tuple(map(PropertyId, one.properties)),
        from_ms=UtcMs(one.from_ms),
        until_ms=None if one.until_ms is None else UtcMs(one.until_ms),
        length_ms=one.length_ms,
    )
