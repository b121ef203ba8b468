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


def text_of(data: bytes) -> str:
    """A text as it is stored: one flipped bit makes it no UTF-8, and must not hide all other rows."""
    return data.decode("utf-8", "surrogateescape")


def connect(place: str | Path) -> sqlite3.Connection:
    """A connection to a file, or to what `uri` gives, that may be damaged."""
    connection = sqlite3.connect(place, uri=str(place).startswith("file:"), isolation_level=None)
    connection.text_factory = text_of
    return connection


def make_schema(connection: sqlite3.Connection) -> None:
    """The newest schema in a new database, as `migrate` makes it."""
    for step in migrations():
        connection.executescript(step.sql)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {newest_version()}")


SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"


@cache
def schema() -> tuple[Any, ...]:
    """What `sqlite_master` of a sound database says."""
    with closing(sqlite3.connect(":memory:")) as connection:
        make_schema(connection)
        return tuple(connection.execute(SCHEMA))


@cache
def tables() -> tuple[str, ...]:
    """All our tables."""
    return tuple(row[1] for row in schema() if row[0] == "table" and not row[1].startswith("sqlite_"))
