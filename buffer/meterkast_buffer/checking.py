"""The check at start: is the file sound, and does it agree with the second copy?

It runs before the gateway's connection is opened, in a thread, with nothing else open. What is wrong is put
right from the second copy where that has it, and named in the table `doubts` in any case.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from meterkast.model.half_hour import Cause, HalfHour, RowKey, State
from meterkast.model.product import PropertyId
from meterkast.model.time import DAY_MS, HALF_HOUR_MS, UtcMs, iso_utc
from meterkast_buffer.half_hours import CLOSED, COLUMNS, INSERT, half_hour_of, row_of
from meterkast_buffer.journal import OWNER, ROWS, TABLE, Copy, Damage, Frame, Journal, copy_of, texts_of
from meterkast_buffer.migrate import APPLICATION_ID, migrations, newest_version
from meterkast_buffer.outbox import CHECKED, row_crc
from meterkast_buffer.refusal import primary_code
from meterkast_buffer.sealed import (
    COPIED,
    SEALED,
    crc_of,
    differs,
    insert,
    keep_sequence,
    layout_of,
    put_copy,
    rows_of,
    seal_all,
    sums_of,
    unplain,
)

log = logging.getLogger(__name__)

WHOLE_BYTES = 16 * 1024 * 1024
"""Up to this size the whole file is checked at start (some 60 ms); of a larger one all but the big tables,
whose rows are looked at each night instead.
"""

RECENT_MS = 3 * DAY_MS
"""How far back half-hours are compared at start: ten times what the write-ahead log ever holds."""

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_BIG = {"blocks", "half_hours", "outbox", "evidence"}


@dataclass(slots=True)
class Findings:
    """What a check found.

    Attributes:
        damage: Why the file cannot be used as it is; empty where it can.
        partial: Not the whole file was looked at.
        put_back: Half-hours that the second copy gave back.
        lost: Half-hours that nobody can vouch for.
        tables: What was wrong with which small table, a sentence each.
        items: Rows of the outbox that are lost or wrong, and are composed anew.
        journal: What is wrong with the second copy, a sentence each.
        aside: Where a damaged database was put.
        unreadable: Per table, what could not be read.
    """

    damage: str = ""
    partial: bool = False
    put_back: list[RowKey] = field(default_factory=list)
    lost: list[RowKey] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    items: int = 0
    journal: list[str] = field(default_factory=list)
    aside: str = ""
    unreadable: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(
            self.damage
            or self.put_back
            or self.lost
            or self.tables
            or self.items
            or self.journal
            or self.aside
            or self.unreadable
        )

    def lines(self) -> list[str]:
        """The findings as sentences for a person."""
        lines = [f"The database was damaged: {self.damage}."] if self.damage else []
        if self.aside:
            lines.append(f"It was rebuilt. The damaged file is kept as {self.aside}.")
        lines += self.tables + self.unreadable
        if self.put_back:
            lines.append(f"{len(self.put_back)} half-hours were put back from the second copy.")
        if self.items:
            lines.append(
                f"{self.items} items of the outbox were not readable; those needed are composed anew."
            )
        if self.lost:
            lines.append(f"{len(self.lost)} half-hours are lost: " + "; ".join(map(str, self.lost[:20])))
        return lines + self.journal


def uri(path: str | Path, mode: str = "ro") -> str:
    """SQLite's name for a file."""
    return f"file:{quote(str(path))}?mode={mode}"


def make_schema(connection: sqlite3.Connection) -> None:
    """The newest schema in a new database, as `migrate` makes it."""
    for step in migrations():
        connection.executescript(step.sql)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {newest_version()}")


_SCHEMA = (
    "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name <> 'sqlite_sequence' ORDER BY type, name"
)


@cache
def schema() -> tuple[Any, ...]:
    """What `sqlite_master` of a sound database says."""
    with closing(sqlite3.connect(":memory:")) as connection:
        make_schema(connection)
        return tuple(connection.execute(_SCHEMA))


@cache
def tables() -> tuple[str, ...]:
    """All our tables."""
    return tuple(row[1] for row in schema() if row[0] == "table")


def examine(path: str, journal: Journal, findings: Findings) -> None:
    """Look whether the file is sound; writes nothing. What is wrong is in `findings.damage`.

    Raises:
        sqlite3.Error: It cannot be looked at for another reason than damage: a lock, rights, a failing disk.
    """
    try:
        with closing(sqlite3.connect(uri(path), uri=True)) as connection:
            findings.damage = _examined(connection, path, journal, findings)
    except sqlite3.DatabaseError as error:
        code = primary_code(error)
        if code not in _DAMAGED and not (code == sqlite3.SQLITE_ERROR and _known(journal)):
            raise
        if not _known(journal) and code == sqlite3.SQLITE_NOTADB:
            raise  # some other file, and never one of ours
        findings.damage = str(error)
    except UnicodeDecodeError:  # damage that SQLite quotes in its message
        findings.damage = "its tables cannot be read"


def _known(journal: Journal) -> bool:
    return bool(journal.segments())


def _examined(connection: sqlite3.Connection, path: str, journal: Journal, findings: Findings) -> str:
    [[application]] = connection.execute("PRAGMA application_id")
    [[version]] = connection.execute("PRAGMA user_version")
    known = max((frame.version for frame in journal.frames(segments=journal.segments()[-1:])), default=None)
    if known is not None and known <= newest_version():
        # The journal is of this database, so what the header says can be told from damage.
        if application != APPLICATION_ID:
            return f"its header says application {application:#x}"
        if version > newest_version() and tuple(connection.execute(_SCHEMA)) != schema():
            return ""  # a newer release's: refused when it is opened
        if not known <= version <= newest_version():
            return f"its header says version {version}, the second copy {known}"
    elif application != APPLICATION_ID or version > newest_version():
        return ""  # another program's or a newer release's: refused when it is opened
    if version < newest_version():
        return ""  # it is migrated first, and checked with the next start
    if tuple(connection.execute(_SCHEMA)) != schema():
        return "its tables are not those that were made"
    findings.partial = os.stat(path).st_size > WHOLE_BYTES
    if not findings.partial:
        checks = ["PRAGMA integrity_check(3)"]
    else:
        checks = [f"PRAGMA quick_check({name})" for name in tables() if name not in _BIG]
    wrong = [row[0] for check in checks for row in connection.execute(check) if row[0] != "ok"]
    return "; ".join(wrong[:3]).replace("\n", " ")


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


@dataclass(slots=True)
class Holes:
    """What a salvage could not read.

    Attributes:
        half_hours: Per length, stretches (after, until) of ends.
        keys: Half-hours whose row is there and wrong.
    """

    half_hours: list[tuple[int, int, int]] = field(default_factory=list)
    keys: list[RowKey] = field(default_factory=list)


def repair(
    connection: sqlite3.Connection,
    second: Second,
    findings: Findings,
    *,
    holes: Holes | None = None,
) -> None:
    """Compare with the second copy and put right what is wrong, in one transaction.

    Args:
        connection: To a sound file, nothing begun on it.
        holes: After a salvage, what could not be read: all is compared then.
    """
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("BEGIN IMMEDIATE")
    try:
        wrong = _tables(connection, second, findings)
        _half_hours(connection, second, findings, holes)
        _outbox(connection, findings, everything=not findings.partial, rebuilt=holes is not None)
        if "closed" in wrong or findings.put_back or holes is not None:
            _closed(connection, anew="closed" in wrong or holes is not None)
        if findings or len(sums_of(connection)) < len(SEALED) + 1:
            _tell(connection, second, findings)
            if second.owner:
                connection.execute(
                    "INSERT OR REPLACE INTO sums (name, version, crc) VALUES ('journal', 0, ?)",
                    (int(second.owner),),
                )
            seal_all(connection, {name: copy.version + 1 for name, copy in second.copies.items()})
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _tables(connection: sqlite3.Connection, second: Second, findings: Findings) -> set[str]:
    """The small tables; returns those that were wrong."""
    sums, wrong = sums_of(connection), set()
    for name in SEALED:
        rows = rows_of(connection, name)
        version, crc = sums.get(name, (0, None))
        copy, now = second.copies.get(name), crc_of(rows)
        if now == crc:
            if copy is not None and copy.version > version and name != "doubts":
                findings.tables.append(
                    f"The table {name} had gone back in time; the second copy replaced it."
                )
                _restore(connection, name, copy, rows, merge=name == "streams")
                wrong.add(name)
            continue
        if crc is None and (copy is None or copy.crc == now):
            continue  # it was never sealed: nothing was ever in it
        if copy is not None and now == copy.crc and copy.version >= version:
            findings.tables.append(f"The sum of the table {name} was wrong, its rows are not.")
            continue
        wrong.add(name)
        if name == "closed":
            findings.tables.append("How far is closed was wrong; it follows from the half-hours.")
        elif copy is None:
            findings.tables.append(f"The table {name} is not as it was written, and there is no copy of it.")
        else:
            merge = copy.crc != crc
            findings.tables.append(
                f"The table {name} is not as it was written; the copy of "
                f"{iso_utc(UtcMs(copy.at_ms))} replaced " + ("what was in it then." if merge else "it.")
            )
            _restore(connection, name, copy, rows, merge=merge)
            if name == "streams":
                _marks(connection)
    return wrong


def _restore(
    connection: sqlite3.Connection, name: str, copy: Copy, rows: Sequence[Sequence[Any]], *, merge: bool
) -> None:
    columns, keys = layout_of(connection, name)
    put_copy(connection, copy)
    if merge:
        # What came after the copy was made is kept as it is.
        places = [columns.index(key) for key in keys]
        old = {tuple(row[copy.columns.index(key)] for key in keys) for row in unplain(copy.rows)}
        newer = [row for row in rows if tuple(row[place] for place in places) not in old]
        if name == "streams":
            # Marks of the database are of one transaction with its items; those of the copy are older.
            newer += [row for row in rows if tuple(row[place] for place in places) in old]
        insert(connection, name, columns, newer)


def _marks(connection: sqlite3.Connection) -> None:
    """How far streams are composed and delivered, as far as their items tell."""
    connection.execute(
        "UPDATE streams SET composed_ms = (SELECT max(at_ms) FROM outbox WHERE stream_id = streams.id) WHERE "
        "coalesce(composed_ms, 0) < (SELECT max(at_ms) FROM outbox WHERE stream_id = streams.id)"
    )
    connection.execute(
        "UPDATE streams SET delivered_ms = "
        "(SELECT max(at_ms) FROM outbox WHERE stream_id = streams.id AND state = 1)"
    )


def _half_hours(
    connection: sqlite3.Connection, second: Second, findings: Findings, holes: Holes | None
) -> None:
    newest = connection.execute(
        "SELECT max(end_ms) FROM half_hours WHERE length_ms = ?", (HALF_HOUR_MS,)
    ).fetchone()[0]
    newest = max(newest or 0, max((key.end_ms for key in second.texts), default=0))
    since = 0 if holes is not None or not findings.partial else newest - RECENT_MS
    bad: list[RowKey] = list(holes.keys) if holes is not None else []
    there: dict[RowKey, int] = {}
    for row in connection.execute(f"SELECT {COLUMNS} FROM half_hours WHERE end_ms > ?", (since,)):
        if half_hour_of(row) is None:
            bad.append(RowKey(*row[:4]))
        else:
            there[RowKey(*row[:4])] = row[-1]
    connection.executemany(
        "DELETE FROM half_hours WHERE length_ms = ? AND end_ms = ? AND property_id = ? AND revision = ?", bad
    )
    missing = sorted(key for key in second.texts if key.end_ms > since and key not in there)
    connection.executemany(INSERT, [row_of(HalfHour.from_canonical(second.texts[key])) for key in missing])
    findings.put_back += missing
    lengths = {key.length_ms for key in there}
    known = {(key.length_ms, key.property_id) for key in there}
    lost = {key for key in bad if key not in second.texts and (key.length_ms, key.property_id) in known}
    if bad and holes is None:
        # A wrong row may have a wrong key: then the right one is a hole among its neighbours.
        holes = Holes([(length, since, newest) for length in lengths])
    if holes is not None:
        lost |= _holes(connection, holes)
    findings.lost = sorted(lost)
    connection.executemany(
        INSERT.replace("INSERT", "INSERT OR IGNORE"), [row_of(_missing(key)) for key in findings.lost]
    )


def _holes(connection: sqlite3.Connection, holes: Holes) -> set[RowKey]:
    """The intervals of the stretches that could not be read, and that nobody has."""
    closed = {(row[0], row[1]): row[2] for row in connection.execute("SELECT * FROM closed")}
    lost: set[RowKey] = set()
    for length, after, until in holes.half_hours:
        ends: dict[int, set[int]] = {}
        for prop, end in connection.execute(
            "SELECT property_id, end_ms FROM half_hours WHERE length_ms = ?", (length,)
        ):
            ends.setdefault(prop, set()).add(end)
        for prop, have in ends.items():
            first = min(have)
            last = min(until, max(max(have), closed.get((prop, length), 0)))
            begin = max(first, after - (after - first) % length)
            lost |= {
                RowKey(length, end, prop, 0) for end in range(begin, last + 1, length) if end not in have
            }
    return lost


def _missing(key: RowKey) -> HalfHour:
    return HalfHour(
        property_id=PropertyId(key.property_id),
        end_ms=UtcMs(key.end_ms),
        length_ms=key.length_ms,
        value=None,
        state=State.MISSING,
        cause=Cause.DISK,
        revision=key.revision,
    )


def _outbox(connection: sqlite3.Connection, findings: Findings, *, everything: bool, rebuilt: bool) -> None:
    """Items that are not as they were written are taken out: they are composed anew."""
    which = "" if everything else "WHERE state = 0"
    wrong = [
        row[0]
        for row in connection.execute(f"SELECT id, crc, {CHECKED} FROM outbox {which}")
        if not _item_is_right(row[1], row[2:])
    ]
    if wrong:
        connection.executemany("DELETE FROM outbox WHERE id = ?", [(number,) for number in wrong])
    if wrong or rebuilt:
        findings.items += len(wrong)
        redo(connection)


def _item_is_right(crc: object, checked: Sequence[Any]) -> bool:
    try:
        return row_crc(*checked) == crc
    except TypeError:
        return False


def redo(connection: sqlite3.Connection) -> None:
    """Let streams be composed anew from where items are lost: ids that were given and are not there.

    Items that were delivered more than 40 days ago are proof only, and are not sent again.
    """
    gaps = connection.execute(
        "SELECT before_ms, after_ms, open FROM (SELECT id, lag(id) OVER win AS before, "
        "lag(at_ms) OVER win AS "
        "before_ms, at_ms AS after_ms, state IN (0, 2) OR lag(state) OVER win IN (0, 2) AS open FROM "
        "(SELECT 0 AS id, 0 AS at_ms, 1 AS state UNION ALL SELECT id, at_ms, state FROM outbox UNION ALL "
        "SELECT seq + 1, 1 << 62, 1 FROM sqlite_sequence WHERE name = 'outbox') WINDOW win AS (ORDER BY id)) "
        "WHERE id > before + 1 ORDER BY id"
    ).fetchall()
    [[newest_ms]] = connection.execute("SELECT coalesce(max(composed_ms), 0) FROM streams")
    [[first_ms]] = connection.execute("SELECT coalesce(min(end_ms), 0) FROM half_hours")
    if not connection.execute("SELECT 1 FROM outbox LIMIT 1").fetchone():
        # All of it is lost: the marks of the copy may be years old.
        connection.execute(
            "UPDATE streams SET composed_ms = (SELECT max(min(end_ms) - ?, max(end_ms) - ?) FROM half_hours) "
            "WHERE composed_ms IS NOT NULL",
            (HALF_HOUR_MS + 1, 40 * DAY_MS),
        )
    gaps = [gap for gap in gaps if gap[2] or gap[1] > newest_ms - 40 * DAY_MS]
    if gaps:
        from_ms = max(gaps[0][0], first_ms - HALF_HOUR_MS) - 1
        connection.execute(
            "UPDATE streams SET redo_from_ms = min(?, coalesce(redo_from_ms, ?)), redo_ms = "
            "max(composed_ms, coalesce(redo_ms, 0)) WHERE composed_ms > ?",
            (from_ms, from_ms, from_ms),
        )


def _closed(connection: sqlite3.Connection, *, anew: bool) -> None:
    """What has a row is closed."""
    newest = connection.execute(
        "SELECT property_id, length_ms, max(end_ms) FROM half_hours GROUP BY property_id, length_ms"
        if anew
        else "SELECT property_id, length_ms, max(end_ms) FROM half_hours WHERE end_ms > "
        "(SELECT max(end_ms) FROM "
        f"half_hours WHERE length_ms = {HALF_HOUR_MS}) - {RECENT_MS} GROUP BY property_id, length_ms"
    ).fetchall()
    had = {(row[0], row[1]): row[2] for row in connection.execute("SELECT * FROM closed")}
    if anew:
        connection.execute("DELETE FROM closed")
    for prop, length, end in newest:
        if anew or had.get((prop, length), 0) < end:
            connection.execute(CLOSED, (prop, length, end))


def _tell(connection: sqlite3.Connection, second: Second, findings: Findings) -> None:
    """The findings as rows of `doubts`."""
    [[at_ms]] = connection.execute("SELECT coalesce(max(id), 0) FROM blocks")
    at_ms = max(at_ms, second.newest_ms)
    rows: list[tuple[Any, ...]] = []
    if findings.damage:
        aside = f" The damaged file is kept as {findings.aside}." if findings.aside else ""
        rows.append((at_ms, "damaged", f"{findings.damage}.{aside}", None, None, None))
    rows += [(at_ms, "table", text, None, None, None) for text in findings.tables + findings.unreadable]
    rows += [(at_ms, "second copy", text, None, None, None) for text in findings.journal]
    if findings.items:
        rows.append((at_ms, "items", f"{findings.items} items were not readable", None, None, None))
    for (length, end), count in _counted(findings.put_back):
        rows.append((at_ms, "put back", f"{count} from the second copy", None, length, end))
    rows += [(at_ms, "lost", str(key), key.property_id, key.length_ms, key.end_ms) for key in findings.lost]
    known = {tuple(row) for row in connection.execute("SELECT kind, detail, property_id, end_ms FROM doubts")}
    connection.executemany(
        "INSERT INTO doubts (at_ms, kind, detail, property_id, length_ms, end_ms) VALUES (?, ?, ?, ?, ?, ?)",
        [row for row in rows if row[1] != "lost" or (row[1], row[2], row[3], row[5]) not in known],
    )
    keep_sequence(connection, "doubts", second.copies["doubts"].sequence if "doubts" in second.copies else 0)


def _counted(keys: Iterable[RowKey]) -> list[tuple[tuple[int, int], int]]:
    counts: dict[tuple[int, int], int] = {}
    for key in keys:
        counts[key.length_ms, key.end_ms] = counts.get((key.length_ms, key.end_ms), 0) + 1
    return sorted(counts.items())


def stale(connection: sqlite3.Connection, second: Second) -> list[str]:
    """The tables that the second copy lacks as they are."""
    found = []
    for name in COPIED:
        copy = second.copies.get(name)
        if copy is None or differs(rows_of(connection, name), layout_of(connection, name)[0], copy):
            found.append(name)
    return found
