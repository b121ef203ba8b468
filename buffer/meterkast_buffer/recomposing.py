"""Items of the outbox that are lost or wrong are composed anew: from where, for each stream."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from meterkast.model.time import DAY_MS, HALF_HOUR_MS
from meterkast_buffer.findings import Findings
from meterkast_buffer.item_rows import CHECKED, row_crc


def check_outbox(
    connection: sqlite3.Connection, findings: Findings, *, everything: bool, rebuilt: bool
) -> None:
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
