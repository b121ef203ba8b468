"""What the gateway keeps each minute, as one transaction: on a full disk, and on one that fails, too."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable

import aiosqlite

from meterkast.model.errors import StorageError
from meterkast.ports.store import Keep
from meterkast_buffer.ballast import SCARCE_BYTES, Ballast
from meterkast_buffer.database import Database, Work
from meterkast_buffer.refusal import free_bytes, primary_code
from meterkast_buffer.retention import Retention
from meterkast_buffer.second_copy import SecondCopy
from meterkast_buffer.tables import Tables
from meterkast_buffer.unsure import Unsure


class Keeping:
    """Writes to all tables at once, makes room, and has the second copy follow.

    Attributes:
        copy: The second copy; None where it is not kept, and once closed.
    """

    def __init__(
        self, database: Database, tables: Tables, retention: Retention, copy: SecondCopy | None
    ) -> None:
        self.copy = copy
        self._database = database
        self._tables = tables
        self._retention = retention
        self._ballast: Ballast | None = None
        self._unsure: Unsure | None = None

    async def load(self) -> None:
        """Learn whose journal the second copy is; once at start."""
        if self.copy is not None:
            await self.copy.load()

    def reopen(self) -> None:
        """The file was opened anew, maybe rebuilt, and the journal mended with it."""
        if self.copy is not None:
            self.copy.reopen()

    async def make_ballast(self) -> None:
        """Keep room for a full disk from now on (`ballast.py`)."""
        self._ballast = Ballast(self._database.path)
        await asyncio.to_thread(self._ballast.make)

    async def close(self) -> None:
        """Complete the second copy and close it. Twice is harmless."""
        if self.copy is not None:
            copy, self.copy = self.copy, None
            await copy.close()

    async def keep(self, what: Keep) -> None:
        """See `SqliteStore.keep`."""
        if await self._was_kept(what):
            return
        tables, retention, ballast = self._tables, self._retention, self._ballast
        gone = ballast is not None and not ballast.there()
        retention.tight = gone and free_bytes(self._database.path) < SCARCE_BYTES
        # By a time that is not known nothing is old.
        now_ms = None if what.boot is not None and what.boot.offset_ms is None else what.now_ms
        tried = 0

        async def work(connection: aiosqlite.Connection) -> Callable[[], None]:
            # First, so that the pages that come free take what is new.
            removed = await retention.step(connection, now_ms)
            nonlocal tried
            added = tables.samples.begin()
            await tables.samples.insert(connection, what.frames, what.now_ms, added)
            tried = added.last_id
            changed = await tables.insert(connection, what, added)

            def apply() -> None:
                tables.samples.apply(added)
                tables.outbox.apply(changed)
                retention.taken(removed)

            return apply

        try:
            await self._transact(work)
        except StorageError:
            self._unsure = Unsure(what, tried) if self._database.broken else None
            raise
        if self.copy is not None:
            await self.copy.kept(what.half_hours, what.now_ms)
        if gone and ballast is not None:
            await asyncio.to_thread(ballast.make)

    async def _transact(self, work: Work[Callable[[], None]]) -> None:
        try:
            await self._database.transact(work, committed=lambda apply: apply())
        except StorageError as error:
            cause = error.__cause__
            if not isinstance(cause, Exception) or primary_code(cause) != sqlite3.SQLITE_FULL:
                raise
            # With the next transaction the oldest samples go; that takes room of its own.
            self._retention.full = True
            if self._ballast is None or not self._ballast.release():
                raise
            await self._database.transact(work, committed=lambda apply: apply())

    async def _was_kept(self, what: Keep) -> bool:
        """Whether the transaction that is tried again is in the file already; see `unsure.py`."""
        if self._unsure is None or not self._unsure.is_of(what):
            return False
        await self._database.revive()  # only the file that was opened anew can tell
        found = await self._unsure.was_kept(self._database, self._tables)
        self._unsure = None
        if found and self.copy is not None:
            await self.copy.kept(what.half_hours, what.now_ms)
        return found
