"""A sound file, compared with its second copy and put right, in one transaction."""

from __future__ import annotations

import sqlite3
from typing import Any

from meterkast.model.time import HALF_HOUR_MS, UtcMs, iso_utc
from meterkast_buffer.comparing import compare
from meterkast_buffer.findings import Findings, Holes, Stretch
from meterkast_buffer.half_hours import CLOSED
from meterkast_buffer.recomposing import check_outbox
from meterkast_buffer.row_sums import SMALL, SUMMED, check_rows
from meterkast_buffer.sealed import SEALED, keep_sequence, seal_all, sums_of
from meterkast_buffer.second import RECENT_MS, Second
from meterkast_buffer.small_tables import check_tables


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
        compare(connection, second, findings, holes)
        check_rows(connection, findings, SUMMED if holes is not None or not findings.partial else SMALL)
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
    rows += [(at_ms, "put back", _told(one), None, one.length_ms, _end(one)) for one in findings.put_back]
    rows += [(at_ms, "lost", str(key), key.property_id, key.length_ms, key.end_ms) for key in findings.lost]
    known = {tuple(row) for row in connection.execute("SELECT kind, detail, property_id, end_ms FROM doubts")}
    connection.executemany(
        "INSERT INTO doubts (at_ms, kind, detail, property_id, length_ms, end_ms) VALUES (?, ?, ?, ?, ?, ?)",
        [row for row in rows if row[1] != "lost" or (row[1], row[2], row[3], row[5]) not in known],
    )
    keep_sequence(connection, "doubts", second.copies["doubts"].sequence if "doubts" in second.copies else 0)


def _told(one: Stretch) -> str:
    between = f" that end from {iso_utc(UtcMs(one.first_ms))} to {iso_utc(UtcMs(one.last_ms))}"
    return f"{one.count}{'' if _end(one) else between} from the second copy"


def _end(one: Stretch) -> int | None:
    return one.last_ms if one.first_ms == one.last_ms else None
