"""Seals of the site's days, and the rows that were made after their day was sealed."""

from __future__ import annotations

from collections.abc import Sequence

import aiosqlite

from meterkast.model.half_hour import HalfHour, RowKey
from meterkast.model.seal import Seal
from meterkast.model.time import HALF_HOUR_MS, UtcMs
from meterkast_buffer.database import Database, Row

_COLUMNS = "number, day, after_ms, until_ms, rows, digest"
_AMEND = "INSERT OR IGNORE INTO amendments (end_ms, property_id, revision, seal) VALUES (?, ?, ?, 0)"

Key = tuple[int, int, int]  # end_ms, property, revision


class Seals:
    """The tables `seals` and `amendments`.

    Attributes:
        until_ms: Half-hours that end until then are sealed, or being sealed: what is made of them now amends.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.until_ms = UtcMs(-1)

    async def load(self) -> None:
        """Read how far is sealed, once at start.

        Raises:
            StorageError: The database refused.
        """
        rows = await self._database.rows("SELECT coalesce(max(until_ms), -1) FROM seals")
        self.until_ms = UtcMs(rows[0][0])

    async def amend(self, connection: aiosqlite.Connection, half_hours: Sequence[HalfHour]) -> None:
        """Note those of the new rows whose day is sealed, in the transaction that keeps them."""
        late = [
            (one.end_ms, one.property_id, one.revision)
            for one in half_hours
            if one.end_ms <= self.until_ms and one.length_ms == HALF_HOUR_MS
        ]
        if late:
            await connection.executemany(_AMEND, late)

    async def all(self) -> list[Seal]:
        """All seals, by number."""
        return [
            _seal(row) for row in await self._database.rows(f"SELECT {_COLUMNS} FROM seals ORDER BY number")
        ]

    async def newest(self) -> Seal | None:
        """The newest seal."""
        rows = await self._database.rows(f"SELECT {_COLUMNS} FROM seals ORDER BY number DESC LIMIT 1")
        return _seal(rows[0]) if rows else None

    async def amendments(self, number: int) -> list[Key]:
        """The rows that went into a seal as amendments, by end, property and revision; 0: those that wait."""
        rows = await self._database.rows(
            "SELECT end_ms, property_id, revision FROM amendments WHERE seal = ? "
            "ORDER BY end_ms, property_id, revision",
            (number,),
        )
        return [(row[0], row[1], row[2]) for row in rows]

    async def add(self, seal: Seal, amendments: Sequence[Key], damaged: Sequence[RowKey]) -> None:
        """Keep a seal, durable on return.

        Args:
            amendments: Rows of earlier days that it covers.
            damaged: Rows of its own day that it does not cover; they wait for a later one.

        Raises:
            StorageError: The database refused, or there is a seal of that number.
        """

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(f"INSERT INTO seals ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", _row(seal))
            await connection.executemany(
                "UPDATE amendments SET seal = ? WHERE end_ms = ? AND property_id = ? AND revision = ?",
                [(seal.number, *key) for key in amendments],
            )
            await connection.executemany(
                _AMEND, [(key.end_ms, key.property_id, key.revision) for key in damaged]
            )

        await self._database.transact(work)


def _row(seal: Seal) -> Row:
    return seal.number, seal.day, seal.after_ms, seal.until_ms, seal.rows, seal.digest


def _seal(row: Row) -> Seal:
    number, day, after_ms, until_ms, rows, digest = row
    return Seal(
        number=number,
        day=day,
        after_ms=UtcMs(after_ms),
        until_ms=UtcMs(until_ms),
        rows=rows,
        digest=digest,
    )
