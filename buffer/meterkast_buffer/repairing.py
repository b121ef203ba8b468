"""A sound file, compared with its second copy and put right, in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterable, Mapping
from typing import Any

from meterkast.model.half_hour import HalfHour, RowKey, unreadable
from meterkast.model.time import HALF_HOUR_MS
from meterkast_buffer.findings import Findings, Holes
from meterkast_buffer.half_hours import CLOSED, COLUMNS, INSERT, half_hour_of, row_of
from meterkast_buffer.recomposing import check_outbox
from meterkast_buffer.row_sums import check_rows
from meterkast_buffer.sealed import SEALED, keep_sequence, seal_all, sums_of
from meterkast_buffer.second import RECENT_MS, Second
from meterkast_buffer.small_tables import check_tables

DELETE = "DELETE FROM half_hours WHERE length_ms = ? AND end_ms = ? AND property_id = ? AND revision = ?"


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
        wrong = check_tables(connection, second, findings)
        _half_hours(connection, second, findings, holes)
        if holes is not None or not findings.partial:
            check_rows(connection, findings)
        check_outbox(connection, findings, everything=not findings.partial, rebuilt=holes is not None)
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


def _half_hours(
    connection: sqlite3.Connection, second: Second, findings: Findings, holes: Holes | None
) -> None:
    newest = connection.execute(
        "SELECT max(end_ms) FROM half_hours WHERE length_ms = ?", (HALF_HOUR_MS,)
    ).fetchone()[0]
    newest = max(newest or 0, max((key.end_ms for key in second.texts), default=0))
    since = 0 if holes is not None or not findings.partial else newest - RECENT_MS
    there, bad = _read(connection, since)
    if holes is not None:
        # A row with another one's key was left out; the row that belongs there is not to go for it.
        bad += [key for key in holes.keys if key not in there]
    findings.put_back += put_back(connection, second.texts, there, bad, since)
    known = {(key.length_ms, key.property_id) for key in there}
    first = min((key.end_ms for key in there), default=0)
    # A wrong row may have any key: one that no half-hour can have names none.
    lost = {
        key
        for key in bad
        if key not in second.texts
        and (key.length_ms, key.property_id) in known
        and first <= key.end_ms <= newest + HALF_HOUR_MS
        and key.end_ms % key.length_ms == 0
    }
    if bad and holes is None:
        # A wrong row may have a wrong key: then the right one is a hole among its neighbours.
        holes = Holes([(length, since, newest + HALF_HOUR_MS) for length in {key.length_ms for key in there}])
    if holes is not None:
        lost |= _holes(connection, holes)
    findings.lost = sorted(lost)
    connection.executemany(
        INSERT.replace("INSERT", "INSERT OR IGNORE"), [row_of(unreadable(key)) for key in findings.lost]
    )


def _read(connection: sqlite3.Connection, since: int) -> tuple[set[RowKey], list[RowKey]]:
    """The keys of all rows that end after then: those of right ones, and those of wrong ones."""
    there, bad = set(), []
    for row in connection.execute(f"SELECT {COLUMNS} FROM half_hours WHERE end_ms > ?", (since,)):
        if half_hour_of(row) is None:
            bad.append(RowKey(*row[:4]))
        else:
            there.add(RowKey(*row[:4]))
    return there, bad


def put_back(
    connection: sqlite3.Connection,
    texts: Mapping[RowKey, str],
    there: Container[RowKey],
    bad: Iterable[RowKey],
    since: int,
) -> list[RowKey]:
    """Take wrong rows out, and put in what the second copy has after then and the database has not."""
    connection.executemany(DELETE, bad)
    lacking = sorted(key for key in texts if key.end_ms > since and key not in there)
    connection.executemany(INSERT, [row_of(HalfHour.from_canonical(texts[key])) for key in lacking])
    return lacking


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
