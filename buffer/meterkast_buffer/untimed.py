"""Samples whose time is not known yet, and what becomes of them when it is learned.

They are kept as blocks like all others, once a minute, their times being time since the machine's start. A
device's own time is one more column, of property 0, whose decimals say what kind of time it is.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

import aiosqlite

from meterkast.model.boot import Boot
from meterkast.model.clock_episode import ClockEpisode, RegisterSpan
from meterkast.model.datatypes import DATATYPES, DatatypeId, Kind
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.reading import Column, Frames, TimeSource
from meterkast.model.register import difference
from meterkast.model.time import UtcMs
from meterkast.model.untimed import Untimed
from meterkast.ports.store import Place
from meterkast_buffer.block import BlockError
from meterkast_buffer.boots import COLUMNS, Boots, as_boot
from meterkast_buffer.database import Database, Row, fetch
from meterkast_buffer.samples import Numbers, Samples

log = logging.getLogger(__name__)

_OWN_TIME = PropertyId(0)
_SOURCES = (TimeSource.ARRIVAL, TimeSource.TELEGRAM, TimeSource.CAPTURE)

# Blocks that are read at a time: 64 kB.
_PAGE_BLOCKS = 32

_DAY_BLOCKS = 1440


class UntimedBlocks:
    """The table `untimed`.

    Args:
        days: How many days of blocks are kept at most, of all boots together.
    """

    def __init__(self, database: Database, samples: Samples, boots: Boots, days: int) -> None:
        self._database = database
        self._samples = samples
        self._boots = boots
        self._most = days * _DAY_BLOCKS

    async def any(self) -> bool:
        """Whether there are any."""
        return bool(await self._database.rows("SELECT 1 FROM untimed LIMIT 1"))

    async def insert(
        self, connection: aiosqlite.Connection, tables: Sequence[Untimed], boot: Boot, added: Numbers
    ) -> None:
        """Add one block, in a transaction of the caller; none where there is no sample."""
        if not tables:
            return
        data = await self._samples.pack(connection, [_frames(one) for one in tables], added)
        cursor = await connection.execute(
            "INSERT INTO untimed (boot_id, last_ms, data) VALUES (?, ?, ?)",
            (boot.id, _last_ms(tables), data),
        )
        if (cursor.lastrowid or 0) % _DAY_BLOCKS == 0:
            await self._shed(connection)

    async def among(self, tables: Sequence[Untimed], boot: Boot) -> bool:
        """Whether the block of these is kept: blocks of a boot end at different times."""
        return bool(
            await self._database.rows(
                "SELECT 1 FROM untimed WHERE boot_id = ? AND last_ms = ?", (boot.id, _last_ms(tables))
            )
        )

    async def _shed(self, connection: aiosqlite.Connection) -> None:
        """Where there are too many: the oldest go, but the first of each boot, which its total needs."""
        cursor = await connection.execute(
            "DELETE FROM untimed WHERE id NOT IN (SELECT min(id) FROM untimed GROUP BY boot_id) "
            "AND id NOT IN (SELECT id FROM untimed ORDER BY id DESC LIMIT ?)",
            (self._most,),
        )
        if cursor.rowcount:
            log.error("samples without a time removed: too many", extra={"blocks": cursor.rowcount})

    async def learn(self, boot: Boot, place: Place) -> tuple[int, int]:
        """The time of a boot is known; see `meterkast.ports.store.Store.learn`."""
        offset_ms = boot.offset_ms
        if offset_ms is None:
            raise ValueError("the boot's time is not known")

        async def work(connection: aiosqlite.Connection) -> tuple[Numbers, int]:
            added = self._samples.begin()
            first = 0
            await self._end_earlier(connection, boot, UtcMs(offset_ms + boot.first_ms), added.last_id)
            async for page in _pages(connection, boot.id):
                for _, last_ms, data in page:
                    frames = place([_untimed(one) for one in self._unpacked(data)])
                    before = added.last_id
                    await self._samples.insert(connection, frames, UtcMs(last_ms + offset_ms), added)
                    if added.last_id != before:
                        first = first or added.last_id
            await connection.execute("DELETE FROM untimed WHERE boot_id = ?", (boot.id,))
            await self._boots.put(connection, boot)
            return added, first

        def committed(done: tuple[Numbers, int]) -> None:
            self._samples.apply(done[0])

        added, first = await self._database.transact(work, committed=committed)
        return (first, added.last_id) if first else (1, 0)

    def _unpacked(self, data: bytes) -> list[Frames]:
        try:
            return self._samples.unpack(data)
        except BlockError as error:
            log.error("block without a time damaged", extra={"reason": str(error)})
            return []

    async def _end_earlier(
        self, connection: aiosqlite.Connection, boot: Boot, before_ms: UtcMs, last_id: int
    ) -> None:
        """Earlier boots that never knew the time become episodes: they lie between what is known."""
        rows = await fetch(
            connection, f"SELECT {COLUMNS} FROM boots WHERE id <> ? ORDER BY number", (boot.id,)
        )
        registers = await self._registers(connection)
        # A boot is kept every ten minutes, a block each minute; its id is the time at which it was kept.
        after_ms = UtcMs(last_id) if 0 < last_id < before_ms else None
        for one in map(as_boot, rows):
            if one.last_utc_ms is not None:
                after_ms = max(after_ms or one.last_utc_ms, one.last_utc_ms)
                continue
            sums = _Sums(registers)
            last_ms, readings = one.last_ms, 0
            async for page in _pages(connection, one.id):
                for _, seen_ms, data in page:
                    last_ms = max(last_ms, seen_ms)
                    readings += sums.take(self._unpacked(data))
            await self._boots.add_episode(
                connection,
                ClockEpisode(
                    boot_id=one.id,
                    after_ms=after_ms,
                    before_ms=before_ms,
                    duration_ms=last_ms - one.first_ms,
                    readings=readings,
                    registers=tuple(sums.spans()),
                ),
            )
            await connection.execute("DELETE FROM untimed WHERE boot_id = ?", (one.id,))

    async def _registers(self, connection: aiosqlite.Connection) -> set[int]:
        rows = await fetch(connection, "SELECT id, datatype FROM properties")
        return {number for number, datatype in rows if DATATYPES[DatatypeId(datatype)].kind is Kind.REGISTER}


async def _pages(connection: aiosqlite.Connection, boot_id: str) -> AsyncIterator[list[Row]]:
    """The blocks of a boot, in the order they were kept."""
    after = 0
    while rows := await fetch(
        connection,
        "SELECT id, last_ms, data FROM untimed WHERE boot_id = ? AND id > ? ORDER BY id LIMIT ?",
        (boot_id, after, _PAGE_BLOCKS),
    ):
        yield rows
        after = rows[-1][0]


@dataclass(slots=True)
class _Sums:
    """First and last reading of each register of a boot."""

    registers: set[int]
    first: dict[PropertyId, Quantity] = field(default_factory=dict)
    last: dict[PropertyId, Quantity] = field(default_factory=dict)
    fell: set[PropertyId] = field(default_factory=set)

    def take(self, tables: Sequence[Frames]) -> int:
        """Take in a block; returns how many readings it holds."""
        count = 0
        for table in tables:
            for values in table.rows:
                count += 1
                for column, value in zip(table.layout, values, strict=True):
                    if column.property_id in self.registers:
                        self._take(column.property_id, Quantity(value, column.decimals))
        return count

    def _take(self, property_id: PropertyId, value: Quantity) -> None:
        self.first.setdefault(property_id, value)
        before = self.last.get(property_id, value)
        if difference(value, before).whole < 0:
            self.fell.add(property_id)
        self.last[property_id] = value

    def spans(self) -> Iterator[RegisterSpan]:
        for property_id, first in sorted(self.first.items()):
            last = self.last[property_id]
            total = None if property_id in self.fell else difference(last, first)
            yield RegisterSpan(property_id=property_id, first=first, last=last, total=total)


def _last_ms(tables: Sequence[Untimed]) -> int:
    return max(one.seen_ms[-1] for one in tables)


def _frames(table: Untimed) -> Frames:
    """A table as a block can hold it."""
    times = [UtcMs(at) for at in table.seen_ms]
    if table.source is TimeSource.ARRIVAL:
        return Frames(table.layout, times, table.rows)
    layout = (*table.layout, Column(_OWN_TIME, _SOURCES.index(table.source)))
    own = [0 if at is None else int(at) for at in table.device_ms]
    return Frames(layout, times, [(*row, at) for row, at in zip(table.rows, own, strict=True)])


def _untimed(frames: Frames) -> Untimed:
    """The same, back again."""
    seen = [int(at) for at in frames.times]
    if not frames.layout or frames.layout[-1].property_id != _OWN_TIME:
        return Untimed(frames.layout, TimeSource.ARRIVAL, seen, [None] * len(seen), frames.rows)
    own: list[UtcMs | None] = [UtcMs(row[-1]) for row in frames.rows]
    source = _SOURCES[frames.layout[-1].decimals]
    return Untimed(frames.layout[:-1], source, seen, own, [row[:-1] for row in frames.rows])
