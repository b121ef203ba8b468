"""What the second copy holds, as the checks compare it with the database.

Half-hours are never held all at once: a history of years does not fit into the memory of a small board. They
are read again each time, some at a time, and the database itself is what they are looked up in.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping

from meterkast.model.half_hour import RowKey
from meterkast.model.time import DAY_MS
from meterkast_buffer.frames import OWNER, ROWS, TABLE, Copy, Frame, copy_of, texts_of
from meterkast_buffer.journal import Damage, Journal
from meterkast_buffer.sealed import COPIED, differs, layout_of, rows_of

RECENT_MS = 3 * DAY_MS
"""How far back half-hours are compared at start: ten times what the write-ahead log ever holds."""

_BATCH = 2_000
"""Half-hours that are held at once, and those of one frame."""

LACKING = """
    SELECT wanted.key FROM json_each(?) AS wanted LEFT JOIN half_hours ON
        length_ms = json_extract(value, '$[0]') AND end_ms = json_extract(value, '$[1]') AND
        property_id = json_extract(value, '$[2]') AND revision = json_extract(value, '$[3]')
    WHERE end_ms IS NULL
"""
"""The places in a list of keys (JSON) of those that have no row."""


class Second:
    """What the journal holds.

    Attributes:
        journal: It.
        copies: The newest copy of each table.
        owner: Whose journal it is; empty where it is new.
        newest_ms: When the last frame was kept.
        closed_ms: When the last half-hours were kept; 0 where there are none.
    """

    def __init__(self, journal: Journal, *, everything: bool) -> None:
        self.copies: dict[str, Copy] = {}
        self.owner = ""
        self.newest_ms = self.closed_ms = 0
        self.damage = Damage()
        self.journal = journal
        segments = journal.segments() if everything else journal.segments()[-2:]
        for frame in journal.frames(self.damage, segments):
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        self.newest_ms = max(self.newest_ms, frame.at_ms)
        if frame.kind == ROWS:
            self.closed_ms = max(self.closed_ms, frame.at_ms)
        elif frame.kind == TABLE:
            copy = copy_of(frame)
            if copy.table in COPIED:
                self.copies[copy.table] = copy
        elif frame.kind == OWNER:
            self.owner = frame.body.decode()


def kept_since(
    journal: Journal, since_ms: int = 0, damage: Damage | None = None
) -> Iterator[dict[RowKey, str]]:
    """Canonical texts of the half-hours that were kept since then, some at a time, as they were kept.

    One may come twice: what was kept first counts.

    Args:
        damage: Takes what could not be read.
    """
    batch: dict[RowKey, str] = {}
    for frame in journal.frames(damage, journal.segments_since(since_ms)):
        if frame.kind == ROWS and frame.at_ms >= since_ms:
            for text in texts_of(frame):
                batch.setdefault(key_of(text), text)
        if len(batch) >= _BATCH:
            yield batch
            batch = {}
    if batch:
        yield batch


def search(journal: Journal, wanted: Iterable[RowKey], damage: Damage | None = None) -> dict[RowKey, str]:
    """The texts of some half-hours, wherever in the journal they are; what was kept first counts."""
    left, found = set(wanted), dict[RowKey, str]()
    batches = kept_since(journal, damage=damage)
    while left and (batch := next(batches, None)) is not None:
        found |= {key: batch[key] for key in left & batch.keys()}
        left -= found.keys()
    return found


def lacking(connection: sqlite3.Connection, batch: Mapping[RowKey, str]) -> list[RowKey]:
    """Those of some half-hours that the database has no row of."""
    keys = list(batch)
    return [keys[place] for (place,) in connection.execute(LACKING, (json.dumps(keys),))]


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
