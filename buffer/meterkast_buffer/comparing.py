"""Half-hours, compared with the second copy: what is wrong or gone is put back, or named as lost.

All of it streams: of a history of years no more is held than a batch, and what is wrong.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from meterkast.model.half_hour import HalfHour, RowKey, unreadable
from meterkast.model.time import DAY_MS, HALF_HOUR_MS
from meterkast_buffer.database import Row
from meterkast_buffer.findings import Findings, Holes
from meterkast_buffer.half_hours import COLUMNS, INSERT, half_hour_of, row_of
from meterkast_buffer.journal import Damage
from meterkast_buffer.retention import YEARS_AT_LEAST
from meterkast_buffer.second import RECENT_MS, Second, kept_since, lacking, search

DELETE = "DELETE FROM half_hours WHERE length_ms = ? AND end_ms = ? AND property_id = ? AND revision = ?"

_INSERT = INSERT.replace("INSERT", "INSERT OR IGNORE")


def compare(connection: sqlite3.Connection, second: Second, findings: Findings, holes: Holes | None) -> None:
    """Put back what the second copy has, and name what nobody has, in a transaction of the caller.

    Args:
        findings: `partial` says that only recent half-hours are looked at; takes what was found.
        holes: After a salvage, what could not be read: all is compared then.
    """
    everything = holes is not None or not findings.partial
    newest, since = _reach(connection, second, everything=everything)
    kept_from = _kept_from(connection, newest) if holes is None else 0
    wrong, unread = _wrong(connection, since), Damage()
    bad = [RowKey(*row[:4]) for row in wrong]
    connection.executemany(DELETE, bad)
    _fill(connection, second, findings, max(since, kept_from), unread)
    doubtful = {*bad, *(holes.keys if holes is not None else ())}
    lost = _possible(connection, doubtful, newest) if doubtful else set()
    lost |= _holes(connection, holes or _around(connection, bad, since, newest + HALF_HOUR_MS))
    if lost and not everything:
        # Nothing is lost that the copy may hold in an older frame than those that were looked at.
        found = search(second.journal, lost, unread)
        _put_back(connection, findings, found.items())
        lost -= found.keys()
    if lost and unread.unreadable and holes is None:
        # What cannot be read now may hold them: wrong rows stay, and are refused by whoever reads them.
        connection.executemany(_INSERT, wrong)
        return
    findings.lost = sorted(lost)
    connection.executemany(_INSERT, [row_of(unreadable(key)) for key in findings.lost])


def _around(connection: sqlite3.Connection, bad: Sequence[RowKey], after: int, until: int) -> Holes:
    """A wrong row may have a wrong key: then the right one is a hole among its neighbours."""
    lengths = connection.execute("SELECT DISTINCT length_ms FROM half_hours").fetchall() if bad else []
    return Holes([(length, after, until) for (length,) in lengths])


def _reach(connection: sqlite3.Connection, second: Second, *, everything: bool) -> tuple[int, int]:
    """The end of the newest half-hour, and after which end all are compared."""
    [[kept]] = connection.execute(
        "SELECT coalesce(max(end_ms), 0) FROM half_hours WHERE length_ms = ?", (HALF_HOUR_MS,)
    )
    oldest = min(kept, second.closed_ms or kept)
    return max(kept, second.closed_ms), 0 if everything else max(0, oldest - RECENT_MS)


def _kept_from(connection: sqlite3.Connection, newest: int) -> int:
    """After which end the database has all that was kept: what was before is in the copy a little longer."""
    [[first]] = connection.execute("SELECT coalesce(min(end_ms), 0) FROM half_hours")
    return max(0, min(int(first) - 1, newest - YEARS_AT_LEAST * 365 * DAY_MS))


def _wrong(connection: sqlite3.Connection, since: int) -> list[Row]:
    """The rows that end after then and are not as they were written."""
    rows = connection.execute(f"SELECT {COLUMNS} FROM half_hours WHERE end_ms > ?", (since,))
    return [row for row in rows if half_hour_of(row) is None]


def _fill(
    connection: sqlite3.Connection, second: Second, findings: Findings, since: int, unread: Damage
) -> None:
    """Put in what the second copy has after then, and the database has not."""
    for batch in kept_since(second.journal, since, unread):
        recent = {key: text for key, text in batch.items() if key.end_ms > since}
        keys = sorted(lacking(connection, recent))
        _put_back(connection, findings, [(key, recent[key]) for key in keys])


def _put_back(
    connection: sqlite3.Connection, findings: Findings, found: Iterable[tuple[RowKey, str]]
) -> None:
    for key, text in found:
        connection.execute(INSERT, row_of(HalfHour.from_canonical(text)))
        findings.count_back(key)


def _possible(connection: sqlite3.Connection, doubtful: Iterable[RowKey], newest: int) -> set[RowKey]:
    """Of wrong rows those that nobody has. A wrong row may have any key: some name no half-hour."""
    known = set(connection.execute("SELECT DISTINCT length_ms, property_id FROM half_hours"))
    [[first]] = connection.execute("SELECT coalesce(min(end_ms), 0) FROM half_hours")
    likely = {
        key: ""
        for key in doubtful
        if (key.length_ms, key.property_id) in known
        and first <= key.end_ms <= newest + HALF_HOUR_MS
        and key.end_ms % key.length_ms == 0
    }
    return set(lacking(connection, likely))


def _holes(connection: sqlite3.Connection, holes: Holes) -> set[RowKey]:
    """The intervals of the stretches that could not be read, and that nobody has."""
    if not holes.half_hours:
        return set()
    closed = {(row[0], row[1]): row[2] for row in connection.execute("SELECT * FROM closed")}
    lost: set[RowKey] = set()
    for length in {length for length, _, _ in holes.half_hours}:
        stretches = [(after, until) for one, after, until in holes.half_hours if one == length]
        last: dict[int, int] = {}
        for prop, end in connection.execute(
            "SELECT property_id, end_ms FROM half_hours WHERE length_ms = ? ORDER BY end_ms", (length,)
        ):
            lost |= _between(prop, last.get(prop, end), end, length, stretches)
            last[prop] = end
        for prop, end in last.items():
            lost |= _between(prop, end, closed.get((prop, length), 0) + length, length, stretches)
    return lost


def _between(
    prop: int, last: int, following: int, length: int, stretches: Sequence[tuple[int, int]]
) -> set[RowKey]:
    """The intervals between two that are there, as far as they are of stretches that could not be read."""
    if following <= last + length:
        return set()
    return {
        RowKey(length, end, prop, 0)
        for after, until in stretches
        for end in range(
            max(last + length, after - (after - last) % length), min(following, until + 1), length
        )
    }
