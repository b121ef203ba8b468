"""The copy of the database that a backup reads: beside it, and gone afterwards."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meterkast.model.errors import RefusedError
from meterkast_buffer.copying import copy_database
from meterkast_buffer.refusal import file_bytes, free_bytes

_COPY = ".backup-"

_BESIDE = ("", "-journal", "-wal", "-shm")


@contextmanager
def copied(database: Path) -> Iterator[Path]:
    """A copy in the folder that has its size free and nobody else reads.

    Raises:
        RefusedError: There is no room for it, or the folder cannot be written.
        StorageError: The database cannot be read, or is damaged.
    """
    _remove_dead(database)
    needed, free = file_bytes(str(database)), free_bytes(str(database))
    if needed > free:
        raise RefusedError(
            f"{database.parent} has {free / 1e6:.0f} MB free, and the copy needs {needed / 1e6:.0f} MB",
            hint="Remove other files from this disk, or lower storage.samples_days.",
        )
    try:
        handle, copy = _made(database)
    except OSError as error:
        raise RefusedError(
            f"{database.parent} cannot be written: {error.strerror}",
            hint="Run it as root, or as the gateway.",
        ) from error
    try:
        copy_database(str(database), str(copy))
        yield copy
    finally:
        _remove(copy)
        os.close(handle)  # only now: it holds the lock


def _made(database: Path) -> tuple[int, Path]:
    """A new file, locked as long as its handle is open."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f"{database.name}{_COPY}", dir=database.parent)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.exists(name):
            return handle, Path(name)
        os.close(handle)  # another backup took it for a dead one's before it was locked


def _remove_dead(database: Path) -> None:
    """What backups left that were killed; the copy of one that runs is locked."""
    start = f"{database.name}{_COPY}"
    found = database.parent.glob(f"{start}*")
    for name in {start + path.name.removeprefix(start).partition("-")[0] for path in found}:
        copy = database.with_name(name)
        try:
            with copy.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(copy)
        except FileNotFoundError:
            _remove(copy)
        except OSError:
            continue  # it is in use, or another account's


def _remove(copy: Path) -> None:
    for ending in _BESIDE:
        Path(f"{copy}{ending}").unlink(missing_ok=True)
