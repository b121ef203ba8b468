"""Small texts that uplinks and the gateway keep: a definition's hash, an id at the far end."""

from __future__ import annotations

import aiosqlite

from meterkast_buffer.database import Database

_SET = """
    INSERT INTO state (scope, key, text) VALUES (?, ?, ?)
    ON CONFLICT (scope, key) DO UPDATE SET text = excluded.text
"""


class Texts:
    """The table `state`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, scope: str, key: str) -> str | None:
        """The text; None where there is none."""
        rows = await self._database.rows("SELECT text FROM state WHERE scope = ? AND key = ?", (scope, key))
        return rows[0][0] if rows else None

    async def set(self, scope: str, key: str, text: str) -> None:
        """Keep the text, durable on return; one that is there already costs no write."""
        if await self.get(scope, key) == text:
            return

        async def work(connection: aiosqlite.Connection) -> None:
            await put(connection, scope, key, text)

        await self._database.transact(work)


async def put(connection: aiosqlite.Connection, scope: str, key: str, text: str) -> None:
    """Keep a text, in a transaction of the caller."""
    await connection.execute(_SET, (scope, key, text))
