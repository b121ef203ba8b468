"""Whether the file is sound: its header, its tables, its structure.

It runs before the gateway's connection is opened, in a thread, with nothing else open.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

from meterkast_buffer.findings import Findings
from meterkast_buffer.journal import Journal
from meterkast_buffer.migrate import APPLICATION_ID, newest_version
from meterkast_buffer.refusal import primary_code
from meterkast_buffer.schema import SCHEMA, connect, schema, tables, uri

WHOLE_BYTES = 4 * 1024 * 1024
"""Up to this size the whole file is checked at start (100,000 half-hours take 1.2 s of a PC's core); of a
larger one all but the big tables, whose rows are looked at each night instead.
"""

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_BIG = {"blocks", "half_hours", "outbox", "evidence"}


def examine(path: str, journal: Journal, findings: Findings, *, everything: bool = False) -> None:
    """Look whether the file is sound; writes nothing. What is wrong is in `findings.damage`.

    Args:
        everything: The whole file, whatever its size.

    Raises:
        sqlite3.Error: It cannot be looked at for another reason than damage: a lock, rights, a failing disk.
    """
    try:
        with closing(connect(uri(path))) as connection:
            findings.partial = not everything and os.stat(path).st_size > WHOLE_BYTES
            findings.damage = _examined(connection, journal, partial=findings.partial)
    except sqlite3.DatabaseError as error:
        code = primary_code(error)
        if code not in _DAMAGED and not (code == sqlite3.SQLITE_ERROR and _known(journal)):
            raise
        if not _known(journal) and code == sqlite3.SQLITE_NOTADB:
            raise  # some other file, and never one of ours
        findings.damage = str(error)
    except UnicodeDecodeError:  # damage that SQLite quotes in its message
        findings.damage = "its tables cannot be read"


def _known(journal: Journal) -> bool:
    return bool(journal.segments())


def _examined(connection: sqlite3.Connection, journal: Journal, *, partial: bool) -> str:
    [[application]] = connection.execute("PRAGMA application_id")
    [[version]] = connection.execute("PRAGMA user_version")
    known = max((frame.version for frame in journal.frames(segments=journal.segments()[-1:])), default=None)
    if known is not None and known <= newest_version():
        # The journal is of this database, so what the header says can be told from damage.
        if application != APPLICATION_ID:
            return f"its header says application {application:#x}"
        if version > newest_version() and tuple(connection.execute(SCHEMA)) != schema():
            return ""  # a newer release's: refused when it is opened
        if not known <= version <= newest_version():
            return f"its header says version {version}, the second copy {known}"
    elif application != APPLICATION_ID or version > newest_version():
        return ""  # another program's or a newer release's: refused when it is opened
    if version < newest_version():
        return ""  # it is migrated first, and checked with the next start
    if tuple(connection.execute(SCHEMA)) != schema():
        return "its tables are not those that were made"
    if not partial:
        checks = ["PRAGMA integrity_check(3)"]
    else:
        checks = [f"PRAGMA quick_check({name})" for name in tables() if name not in _BIG]
    wrong = [row[0] for check in checks for row in connection.execute(check) if row[0] != "ok"]
    return "; ".join(wrong[:3]).replace("\n", " ")
