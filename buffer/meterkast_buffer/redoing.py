"""Streams that are composed anew, because items were lost: what is there already, and where the others go."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import aiosqlite

from meterkast.model.delivery import NewItem
from meterkast.model.time import UtcMs
from meterkast_buffer.database import Database


@dataclass(slots=True)
class _Redo:
    """A stream of which items were lost: it is composed anew, and what is there already is left out.

    Attributes:
        until_ms: Beyond it everything is new again.
        there: CRCs of the payloads by at_ms; None among them where one was cleared.
    """

    until_ms: UtcMs
    there: dict[int, set[int | None]] = field(default_factory=dict)

    def has(self, item: NewItem) -> bool:
        there = self.there.get(item.at_ms, set())
        return None in there or zlib.crc32(item.payload) in there


@dataclass(slots=True)
class _Gap:
    """Ids that are not there, one behind another: of lost items, or left out by a restore.

    Attributes:
        after_ms, before_ms: Of the items around them.
        next: The lowest that is still free.
        end: The first behind them.
    """

    after_ms: int
    before_ms: int
    next: int
    end: int


class Redoing:
    """Which streams those are; which they shall be is found at start (`recomposing.py`)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._streams: dict[int, _Redo] = {}
        self._gaps: list[_Gap] = []  # for those that take a lost item's place

    async def load(self) -> None:
        """Read the streams, and what is there of them; once at start.

        Raises:
            StorageError: The database refused.
        """
        rows = self._database.rows
        for number, from_ms, until_ms in await rows(
            "SELECT id, redo_from_ms, redo_ms FROM streams WHERE redo_from_ms IS NOT NULL"
        ):
            redo = self._streams[number] = _Redo(UtcMs(until_ms))
            for at_ms, payload in await rows(
                "SELECT at_ms, payload FROM outbox WHERE stream_id = ? AND at_ms > ? AND at_ms <= ?",
                (number, from_ms, until_ms),
            ):
                redo.there.setdefault(at_ms, set()).add(zlib.crc32(payload) if payload else None)
        if self._streams:
            gaps = await rows(
                "SELECT id, at_ms, after, after_ms FROM (SELECT id, at_ms, "
                "lead(id) OVER (ORDER BY id) AS after, "
                "lead(at_ms) OVER (ORDER BY id) AS after_ms FROM (SELECT 0 AS id, 0 AS at_ms "
                "UNION ALL SELECT id, at_ms FROM outbox UNION ALL "
                "SELECT seq + 1, 1 << 62 FROM sqlite_sequence WHERE name = 'outbox')) WHERE after > id + 1"
            )
            self._gaps = [_Gap(low_ms, high_ms, low + 1, high) for low, low_ms, high, high_ms in gaps]

    def __contains__(self, stream_id: int) -> bool:
        return stream_id in self._streams

    def place(self, stream_id: int, item: NewItem) -> tuple[int | None, int] | None:
        """Id and tries of a new row; None where the item is there already."""
        redo = self._streams.get(stream_id)
        if redo is None or item.at_ms > redo.until_ms:
            return None, 0
        if redo.has(item):
            return None
        # In a lost item's place, so that the order stands; perhaps it was sent: so it is in doubt.
        for gap in self._gaps:
            if gap.next < gap.end and gap.after_ms <= item.at_ms <= gap.before_ms:
                gap.next += 1
                return gap.next - 1, 1
        return None, 1

    async def composed(self, connection: aiosqlite.Connection, stream_id: int, until_ms: UtcMs) -> None:
        """A stream is composed up to then, in a transaction of the caller: it may be whole again."""
        redo = self._streams.get(stream_id)
        if redo is not None and until_ms >= redo.until_ms:
            await connection.execute(
                "UPDATE streams SET redo_from_ms = NULL, redo_ms = NULL WHERE id = ?", (stream_id,)
            )
