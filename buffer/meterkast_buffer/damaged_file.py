"""Ways to read a damaged database: as it is, without its log, with its first pages made new."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from meterkast_buffer.refusal import free_bytes
from meterkast_buffer.schema import connect, make_schema, tables

log = logging.getLogger(__name__)

PAGE_BYTES = 4096


def sources_of(path: str, work: str) -> Iterator[sqlite3.Connection]:
    """Connections that read the damaged file: as it is, without its log, with its first pages made new."""
    if not os.path.exists(path):
        return
    roomy = free_bytes(path) > 3 * os.path.getsize(path)
    if roomy:
        # On a copy, so that nothing that SQLite does on opening can change the damaged file.
        shutil.copyfile(path, work)
        if os.path.exists(path + "-wal"):
            shutil.copyfile(path + "-wal", work + "-wal")
    place = work if roomy else path
    for name in (f"file:{quote(place)}?mode=ro", f"file:{quote(place)}?mode=ro&immutable=1"):
        connection = connect(name)
        try:
            if _has_schema(connection):
                yield connection
                if "immutable" not in name:
                    return
                continue
        except (sqlite3.DatabaseError, UnicodeDecodeError):
            pass
        connection.close()
    if roomy:
        grafted = f"{work}-grafted"
        try:
            _graft(place, grafted)
            connection = connect(f"file:{quote(grafted)}?mode=ro&immutable=1")
            os.remove(grafted)  # it stays as long as it is open
            if _has_schema(connection):
                yield connection
        except (sqlite3.DatabaseError, UnicodeDecodeError, OSError) as error:
            log.warning("first pages could not be made new", extra={"reason": str(error)})


def _has_schema(connection: sqlite3.Connection) -> bool:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return {row[0] for row in rows} >= set(tables())


def _graft(damaged: str, to: str) -> None:
    """The file with new pages where the schema is: tables begin where `migrate` put them.

    Pages of the schema are those of an empty database in which no table or index begins.
    """
    template = f"{to}-empty"
    try:
        with closing(connect(template)) as connection:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            make_schema(connection)
            roots = {row[0] for row in connection.execute("SELECT rootpage FROM sqlite_master")}
        empty = Path(template).read_bytes()
    finally:
        remove(template)
    shutil.copyfile(damaged, to)
    with open(to, "r+b") as file:
        pages = max(file.seek(0, os.SEEK_END) // PAGE_BYTES, len(empty) // PAGE_BYTES)
        for number in range(1, len(empty) // PAGE_BYTES + 1):
            if number not in roots:
                file.seek((number - 1) * PAGE_BYTES)
                file.write(empty[(number - 1) * PAGE_BYTES : number * PAGE_BYTES])
        file.seek(28)
        file.write(pages.to_bytes(4, "big") + bytes(8))  # its size, and no list of free pages
        file.truncate(pages * PAGE_BYTES)


def remove(path: str) -> None:
    """Remove a database with all that belongs to it; what is not there is no error."""
    for tail in ("", "-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            os.remove(path + tail)
