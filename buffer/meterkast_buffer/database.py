"""One connection to one database file, and how transactions run on it.

SQLite before 3.51.3 can damage a write-ahead log that two connections write or checkpoint at once, so this
process has exactly one connection, for reading and writing alike, and a lock on a file beside the database
keeps a second gateway away.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, TypeVar

import aiosqlite

from meterkast.model.errors import StorageError
from meterkast_buffer.guard import hold, release
from meterkast_buffer.opening import connect, make_ready, prepare, probe
from meterkast_buffer.refusal import primary_code, refusal
from meterkast_buffer.sealed import seal
from meterkast_buffer.write_ahead_log import WriteAheadLog

if TYPE_CHECKING:
    from meterkast_buffer.findings import Findings

T = TypeVar("T")
Row = tuple[Any, ...]  # SQLite's own types: int, str, bytes or None
Work = Callable[[aiosqlite.Connection], Awaitable[T]]

# After these the connection is closed, and the file is checked before it is used again.
_BROKEN = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
)

log = logging.getLogger(__name__)


class Database:
    """The connection, and what became of the transactions on it.

    Attributes:
        path: The file.
        version: The number of its newest migration.
        writes: Transactions made durable since it was opened.
        failures: Transactions refused since then.
        problem: What the last refusal said; empty again after the next durable transaction.
        findings: What the check at start, or after the last trouble, found; None for one who only looks.
        unsealed: Small tables that were changed since the second copy took them over.
        broken: The disk refused in a way after which the file is opened anew, and checked, before it is used.
        revived: Called after the file was opened anew, to bring up to date what is held in memory.
    """

    def __init__(
        self,
        path: str,
        connection: aiosqlite.Connection,
        guard: IO[bytes] | None,
        version: int,
        findings: Findings | None = None,
        years: int = 10,
    ) -> None:
        self.path = path
        self.version = version
        self.findings = findings
        self.unsealed: set[str] = set()
        self.revived: Callable[[], Awaitable[None]] | None = None
        self._years = years
        self.broken = False
        self._reviving = asyncio.Lock()
        self.writes = 0
        self.failures = 0
        self.problem = ""
        self._connection = connection
        self._guard = guard
        self._lock = asyncio.Lock()
        self._log = WriteAheadLog(path)
        self._closed = False

    @classmethod
    async def open(cls, path: str, *, read_only: bool = False, years: int = 10) -> Database:
        """Open the database, making, checking, repairing and migrating it as needed.

        Args:
            path: The file; its folder must exist.
            read_only: Only look, also while the gateway runs; never migrates, refuses an old database.
            years: How long half-hours are kept.

        Raises:
            StorageError: The file is no database of ours, newer than this release, in use by another
                gateway, or cannot be opened. It is then as it was.
        """
        guard = None if read_only else hold(path)
        findings = None
        try:
            if not read_only:
                findings = await asyncio.to_thread(make_ready, path, years)
            connection = await connect(path, read_only)
            try:
                version = await prepare(connection, path, read_only)
            except BaseException:
                await connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            release(guard)
            raise refusal(error, path) from error
        except BaseException:
            release(guard)
            raise
        return cls(path, connection, guard, version, findings, years)

    async def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """The rows of a query, which never sees another task's unfinished transaction.

        Raises:
            StorageError: The database refused.
        """
        async with self._lock:
            self._must_be_open()
            try:
                return await fetch(self._connection, sql, parameters)
            except sqlite3.Error as error:
                if primary_code(error) in _BROKEN:
                    self.broken = True
                raise refusal(error, self.path) from error
            except ValueError as error:  # the connection could not be opened anew yet
                raise StorageError(f"{self.path}: {error}", hint="It is tried again each minute.") from error

    async def transact(
        self,
        work: Work[T],
        *,
        durable: bool = True,
        committed: Callable[[T], None] | None = None,
    ) -> T:
        """Run some statements as one transaction: all of them or none.

        Cancelling the caller does not cut a transaction in two: it is finished first.

        Args:
            work: Executes statements on the connection it is given; must not begin or commit.
            durable: On the disk (fsynced) on return. Otherwise it follows with the next durable one.
            committed: Called with the result before any other transaction starts; brings what is held in
                memory up to date.

        Raises:
            StorageError: The database refused, or `work` did; nothing of it is kept.
        """
        return await _uncut(self._transact(work, durable, committed))

    async def _transact(self, work: Work[T], durable: bool, committed: Callable[[T], None] | None) -> T:
        await self._revive()
        async with self._lock:
            self._must_be_open()
            connection = self._connection
            try:
                await self._log.settle(connection, durable)
                await connection.execute("BEGIN IMMEDIATE")
                try:
                    result = await work(connection)
                    touched = await seal(connection)
                    await connection.commit()
                except BaseException:
                    await connection.rollback()
                    raise
            except (sqlite3.Error, OSError, OverflowError, ValueError) as error:
                code = primary_code(error)
                if code == sqlite3.SQLITE_IOERR:
                    self._log.distrusted = True
                if code in _BROKEN:
                    self.broken = True
                refused = refusal(error, self.path)
                self._refused(refused)
                raise refused from error
            except StorageError as error:
                self._refused(error)
                raise
            self.unsealed |= touched
            if durable:
                self.writes += 1
                self.problem = ""
            if committed is not None:
                committed(result)
            return result

    async def revive(self) -> None:
        """After trouble open the file anew; otherwise it is as it is. Cancelling does not cut it in two.

        Raises:
            StorageError: The disk still refuses.
        """
        await _uncut(self._revive())

    async def _revive(self) -> None:
        """Open the file anew after trouble, checked and repaired as at start; readings wait meanwhile.

        Raises:
            StorageError: The disk still refuses; the connection is then as it was, or opened at the next try.
        """
        if not self.broken:
            return
        async with self._reviving:
            if not self.broken:
                return
            try:
                await asyncio.to_thread(probe, self.path)
                async with self._lock:
                    self._must_be_open()
                    if self._log.distrusted:
                        # Closing saves the log too: what a failed flush left out of it comes first.
                        with suppress(sqlite3.Error, ValueError):
                            await self._log.save(self._connection)
                    with suppress(sqlite3.Error, ValueError):
                        await self._connection.close()
                    self.findings = await asyncio.to_thread(make_ready, self.path, self._years)
                    self._connection = await connect(self.path, False)
                    await prepare(self._connection, self.path, False)
            except (sqlite3.Error, OSError) as error:
                refused = refusal(error, self.path)
                self._refused(refused)
                raise refused from error
            except StorageError as error:  # damaged, and the second copy cannot be read
                self._refused(error)
                raise
            self.broken = False
            self._log.reopened()
            log.warning("database opened anew", extra={"found": "; ".join(self.findings.lines())})
            if self.revived is not None:
                await self.revived()

    def _refused(self, error: StorageError) -> None:
        self.failures += 1
        self.problem = f"{error}. {error.hint}"

    def _must_be_open(self) -> None:
        if self._closed:
            raise StorageError(f"{self.path} is closed", hint="The gateway is stopping.")

    async def check(self) -> list[str]:
        """What SQLite finds wrong in the structure of the file; empty where nothing is.

        It reads the whole file. It does not notice a flipped bit inside a value: the CRCs do.
        """
        return [str(row[0]) for row in await self.rows("PRAGMA quick_check") if row[0] != "ok"]

    async def close(self) -> None:
        """Wait for what runs, then close; the log is written back into the file. Twice is harmless."""
        async with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                await self._connection.close()
            except sqlite3.Error as error:
                raise refusal(error, self.path) from error
            finally:
                release(self._guard)


async def _uncut(what: Coroutine[Any, Any, T]) -> T:
    """Run it to its end, also where the caller is cancelled meanwhile."""
    running = asyncio.create_task(what)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # else asyncio reports it as never seen; the caller is gone
        raise


async def fetch(connection: aiosqlite.Connection, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
    """All rows of a query, for those who are inside a transaction already."""
    return [tuple(row) for row in await connection.execute_fetchall(sql, parameters)]


def change(sql: str, parameters: Sequence[Any]) -> Work[None]:
    """One statement as the work of a transaction."""

    async def work(connection: aiosqlite.Connection) -> None:
        await connection.execute(sql, parameters)

    return work


def known(database: Database, make: Callable[[Row], T], row: Row) -> T:
    """What a row says.

    Raises:
        StorageError: It holds a word that this release does not know.
    """
    try:
        return make(row)
    except (KeyError, ValueError) as error:
        raise StorageError(
            f"{database.path}: row {row[0]} is stored with a word that is not known: {error}",
            hint="A newer release, or a failing card, wrote it. Install the newest release.",
        ) from error
