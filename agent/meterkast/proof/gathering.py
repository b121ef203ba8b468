"""Gathers a month's report from the database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from meterkast import __version__
from meterkast.model.channel import Channel
from meterkast.model.datatypes import Kind
from meterkast.model.doubt import Doubt
from meterkast.model.epoch import Epoch
from meterkast.model.errors import StorageError
from meterkast.model.half_hour import HalfHour, Intervals, RowKey
from meterkast.model.product import PropertyId
from meterkast.model.seal import Seal
from meterkast.model.time import DAY_MS, HALF_HOUR_MS, Grid, UtcMs, iso_utc
from meterkast.proof.body import (
    Body,
    ChecksPart,
    ClockPart,
    DoubtPart,
    EpochPart,
    PropertyPart,
    SealPart,
    StreamPart,
)
from meterkast.proof.books import BookedStore
from meterkast.proof.checked_days import days_from, holds, ranges_of
from meterkast.proof.ledger import Ledger
from meterkast.proof.month import month_of
from meterkast.proof.reconcile import kept
from meterkast.proof.sealing import covered_by
from meterkast.proof.tally import Tallies, status


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Whose report it is."""

    name: str
    zone: str
    device: str
    grid: Grid
    samples_days: int


async def ledger_of(store: BookedStore, grid: Grid, *, now_ms: UtcMs, aged_ms: UtcMs) -> Ledger:
    """The ledger as the database has it now; `now_ms` and `aged_ms` as in `Ledger`.

    Raises:
        StorageError: The database refused.
    """
    streams = store.streams().items()
    return Ledger(
        store.books,
        grid,
        closed=await store.closed_until(),
        composed={key: one.composed_ms for key, one in streams if one.composed_ms is not None},
        begun=first_readings(await store.epochs()),
        now_ms=now_ms,
        aged_ms=aged_ms,
    )


def first_readings(epochs: Iterable[Epoch]) -> dict[PropertyId, UtcMs]:
    """When the first reading of each register was measured."""
    return {one.property_id: one.at_ms for one in epochs if one.number == 0}


def owed_in(channels: Sequence[Channel], after_ms: UtcMs, until_ms: UtcMs) -> list[Channel]:
    """Those that owe anything in (after, until]."""
    return [
        one
        for one in channels
        if one.from_ms < until_ms
        and (one.until_ms is None or one.until_ms > after_ms)
        and one.until_ms != one.from_ms
    ]


async def gather(store: BookedStore, site: Site, month: str, now_ms: UtcMs) -> Body:
    """The report of a month.

    Raises:
        ConfigError: It is no month.
        StorageError: The database refused.
    """
    after_ms, until_ms = month_of(month, site.grid)
    channels = owed_in(await store.channels(), after_ms, until_ms)
    shown = sorted({one for channel in channels for one in channel.properties})
    epochs: dict[PropertyId, list[Epoch]] = {}
    for epoch in await store.epochs():
        if epoch.property_id in shown or epoch.predecessor in shown:
            epochs.setdefault(epoch.property_id, []).append(epoch)
    properties = await _properties(store, shown)
    registers = {PropertyId(one.id): one.unit for one in properties if one.register}
    aged_ms = UtcMs(now_ms - site.samples_days * DAY_MS)
    damaged: list[RowKey] = []
    begins = await _begins(store, registers, after_ms, damaged)
    ledger = await ledger_of(store, site.grid, now_ms=now_ms, aged_ms=aged_ms)
    tallies = Tallies(site.grid, registers, epochs, begins, after_ms=after_ms, until_ms=until_ms)
    parts = await tallies.take(channels, ledger.days(channels, after_ms, until_ms))
    doubts = await store.doubts()
    seals = await _seals(store, site.device, doubts, shown, after_ms, until_ms)
    return Body(
        month=month,
        site=site.name,
        zone=site.zone,
        device=site.device,
        version=__version__,
        made=iso_utc(now_ms),
        after_ms=after_ms,
        until_ms=until_ms,
        now_ms=now_ms,
        aged_ms=aged_ms,
        status=status(parts),
        over=until_ms <= now_ms,
        properties=properties,
        channels=tuple(parts),
        streams=await _streams(store, channels, after_ms, until_ms),
        epochs=tuple(_epoch(one) for own in epochs.values() for one in own),
        clock=await _clock(store, after_ms, until_ms),
        doubts=tuple(
            DoubtPart(at_ms=one.at_ms, kind=one.kind, detail=one.detail)
            for one in doubts
            if one.at_ms > after_ms
        ),
        reconcile=tuple(
            {name: getattr(one, name) for name in type(one).__dataclass_fields__} for one in await kept(store)
        ),
        checks=await _checks(store, site.grid, channels, after_ms, until_ms, now_ms),
        rows=await _other_rows(store, channels, shown, seals, after_ms, until_ms),
        damaged=tuple(
            (key.length_ms, key.end_ms, key.property_id, key.revision) for key in (*damaged, *ledger.damaged)
        ),
        closed=tuple(
            sorted(
                (property_id, length_ms, end_ms)
                for (property_id, length_ms), end_ms in (await store.closed_until()).items()
                if property_id in shown
            )
        ),
        seals=seals,
    )


async def _properties(store: BookedStore, shown: Sequence[PropertyId]) -> tuple[PropertyPart, ...]:
    products = {one.id: one for one in await store.products()}
    return tuple(
        PropertyPart(
            id=one.id,
            product=products[one.product_id].name,
            identity=products[one.product_id].description.identity,
            name=one.description.name,
            unit=one.unit.value,
            register=one.kind is Kind.REGISTER,
        )
        for one in await store.properties()
        if one.id in shown
    )


async def _begins(
    store: BookedStore, registers: Iterable[PropertyId], after_ms: UtcMs, damaged: list[RowKey]
) -> dict[PropertyId, HalfHour]:
    rows = await store.half_hours(UtcMs(after_ms - 1), after_ms, properties=list(registers), damaged=damaged)
    return {row.property_id: row for row in rows}


async def _streams(
    store: BookedStore, channels: Sequence[Channel], after_ms: UtcMs, until_ms: UtcMs
) -> tuple[StreamPart, ...]:
    items: dict[tuple[str, str], list[tuple[int, str, int | None, str, str]]] = {}
    for channel in channels:
        items.setdefault((channel.uplink, channel.stream), [])
    day_ms = after_ms
    while day_ms < until_ms:
        later_ms = UtcMs(min(day_ms + DAY_MS, until_ms))
        for item in await store.books.items(day_ms, later_ms):
            if (own := items.get((item.uplink, item.stream))) is not None:
                own.append((item.at_ms, item.state.value, item.delivered_ms, item.receipt, item.words))
        day_ms = later_ms
    known = store.streams()
    return tuple(
        StreamPart(
            uplink=key[0],
            stream=key[1],
            composed_ms=known[key].composed_ms if key in known else None,
            items=tuple(own),
        )
        for key, own in sorted(items.items())
    )


def _epoch(one: Epoch) -> EpochPart:
    return EpochPart(
        property_id=one.property_id,
        number=one.number,
        kind=one.kind.value,
        at_ms=one.at_ms,
        first=(one.first.whole, one.first.decimals),
        last=None if one.last is None else (one.last.whole, one.last.decimals),
        last_ms=one.last_ms,
        offset=(one.offset.whole, one.offset.decimals),
        predecessor=one.predecessor,
        signed_by=one.signed_by,
    )


async def _clock(store: BookedStore, after_ms: UtcMs, until_ms: UtcMs) -> tuple[ClockPart, ...]:
    found = [
        ClockPart(after_ms=one.after_ms, before_ms=one.before_ms, duration_ms=one.duration_ms)
        for one in await store.clock_episodes(after_ms, until_ms)
    ]
    moves = await store.get_state("clock", "moves")
    for one in json.loads(moves) if moves else ():
        since_ms, end_ms, by_ms = one["after_ms"], one["before_ms"], one["by_ms"]
        # By the time as it was, or as it was found to be.
        if max(end_ms, end_ms + by_ms) > after_ms and min(since_ms, since_ms + by_ms) < until_ms:
            found.append(
                ClockPart(after_ms=since_ms, before_ms=end_ms, duration_ms=end_ms - since_ms, moved_ms=by_ms)
            )
    return tuple(found)


async def _checks(
    store: BookedStore,
    grid: Grid,
    channels: Sequence[Channel],
    after_ms: UtcMs,
    until_ms: UtcMs,
    now_ms: UtcMs,
) -> ChecksPart:
    """Which days of this month were checked, from the first on in which anything was owed; what was found."""
    newest = await store.get_state("proof", "conservation")
    checked = json.loads(newest)["checked"] if newest else []
    found, good, lacking = [], [], []
    end_ms = min(until_ms, grid.day(grid.date_of(now_ms))[0])
    begin_ms = max(after_ms, min((one.from_ms for one in channels), default=until_ms))
    if begin_ms < end_ms:
        for day in days_from(grid.date_of(UtcMs(begin_ms + 1)), grid.date_of(end_ms)):
            text = await store.get_state("proof", f"conservation {day.isoformat()}")
            if text:
                found.append(json.loads(text))
            elif holds(checked, day):
                good.append(day)
            else:
                lacking.append(day)
    return ChecksPart(found=tuple(found), agree=tuple(ranges_of(good)), not_checked=tuple(ranges_of(lacking)))


async def _seals(
    store: BookedStore,
    device: str,
    doubts: Sequence[Doubt],
    shown: Sequence[PropertyId],
    after_ms: UtcMs,
    until_ms: UtcMs,
) -> tuple[SealPart, ...]:
    parts = []
    previous = device
    for seal in await store.books.all_seals():
        if seal.until_ms > after_ms and seal.after_ms < until_ms:
            parts.append(await _seal(store, seal, previous, doubts, frozenset(shown)))
        previous = seal.digest
    return tuple(parts)


async def _seal(
    store: BookedStore, seal: Seal, previous: str, doubts: Sequence[Doubt], shown: frozenset[PropertyId]
) -> SealPart:
    rows: tuple[str, ...] = ()
    amendments: tuple[str, ...] = ()
    parts: dict[str, tuple[int, str]] = {}
    broken = ""
    try:
        covered = await covered_by(store.books, seal, doubts)
        rows = tuple(row.canonical() for row in covered.rows if row.property_id in shown)
        amendments = tuple(row.canonical() for row in covered.amendments if row.property_id in shown)
        parts = {str(one): (part.rows, part.digest) for one, part in covered.parts().items()}
    except StorageError as error:
        broken = str(error)
    return SealPart(
        number=seal.number,
        day=seal.day,
        after_ms=seal.after_ms,
        until_ms=seal.until_ms,
        count=seal.rows,
        previous=previous,
        digest=seal.digest,
        parts=parts,
        rows=rows,
        amendments=amendments,
        broken=broken,
    )


async def _other_rows(
    store: BookedStore,
    channels: Sequence[Channel],
    shown: Sequence[PropertyId],
    seals: Sequence[SealPart],
    after_ms: UtcMs,
    until_ms: UtcMs,
) -> tuple[str, ...]:
    """What no seal of this report shows, also the readings at its begin."""
    sealed = {text for seal in seals for text in (*seal.rows, *seal.amendments)}
    found: list[str] = []
    for length_ms in sorted({HALF_HOUR_MS, *(one.length_ms for one in channels)}):
        day_ms = UtcMs(after_ms - 1)
        while day_ms < until_ms:
            later_ms = UtcMs(min(day_ms + DAY_MS, until_ms))
            rows = await store.books.revisions(Intervals(day_ms, later_ms, length_ms, shown), damaged=[])
            found += [text for row in rows if (text := row.canonical()) not in sealed]
            day_ms = later_ms
    return tuple(found)
