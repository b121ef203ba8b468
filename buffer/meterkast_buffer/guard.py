"""One database, one gateway: the lock on a file beside it."""

from __future__ import annotations

import fcntl
import os
from typing import IO

from meterkast.model.errors import StorageError
from meterkast.ownership import own_like


def hold(path: str) -> IO[bytes]:
    """The lock that keeps a second gateway from this database; the kernel lifts it when the process ends.

    Raises:
        StorageError: Another gateway holds it, or the file cannot be made.
    """
    try:
        guard = open(path + ".lock", "ab")  # noqa: SIM115 - open as long as the database is
        own_like(guard.fileno(), os.path.dirname(os.path.abspath(path)))
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


def release(guard: IO[bytes] | None) -> None:
    """Let others have the database."""
    if guard is not None:
        guard.close()
