"""The scan of a gateway that runs: a thirtieth of all rows each night, so that each is looked at every month.

Each step is a page of rows or a few frames of the second copy, some milliseconds. What the second copy has
is put back; the rest is named in `doubts`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiosqlite

from meterkast.model.half_hour import HalfHour, RowKey, unreadable
from meterkast.model.time import UtcMs
from meterkast_buffer.comparing import DELETE
from meterkast_buffer.database import Database, Row, fetch
from meterkast_buffer.frames import ROWS, frames_of, texts_of
from meterkast_buffer.half_hours import INSERT, HalfHours, row_of
from meterkast_buffer.journal import Damage, Journal
from meterkast_buffer.row_sums import SUMMED
from meterkast_buffer.scanned import TABLES, Table
from meterkast_buffer.sealed import SEALED, crc_of, layout, selecting
from meterkast_buffer.second import LACKING, key_of, search

log = logging.getLogger(__name__)

NIGHTS = 30
"""In so many nights all of it is looked at."""

_LEAST = 2_000
"""Rows of a night at least: small databases are looked at whole each night."""

_ROW_BYTES = 100
"""For the first round, before it is known how many rows there are."""

_FRAMES = 20
"""Frames of the second copy at a step: some ten rows each."""

_TOLD = 20

_INSERT = INSERT.replace("INSERT", "INSERT OR IGNORE")


@dataclass(slots=True)
class _Place:
    """Where the scan is.

    Attributes:
        night: Of the thirty.
        table: Which table is read.
        after: The key of the last row that was looked at; empty before the first.
        seen: Rows since the first table.
        total: Rows in the round before; 0 where there was none.
    """

    night: int = 0
    table: int = 0
    after: list[Any] = field(default_factory=list)
    seen: int = 0
    total: int = 0


class Scan:
    """Looks through the tables and the second copy of a gateway that runs."""

    def __init__(self, database: Database, half_hours: HalfHours, journal: Journal) -> None:
        self._database = database
        self._half_hours = half_hours
        self._journal = journal
        self._place = _Place()
        self.found: list[str] = []
        """What was found since the start, newest last; some of it."""

    async def night(self, text: str | None, now_ms: UtcMs) -> AsyncIterator[None]:
        """Do a night's part, a step at a time; yields after each.

        Args:
            text: Where the night before ended.
            now_ms: For what is found.

        Raises:
            StorageError: The database refused.
        """
        self._place = place = _Place(**json.loads(text)) if text else _Place()
        for name in SEALED:
            await self._small(name, now_ms)
            yield
        segments = self._journal.segments()
        low, high = (len(segments) * (place.night + more) // NIGHTS for more in (0, 1))
        for segment in segments[low:high]:
            async for _ in self._segment(segment, segment == segments[-1], now_ms):
                yield
        size = await self._database.rows(
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        )
        left = max(_LEAST, (place.total or size[0][0] // _ROW_BYTES) // NIGHTS)
        for _ in TABLES:  # once around at most
            while left > 0 and (count := await self._page(TABLES[place.table], now_ms)):
                left -= count
                yield
            if left <= 0:
                break
            self._next_table()
        place.night = (place.night + 1) % NIGHTS
        yield

    def place(self) -> str:
        """Where the scan is: what the next night begins with."""
        return json.dumps(asdict(self._place))

    def _next_table(self) -> None:
        place = self._place
        place.table, place.after = (place.table + 1) % len(TABLES), []
        if place.table == 0:
            place.total, place.seen = place.seen, 0

    async def _page(self, table: Table, now_ms: UtcMs) -> int:
        """Look at the next rows; returns how many."""
        place, width = self._place, len(table.keys)
        keys = ", ".join(table.keys)
        where = f"WHERE ({keys}) > ({', '.join('?' * width)})" if place.after else ""
        rows = await self._database.rows(
            f"SELECT {table.columns} FROM {table.name} {where} ORDER BY {keys} LIMIT {table.rows}",
            place.after,
        )
        wrong = [row[:width] for row in rows if not table.right(row)]
        if wrong:
            await self._settle(table, wrong, now_ms)
        if rows:
            place.after, place.seen = list(rows[-1][:width]), place.seen + len(rows)
        return len(rows)

    async def _settle(self, table: Table, wrong: Sequence[Row], now_ms: UtcMs) -> None:
        """Put wrong rows right where that can be, and name them."""
        if table.name == "half_hours":
            bad = [RowKey(*row) for row in wrong]
            unread = Damage()
            texts = await asyncio.to_thread(search, self._journal, bad, unread)
            if unread.unreadable:
                bad = list(texts)  # what cannot be read now may hold the others
            await self._restore(bad, texts, now_ms)
            return
        places = ", ".join(" ".join(map(str, row)) for row in wrong[:5])
        what = f"{len(wrong)} rows of the table {table.name} are not as they were written: {places}."
        if table.name in SUMMED:
            what = what.replace("are not", "were not").replace(":", ", and are gone:")
        elif table.name == "outbox":
            what += " Those that wait are composed anew with the next start."
        gone = wrong if table.name in SUMMED else ()
        here = " AND ".join(f"{name} = ?" for name in table.keys)

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.executemany(f"DELETE FROM {table.name} WHERE {here}", gone)

        await self._tell([("table", what, None, None, None)], now_ms, work)

    async def _restore(self, bad: Sequence[RowKey], texts: dict[RowKey, str], now_ms: UtcMs) -> None:
        """Put half-hours back that the second copy has; what is wrong and not in it is lost."""
        lost = [key for key in bad if key not in texts and 0 < key.end_ms <= now_ms and key.revision >= 0]

        async def work(connection: aiosqlite.Connection) -> None:
            known = {
                tuple(row) for row in await fetch(connection, "SELECT property_id, length_ms FROM closed")
            }
            rows = [HalfHour.from_canonical(text) for text in texts.values()]
            rows += [unreadable(key) for key in lost if (key.property_id, key.length_ms) in known]
            await connection.executemany(DELETE, bad)
            await connection.executemany(_INSERT, map(row_of, rows))

        rows: list[Row] = [
            ("put back", f"{key} from the second copy", key.property_id, key.length_ms, key.end_ms)
            for key in sorted(texts)
        ]
        rows += [("lost", str(key), key.property_id, key.length_ms, key.end_ms) for key in sorted(lost)]
        await self._tell(rows, now_ms, work)
        self._half_hours.damaged -= set(bad)

    async def _tell(
        self,
        doubts: Iterable[Row],
        now_ms: UtcMs,
        work: Callable[[aiosqlite.Connection], Any] | None = None,
    ) -> None:
        """Note what was found, in one transaction with what is done about it; nothing is noted twice."""

        async def both(connection: aiosqlite.Connection) -> list[Row]:
            if work is not None:
                await work(connection)
            known = {tuple(row) for row in await fetch(connection, "SELECT kind, detail FROM doubts")}
            new = [row for row in doubts if tuple(row[:2]) not in known]
            await connection.executemany(
                "INSERT INTO doubts (kind, detail, property_id, length_ms, end_ms, at_ms) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [(*row, now_ms) for row in new],
            )
            return new

        for kind, detail, *_ in await self._database.transact(both):
            log.error("scan found damage", extra={"kind": kind, "found": detail})
            said = {"put back": f"{detail} was put back", "lost": f"{detail} is lost"}.get(kind, detail)
            self.found = [*self.found, str(said)][-_TOLD:]

    async def _small(self, name: str, now_ms: UtcMs) -> None:
        """Hold a small table against its sum; in one transaction, so that nobody changes it in between."""

        async def work(connection: aiosqlite.Connection) -> bool:
            columns, keys = layout(await fetch(connection, f"PRAGMA table_info({name})"))
            rows = await fetch(connection, selecting(name, columns, keys))
            sums = await fetch(connection, "SELECT crc FROM sums WHERE name = ?", (name,))
            return not sums or sums[0][0] == crc_of(rows)

        if not await self._database.transact(work, durable=False):
            what = f"The table {name} is not as it was written; the next start replaces it."
            await self._tell([("table", what, None, None, None)], now_ms)

    async def _segment(self, segment: Path, newest: bool, now_ms: UtcMs) -> AsyncIterator[None]:
        """Hold a file of the second copy against the database."""
        first = await self._half_hours.first_ms()
        try:
            data = await asyncio.to_thread(segment.read_bytes)
        except FileNotFoundError:
            return  # it was the oldest, and is gone now
        except OSError as error:
            what = f"The second copy's file {segment.name} cannot be read: {error.strerror}."
            await self._tell([("second copy", what, None, None, None)], now_ms)
            return
        texts: dict[RowKey, str] = {}
        damaged = False
        for number, (_, end, frame) in enumerate(frames_of(data)):
            if frame is None:
                damaged = damaged or not newest or end < len(data)  # its end may just be being written
            elif frame.kind == ROWS:
                for text in texts_of(frame):
                    texts.setdefault(key_of(text), text)
            if number % _FRAMES == _FRAMES - 1:
                await self._compare(texts, first, now_ms)
                texts = {}
                yield
        await self._compare(texts, first, now_ms)
        if damaged:
            what = f"The second copy's file {segment.name} is damaged. `meterkast salvage` writes it anew."
            await self._tell([("second copy", what, None, None, None)], now_ms)

    async def _compare(self, texts: dict[RowKey, str], first: UtcMs | None, now_ms: UtcMs) -> None:
        wanted = {key: text for key, text in texts.items() if first is not None and key.end_ms >= first}
        rows = await self._database.rows(LACKING, (json.dumps(list(wanted)),))
        if rows:
            keys = list(wanted)
            await self._restore([], {keys[row[0]]: wanted[keys[row[0]]] for row in rows}, now_ms)
