"""One database, one gateway: the lock on a file beside it."""

from __future__ import annotations

import fcntl
import os
from typing import IO

from meterkast.model.errors import StorageError


def hold(path: str) -> IO[bytes]:
    """The lock that keeps a second gateway from this database; the kernel lifts it when the process ends.

    Raises:
        StorageError: Another gateway holds it, or the file cannot be made.
    """
    try:
        guard = open(path + ".lock", "ab")  # noqa: SIM115 - open as long as the database is
        _give_away(guard, path)
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


def _give_away(guard: IO[bytes], path: str) -> None:
    """What root makes here is its folder's owner's: the gateway, which is not root, opens it too."""
    if os.geteuid() == 0:
        folder = os.stat(os.path.dirname(os.path.abspath(path)))
        os.fchown(guard.fileno(), folder.st_uid, folder.st_gid)


def release(guard: IO[bytes] | None) -> None:
    """Let others have the database."""
    if guard is not None:
        guard.close()
