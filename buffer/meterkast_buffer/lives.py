"""The lives of meters: whose place they took, and when they were retired."""

from __future__ import annotations

from collections.abc import Sequence

import aiosqlite

from meterkast.model.life import Life
from meterkast.model.product import ProductId
from meterkast.model.time import UtcMs
from meterkast_buffer.database import Database, Row, known

_COLUMNS = "product_id, source, replaces, sure, signed_ms, retired_ms"
_PUT = f"INSERT OR REPLACE INTO lives ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"


class Lives:
    """The table `lives`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, connection: aiosqlite.Connection, lives: Sequence[Life]) -> None:
        """Add lives, or replace those of the same meter, in a transaction of the caller."""
        await connection.executemany(
            _PUT,
            [
                (one.product_id, one.source, one.replaces, one.sure, one.signed_ms, one.retired_ms)
                for one in lives
            ],
        )

    async def all(self) -> list[Life]:
        """All lives, by meter."""
        rows = await self._database.rows(f"SELECT {_COLUMNS} FROM lives ORDER BY product_id")
        return [known(self._database, _life, row) for row in rows]


def _life(row: Row) -> Life:
    product_id, source, replaces, sure, signed_ms, retired_ms = row
    return Life(
        product_id=ProductId(product_id),
        source=source,
        replaces=None if replaces is None else ProductId(replaces),
        sure=bool(sure),
        signed_ms=None if signed_ms is None else UtcMs(signed_ms),
        retired_ms=None if retired_ms is None else UtcMs(retired_ms),
    )
