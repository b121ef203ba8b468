"""A CRC in each row of the tables that are neither measured values nor small enough to be sealed whole.

TEMP triggers of the gateway's own connection write it: four bytes more in a row that is written anyway. A row
that is not as it was written is taken out and told of; there is no copy of these tables.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from meterkast_buffer.findings import Findings

SUMMED: dict[str, str] = {
    "boots": "number, id, first_ms, last_ms, offset_ms, trust, sources, learned_ms, rtc_good",
    "untimed": "id, boot_id, last_ms",
    "episodes": "boot_id, after_ms, before_ms, duration_ms, readings, registers",
    "seals": "number, day, after_ms, until_ms, rows, digest",
    "amendments": "end_ms, property_id, revision, seal",
    "availabilities": "id, product_id, status, at_ms",
    "installation_messages": "id, kind, product_id, status, at_ms, detail",
    "pending_data": "id, node_id, property_id, channel, command_class, parameter, value, status, at_ms, "
    "eta_ms, detail",
}
"""The tables, and the columns under a row's CRC in their order; the data of `untimed` have their own."""

_KEYS = {"amendments": 3}
"""How many of the columns are the key; one where nothing is said."""

SMALL = ("boots", "episodes", "seals")
"""Those that never grow large: they are looked at with each start, whatever the size of the database.

What a boot says is believed of the time: one flipped bit in it would let the clock stand years ahead.
"""

_MIDDLE = 1 << 31  # a number below it, with a sign, is four bytes in SQLite


def row_sum(*values: Any) -> int:
    """CRC-32 of a row's values, less 2^31."""
    return zlib.crc32(json.dumps(values, separators=(",", ":")).encode()) - _MIDDLE


def key_of_row(table: str) -> tuple[str, ...]:
    """The columns by which a row is found."""
    return tuple(SUMMED[table].split(", ")[: _KEYS.get(table, 1)])


def triggers() -> str:
    """A script that makes the connection write the CRCs; it needs the function `row_sum`."""
    lines = []
    for table, text in SUMMED.items():
        names = text.split(", ")
        here = " AND ".join(f"{name} = NEW.{name}" for name in key_of_row(table))
        values = ", ".join(f"NEW.{name}" for name in names)
        lines += [
            f"CREATE TEMP TRIGGER summed_{table}_{word} AFTER {event} ON main.{table} BEGIN "
            f"UPDATE {table} SET crc = row_sum({values}) WHERE {here}; END;"
            for word, event in (("insert", "INSERT"), ("update", f"UPDATE OF {text}"))
        ]
    return "\n".join(lines)


def is_right(row: Sequence[Any]) -> bool:
    """Whether a row, its CRC last, is as it was written."""
    try:
        return bool(row_sum(*row[:-1]) == row[-1])
    except TypeError:
        return False  # a damaged row may hold bytes


def wrong_rows(connection: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    """The keys of the rows that are not as they were written."""
    keys = len(key_of_row(table))
    return [
        row[:keys]
        for row in connection.execute(f"SELECT {SUMMED[table]}, crc FROM {table}")
        if not is_right(row)
    ]


def check_rows(connection: sqlite3.Connection, findings: Findings, tables: Iterable[str]) -> None:
    """Take out what is not as it was written, in a transaction of the caller."""
    for table in tables:
        if wrong := wrong_rows(connection, table):
            here = " AND ".join(f"{name} = ?" for name in key_of_row(table))
            connection.executemany(f"DELETE FROM {table} WHERE {here}", wrong)
            findings.tables.append(
                f"{len(wrong)} rows of the table {table} were not as they were written, and are gone."
            )
