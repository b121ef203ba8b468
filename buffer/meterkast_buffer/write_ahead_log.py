"""The write-ahead log: how long it is, when it is copied into the database, and what a failed flush asks for.

`synchronous = FULL` flushes it with each commit, `NORMAL` only before it is copied (a checkpoint).
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

import aiosqlite

from meterkast.model.errors import StorageError
from meterkast_buffer.flushing import rewrite_log

PAGE_BYTES = 4096

# Measured on ext4 with the standard day, 100 channels and 20 streams (MB a day to the card, fsyncs a day):
# 100 pages 70 and 1,680; 250 pages 66 and 1,540; 1000 pages 62 and 1,460. Each checkpoint is two or three
# fsyncs and writes the last page of every table once more; 2000 pages fill in eight hours.
CHECKPOINT_PAGES = 2000

# Frames are a page and 24 bytes. A log that has its size from the start costs no new extents and no inode
# update with every commit: 62 instead of 67 MB a day to the card.
LOG_BYTES = (CHECKPOINT_PAGES + 40) * (PAGE_BYTES + 24) + 32
_ZEROS = 64 * 1024

# Transactions that are not durable, before one of them is all the same: it bounds the log while a month's
# backlog is delivered. On an ordinary day a durable one comes every minute.
_MOST_WAITING = 100


def log_path(path: str) -> str:
    """The log of a database."""
    return path + "-wal"


def flush_settings(full: bool) -> tuple[str, str]:
    """Whether commits are flushed, as SQLite's settings.

    SQLite tells nobody where the flush before an automatic checkpoint fails; so that comes only behind
    transactions that were flushed themselves.
    """
    return (
        f"synchronous = {'FULL' if full else 'NORMAL'}",
        f"wal_autocheckpoint = {CHECKPOINT_PAGES if full else 0}",
    )


class WriteAheadLog:
    """The log of one connection, which was opened with `flush_settings(True)`.

    Attributes:
        distrusted: A flush failed: what the kernel holds for written may not be on the disk.
    """

    def __init__(self, path: str) -> None:
        self.distrusted = False
        self._path = path
        self._full = True
        self._waiting = 0

    def reopened(self) -> None:
        """The database was closed, which removes the log, and opened anew."""
        self.distrusted = False
        self._full = True

    async def settle(self, connection: aiosqlite.Connection, durable: bool) -> None:
        """Make the connection ready for the next transaction.

        Raises:
            StorageError, sqlite3.Error, OSError: See `save`.
        """
        if self.distrusted:
            await self.save(connection)
        full = durable or self._waiting >= _MOST_WAITING
        if full != self._full:
            for setting in flush_settings(full):
                await connection.execute_fetchall(f"PRAGMA {setting}")
            self._full = full
        self._waiting = 0 if full else self._waiting + 1

    async def save(self, connection: aiosqlite.Connection) -> None:
        """Bring all of the log into the database after a flush that failed.

        After a failed fsync the kernel holds pages for written that are not. Commits that were waiting for
        the next fsync would be a hole in the log, and everything behind it lost at a power cut: so all of it
        goes to the database file before anything new is promised. And what is copied there must be on the
        disk in the log first, or a cut in between leaves half of it: it is written anew.

        Raises:
            StorageError: Another program reads the database.
            sqlite3.Error, OSError: The disk refused.
        """
        await asyncio.to_thread(rewrite_log, log_path(self._path))
        rows = list(await connection.execute_fetchall("PRAGMA wal_checkpoint(RESTART)"))
        if rows[0][0]:
            raise StorageError(
                f"{self._path}: the disk failed, and another program keeps its log from being saved",
                hint="Close other programs that read the database.",
            )
        self.distrusted = False


def grow_log(path: str) -> None:
    """Write zeros behind the log's end: SQLite takes them for unused frames (their checksum is wrong).

    It is done at every start, because closing the database removes the log.
    """
    # Nothing depends on it: where it fails, because the disk is full, the log grows as it is written.
    with suppress(OSError), open(path, "r+b") as log:
        size = log.seek(0, os.SEEK_END)
        if size < LOG_BYTES:
            for at in range(size, LOG_BYTES, _ZEROS):
                log.write(bytes(min(_ZEROS, LOG_BYTES - at)))
            log.flush()
            os.fsync(log.fileno())
