"""Numbered migrations: each file in `migrations/` runs once, in one transaction with its number.

The number is SQLite's `user_version`, so it is written by the same commit as the change itself. A file that
was released is never changed again; what comes later gets the next number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import aiosqlite

from meterkast.model.errors import StorageError

APPLICATION_ID = 0x4D4B5354
"""What `file` and SQLite's header know our database by: "MKST"."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step.

    Attributes:
        number: 1 and up, without gaps; the database's version after it.
        name: The file's name.
        sql: Statements; none of them may begin or commit a transaction.
    """

    number: int
    name: str
    sql: str


@cache
def migrations() -> tuple[Migration, ...]:
    """All steps, in order."""
    folder = resources.files("meterkast_buffer") / "migrations"
    found = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name
    )
    steps = tuple(Migration(int(entry.name[:4]), entry.name, entry.read_text("utf-8")) for entry in found)
    assert [step.number for step in steps] == list(range(1, len(steps) + 1)), "a number is missing or double"
    return steps


def newest_version() -> int:
    """The version of a database that this release has brought up to date."""
    return len(migrations())


async def version_of(connection: aiosqlite.Connection, path: str) -> int:
    """The version of the database; 0 where it is new and empty. Writes nothing.

    Raises:
        StorageError: It is another program's database, or a newer release wrote it.
        sqlite3.Error: It is no database, or damaged.
    """
    application = await _number(connection, "PRAGMA application_id")
    version = await _number(connection, "PRAGMA user_version")
    tables = await _number(connection, "SELECT count(*) FROM sqlite_master")
    if application != APPLICATION_ID and (application or version or tables):
        raise StorageError(
            f"{path} is a database of another program",
            hint="It is left as it is. Set storage.path to a file of the gateway's own.",
        )
    if version > (newest := newest_version()):
        raise StorageError(
            f"{path} has database version {version}, and this release knows versions up to {newest}",
            hint="A newer release wrote it, and it is left as it is. Install that release again, or put back "
            "the copy from before the update.",
        )
    return version


async def migrate(connection: aiosqlite.Connection, version: int) -> int:
    """Bring a database up to date; returns how many steps were taken.

    Raises:
        sqlite3.Error: A step failed; the database is at the version before it.
    """
    steps = migrations()[version:]
    for step in steps:
        script = (
            f"BEGIN IMMEDIATE;\n{step.sql}\n"
            f"PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {step.number};\nCOMMIT;"
        )
        try:
            await connection.executescript(script)
        except BaseException:
            await connection.rollback()
            raise
    return len(steps)


async def _number(connection: aiosqlite.Connection, sql: str) -> int:
    rows = list(await connection.execute_fetchall(sql))
    return int(rows[0][0])
