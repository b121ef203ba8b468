"""What the second copy holds, as the checks compare it with the database."""

from __future__ import annotations

import sqlite3

from meterkast.model.half_hour import RowKey
from meterkast.model.time import DAY_MS
from meterkast_buffer.journal import OWNER, ROWS, TABLE, Copy, Damage, Frame, Journal, copy_of, texts_of
from meterkast_buffer.sealed import COPIED, differs, layout_of, rows_of

RECENT_MS = 3 * DAY_MS
"""How far back half-hours are compared at start: ten times what the write-ahead log ever holds."""


class Second:
    """What the journal holds, read once.

    Attributes:
        texts: Canonical text of each half-hour; what was kept first counts.
        copies: The newest copy of each table.
        owner: Whose journal it is; empty where it is new.
        newest_ms: When the last frame was kept.
    """

    def __init__(self, journal: Journal, *, everything: bool) -> None:
        self.texts: dict[RowKey, str] = {}
        self.copies: dict[str, Copy] = {}
        self.owner = ""
        self.newest_ms = 0
        self.damage = Damage()
        segments = journal.segments() if everything else journal.segments()[-2:]
        frames = list(journal.frames(self.damage, segments))
        self.newest_ms = max((frame.at_ms for frame in frames), default=0)
        since_ms = 0 if everything else self.newest_ms - RECENT_MS
        for frame in frames:
            self._take(frame, since_ms)

    def _take(self, frame: Frame, since_ms: int) -> None:
        if frame.kind == ROWS and frame.at_ms >= since_ms:
            for text in texts_of(frame):
                self.texts.setdefault(key_of(text), text)
        elif frame.kind == TABLE:
            copy = copy_of(frame)
            if copy.table in COPIED:
                self.copies[copy.table] = copy
        elif frame.kind == OWNER:
            self.owner = frame.body.decode()


def key_of(text: str) -> RowKey:
    """The key of a canonical text."""
    fields = text.split("|", 10)
    return RowKey(int(fields[2]), int(fields[1]), int(fields[0]), int(fields[9]))


def stale(connection: sqlite3.Connection, second: Second) -> list[str]:
    """The tables that the second copy lacks as they are."""
    found = []
    for name in COPIED:
        copy = second.copies.get(name)
        if copy is None or differs(rows_of(connection, name), layout_of(connection, name)[0], copy):
            found.append(name)
    return found
