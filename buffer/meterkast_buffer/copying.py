"""A copy of the database while the gateway runs, and what is done to one before another gateway takes it up.

Both are for commands: plain `sqlite3`, in a process of their own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import quote

from meterkast.model.errors import StorageError
from meterkast_buffer.guard import hold, release
from meterkast_buffer.refusal import refusal
from meterkast_buffer.sealed import seal_all, sums_of

RESTORED = ("gateway", "restored")
"""Scope and key of the text that tells a gateway that it was restored; see pipeline/resuming.py."""

WAITING = "waiting"

# What was numbered after the backup was made is not known to it, and a number is never used again: so that
# many are left out. The records of installing and availability are kept by number, so theirs are few.
_LEFT_OUT = 1_000
_LEFT_OUT_ITEMS = 1_000_000


def copy_database(path: str, to: str) -> None:
    """Copy it as it is at one instant, and check the copy.

    The connection reads only: it takes part in no checkpoint, and in WAL mode readers and the writer do not
    wait for one another. While it reads the log cannot begin anew, so it grows by what is written meanwhile.

    Raises:
        StorageError: It cannot be read, or the copy is not sound.
    """
    try:
        with (
            closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(to)) as target,
        ):
            target.execute("PRAGMA synchronous = OFF")  # it is read once and removed
            source.backup(target)  # all pages in one step: of one instant, whatever is committed meanwhile
            _must_be_sound(target, path)
    except sqlite3.Error as error:
        raise refusal(error, path) from error


def prepare_restored(path: str) -> None:
    """Make a database of a backup ready for the gateway that takes it up.

    What waited for a platform may have been delivered since: each such item counts as sent before. Ids go
    on far beyond those that may have been given out since.

    Args:
        path: A copy that nobody uses.

    Raises:
        StorageError: It is not sound, or cannot be written.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            _must_be_sound(database, path)
            database.execute("PRAGMA synchronous = FULL")
            database.execute("BEGIN IMMEDIATE")
            database.execute("UPDATE outbox SET tries = max(tries, 1) WHERE state = 0")
            for (table,) in database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'"
            ).fetchall():
                left_out = _LEFT_OUT_ITEMS if table == "outbox" else _LEFT_OUT
                known = database.execute(
                    "SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)
                ).fetchone()
                database.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
                database.execute(
                    "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)",
                    (table, (known[0] if known else 0) + left_out),
                )
            database.execute(
                "INSERT OR REPLACE INTO state (scope, key, text) VALUES (?, ?, ?)", (*RESTORED, WAITING)
            )
            # The second copy was saved a little later: what it says of these tables is not to replace them.
            sums = sums_of(database)
            seal_all(database, {name: version + _LEFT_OUT for name, (version, _) in sums.items()})
            database.execute("COMMIT")
    except sqlite3.Error as error:
        raise refusal(error, path) from error


@contextmanager
def kept_from_gateways(path: str) -> Iterator[None]:
    """While this lasts no gateway can open the database.

    Raises:
        StorageError: One has it open.
    """
    guard = hold(path)
    try:
        yield
    finally:
        release(guard)


def _must_be_sound(database: sqlite3.Connection, path: str) -> None:
    wrong = [row[0] for row in database.execute("PRAGMA quick_check") if row[0] != "ok"]
    if wrong:
        raise StorageError(
            f"{path} is damaged: {wrong[0]}",
            hint="Start the gateway: it saves what can be saved, and says so.",
        )
