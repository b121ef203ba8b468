"""The small tables, held against their sums and the second copy."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from meterkast.model.time import UtcMs, iso_utc
from meterkast_buffer.findings import Findings
from meterkast_buffer.frames import Copy
from meterkast_buffer.sealed import SEALED, crc_of, insert, layout_of, put_copy, rows_of, sums_of, unplain
from meterkast_buffer.second import Second


def check_tables(connection: sqlite3.Connection, second: Second, findings: Findings) -> set[str]:
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
        _replace(connection, name, copy, rows, sums.get(name), findings)
    return wrong


def _replace(
    connection: sqlite3.Connection,
    name: str,
    copy: Copy | None,
    rows: Sequence[Sequence[Any]],
    sum_: tuple[int, int] | None,
    findings: Findings,
) -> None:
    """Put the copy in the place of a table that is not as it was written."""
    if name == "closed":
        findings.tables.append("How far is closed was wrong; it follows from the half-hours.")
        return
    if copy is None:
        findings.tables.append(f"The table {name} is not as it was written, and there is no copy of it.")
        return
    # Where the sum says that the copy is the newest, whatever else is in the table was never written.
    merge = sum_ is None or (sum_[0] > copy.version and sum_[1] != copy.crc)
    findings.tables.append(
        f"The table {name} is not as it was written; the copy of "
        f"{iso_utc(UtcMs(copy.at_ms))} replaced " + ("what was in it then." if merge else "it.")
    )
    _restore(connection, name, copy, rows, merge=merge)
    if name == "streams":
        _marks(connection)


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
