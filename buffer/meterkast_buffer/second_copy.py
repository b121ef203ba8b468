"""Keeps the second copy while the gateway runs: one write and one flush for each closing of half-hours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from meterkast.model.half_hour import HalfHour
from meterkast.model.time import HALF_HOUR_MS, UtcMs
from meterkast_buffer.database import Database
from meterkast_buffer.frames import OWNER, Copy, pack, pack_rows, pack_table
from meterkast_buffer.journal import Journal
from meterkast_buffer.sealed import COPIED, crc_of, identity_crc, layout, plain, selecting

log = logging.getLogger(__name__)

OWN_ID = "SELECT crc FROM sums WHERE name = 'journal'"
"""The number by which a journal knows its database."""

_WAITING = 50_000
"""Half-hours that wait in memory while the journal cannot be written; the next start adds those beyond."""

_WITH_CLOSINGS = {"state", "streams", "layouts"}
"""Tables that change often: they are copied with the next closing, others with the next minute's samples:
no sample of a device that was declared since is on the disk before.
"""


class SecondCopy:
    """Appends to the journal what the database made durable.

    Attributes:
        problem: Why it cannot be written; empty when it can.
        failures: How often it could not.
    """

    def __init__(self, database: Database, journal: Journal, years: int) -> None:
        self.problem = ""
        self.failures = 0
        self._database = database
        self._journal = journal
        self._years = years
        self._owner = ""
        self._copied: dict[str, int] = {}
        self._waiting: list[HalfHour] = []
        self._now_ms = 0
        self._lock = asyncio.Lock()

    async def load(self) -> None:
        """Learn whose journal it is, once at start.

        Raises:
            StorageError: The database refused.
        """
        database = self._database
        self._owner = str((await database.rows(OWN_ID))[0][0])
        rows = await database.rows("SELECT max(id) FROM blocks")
        self._now_ms = max(self._now_ms, rows[0][0] or 0)

    async def kept(self, half_hours: Sequence[HalfHour], now_ms: UtcMs) -> None:
        """A transaction is durable: copy its half-hours of 30 minutes, and the tables it changed.

        Never raises: the database has it all. What cannot be written waits, and is shown.
        """
        self._waiting += [one for one in half_hours if one.length_ms == HALF_HOUR_MS]
        self._now_ms = max(self._now_ms, now_ms)
        if self._waiting or self._database.unsealed & set(COPIED) - _WITH_CLOSINGS:
            await self._write()

    async def _write(self) -> None:
        async with self._lock:
            half_hours, self._waiting = self._waiting, []
            names = self._database.unsealed & set(COPIED)
            at_ms, version = self._now_ms, self._database.version
            try:
                if self._journal.turns(at_ms):
                    names = set(COPIED)
                    self._copied.clear()
                # Before they are read: what changes from here on is for the next time.
                self._database.unsealed -= names
                copies = [copy for name in sorted(names) if (copy := await self._changed(name, at_ms))]
                frames = [pack_table(copy, version) for copy in copies]
                frames += pack_rows(half_hours, at_ms, version)
                if frames:
                    owner = pack(OWNER, self._owner.encode(), at_ms, version)
                    await asyncio.to_thread(self._journal.append, frames, at_ms, owner, self._years)
            except asyncio.CancelledError:
                self._put_back(half_hours, names)
                raise
            except Exception as error:  # the database has it; the copy is completed later, and this is shown
                self._put_back(half_hours, names)
                self.failures += 1
                if not self.problem:
                    log.error("second copy not written", extra={"reason": str(error)})
                self.problem = f"The second copy of the half-hours cannot be written: {error}."
                return
            self._copied |= {copy.table: identity_crc(copy) for copy in copies}
            self.problem = ""

    def _put_back(self, half_hours: list[HalfHour], names: set[str]) -> None:
        self._waiting = (half_hours + self._waiting)[-_WAITING:]
        self._database.unsealed |= names

    async def _changed(self, name: str, at_ms: int) -> Copy | None:
        """The table, where it is not as it was copied last."""
        database = self._database
        columns, keys = layout(await database.rows(f"PRAGMA table_info({name})"))
        rows = await database.rows(selecting(name, columns, keys))
        sums = await database.rows("SELECT version FROM sums WHERE name = ?", (name,))
        ids = await database.rows("SELECT seq FROM sqlite_sequence WHERE name = ?", (name,))
        copy = Copy(
            name,
            sums[0][0] if sums else 0,
            crc_of(rows),
            ids[0][0] if ids else 0,
            columns,
            plain(rows),
            at_ms,
        )
        return None if self._copied.get(name) == identity_crc(copy) else copy

    def reopen(self) -> None:
        """The journal was mended by somebody else."""
        self._journal.close()

    async def close(self) -> None:
        """What changed since the last closing is copied too, then the file is closed."""
        if self._waiting or self._database.unsealed & set(COPIED):
            await self._write()
        self._journal.close()
