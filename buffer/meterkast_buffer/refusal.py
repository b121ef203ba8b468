"""SQLite's refusals in words for the person who has to act."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3

from meterkast.model.errors import StorageError

_MIB = 1024 * 1024

_CODES = {
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EDQUOT: sqlite3.SQLITE_FULL,
    errno.EROFS: sqlite3.SQLITE_READONLY,
    errno.EACCES: sqlite3.SQLITE_READONLY,
    errno.EPERM: sqlite3.SQLITE_READONLY,
    errno.EIO: sqlite3.SQLITE_IOERR,
}


def refusal(error: Exception, path: str) -> StorageError:
    """Our error for one of SQLite's.

    Args:
        error: What SQLite, or the file system under it, raised.
        path: The database file.
    """
    if os.path.isdir(path):
        return StorageError(f"{path} is a folder", hint="Set storage.path to a file in it.")
    code = _CODES.get(error.errno or 0, -1) if isinstance(error, OSError) else primary_code(error)
    if code == sqlite3.SQLITE_FULL:
        return StorageError(
            f"{path}: the disk is full, {free_bytes(path) / _MIB:.1f} MiB are free beside a database of "
            f"{file_bytes(path) / _MIB:.0f} MiB",
            hint="Remove other files from this disk, use a larger card, or lower storage.samples_days. "
            "What was kept is safe, and readings go on.",
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        what = "is no database" if code == sqlite3.SQLITE_NOTADB else "is damaged"
        return StorageError(
            f"{path} {what}: {error}",
            hint="It is left as it is. `meterkast salvage` with the gateway stopped, or a "
            "restart of the gateway, "
            "rebuilds a damaged database; for another program's file set another storage.path.",
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageError(
            f"{path}: another program holds the database", hint="Close the program that has it open."
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return StorageError(f"{path} cannot be written: {error}", hint=_why_unwritable(path))
    if code == sqlite3.SQLITE_CANTOPEN:
        return StorageError(
            f"{path} cannot be opened: {error}",
            hint="Its folder must exist and be writable for the gateway; see storage.path.",
        )
    if code == sqlite3.SQLITE_IOERR or isinstance(error, OSError):
        return StorageError(
            f"{path}: the disk failed: {error}", hint="Make a copy of the database and replace the card."
        )
    return StorageError(
        f"{path}: the database refused: {error}", hint="Report this with the gateway's log; nothing was lost."
    )


def _why_unwritable(path: str) -> str:
    """What to do about it: a card that fails is told from a file that belongs to somebody else."""
    folder = os.path.dirname(os.path.abspath(path))
    for name in (path, path + "-wal", path + "-shm", f"{path}.journal", folder):
        try:
            if os.statvfs(name).f_flag & os.ST_RDONLY:
                return "The card became read-only: it is failing. Make a backup and replace it."
            if not os.access(name, os.W_OK, effective_ids=True):
                return (
                    f"{name} belongs to user {os.stat(name).st_uid}, and this is user {os.geteuid()}. "
                    f"Give all files there to the gateway's user: chown -R meterkast: {folder}"
                )
        except OSError:
            continue
    return "A card that became read-only is failing: replace it. Otherwise correct the file's rights."


def primary_code(error: Exception) -> int:
    """SQLite's primary result code; -1 where the error has none."""
    code = getattr(error, "sqlite_errorcode", None)
    # The extended codes (which fsync, which lock) are in the higher bits.
    return code & 0xFF if isinstance(code, int) else -1


def file_bytes(path: str) -> int:
    """The database with its write-ahead log, in bytes; what is not there counts 0."""
    total = 0
    for name in (path, path + "-wal"):
        try:
            total += os.stat(name).st_size
        except OSError:
            continue
    return total


def free_bytes(path: str) -> int:
    """What is free on the database's file system; 0 where that cannot be asked."""
    try:
        return shutil.disk_usage(os.path.dirname(os.path.abspath(path))).free
    except OSError:
        return 0
