"""What is removed, when: a little each hour, in the transaction that keeps the newest minute.

Removing 60 blocks touches one or two pages that are written anyway; the pages that come free are used again,
so the file keeps its size and is never vacuumed.
"""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass

import aiosqlite

from meterkast.model.time import DAY_MS, HALF_HOUR_MS, HOUR_MS, UtcMs
from meterkast_buffer.database import fetch
from meterkast_buffer.item_rows import CHECKED, row_crc
from meterkast_buffer.pendings import OPEN
from meterkast_buffer.refusal import primary_code
from meterkast_buffer.samples import NEAR_MS
from meterkast_buffer.state import put

log = logging.getLogger(__name__)

YEARS_AT_LEAST = 10

EVIDENCE_MONTHS = 13
"""A year's report can be audited for a month after the year."""

_LONGEST_MONTH_MS = 31 * DAY_MS

# Most of each that one step removes. A few hours per hour catch up with a shorter setting in days, and a
# clock that runs years ahead for a day costs days of the oldest, not everything.
_STEP_BLOCKS = 360
_STEP_MS = 3 * HOUR_MS
_STEP_PAYLOADS = 2000

_STEP_ROWS = 200
_STEP_MANY_ROWS = 2000

RECORDS = 10_000
"""How many installation messages, and values that were sent to devices, are kept at most."""

AVAILABILITIES = 100_000
"""How many changes of what can be reached are kept at most, some 5 MB: a device at the edge of the radio's
reach makes some hundred a day.
"""

# What goes first when the disk is full: an hour of the oldest blocks; the newest hours are needed to go on
# with a half-hour after a restart.
_SHED_BLOCKS = 60
_SHED_NOT = 120
_SHED_TIGHT = 2
_SHED_EVIDENCE = 200


# A closing with all its items, and a block, fit into as many: 256 KiB.
_SPARE_PAGES = 64


@dataclass(slots=True)
class Removed:
    """What a step removed; it counts once its transaction is committed.

    Attributes:
        due_ms: When the next step is due.
        blocks, evidence: What went to make room.
    """

    due_ms: UtcMs | None
    blocks: int = 0
    evidence: int = 0


@dataclass(slots=True)
class Retention:
    """How long what is kept.

    Attributes:
        samples_days: Blocks, intervals of other lengths than 30 minutes, and payloads of delivered items.
        half_hours_years: Half-hours, availabilities and the records of installing and sending; never less
            than ten. Rows of the outbox stay as the proof of delivery.
        evidence_months: The telegram or report behind each register's half-hour.
        due_ms: When the next step is due; None at start, so that the first transaction takes one.
        full: The disk was full at the last transaction: the oldest blocks go now, whatever their age; where
            none can, the oldest evidence.
        tight: There is no ballast any more, and hardly room: where the file has few free pages a little goes
            with each transaction, before one is refused.
        shed_blocks, shed_evidence: What went like this since start.
    """

    samples_days: int = 35
    half_hours_years: int = YEARS_AT_LEAST
    evidence_months: int = EVIDENCE_MONTHS
    due_ms: UtcMs | None = None
    full: bool = False
    tight: bool = False
    shed_blocks: int = 0
    shed_evidence: int = 0

    def due(self, now_ms: UtcMs | None) -> bool:
        """Whether what is old is looked for; also where the clock went back by more than the hour.

        Args:
            now_ms: None while the time is not known: nothing is old by it.
        """
        return now_ms is not None and (
            self.due_ms is None or not self.due_ms - HOUR_MS <= now_ms < self.due_ms
        )

    async def step(self, connection: aiosqlite.Connection, now_ms: UtcMs | None) -> Removed:
        """Make room where it is short, and remove what is too old where that is due, in a transaction of
        the caller.

        What goes wrong here is logged and undone, and never keeps the minute from being kept.

        Args:
            now_ms: None while the time is not known.
        """
        removed = Removed(self.due_ms)
        if not (self.full or self.tight or self.due(now_ms)):
            return removed
        await connection.execute("SAVEPOINT retention")
        try:
            if self.full or self.tight:
                removed.blocks, removed.evidence = await self._shed(connection)
            if now_ms is not None and self.due(now_ms):
                await self._remove_old(connection, now_ms)
                removed.due_ms = UtcMs(now_ms + HOUR_MS)
        except sqlite3.Error as error:
            # A full or failing disk ends the whole transaction; anything else only this part.
            if not connection.in_transaction or primary_code(error) in (
                sqlite3.SQLITE_FULL,
                sqlite3.SQLITE_IOERR,
            ):
                raise
            log.error("old samples not removed", extra={"reason": str(error)})
            await connection.execute("ROLLBACK TO retention")
            removed = Removed(self.due_ms if now_ms is None else UtcMs(now_ms + HOUR_MS))
        await connection.execute("RELEASE retention")
        return removed

    def taken(self, removed: Removed) -> None:
        """A step was committed."""
        self.due_ms = removed.due_ms
        self.full = False
        self.shed_blocks += removed.blocks
        self.shed_evidence += removed.evidence

    async def _remove_old(self, connection: aiosqlite.Connection, now_ms: UtcMs) -> None:
        old_ms = now_ms - self.samples_days * DAY_MS
        await _remove_blocks(connection, old_ms, now_ms)
        years = max(self.half_hours_years, YEARS_AT_LEAST)
        await _remove_intervals(connection, old_ms, now_ms - years * 366 * DAY_MS)
        await _remove_evidence(connection, now_ms - self.evidence_months * _LONGEST_MONTH_MS)
        await _clear_payloads(connection, old_ms)
        await _remove_records(connection, now_ms - years * 366 * DAY_MS)

    async def _shed(self, connection: aiosqlite.Connection) -> tuple[int, int]:
        """Samples first, then evidence where the disk refused, never a half-hour; how many of each."""
        if not self.full:
            [(spare,)] = await fetch(connection, "PRAGMA freelist_count")
            if spare >= _SPARE_PAGES:
                return 0, 0
        limit = _SHED_BLOCKS if self.full else _SHED_TIGHT
        blocks, evidence = await _shed_blocks(connection, limit), 0
        if not blocks and self.full:
            cursor = await connection.execute(
                "DELETE FROM evidence WHERE rowid IN (SELECT rowid FROM evidence ORDER BY rowid LIMIT ?)",
                (_SHED_EVIDENCE,),
            )
            evidence = cursor.rowcount
        if blocks or evidence:
            log.warning("disk full, oldest removed", extra={"blocks": blocks, "evidence": evidence})
        return blocks, evidence


async def _shed_blocks(connection: aiosqlite.Connection, limit: int) -> int:
    cursor = await connection.execute(
        "DELETE FROM blocks WHERE id IN (SELECT id FROM blocks ORDER BY id LIMIT ?) "
        "AND id < (SELECT id FROM blocks ORDER BY id DESC LIMIT 1 OFFSET ?)",
        (limit, _SHED_NOT),
    )
    return cursor.rowcount


async def _remove_blocks(connection: aiosqlite.Connection, old_ms: int, now_ms: int) -> None:
    bounded = "SELECT max(id) FROM (SELECT id FROM blocks WHERE id < ? ORDER BY id LIMIT ?)"
    await connection.execute(
        f"DELETE FROM blocks WHERE id <= ({bounded})",
        (old_ms, _STEP_BLOCKS),
    )
    # An id in the future comes from a clock that was wrong: there the samples' own time counts.
    await connection.execute(
        "DELETE FROM blocks WHERE id IN "
        "(SELECT block_id FROM strays WHERE block_id > ? AND last_ms < ? LIMIT ?)",
        (now_ms + NEAR_MS, old_ms, _STEP_BLOCKS),
    )


async def _remove_intervals(connection: aiosqlite.Connection, old_ms: int, half_hours_old_ms: int) -> None:
    length = 0
    # One seek per length; DISTINCT would read ten years of rows.
    while oldest := await fetch(
        connection,
        "SELECT length_ms, end_ms FROM half_hours WHERE length_ms > ? ORDER BY length_ms, end_ms LIMIT 1",
        (length,),
    ):
        [(length, first_ms)] = oldest
        until = half_hours_old_ms if length == HALF_HOUR_MS else old_ms
        await connection.execute(
            "DELETE FROM half_hours WHERE length_ms = ? AND end_ms < ?",
            (length, min(until, first_ms + _STEP_MS)),
        )


async def _remove_evidence(connection: aiosqlite.Connection, old_ms: int) -> None:
    await connection.execute(
        "DELETE FROM evidence WHERE id IN (SELECT id FROM evidence WHERE id < ? ORDER BY id LIMIT ?)",
        (old_ms, _STEP_ROWS),
    )


async def _clear_payloads(connection: aiosqlite.Connection, old_ms: int) -> None:
    """Empty what was delivered long ago, going on behind the last one that was looked at.

    An item that is still on its way when its turn comes keeps its payload for good.
    """
    at = await fetch(connection, "SELECT text FROM state WHERE scope = 'retention' AND key = 'payloads'")
    first = int(at[0][0]) if at else 0
    rows = await fetch(
        connection,
        "SELECT id, at_ms, delivered_ms FROM outbox WHERE id > ? ORDER BY id LIMIT ?",
        (first, _STEP_PAYLOADS),
    )
    last = first
    for number, at_ms, delivered_ms in rows:
        if (at_ms if delivered_ms is None else delivered_ms) >= old_ms:
            break
        last = number
    if last > first:
        cleared = await fetch(
            connection,
            f"SELECT id, crc, {CHECKED} FROM outbox WHERE id > ? AND id <= ? "
            "AND state = 1 AND payload <> x''",
            (first, last),
        )
        await connection.executemany(
            "UPDATE outbox SET payload = x'', crc = ? WHERE id = ?",
            [
                (row_crc(stream, at_ms, b"", *rest), number)
                for number, crc, stream, at_ms, payload, *rest in cleared
                if crc == row_crc(stream, at_ms, payload, *rest)  # else it stays wrong, and is found
            ],
        )
        await put(connection, "retention", "payloads", str(last))


async def _remove_records(connection: aiosqlite.Connection, old_ms: int) -> None:
    """What devices went through; the newest availability of a product and what is on its way stay."""
    await connection.execute(
        "DELETE FROM availabilities WHERE id IN (SELECT id FROM availabilities ORDER BY id LIMIT ?) "
        "AND at_ms < ? AND EXISTS (SELECT 1 FROM availabilities AS newer "
        "WHERE newer.product_id = availabilities.product_id AND newer.id > availabilities.id)",
        (_STEP_ROWS, old_ms),
    )
    await connection.execute(
        "DELETE FROM availabilities WHERE id IN (SELECT id FROM availabilities WHERE id <= "
        "(SELECT max(id) FROM availabilities) - ? ORDER BY id LIMIT ?) AND EXISTS (SELECT 1 FROM "
        "availabilities AS newer WHERE newer.product_id = availabilities.product_id "
        "AND newer.id > availabilities.id)",
        (AVAILABILITIES, _STEP_MANY_ROWS),
    )
    for table, among in (("installation_messages", "true"), ("pending_data", f"NOT {OPEN}")):
        await connection.execute(
            f"DELETE FROM {table} WHERE {among} AND id <= (SELECT max(id) FROM {table}) - ?", (RECORDS,)
        )
        await connection.execute(
            f"DELETE FROM {table} WHERE {among} AND at_ms < ? "
            f"AND id IN (SELECT id FROM {table} ORDER BY id LIMIT ?)",
            (old_ms, _STEP_ROWS),
        )
