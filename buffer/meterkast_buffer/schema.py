"""What a sound database's tables are."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from meterkast_buffer.migrate import APPLICATION_ID, migrations, newest_version


def uri(path: str | Path, mode: str = "ro") -> str:
    """SQLite's name for a file."""
    return f"file:{quote(str(path))}?mode={mode}"


def make_schema(connection: sqlite3.Connection) -> None:
    """The newest schema in a new database, as `migrate` makes it."""
    for step in migrations():
        connection.executescript(step.sql)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {newest_version()}")


SCHEMA = (
    "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name <> 'sqlite_sequence' ORDER BY type, name"
)


@cache
def schema() -> tuple[Any, ...]:
    """What `sqlite_master` of a sound database says."""
    with closing(sqlite3.connect(":memory:")) as connection:
        make_schema(connection)
        return tuple(connection.execute(SCHEMA))


@cache
def tables() -> tuple[str, ...]:
    """All our tables."""
    return tuple(row[1] for row in schema() if row[0] == "table")
