"""Values on their way to devices (BeNext 5.8): all that are open, and the newest 10,000 that are not."""

from __future__ import annotations

import aiosqlite

from meterkast.model.product import (
    NodeId,
    Pending,
    PendingDescription,
    PendingId,
    PendingStatus,
    PropertyId,
)
from meterkast.model.time import UtcMs
from meterkast_buffer.database import Database, Row, change, known

_COLUMNS = "node_id, property_id, channel, command_class, parameter, value, status, at_ms, eta_ms, detail"
_PENDING = f"id, {_COLUMNS}"

OPEN = "status IN ('wakeup', 'sending')"
"""What the partial index holds: written as there, or SQLite does not use it."""


class Pendings:
    """The table `pending_data`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, pending: PendingDescription) -> Pending:
        """Keep a value that is to be written, with an id.

        Raises:
            StorageError: The database refused, or there is no such property.
        """

        async def work(connection: aiosqlite.Connection) -> int:
            cursor = await connection.execute(
                f"INSERT INTO pending_data ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    pending.node_id,
                    pending.property_id,
                    pending.channel,
                    pending.command_class,
                    pending.parameter,
                    pending.value,
                    pending.status.value,
                    pending.at_ms,
                    pending.eta_ms,
                    pending.detail,
                ),
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid

        return Pending(id=PendingId(await self._database.transact(work)), description=pending)

    async def update(
        self, pending_id: PendingId, status: PendingStatus, eta_ms: UtcMs | None, detail: str
    ) -> None:
        """Where a value on its way is now; the same again writes nothing."""
        now = (status.value, eta_ms, detail)
        rows = await self._database.rows(
            "SELECT status, eta_ms, detail FROM pending_data WHERE id = ?", (pending_id,)
        )
        if rows and rows[0] != now:
            await self._database.transact(
                change(
                    "UPDATE pending_data SET status = ?, eta_ms = ?, detail = ? WHERE id = ?",
                    (*now, pending_id),
                )
            )

    async def newest(self, open_only: bool, limit: int) -> list[Pending]:
        """The newest, oldest first."""
        among = f"WHERE {OPEN}" if open_only else ""
        rows = await self._database.rows(
            f"SELECT {_PENDING} FROM pending_data {among} ORDER BY id DESC LIMIT ?", (limit,)
        )
        return [known(self._database, _pending, row) for row in reversed(rows)]


def _pending(row: Row) -> Pending:
    number, node_id, property_id, channel, command_class, parameter, value, status, at_ms, eta_ms, detail = (
        row
    )
    return Pending(
        id=PendingId(number),
        description=PendingDescription(
            node_id=NodeId(node_id),
            property_id=PropertyId(property_id),
            channel=channel,
            command_class=command_class,
            parameter=parameter,
            value=value,
            status=PendingStatus(status),
            at_ms=UtcMs(at_ms),
            eta_ms=None if eta_ms is None else UtcMs(eta_ms),
            detail=detail,
        ),
    )
