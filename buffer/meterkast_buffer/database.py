"""One connection to one database file: how it is opened, and how transactions run on it.

SQLite before 3.51.3 can damage a write-ahead log that two connections write or checkpoint at once, so this
process has exactly one connection, for reading and writing alike, and a lock on a file beside the database
keeps a second gateway away.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import aiosqlite

from meterkast.model.errors import StorageError
from meterkast_buffer import row_sums
from meterkast_buffer.flushing import flush_folder, rewrite_log
from meterkast_buffer.migrate import migrate, newest_version, version_of
from meterkast_buffer.refusal import primary_code, refusal
from meterkast_buffer.schema import text_of
from meterkast_buffer.sealed import seal, triggers

if TYPE_CHECKING:
    from meterkast_buffer.findings import Findings

T = TypeVar("T")
Row = tuple[Any, ...]  # SQLite's own types: int, str, bytes or None
Work = Callable[[aiosqlite.Connection], Awaitable[T]]

PAGE_BYTES = 4096

# Measured on ext4 with the standard day, 100 channels and 20 streams (MB a day to the card, fsyncs a day):
# 100 pages 70 and 1,680; 250 pages 66 and 1,540; 1000 pages 62 and 1,460. Each checkpoint is two or three
# fsyncs and writes the last page of every table once more; 2000 pages fill in eight hours.
CHECKPOINT_PAGES = 2000

# Frames are a page and 24 bytes. A log that has its size from the start costs no new extents and no inode
# update with every commit: 62 instead of 67 MB a day to the card.
_LOG_BYTES = (CHECKPOINT_PAGES + 40) * (PAGE_BYTES + 24) + 32
_ZEROS = 64 * 1024

# What is read again is in the kernel's cache. SQLite's own 2,000 KiB would fill within days, for nothing.
CACHE_KIB = 512

_BUSY_S = 5.0

# After these the connection is closed, and the file is checked before it is used again.
_BROKEN = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
)

# Transactions that are not durable, before one of them is all the same: it bounds the log while a month's
# backlog is delivered. On an ordinary day a durable one comes every minute.
_MOST_WAITING = 100

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
        self._full = True
        self._waiting = 0
        self._distrusted = False
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
        guard = None if read_only else _guard(path)
        findings = None
        try:
            if not read_only:
                findings = await asyncio.to_thread(_make_ready, path, years)
            connection = await _connect(path, read_only)
            try:
                version = await _prepare(connection, path, read_only)
            except BaseException:
                await connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            _release(guard)
            raise refusal(error, path) from error
        except BaseException:
            _release(guard)
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
        running = asyncio.create_task(self._transact(work, durable, committed))
        try:
            result = await asyncio.shield(running)
        except asyncio.CancelledError:
            while not running.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([running])
            if not running.cancelled():
                running.exception()  # else asyncio reports it as never seen; the caller is gone
            raise
        return result

    async def _transact(self, work: Work[T], durable: bool, committed: Callable[[T], None] | None) -> T:
        if self.broken:
            await self._revive()
        async with self._lock:
            self._must_be_open()
            connection = self._connection
            try:
                await self._settle(durable)
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
                    self._distrusted = True
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

    async def _revive(self) -> None:
        """Open the file anew after trouble, checked and repaired as at start; readings wait meanwhile.

        Raises:
            StorageError: The disk still refuses; the connection is then as it was, or opened at the next try.
        """
        async with self._reviving:
            if not self.broken:
                return
            try:
                await asyncio.to_thread(_probe, self.path)
                async with self._lock:
                    self._must_be_open()
                    if self._distrusted:
                        # Closing saves the log too: what a failed flush left out of it comes first.
                        await asyncio.to_thread(rewrite_log, self.path + "-wal")
                        with suppress(sqlite3.Error, ValueError):
                            await self._save_log()
                    with suppress(sqlite3.Error, ValueError):
                        await self._connection.close()
                    self.findings = await asyncio.to_thread(_make_ready, self.path, self._years)
                    self._connection = await _connect(self.path, False)
                    await _prepare(self._connection, self.path, False)
            except (sqlite3.Error, OSError) as error:
                refused = refusal(error, self.path)
                self._refused(refused)
                raise refused from error
            self.broken = self._distrusted = False
            self._full = True
            log.warning("database opened anew", extra={"found": "; ".join(self.findings.lines())})
            if self.revived is not None:
                await self.revived()

    def _refused(self, error: StorageError) -> None:
        self.failures += 1
        self.problem = f"{error}. {error.hint}"

    async def _settle(self, durable: bool) -> None:
        """Make the connection ready for the next transaction."""
        if self._distrusted:
            # After a failed fsync the kernel holds pages for written that are not. Commits that were waiting
            # for the next fsync would be a hole in the log, and everything behind it lost at a power cut: so
            # all of it goes to the database file before anything new is promised. And what is copied there
            # must be on the disk in the log first, or a cut in between leaves half of it: it is written anew.
            await asyncio.to_thread(rewrite_log, self.path + "-wal")
            await self._save_log()
        full = durable or self._waiting >= _MOST_WAITING
        if full != self._full:
            # SQLite tells nobody where the flush before an automatic checkpoint fails; so that comes only
            # behind transactions that were flushed themselves.
            for setting in (
                f"synchronous = {'FULL' if full else 'NORMAL'}",
                f"wal_autocheckpoint = {CHECKPOINT_PAGES if full else 0}",
            ):
                await self._connection.execute_fetchall(f"PRAGMA {setting}")
            self._full = full
        self._waiting = 0 if full else self._waiting + 1

    async def _save_log(self) -> None:
        rows = await fetch(self._connection, "PRAGMA wal_checkpoint(RESTART)")
        if rows[0][0]:
            raise StorageError(
                f"{self.path}: the disk failed, and another program keeps its log from being saved",
                hint="Close other programs that read the database.",
            )
        self._distrusted = False

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
                _release(self._guard)


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


async def _connect(path: str, read_only: bool) -> aiosqlite.Connection:
    uri = f"file:{quote(path)}?mode={'ro' if read_only else 'rwc'}"

    def probe() -> None:
        sqlite3.connect(uri, uri=True).close()

    # aiosqlite (0.22) leaves its thread behind where opening fails, so a failure has to come before it.
    await asyncio.to_thread(probe)
    connection = await aiosqlite.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_S)
    connection.text_factory = text_of
    return connection


async def _prepare(connection: aiosqlite.Connection, path: str, read_only: bool) -> int:
    version = await version_of(connection, path)  # before anything is written
    if read_only:
        if version != (newest := newest_version()):
            raise StorageError(
                f"{path} has database version {version}, and this release reads version {newest}",
                hint="Start the gateway once; it brings the database up to date.",
            )
        return version
    for setting in (
        f"page_size = {PAGE_BYTES}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "secure_delete = OFF",  # Debian's default is on: 6 MB instead of 0.2 to remove a day
        f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
        f"cache_size = -{CACHE_KIB}",
        "temp_store = MEMORY",
        "foreign_keys = ON",
    ):
        await connection.execute_fetchall(f"PRAGMA {setting}")
    version += await migrate(connection, version)
    # Where opening for writing failed for a moment SQLite opened the file for reading, and says so only now.
    await connection.execute_fetchall("BEGIN IMMEDIATE")
    await connection.rollback()
    await connection.create_function("row_sum", -1, row_sums.row_sum, deterministic=True)
    await connection.executescript(triggers() + "\n" + row_sums.triggers())
    await asyncio.to_thread(_grow_log, path + "-wal")
    await asyncio.to_thread(flush_folder, path)
    return version


def _make_ready(path: str, years: int) -> Findings:
    from meterkast_buffer.starting import make_ready

    return make_ready(path, years)


def _probe(path: str) -> None:
    """Write something beside the database: only then is closing it worth while.

    Raises:
        OSError: The disk refuses.
    """
    name = path + ".probe"
    try:
        with open(name, "wb") as file:
            file.write(b"?")
            file.flush()
            os.fsync(file.fileno())
    finally:
        with suppress(OSError):
            os.unlink(name)


def _grow_log(path: str) -> None:
    """Write zeros behind the log's end: SQLite takes them for unused frames (their checksum is wrong).

    It is done at every start, because closing the database removes the log.
    """
    # Nothing depends on it: where it fails, because the disk is full, the log grows as it is written.
    with suppress(OSError), open(path, "r+b") as log:
        size = log.seek(0, os.SEEK_END)
        if size < _LOG_BYTES:
            for at in range(size, _LOG_BYTES, _ZEROS):
                log.write(bytes(min(_ZEROS, _LOG_BYTES - at)))
            log.flush()
            os.fsync(log.fileno())


def _guard(path: str) -> IO[bytes]:
    """The lock that keeps a second gateway from this database; the kernel lifts it when the process ends."""
    try:
        guard = open(path + ".lock", "ab")  # noqa: SIM115 - open as long as the database is
    except OSError as error:
        raise StorageError(
            f"{path}.lock cannot be opened: {error.strerror}",
            hint="The database's folder must exist and be writable for the gateway; see storage.path.",
        ) from error
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        guard.close()
        raise StorageError(
            f"{path} is in use by another gateway process",
            hint="Stop that one first: systemctl stop meterkast.",
        ) from error
    return guard


def _release(guard: IO[bytes] | None) -> None:
    if guard is not None:
        guard.close()
