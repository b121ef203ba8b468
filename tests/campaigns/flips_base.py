"""Databases made by the real store, and what was promised of them: what campaign `flips` damages."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from meterkast.model.datatypes import ENERGY_CONSUMED
from meterkast.model.delivery import NewItem
from meterkast.model.epoch import Break, Epoch
from meterkast.model.half_hour import HalfHour, RowKey
from meterkast.model.product import Medium, ProductDescription, Property, PropertyDescription
from meterkast.model.quantity import Quantity
from meterkast.model.reading import Column, Frames
from meterkast.model.time import HALF_HOUR_MS, MINUTE_MS, UtcMs
from meterkast.model.units import Unit
from meterkast.ports.store import Keep
from meterkast_buffer import SqliteStore, open_store
from meterkast_buffer.database import Row
from meterkast_buffer.half_hours import row_of
from meterkast_buffer.schema import tables

from .flips_tables import furnish

START = UtcMs(1_790_812_800_000)  # 2026-10-01 00:00 UTC
QUARTER_MS = HALF_HOUR_MS // 2
CHANNELS = 8

Files = dict[str, bytes]  # by name below the folder; what a disk holds at one instant


@dataclass(slots=True)
class Promise:
    """All that the store said was kept.

    Attributes:
        half_hours: Of both lengths.
        rows: The same as rows.
        items: (stream, at_ms, payload) and whether it was acknowledged.
        tables: All rows of all other tables, at the end.
        ever: The same, with versions of rows that were there once.
    """

    half_hours: dict[RowKey, HalfHour] = field(default_factory=dict)
    rows: dict[RowKey, Row] = field(default_factory=dict)
    items: dict[tuple[str, int, bytes], bool] = field(default_factory=dict)
    tables: dict[str, set[Row]] = field(default_factory=dict)
    ever: dict[str, set[Row]] = field(default_factory=dict)


@dataclass(slots=True)
class Base:
    """A gateway's files.

    Attributes:
        clean: After a stop.
        crashed: While it ran, so that the log is full.
        earlier: At earlier closings, oldest first: what a disk that ignores flush may still hold.
    """

    clean: Files
    crashed: Files
    earlier: list[Files]
    promise: Promise


def snapshot(folder: Path) -> Files:
    """All files as they are now."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-shm", ".lock"))
    }


def restore(folder: Path, files: Files) -> None:
    """Put files there."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


async def _declare(store: SqliteStore) -> list[Property]:
    found: list[Property] = []
    for number in range(2):
        _, properties = await store.declare(
            ProductDescription(
                identity=f"p1:E{number}",
                name=f"Meter {number}",
                medium=Medium.ELECTRICITY,
                maker="M",
                model="",
                serial=f"E{number}",
                type="Meter",
            ),
            [_property(f"register {one}") for one in range(CHANNELS // 2)],
        )
        found += properties.values()
    return found


def _property(key: str) -> PropertyDescription:
    return PropertyDescription(
        key=key,
        name=key,
        datatype=ENERGY_CONSUMED,
        unit=Unit.WATT_HOUR,
        decimals=0,
        reference="1-0:1.8.0",
        fresh_ms=60_000,
    )


async def make(folder: Path, chance: random.Random, days: int = 1) -> Base:
    """Some days of a gateway with eight registers and three streams."""
    store = await open_store(folder / "meterkast.db")
    try:
        return await _live(store, folder, chance, days)
    finally:
        await store.close()


async def _live(store: SqliteStore, folder: Path, chance: random.Random, days: int) -> Base:
    promise = Promise()
    properties = await _declare(store)
    registers = {one.id: chance.randrange(10**6, 10**7) for one in properties}
    epochs = [
        Epoch(property_id=one.id, number=0, kind=Break.FIRST, at_ms=START, first=Quantity(registers[one.id]))
        for one in properties
    ]
    for number in range(12):
        await store.set_state("uplink", f"text {number}", chance.randbytes(40).hex())
    await furnish(store, chance, properties, START)
    earlier: list[Files] = []
    closings = days * 48
    for step in range(1, closings * 2 + 1):
        keep = _quarter(step, registers, chance, epochs if step == 1 else [])
        await store.keep(keep)
        for half_hour in keep.half_hours:
            key = half_hour.length_ms, half_hour.end_ms, half_hour.property_id, half_hour.revision
            promise.half_hours[RowKey(*key)] = half_hour
            promise.rows[RowKey(*key)] = row_of(half_hour)
        for item in keep.items:
            promise.items[item.stream, item.at_ms, item.payload] = False
        await _deliver(store, promise, chance, behind=8 if step > closings else 0)
        if step == closings:
            await _note(store, promise)
            await furnish(store, chance, properties, UtcMs(START + step * QUARTER_MS))
        if step > closings * 2 - 16 and step % 2 == 0:
            earlier.append(snapshot(folder))
    await _note(store, promise)
    empty = [name for name, rows in promise.tables.items() if not rows]
    assert not empty, f"nothing to damage in {empty}"
    crashed = snapshot(folder)
    await store.close()
    return Base(snapshot(folder), crashed, earlier, promise)


async def _note(store: SqliteStore, promise: Promise) -> None:
    """Write down the rows of all tables that are not promised row by row."""
    for name in set(tables()) - {"half_hours", "outbox", "closed", "sums", "doubts", "streams"}:
        rows = {tuple(row) for row in await store.database.rows(f"SELECT * FROM {name}")}
        promise.tables[name] = rows
        promise.ever[name] = promise.ever.get(name, set()) | rows


def _quarter(step: int, registers: dict[int, int], chance: random.Random, epochs: list[Epoch]) -> Keep:
    end = UtcMs(START + step * QUARTER_MS)
    for one in registers:
        registers[one] += chance.randrange(500)
    frames = Frames(tuple(Column(one, 0) for one in registers))
    for minute in range(15):
        frames.times.append(UtcMs(end - minute * MINUTE_MS))
        frames.rows.append(tuple(value - minute for value in registers.values()))
    half_hours, items, composed, closed = [], [], {}, {}
    for length in (QUARTER_MS, HALF_HOUR_MS)[: 1 + (step % 2 == 0)]:
        for one in list(registers)[: 2 if length == QUARTER_MS else None]:
            half_hours.append(
                HalfHour(
                    property_id=one, end_ms=end, length_ms=length, value=Quantity(registers[one]),
                    taken_ms=UtcMs(end - 1000), count=900,
                )
            )  # fmt: skip
            closed[one, length] = end
    for stream in ("a", "b", "c") if step % 2 == 0 else ("c",):
        payload = f'{{"s":"{stream}","at":{end},"v":{sum(registers.values())}}}'.encode()
        items.append(NewItem(uplink="far", stream=stream, at_ms=end, payload=payload))
        composed["far", stream] = end
    return Keep(
        now_ms=end, frames=[frames], half_hours=half_hours, epochs=epochs, items=items, composed=composed,
        closed=closed,
    )  # fmt: skip


async def _deliver(store: SqliteStore, promise: Promise, chance: random.Random, behind: int) -> None:
    for stream in ("a", "b", "c"):
        items = await store.pending("far", stream, 50)
        for item in items[: max(0, len(items) - behind)]:
            await store.intend([item.id], item.at_ms)
            await store.acknowledge([item.id], f"receipt {chance.randrange(10**6)}", item.at_ms)
            promise.items[stream, item.at_ms, item.payload] = True
