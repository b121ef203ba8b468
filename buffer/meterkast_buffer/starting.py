"""Before a database is opened: it is checked, compared with its second copy, rebuilt if need be."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing

from meterkast.model.half_hour import RowKey
from meterkast.model.time import UtcMs, iso_utc
from meterkast_buffer.checking import examine
from meterkast_buffer.completing import complete
from meterkast_buffer.findings import Findings
from meterkast_buffer.free_name import free_name
from meterkast_buffer.half_hours import COLUMNS, half_hour_of
from meterkast_buffer.journal import Journal
from meterkast_buffer.migrate import newest_version
from meterkast_buffer.refusal import refusal
from meterkast_buffer.repairing import repair
from meterkast_buffer.schema import connect, uri
from meterkast_buffer.second import RECENT_MS, Second, kept_since
from meterkast_buffer.second_copy import OWN_ID

log = logging.getLogger(__name__)


def make_ready(path: str, years: int, *, everything: bool = False) -> Findings:
    """Check a database, and put right what is wrong; for the one who holds its lock, before it is opened.

    Args:
        path: The database; it may be missing.
        years: How long half-hours are kept.
        everything: All of it is compared, however large it is.

    Raises:
        OSError, sqlite3.Error: It is no database of ours, or the disk refuses; it is then as it was.
        StorageError: It is gone or damaged, and its second copy cannot be read.
    """
    from meterkast_buffer.salvage import finish, salvage

    findings, journal = Findings(), Journal.beside(path)
    if finish(path):
        findings.damage = "a rebuild that was interrupted is complete now"
    journal.mend()
    if not os.path.exists(path) or not os.path.getsize(path):
        if not journal.segments() and journal.unlisted is None:
            return findings
        findings.damage = "the file is gone" if not os.path.exists(path) else "the file is empty"
    else:
        examine(path, journal, findings, everything=everything)
    if findings.damage:
        log.error("database damaged", extra={"reason": findings.damage})
        salvage(path, journal, findings)
    elif not _is_ours(path):
        return findings
    else:
        _compare(path, journal, findings, everything=everything)
    complete(path, journal, years, everything=everything)
    for line in findings.lines():
        log.error("database checked", extra={"found": line})
    return findings


def _is_ours(path: str) -> bool:
    """Whether it is at this release's version; older ones are migrated first."""
    with closing(connect(uri(path))) as connection:
        return bool(connection.execute("PRAGMA user_version").fetchone()[0] == newest_version())


def look(path: str) -> Findings:
    """What `make_ready` would find, over all there is; nothing is changed.

    The copy that it needs is beside the database, or in $TMPDIR where that is set.

    Raises:
        StorageError: It is no database of ours, or cannot be read.
    """
    import tempfile  # only the command looks

    findings, journal = Findings(looked=True), Journal.beside(path)
    # Not in memory: it may be larger than that.
    beside = None if "TMPDIR" in os.environ else os.path.dirname(os.path.abspath(path))
    try:
        examine(path, journal, findings, everything=True)
        if not findings.damage:
            # Tried out on a copy: repairing is how what is wrong is found.
            with tempfile.TemporaryDirectory(prefix="meterkast-check-", dir=beside) as folder:
                _try_out(path, f"{folder}/copy.db", journal, findings)
    except (sqlite3.Error, OSError) as error:
        raise refusal(error, path) from error
    return findings


def _try_out(path: str, copy: str, journal: Journal, findings: Findings) -> None:
    with closing(connect(uri(path))) as source, closing(connect(copy)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        source.backup(connection)
        second = Second(journal, everything=True)
        _tell_journal(second, findings)
        repair(connection, second, findings)


def _compare(path: str, journal: Journal, findings: Findings, *, everything: bool) -> None:
    second = Second(journal, everything=everything)
    with closing(connect(uri(path, "rw"))) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        own = connection.execute(OWN_ID).fetchone()
        if second.owner and (own is None or str(own[0]) != second.owner) and not _agrees(connection, second):
            aside = free_name(f"{journal.folder}.other-{second.owner[:8]}")
            os.rename(journal.folder, aside)
            findings.journal.append(f"The second copy was another database's; it is now {aside}.")
            second = Second(journal, everything=everything)
        elif second.owner and (own is None or str(own[0]) != second.owner):
            findings.tables.append("The number of this database was wrong; its second copy knows it.")
        _tell_journal(second, findings)
        repair(connection, second, findings)


def _agrees(connection: sqlite3.Connection, second: Second) -> bool:
    """Whether a journal is of this database, though the numbers differ: half-hours of both are the same."""
    recent: dict[RowKey, str] = next(kept_since(second.journal, second.closed_ms - RECENT_MS), {})
    for key, text in list(recent.items())[:200]:
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
    for name, error in second.damage.unreadable:
        findings.journal.append(f"The second copy's {name} cannot be read: {error.strerror}.")
    for name, after, until in second.damage.spans:
        span = f"after {iso_utc(UtcMs(after))}" if after else "from its begin"
        to = f" until {iso_utc(UtcMs(until))}" if until < 1 << 62 else ""
        findings.journal.append(f"The second copy's file {name} is damaged {span}{to}.")
