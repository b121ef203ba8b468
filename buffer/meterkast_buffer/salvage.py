"""A damaged database is rebuilt, never replaced by an empty one.

All rows that can be read go into a new file, table by table: from both ends of a table towards the damage,
and in the middle wherever a probe finds sound pages. Half-hours, items and blocks must pass their CRCs; the
small tables are compared with their sums; what is lost comes from the second copy, or is named.

The damaged file is renamed, not touched. The order makes a cut harmless: the new file is built under another
name, flushed, and renamed last; until then the damaged one is still in place, or the finished one is.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from meterkast.model.errors import StorageError
from meterkast.model.half_hour import RowKey
from meterkast.model.time import DAY_MS
from meterkast.ownership import own_like
from meterkast_buffer.damaged_file import PAGE_BYTES, remove, sources_of
from meterkast_buffer.damaged_table import DamagedTable, batches
from meterkast_buffer.findings import Findings, Holes
from meterkast_buffer.free_name import free_name
from meterkast_buffer.half_hours import COLUMNS, half_hour_of
from meterkast_buffer.item_rows import CHECKED, row_crc
from meterkast_buffer.journal import Journal, sync
from meterkast_buffer.refusal import primary_code
from meterkast_buffer.repairing import repair
from meterkast_buffer.schema import connect, make_schema, schema, tables
from meterkast_buffer.sealed import keep_sequence, layout_of, quoted
from meterkast_buffer.second import Second

log = logging.getLogger(__name__)

_NO_ROW = (sqlite3.IntegrityError, OverflowError, UnicodeEncodeError)

_LIMIT, _TIMES, _IDS = 1 << 62, 1 << 42, 1 << 24

_DAYS = {"half_hours": 4_000, "amendments": 4_000, "evidence": 420, "blocks": 100}
"""Tables that are in the order of time, and how many days most databases hold of each."""

NEW, PARTIAL = ".new", ".new-partial"


def salvage(path: str, journal: Journal, findings: Findings) -> None:
    """Rebuild a database from what can be read of it and from the second copy.

    Args:
        path: The database; it may be missing altogether.
        findings: `damage` says why; takes what became of everything.

    Raises:
        OSError, sqlite3.Error: The disk is full or fails; the damaged file is as it was.
        StorageError: The second copy is there and cannot be read, and is needed.
    """
    second = Second(journal, everything=True)
    _must_be_readable(second, path)
    findings.aside = _aside(path, second.newest_ms) if os.path.exists(path) else ""
    partial = path + PARTIAL
    remove(partial)
    with closing(connect(partial)) as new:
        new.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        new.execute("PRAGMA synchronous = OFF")  # flushed once, when it is whole
        make_schema(new)
        holes = _fill(new, path, findings, second.newest_ms)
        repair(new, second, findings, holes=holes)
    own_like(partial, path if os.path.exists(path) else Path(path).absolute().parent)
    sync(Path(partial))
    os.rename(partial, path + NEW)
    if findings.aside:
        for tail in ("", "-wal"):
            if os.path.exists(path + tail):
                os.rename(path + tail, findings.aside + tail)
    with suppress(OSError):
        os.remove(path + "-shm")
    finish(path)
    log.error("database rebuilt", extra={"reason": findings.damage, "lost": len(findings.lost)})


def _must_be_readable(second: Second, path: str) -> None:
    """Without a database the copy is all there is; and for want of rights nothing is given up."""
    gone = not os.path.exists(path) or not os.path.getsize(path)
    for name, error in second.damage.unreadable:
        if gone or isinstance(error, PermissionError):
            raise StorageError(
                f"{path} is {'gone' if gone else 'damaged'}, and its second copy cannot be read: {name}: "
                f"{error.strerror}",
                hint="Nothing was changed. Give the files in the folder ending in .journal to the gateway's "
                "user. If the card fails, copy what can be read of it, and replace it.",
            )


def finish(path: str) -> bool:
    """Put a rebuilt database in place that a cut left beside it; returns whether there was one."""
    remove(path + PARTIAL)
    if not os.path.exists(path + NEW):
        return False
    if os.path.exists(path):
        remove(path + NEW)  # the damaged one was not yet moved: it is rebuilt again
        return False
    # A log of the damaged database must not be taken for one of the new.
    for tail in ("-wal", "-shm"):
        remove(path + tail)
    os.rename(path + NEW, path)
    sync(Path(path).absolute().parent)
    return True


def _aside(path: str, at_ms: int) -> str:
    """Named after when something was kept last: no clock can be trusted here."""
    return free_name(f"{path}.damaged-{datetime.fromtimestamp(at_ms / 1000, UTC):%Y%m%dT%H%M%SZ}")


def _fill(new: sqlite3.Connection, path: str, findings: Findings, newest_ms: int) -> Holes:
    """Copy all that can be read; newest_ms: of the second copy, 0 where that is not known."""
    holes = Holes()
    work = f"{path}.salvage"
    try:
        sources = list(sources_of(path, work))
        if not sources:
            holes.half_hours = [(1_800_000, 0, _LIMIT)]
        _Filling(new, sources, findings, holes, newest_ms).run()
        for source in sources:
            source.close()
    finally:
        remove(work)
    return holes


class _Filling:
    """Copies tables from the first source that has something, and more from the others."""

    def __init__(
        self,
        new: sqlite3.Connection,
        sources: Sequence[sqlite3.Connection],
        findings: Findings,
        holes: Holes,
        newest_ms: int,
    ) -> None:
        self._new = new
        self._sources = sources
        self._findings = findings
        self._holes = holes
        self._newest_ms = newest_ms
        self._clashing: set[int] = set()

    def run(self) -> None:
        new = self._new
        new.execute("PRAGMA foreign_keys = OFF")
        # What is promised first: should the disk become full, old samples are what is left out.
        names = sorted(tables(), key=lambda name: (name in ("blocks", "evidence"), name))
        for name in names:
            new.execute("BEGIN")
            try:
                for source in self._sources:
                    self._table(source, name)
            except sqlite3.OperationalError as error:
                if primary_code(error) != sqlite3.SQLITE_FULL or name not in ("blocks", "evidence"):
                    raise
                self._findings.unreadable.append(f"There was no room for all of the table {name}.")
            if new.in_transaction:
                new.execute("COMMIT")
        new.executemany("DELETE FROM outbox WHERE id = ?", [(number,) for number in self._clashing])
        self._findings.items += 2 * len(self._clashing)
        self._sequences()

    def _table(self, source: sqlite3.Connection, name: str) -> None:
        columns, keys = layout_of(self._new, name)
        reading = DamagedTable(source, name, columns, keys)
        number, errors = 0, 0
        if name == "half_hours":
            for length in self._lengths(source):
                rows = reading.rows(("length_ms", length), "end_ms", self._between(name))
                number += self._put_half_hours(rows, columns)
                self._holes.half_hours += [(length, *gap) for gap in reading.gaps]
                errors += len(reading.gaps)
        else:
            axis = keys[0] if name != "state" else None
            for batch in batches(reading.rows(None, axis, self._between(name))):
                number += len(batch)
                if name == "outbox":
                    self._put_items(columns, batch)
                else:
                    self._insert(name, columns, batch)
            errors = len(reading.gaps)
        if errors:
            self._findings.unreadable.append(f"The table {name} could not be read whole: {number} rows were.")

    def _between(self, name: str) -> tuple[int, int]:
        """Where the keys of a table lie that are times, if they can be guessed; else all there may be."""
        days = _DAYS.get(name)
        if days is None:
            return 0, _IDS
        return (self._newest_ms - days * DAY_MS, self._newest_ms + DAY_MS) if self._newest_ms else (0, _TIMES)

    def _insert(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Put rows in; what was read first stays where a key comes again."""
        sql = (
            f"INSERT OR IGNORE INTO {name} ({', '.join(map(quoted, columns))}) "
            f"VALUES ({', '.join('?' * len(columns))})"
        )
        try:
            self._new.executemany(sql, rows)
        except _NO_ROW:
            refused = 0
            for row in rows:
                try:
                    self._new.execute(sql, row)
                except _NO_ROW:
                    refused += 1
            self._findings.unreadable.append(
                f"{refused} rows of the table {name} were not as they were written."
            )

    def _put_items(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Items whose CRC is right. It does not cover the id: where one comes with two items, both go."""
        number, crc = columns.index("id"), columns.index("crc")
        rows = [row for row in rows if self._right(columns, row)]
        known = dict(
            self._new.execute(
                "SELECT id, crc FROM outbox WHERE id IN (SELECT value FROM json_each(?))",
                (json.dumps([row[number] for row in rows]),),
            )
        )
        self._clashing |= {row[number] for row in rows if known.setdefault(row[number], row[crc]) != row[crc]}
        self._insert("outbox", columns, rows)

    def _right(self, columns: Sequence[str], row: Sequence[Any]) -> bool:
        found = dict(zip(columns, row, strict=True))
        try:
            right = bool(row_crc(*(found[column] for column in CHECKED.split(", "))) == found["crc"])
        except TypeError:
            right = False
        self._findings.items += not right
        return right

    def _put_half_hours(self, found: Iterator[Sequence[Any]], columns: Sequence[str]) -> int:
        order = [columns.index(name) for name in COLUMNS.split(", ")]
        number = 0
        for rows in batches(found):
            good = []
            for row in rows:
                if half_hour_of(tuple(row[place] for place in order)) is None:
                    with suppress(TypeError, ValueError):
                        self._holes.keys.append(
                            RowKey(*map(int, (row[columns.index(one)] for one in RowKey._fields)))
                        )
                else:
                    good.append(row)
            self._insert("half_hours", columns, good)
            number += len(good)
        return number

    def _lengths(self, source: sqlite3.Connection) -> list[int]:
        minutes = {1, 5, 10, 15, 30, 60}
        lengths = {one * 60_000 for one in minutes}
        with suppress(sqlite3.DatabaseError, UnicodeDecodeError):
            lengths |= {
                row[0] for row in source.execute("SELECT length_ms FROM closed") if isinstance(row[0], int)
            }
        return sorted(lengths)

    def _sequences(self) -> None:
        """The highest ids ever given; unknown ones are taken for higher, so that none is given twice."""
        known: dict[str, int] = {}
        for source in self._sources:
            with suppress(sqlite3.DatabaseError, UnicodeDecodeError):
                known = dict(source.execute("SELECT name, seq FROM sqlite_sequence"))
                break
        for name in tables():
            if "AUTOINCREMENT" not in next(row[3] for row in schema() if row[1] == name):
                continue
            [[most]] = self._new.execute(f"SELECT coalesce(max(rowid), 0) FROM {name}")
            sequence = known.get(name, most + 1000 if most else 0)
            keep_sequence(self._new, name, sequence if sequence < most + 1_000_000 else most + 1000)
