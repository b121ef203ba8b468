"""Before a database is opened: it is checked, compared with its second copy, rebuilt if need be."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from meterkast.model.half_hour import HalfHour, RowKey
from meterkast.model.time import HALF_HOUR_MS, UtcMs, iso_utc
from meterkast_buffer.checking import examine
from meterkast_buffer.findings import Findings
from meterkast_buffer.half_hours import COLUMNS, half_hour_of
from meterkast_buffer.journal import OWNER, Journal, frames_of, pack, pack_rows, pack_table, sync
from meterkast_buffer.migrate import newest_version
from meterkast_buffer.refusal import refusal
from meterkast_buffer.repairing import repair
from meterkast_buffer.schema import connect, uri
from meterkast_buffer.sealed import copied
from meterkast_buffer.second import Second, stale
from meterkast_buffer.second_copy import OWN_ID

log = logging.getLogger(__name__)

_BACKFILL_ROWS = 500_000


def make_ready(path: str, years: int) -> Findings:
    """Check a database, and put right what is wrong; for the one who holds its lock, before it is opened.

    Args:
        path: The database; it may be missing.
        years: How long half-hours are kept.

    Raises:
        OSError, sqlite3.Error: It is no database of ours, or the disk refuses; it is then as it was.
    """
    from meterkast_buffer.salvage import finish, salvage

    findings, journal = Findings(), Journal.beside(path)
    if finish(path):
        findings.damage = "a rebuild that was interrupted is complete now"
    journal.mend()
    if not os.path.exists(path) or not os.path.getsize(path):
        if not journal.segments():
            return findings
        findings.damage = "the file is gone" if not os.path.exists(path) else "the file is empty"
    else:
        examine(path, journal, findings)
    if findings.damage:
        log.error("database damaged", extra={"reason": findings.damage})
        salvage(path, journal, findings)
    elif not _is_ours(path):
        return findings
    else:
        _compare(path, journal, findings)
    _complete(path, journal, years)
    for line in findings.lines():
        log.error("database checked", extra={"found": line})
    return findings


def _is_ours(path: str) -> bool:
    """Whether it is at this release's version; older ones are migrated first."""
    with closing(connect(uri(path))) as connection:
        return bool(connection.execute("PRAGMA user_version").fetchone()[0] == newest_version())


def look(path: str) -> Findings:
    """What `make_ready` would find, over all there is; nothing is changed.

    Raises:
        StorageError: It is no database of ours, or cannot be read.
    """
    findings, journal = Findings(), Journal.beside(path)
    try:
        examine(path, journal, findings)
        if not findings.damage:
            # Tried out on a copy in memory: repairing is how what is wrong is found.
            with (
                closing(connect(uri(path))) as source,
                closing(connect(":memory:")) as connection,
            ):
                source.backup(connection)
                second = Second(journal, everything=True)
                _tell_journal(second, findings)
                repair(connection, second, findings)
    except (sqlite3.Error, OSError) as error:
        raise refusal(error, path) from error
    return findings


def _compare(path: str, journal: Journal, findings: Findings) -> None:
    second = Second(journal, everything=False)
    with closing(connect(uri(path, "rw"))) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        own = connection.execute(OWN_ID).fetchone()
        if second.owner and (own is None or str(own[0]) != second.owner) and not _agrees(connection, second):
            aside = f"{journal.folder}.other-{second.owner[:8]}"
            os.rename(journal.folder, aside)
            findings.journal.append(f"The second copy was another database's; it is now {aside}.")
            second = Second(journal, everything=False)
        elif second.owner and (own is None or str(own[0]) != second.owner):
            findings.tables.append("The number of this database was wrong; its second copy knows it.")
        _tell_journal(second, findings)
        repair(connection, second, findings)


def _agrees(connection: sqlite3.Connection, second: Second) -> bool:
    """Whether a journal is of this database, though the numbers differ: half-hours of both are the same."""
    for key, text in list(second.texts.items())[:200]:
        row = connection.execute(
            f"SELECT {COLUMNS} FROM half_hours WHERE length_ms = ? AND end_ms = ? AND property_id = ? "
            "AND revision = ?",
            key,
        ).fetchone()
        one = None if row is None else half_hour_of(row)
        if one is not None and one.canonical() == text:
            return True
    return False


def _tell_journal(second: Second, findings: Findings) -> None:
    for name, after, until in second.damage.spans:
        span = f"after {iso_utc(UtcMs(after))}" if after else "from its begin"
        to = f" until {iso_utc(UtcMs(until))}" if until < 1 << 62 else ""
        findings.journal.append(f"The second copy's file {name} is damaged {span}{to}.")


def _complete(path: str, journal: Journal, years: int) -> None:
    """Give the journal what it lacks: what was kept just before a cut, or all where it is new or damaged."""
    second = Second(journal, everything=False)
    whole = bool(second.damage.spans) or not second.texts
    with closing(connect(uri(path))) as connection:
        own = connection.execute(OWN_ID).fetchone()
        since = 0 if whole else min((key.end_ms for key in second.texts), default=0)
        rows = connection.execute(
            f"SELECT {COLUMNS} FROM half_hours WHERE length_ms = {HALF_HOUR_MS} AND end_ms >= ? "
            f"ORDER BY end_ms DESC LIMIT {_BACKFILL_ROWS}",
            (since,),
        ).fetchall()
        fresh = [one for row in rows if (one := half_hour_of(row)) is not None]
        lacking = [one for one in fresh if _key(one) not in second.texts][::-1]
        newest = max([second.newest_ms, *(one.end_ms for one in fresh[:1])])
        names = stale(connection, second)
        if not lacking and not names:
            return
        version = newest_version()
        frames = [pack_table(copied(connection, name, newest), version) for name in names]
        frames += pack_rows(lacking, newest, version)
    journal.append(frames, newest, pack(OWNER, str(own[0]).encode(), newest, version), years)
    journal.close()
    if second.damage.spans:
        _drop_damage(journal)


def _key(one: HalfHour) -> RowKey:
    return RowKey(one.length_ms, one.end_ms, one.property_id, one.revision)


def _drop_damage(journal: Journal) -> None:
    """Write damaged files anew without what is no frame: what they lacked was just added."""
    for segment in journal.segments()[-2:]:
        data = segment.read_bytes()
        whole = b"".join(data[begin:end] for begin, end, frame in frames_of(data) if frame is not None)
        if len(whole) != len(data):
            temporary = Path(f"{segment}.new")
            with open(temporary, "wb") as file:
                file.write(whole)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, segment)
            sync(journal.folder)
