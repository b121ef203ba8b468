"""Whose a file is that root made: the gateway, which has a user of its own, must be able to use it."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def own_like(made: str | Path | int, like: str | Path) -> None:
    """Give what was just made to the owner of another file, with its mode; or to the owner of its folder.

    Args:
        made: A path or an open file. Only root can give files away: of others it is left as it is.
        like: A file, or a folder, whose mode says nothing of a file's.

    Raises:
        OSError: It cannot be given away.
    """
    found = os.stat(like)
    if stat.S_ISREG(found.st_mode):
        os.chmod(made, stat.S_IMODE(found.st_mode))
    if os.geteuid() == 0:
        os.chown(made, found.st_uid, found.st_gid)
