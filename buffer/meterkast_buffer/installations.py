"""The steps of every installation and deinstallation (BeNext 5.5, 5.6); the newest 10,000 of them."""

from __future__ import annotations

from meterkast.model.product import Installation, InstallationMessage, ProductId
from meterkast.model.time import UtcMs
from meterkast_buffer.database import Database, Row, change, known

_MESSAGE = "id, kind, product_id, status, at_ms, detail"


class Installations:
    """The table `installation_messages`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, message: InstallationMessage) -> None:
        """Keep one step.

        Raises:
            StorageError: The database refused, or there is no such product.
        """
        await self._database.transact(
            change(
                f"INSERT INTO installation_messages ({_MESSAGE}) VALUES (NULL, ?, ?, ?, ?, ?)",
                (message.kind.value, message.product_id, message.status, message.at_ms, message.detail),
            )
        )

    async def newest(self, limit: int) -> list[InstallationMessage]:
        """The newest steps, oldest first."""
        rows = await self._database.rows(
            f"SELECT {_MESSAGE} FROM installation_messages ORDER BY id DESC LIMIT ?", (limit,)
        )
        return [known(self._database, _message, row) for row in reversed(rows)]


def _message(row: Row) -> InstallationMessage:
    _, kind, product_id, status, at_ms, detail = row
    return InstallationMessage(
        kind=Installation(kind),
        product_id=None if product_id is None else ProductId(product_id),
        status=status,
        at_ms=UtcMs(at_ms),
        detail=detail,
    )
