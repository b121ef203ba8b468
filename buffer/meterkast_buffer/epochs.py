"""Epochs of registers: where differences count, and what continues the counter across a break."""

from __future__ import annotations

from collections.abc import Sequence

import aiosqlite

from meterkast.model.epoch import Break, Epoch
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import UtcMs
from meterkast_buffer.database import Database, Row, known

_COLUMNS = (
    "property_id, number, kind, at_ms, first, first_digits, last, last_digits, last_ms, offset, "
    "offset_digits, predecessor, signed_by"
)
# An epoch that is signed off later keeps its number: what it begins with is then known better.
_PUT = f"INSERT OR REPLACE INTO epochs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Epochs:
    """The table `epochs`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, connection: aiosqlite.Connection, epochs: Sequence[Epoch]) -> None:
        """Add epochs, or replace those of the same number, in a transaction of the caller."""
        await connection.executemany(_PUT, map(_row, epochs))

    async def all(self) -> list[Epoch]:
        """All epochs, by property and number."""
        rows = await self._database.rows(f"SELECT {_COLUMNS} FROM epochs ORDER BY property_id, number")
        return [known(self._database, _epoch, row) for row in rows]


def _row(epoch: Epoch) -> Row:
    return (
        epoch.property_id,
        epoch.number,
        epoch.kind.value,
        epoch.at_ms,
        *epoch.first,
        *(epoch.last or (None, None)),
        epoch.last_ms,
        *epoch.offset,
        epoch.predecessor,
        epoch.signed_by,
    )


def _epoch(row: Row) -> Epoch:
    prop, number, kind, at_ms, first, first_digits, last, last_digits, last_ms, *rest = row
    offset, offset_digits, predecessor, signed_by = rest
    return Epoch(
        property_id=PropertyId(prop),
        number=number,
        kind=Break(kind),
        at_ms=UtcMs(at_ms),
        first=Quantity(first, first_digits),
        last=None if last is None else Quantity(last, last_digits),
        last_ms=None if last_ms is None else UtcMs(last_ms),
        offset=Quantity(offset, offset_digits),
        predecessor=None if predecessor is None else PropertyId(predecessor),
        signed_by=signed_by,
    )
