"""The small tables that give all the rest its meaning, sealed: a CRC of each is kept in the table `sums`.

SQLite does not notice a flipped bit in a value. Half-hours, items and blocks carry a CRC of their own; these
tables are small and hardly change, so each is hashed whole when one of its rows changed, in the transaction
that changed it. Which it was is told by triggers that exist on the gateway's own connection only (TEMP):
they cost nothing on the card, and no other program needs to know them.

The version counts the changes: it tells a table that went back in time from one that was damaged.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import aiosqlite

from meterkast_buffer.frames import Copy

SEALED = (
    "products",
    "properties",
    "nodes",
    "property_mappings",
    "layouts",
    "epochs",
    "lives",
    "channels",
    "streams",
    "state",
    "closed",
    "doubts",
)

COPIED = tuple(name for name in SEALED if name != "closed")
"""Those that the journal holds too; how far is closed follows from the half-hours."""

_MARKS = {"streams": ("composed_ms", "delivered_ms")}
"""Columns that change with every closing and every receipt: not a reason to copy the table once more."""

_SEAL = """
    INSERT INTO sums (name, version, crc) VALUES (?, 1, ?)
    ON CONFLICT (name) DO UPDATE SET crc = excluded.crc, version = version + 1 WHERE crc <> excluded.crc
"""

TOUCHED = "SELECT name FROM temp.touched"


def triggers() -> str:
    """A script that makes the connection note which of the tables a transaction touches."""
    lines = ["CREATE TEMP TABLE touched (name TEXT NOT NULL);"]
    for table in SEALED:
        lines += [
            f"CREATE TEMP TRIGGER touched_{table}_{word} AFTER {word} ON main.{table} BEGIN "
            f"INSERT INTO touched SELECT '{table}' "
            f"WHERE NOT EXISTS (SELECT 1 FROM touched WHERE name = '{table}'); END;"
            for word in ("INSERT", "UPDATE", "DELETE")
        ]
    return "\n".join(lines)


@cache
def selecting(table: str, columns: Sequence[str], keys: Sequence[str]) -> str:
    """The query for all rows of a table in the order of its key."""
    return f"SELECT {', '.join(map(quoted, columns))} FROM {table} ORDER BY {', '.join(map(quoted, keys))}"


def quoted(name: str) -> str:
    """A column's name for SQL; `offset` and `first` are words of SQL too."""
    return f'"{name}"'


def layout(infos: Iterable[Sequence[Any]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns and key of a table, of the rows of `PRAGMA table_info`."""
    rows = list(infos)
    keys = sorted((row[5], row[1]) for row in rows if row[5])
    return tuple(row[1] for row in rows), tuple(name for _, name in keys) or ("rowid",)


def plain(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """Rows as JSON holds them."""
    return [[{"hex": one.hex()} if isinstance(one, bytes) else one for one in row] for row in rows]


def unplain(rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """The opposite."""
    return [tuple(bytes.fromhex(one["hex"]) if isinstance(one, dict) else one for one in row) for row in rows]


def crc_of(rows: Iterable[Sequence[Any]]) -> int:
    """CRC-32 of a table's rows, in the order of its key."""
    return zlib.crc32(json.dumps(plain(rows), separators=(",", ":")).encode())


def identity_crc(copy: Copy) -> int:
    """The same without what changes all the time."""
    without = _MARKS.get(copy.table, ())
    places = [place for place, name in enumerate(copy.columns) if name not in without]
    return crc_of([row[place] for place in places] for row in unplain(copy.rows))


def differs(rows: Sequence[Sequence[Any]], columns: Sequence[str], copy: Copy) -> bool:
    """Whether a table has anything that its copy lacks."""
    now = Copy(copy.table, 0, 0, 0, tuple(columns), plain(rows), 0)
    return identity_crc(now) != identity_crc(copy)


async def seal(connection: aiosqlite.Connection) -> set[str]:
    """Seal what this transaction touched, before it is committed; returns the tables."""
    names = {str(row[0]) for row in await connection.execute_fetchall(TOUCHED)}
    if names:
        for name in names:
            columns, keys = layout(await connection.execute_fetchall(f"PRAGMA table_info({name})"))
            rows = await connection.execute_fetchall(selecting(name, columns, keys))
            await connection.execute(_SEAL, (name, crc_of(rows)))
        await connection.execute("DELETE FROM temp.touched")
    return names


def layout_of(connection: sqlite3.Connection, table: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns and key of a table."""
    return layout(connection.execute(f"PRAGMA table_info({table})"))


def rows_of(connection: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    """All rows of a table, in the order of its key."""
    return connection.execute(selecting(table, *layout_of(connection, table))).fetchall()


def sums_of(connection: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """(version, crc) of each table that was sealed."""
    return {name: (version, crc) for name, version, crc in connection.execute("SELECT * FROM sums")}


def seal_all(connection: sqlite3.Connection, versions: dict[str, int] | None = None) -> None:
    """Seal every table as it is now, in a transaction of the caller.

    Args:
        versions: What their versions must not be below.
    """
    for name in SEALED:
        connection.execute(_SEAL, (name, crc_of(rows_of(connection, name))))
        if versions and name in versions:
            connection.execute(
                "UPDATE sums SET version = max(version, ?) WHERE name = ?", (versions[name], name)
            )


def copied(connection: sqlite3.Connection, table: str, at_ms: int) -> Copy:
    """A table as the journal holds it."""
    columns, _ = layout_of(connection, table)
    rows = rows_of(connection, table)
    version, _ = sums_of(connection).get(table, (0, 0))
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return Copy(table, version, crc_of(rows), found[0] if found else 0, columns, plain(rows), at_ms)


def put_copy(connection: sqlite3.Connection, copy: Copy) -> None:
    """Make a table as it was copied, in a transaction of the caller with foreign keys off."""
    connection.execute(f"DELETE FROM {copy.table}")
    insert(connection, copy.table, copy.columns, unplain(copy.rows))
    keep_sequence(connection, copy.table, copy.sequence)


def keep_sequence(connection: sqlite3.Connection, table: str, sequence: int) -> None:
    """An id that was given once is never given again."""
    found = connection.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    if sequence > (found[0] or 0):
        connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, sequence))


def insert(
    connection: sqlite3.Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Put rows in; those with a key that is there replace it."""
    connection.executemany(
        f"INSERT OR REPLACE INTO {table} ({', '.join(map(quoted, columns))}) "
        f"VALUES ({', '.join('?' * len(columns))})",
        rows,
    )
