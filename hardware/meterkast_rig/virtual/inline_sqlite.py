"""aiosqlite without its thread: statements run at once, in the loop's thread, on a real SQLite file.

That makes a run repeatable, and it is where the disk refuses and where a process ends in mid-transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import struct
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite

_FRAME_BYTES = 4096 + 24  # a page and its header, see https://sqlite.org/fileformat2.html#walformat
_WAL_HEADER_BYTES = 32
_INDEX_BYTES = 100  # of the wal-index: its header twice, and how far checkpoints are; ibid.

_WRITES = frozenset(("execute", "executemany", "commit"))


class Disk:
    """What the disk does to the one database in use.

    Attributes:
        refuses: Whether writes are refused at this moment.
        die_after: The process ends after so many more statements inside transactions; None for not at all.
        died: Called when it does.
    """

    def __init__(self) -> None:
        self.refuses: Callable[[], bool] = lambda: False
        self.die_after: int | None = None
        self.died: Callable[[], None] = lambda: None
        self._connection: InlineConnection | None = None

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Every database that is opened meanwhile is on this disk."""
        before = aiosqlite.connect
        aiosqlite.connect = self._connect  # type: ignore[assignment]  # it makes a connection all the same
        try:
            yield
        finally:
            aiosqlite.connect = before

    def _connect(self, path: str, **settings: Any) -> InlineConnection:
        self._connection = InlineConnection(self, partial(sqlite3.connect, path, **settings))
        return self._connection

    def abandon(self, path: Path, *, power_cut: bool) -> None:
        """Leave the database as a process leaves it that is no more; another one may open it.

        Args:
            path: The database as the dead process had it open.
            power_cut: What was written and not fsynced is gone as well.
        """
        connection, kept = self._connection, path.with_name("kept")
        frames = connection.durable_frames(path) if connection is not None and power_cut else None
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(f"{path}{suffix}", f"{kept}{suffix}")
        if frames is not None:
            with contextlib.suppress(FileNotFoundError), open(f"{kept}-wal", "r+b") as log:
                log.truncate(_WAL_HEADER_BYTES + frames * _FRAME_BYTES)
        if connection is not None:
            connection.drop()
        # The dead process holds its files open, and a lock on one of them: they lose their names.
        for suffix in ("", "-wal", "-shm", ".lock"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{kept}{suffix}").rename(f"{path}{suffix}")


class InlineConnection(aiosqlite.Connection):
    """A connection whose every call is done when it is made."""

    def __init__(self, disk: Disk, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, 64)
        self._disk = disk
        self._full = True
        self._path = Path()
        self._synced = (b"", 0)

    def __await__(self) -> Generator[Any, None, aiosqlite.Connection]:
        return self._connect().__await__()

    async def _connect(self) -> aiosqlite.Connection:
        self._connection = self._connector()
        self._path = Path(self._connection.execute("PRAGMA database_list").fetchone()[2])
        return self

    def stop(self) -> None:
        """There is no thread."""
        self._running = False

    def drop(self) -> None:
        """The process is gone: nothing more comes from this connection."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
        self._running = False

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._connection is None:
            raise ValueError("Connection closed")
        name = fn.__name__
        if name in _WRITES:
            statement = args[0] if args else "COMMIT"
            await self._dies()
            if not statement.startswith(("PRAGMA", "BEGIN")) and self._disk.refuses():
                raise _full()
        if args and str(args[0]).startswith("PRAGMA synchronous"):
            self._full = args[0].endswith("FULL")
        result = fn(*args, **kwargs)
        if name == "commit" and self._full:
            self._synced = self._log(self._path)
        return result

    async def _dies(self) -> None:
        disk = self._disk
        if disk.die_after is None or self._connection is None or not self._connection.in_transaction:
            return
        disk.die_after -= 1
        if disk.die_after < 0:
            disk.died()
            await asyncio.get_running_loop().create_future()  # it never comes back

    def durable_frames(self, path: Path) -> int:
        """How many frames of the log were fsynced: up to the last durable commit, or checkpointed since."""
        salt, frames = self._log(path)
        synced = self._synced[1] if self._synced[0] == salt else 0
        index = _index(path)
        backfilled = struct.unpack_from("=I", index, 96)[0] if index else 0
        return min(frames, max(synced, backfilled))

    def _log(self, path: Path) -> tuple[bytes, int]:
        """Which log it is (its salt), and how many of its frames are valid (mxFrame)."""
        index = _index(path)
        return (index[32:40], struct.unpack_from("=I", index, 16)[0]) if index else (b"", 0)


def _index(path: Path) -> bytes:
    with contextlib.suppress(FileNotFoundError), open(f"{path}-shm", "rb") as index:
        found = index.read(_INDEX_BYTES)
        return found if len(found) == _INDEX_BYTES else b""
    return b""


def _full() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    error.sqlite_errorname = "SQLITE_FULL"
    return error
