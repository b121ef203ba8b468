"""What the second copy lacks is added: what was kept just before a cut, what a damage took, all of a new one.

It goes by pages of the database: no more than one is held, however long the history is. Each frame keeps the
time of its rows, so that later starts see that it is old.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from meterkast.model.half_hour import HalfHour, RowKey
from meterkast.model.time import HALF_HOUR_MS
from meterkast.ownership import own_like
from meterkast_buffer.frames import OWNER, frames_of, pack, pack_rows, pack_table
from meterkast_buffer.half_hours import COLUMNS, half_hour_of
from meterkast_buffer.journal import Journal, sync
from meterkast_buffer.migrate import newest_version
from meterkast_buffer.schema import connect, uri
from meterkast_buffer.sealed import copied
from meterkast_buffer.second import RECENT_MS, Second, kept_since, stale
from meterkast_buffer.second_copy import OWN_ID

_PAGE = 10_000
"""Keys that are looked for in the journal at a time: three days of 70 registers."""

_FRAME = 500

_EVER = 1 << 62

_KEYS = f"""
    SELECT length_ms, end_ms, property_id, revision FROM half_hours
    WHERE length_ms = {HALF_HOUR_MS} AND (end_ms, property_id, revision) > (?, ?, ?) AND end_ms <= ?
    ORDER BY end_ms, property_id, revision LIMIT {{}}
"""
_ROW = (
    f"SELECT {COLUMNS} FROM half_hours "
    "WHERE length_ms = ? AND end_ms = ? AND property_id = ? AND revision = ?"
)


def complete(path: str, journal: Journal, years: int, *, everything: bool) -> None:
    """Give the journal what it lacks, and write its damaged files anew.

    Args:
        years: How long half-hours are kept.
        everything: Every half-hour is looked for in it, and all its files are read; otherwise the recent
            ones, and what a damage in the two newest files may have taken.

    Raises:
        OSError, sqlite3.Error: The disk refuses.
    """
    second = Second(journal, everything=everything)
    if second.damage.unreadable:
        return  # what it lacks is not known
    with closing(connect(uri(path))) as connection:
        _Adding(connection, journal, second, years).run(everything=everything)
    journal.close()
    _drop_damage(journal, {name for name, _, _ in second.damage.spans})


class _Adding:
    def __init__(self, connection: sqlite3.Connection, journal: Journal, second: Second, years: int) -> None:
        self._connection = connection
        self._journal = journal
        self._second = second
        self._years = years
        self._owner = str(connection.execute(OWN_ID).fetchone()[0]).encode()
        self._new = not journal.segments()
        [[newest]] = connection.execute(
            "SELECT coalesce(max(end_ms), 0) FROM half_hours WHERE length_ms = ?", (HALF_HOUR_MS,)
        )
        self._newest_ms = max(newest, second.newest_ms)

    def run(self, *, everything: bool) -> None:
        whole = everything or self._new
        for after, until in [(0, _EVER)] if whole else _stretches(self._second):
            for page in _pages(self._connection, after, until):
                absent = page if self._new else _absent(self._journal, page)
                for at in range(0, len(absent), _FRAME):
                    self._rows(_read(self._connection, absent[at : at + _FRAME]))
        at_ms = self._newest_ms
        names = stale(self._connection, self._second)
        tables = [copied(self._connection, name, at_ms) for name in names]
        if tables:
            self._append([pack_table(one, newest_version()) for one in tables], at_ms)

    def _rows(self, frame: Sequence[HalfHour]) -> None:
        if frame:
            at_ms = max(one.end_ms for one in frame)
            # A new journal begins with the months of its rows; otherwise the newest file takes all.
            self._append(pack_rows(frame, at_ms, newest_version()), at_ms if self._new else self._newest_ms)

    def _append(self, frames: Sequence[bytes], at_ms: int) -> None:
        owner = pack(OWNER, self._owner, at_ms, newest_version())
        self._journal.append(frames, at_ms, owner, self._years)


def _stretches(second: Second) -> list[tuple[int, int]]:
    """Where half-hours end that the journal may lack: the recent ones, and those around a damage."""
    found = [(second.closed_ms - RECENT_MS, _EVER)]
    # Frames that were added later are older than those around them.
    found += [(min(span) - RECENT_MS, max(span)) for _, *span in second.damage.spans]
    merged: list[tuple[int, int]] = []
    for after, until in sorted(found):
        if merged and after <= merged[-1][1]:
            after, until = merged[-1][0], max(until, merged.pop()[1])
        merged.append((after, until))
    return merged


def _pages(connection: sqlite3.Connection, after: int, until: int) -> Iterator[list[RowKey]]:
    place = (after, _EVER, 0)
    while rows := connection.execute(_KEYS.format(_PAGE), (*place, until)).fetchall():
        yield [RowKey(*row) for row in rows]
        place = rows[-1][1:]


def _absent(journal: Journal, page: Sequence[RowKey]) -> list[RowKey]:
    """Those of a page that the journal lacks, oldest first. None was kept before it ended."""
    left = set(page)
    for batch in kept_since(journal, page[0].end_ms):
        left -= batch.keys()
        if not left:
            break
    return sorted(left)


def _read(connection: sqlite3.Connection, keys: Sequence[RowKey]) -> list[HalfHour]:
    rows = (connection.execute(_ROW, key).fetchone() for key in keys)
    return [one for row in rows if row is not None and (one := half_hour_of(row)) is not None]


def _drop_damage(journal: Journal, names: set[str]) -> None:
    """Write damaged files anew without what is no frame: what they lacked was just added."""
    for segment in journal.segments():
        if segment.name not in names:
            continue
        data = segment.read_bytes()
        whole = b"".join(data[begin:end] for begin, end, frame in frames_of(data) if frame is not None)
        if len(whole) != len(data):
            temporary = Path(f"{segment}.new")
            with open(temporary, "wb") as file:
                file.write(whole)
                file.flush()
                os.fsync(file.fileno())
            own_like(temporary, segment)
            os.replace(temporary, segment)
            sync(journal.folder)
