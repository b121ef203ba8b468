"""How the connection to a database is opened, set, and the database brought up to date."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

import aiosqlite

from meterkast.model.errors import StorageError
from meterkast_buffer import row_sums
from meterkast_buffer.flushing import flush_folder
from meterkast_buffer.migrate import migrate, newest_version, version_of
from meterkast_buffer.schema import text_of
from meterkast_buffer.sealed import triggers
from meterkast_buffer.write_ahead_log import PAGE_BYTES, flush_settings, grow_log, log_path

if TYPE_CHECKING:
    from meterkast_buffer.findings import Findings

# What is read again is in the kernel's cache. SQLite's own 2,000 KiB would fill within days, for nothing.
CACHE_KIB = 512

_BUSY_S = 5.0


def make_ready(path: str, years: int) -> Findings:
    """Check a database before it is opened, and put right what is wrong; see `starting.make_ready`."""
    from meterkast_buffer import starting

    return starting.make_ready(path, years)


async def connect(path: str, read_only: bool) -> aiosqlite.Connection:
    """A connection to the database, which is made where there is none.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    uri = f"file:{quote(path)}?mode={'ro' if read_only else 'rwc'}"

    def try_once() -> None:
        sqlite3.connect(uri, uri=True).close()

    # aiosqlite (0.22) leaves its thread behind where opening fails, so a failure has to come before it.
    await asyncio.to_thread(try_once)
    connection = await aiosqlite.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_S)
    connection.text_factory = text_of
    return connection


async def prepare(connection: aiosqlite.Connection, path: str, read_only: bool) -> int:
    """Bring the database up to date, and set the connection.

    Returns:
        The database's version.

    Raises:
        StorageError: It is another program's, of a newer release, or to be read only and old.
        sqlite3.Error, OSError: It is no database, or the disk refused.
    """
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
        *flush_settings(True),
        "secure_delete = OFF",  # Debian's default is on: 6 MB instead of 0.2 to remove a day
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
    await asyncio.to_thread(grow_log, log_path(path))
    await asyncio.to_thread(flush_folder, path)
    return version


def probe(path: str) -> None:
    """Write something beside the database: only then is opening it anew worth while.

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
