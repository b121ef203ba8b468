"""A file that is only there to be deleted: on a full disk SQLite cannot even delete rows without room.

It has real blocks (not a hole), is made when there is plenty of room, and is given up on the first refusal
for want of room, so that the oldest samples can be removed and half-hours go on.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress

from meterkast_buffer.refusal import free_bytes

log = logging.getLogger(__name__)

BYTES = 8 * 1024 * 1024

_ROOM = 4 * BYTES
"""What must be free before it is made again."""

SCARCE_BYTES = BYTES // 2
"""With less than this free, and no ballast, the database stops growing."""

_STEP = 256 * 1024


class Ballast:
    """The file `<database>.ballast`."""

    def __init__(self, database: str) -> None:
        self.path = database + ".ballast"
        self._database = database

    def there(self) -> bool:
        """Whether it is there, whole."""
        try:
            return os.stat(self.path).st_blocks * 512 >= BYTES
        except OSError:
            return False

    def make(self) -> bool:
        """Make it where there is room; returns whether it is there. Never raises."""
        if self.there():
            return True
        if free_bytes(self._database) < _ROOM:
            return False
        try:
            with open(self.path, "wb") as file:
                for _ in range(0, BYTES, _STEP):
                    file.write(os.urandom(_STEP))  # no file system packs this, or leaves it out
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            log.warning("ballast not made", extra={"reason": str(error)})
            with suppress(OSError):
                os.unlink(self.path)
            return False
        return True

    def release(self) -> bool:
        """Give its room to the database; returns whether there was any."""
        try:
            os.unlink(self.path)
        except OSError:
            return False
        log.error("disk full, ballast given up", extra={"bytes": BYTES})
        return True
