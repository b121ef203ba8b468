"""What checks of the database found; written by them (`checking.py`), read here."""

from __future__ import annotations

from meterkast.model.doubt import Doubt
from meterkast.model.product import PropertyId
from meterkast.model.time import UtcMs
from meterkast_buffer.database import Database, Row


class Doubts:
    """The table `doubts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Doubt]:
        """All findings, oldest first."""
        rows = await self._database.rows(
            "SELECT at_ms, kind, detail, property_id, length_ms, end_ms FROM doubts ORDER BY id"
        )
        return [_doubt(row) for row in rows]


def _doubt(row: Row) -> Doubt:
    at_ms, kind, detail, property_id, length_ms, end_ms = row
    return Doubt(
        at_ms=UtcMs(at_ms),
        kind=kind,
        detail=detail,
        property_id=None if property_id is None else PropertyId(property_id),
        length_ms=length_ms,
        end_ms=None if end_ms is None else UtcMs(end_ms),
    )
