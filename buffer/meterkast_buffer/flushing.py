"""Flushes that SQLite does not make, or whose failure it does not notice."""

from __future__ import annotations

import os

_PIECE_BYTES = 64 * 1024


def flush_folder(path: str) -> None:
    """Bring the names of the database and its log to the disk: SQLite does, and does not notice a failure.

    Raises:
        OSError: The disk refused.
    """
    folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def rewrite_log(path: str) -> None:
    """Write every byte of the log as it is once more, so that the next fsync brings all of it to the disk.

    Where there is no log there is nothing to do.

    Raises:
        OSError: The disk refused.
    """
    if not os.path.exists(path):
        return
    with open(path, "r+b", buffering=0) as log:
        size = os.fstat(log.fileno()).st_size
        for at in range(0, size, _PIECE_BYTES):
            os.pwrite(log.fileno(), os.pread(log.fileno(), _PIECE_BYTES, at), at)
        os.fsync(log.fileno())
