"""Boots of the machine, and clock episodes: those that ended before they learned the time."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

import aiosqlite

from meterkast.model.boot import Boot
from meterkast.model.clock_episode import ClockEpisode, RegisterSpan
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import UtcMs
from meterkast_buffer.database import Database, Row, known
from meterkast_buffer.row_sums import SUMMED, is_right

log = logging.getLogger(__name__)

COLUMNS = "id, first_ms, last_ms, offset_ms, trust, sources, learned_ms, rtc_good"
_INSERT = f"INSERT INTO boots ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_UPDATE = (
    "UPDATE boots SET last_ms = ?, offset_ms = ?, trust = ?, sources = ?, learned_ms = ?, rtc_good = ? "
    "WHERE id = ?"
)
_EPISODE = "boot_id, after_ms, before_ms, duration_ms, readings, registers"

BOOTS = 100
"""How many boots are remembered; one that has samples without a time is not forgotten."""


class Boots:
    """The tables `boots` and `episodes`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, connection: aiosqlite.Connection, boot: Boot) -> None:
        """Keep a boot, or what is new of it, in a transaction of the caller."""
        sources = json.dumps(boot.sources)
        row = (boot.last_ms, boot.offset_ms, boot.trust, sources, boot.learned_ms, int(boot.rtc_good))
        # Not INSERT … ON CONFLICT: that writes the page of sqlite_sequence too, every ten minutes.
        if (await connection.execute(_UPDATE, (*row, boot.id))).rowcount:
            return
        await connection.execute(_INSERT, (boot.id, boot.first_ms, *row))
        await connection.execute(
            "DELETE FROM boots WHERE number <= (SELECT max(number) FROM boots) - ? AND offset_ms IS NOT NULL",
            (BOOTS,),
        )

    async def all(self) -> list[Boot]:
        """All that are remembered, oldest first; one that is not as it was written is left out."""
        rows = await self._database.rows(f"SELECT {SUMMED['boots']}, crc FROM boots ORDER BY number")
        wrong = sum(not is_right(row) for row in rows)
        if wrong:
            log.error("boots damaged", extra={"rows": wrong})
        return [known(self._database, as_boot, row[1:-1]) for row in rows if is_right(row)]

    async def add_episode(self, connection: aiosqlite.Connection, episode: ClockEpisode) -> None:
        """Keep an episode; its boot is forgotten. In a transaction of the caller."""
        registers = [
            (one.property_id, *one.first, *one.last, *(one.total or (None, None)))
            for one in episode.registers
        ]
        await connection.execute(
            f"INSERT OR REPLACE INTO episodes ({_EPISODE}) VALUES (?, ?, ?, ?, ?, ?)",
            (
                episode.boot_id,
                episode.after_ms,
                episode.before_ms,
                episode.duration_ms,
                episode.readings,
                json.dumps(registers),
            ),
        )
        await connection.execute("DELETE FROM boots WHERE id = ?", (episode.boot_id,))

    async def episodes(self, after_ms: UtcMs, until_ms: UtcMs) -> list[ClockEpisode]:
        """Those that may overlap (after, until], oldest first."""
        rows = await self._database.rows(
            f"SELECT {_EPISODE} FROM episodes WHERE before_ms > ? AND coalesce(after_ms, 0) < ? "
            "ORDER BY before_ms, after_ms, boot_id",
            (after_ms, until_ms),
        )
        return [known(self._database, _episode, row) for row in rows]


def as_boot(row: Row) -> Boot:
    """A row of `boots`."""
    boot_id, first_ms, last_ms, offset_ms, trust, sources, learned_ms, rtc_good = row
    return Boot(
        id=boot_id,
        first_ms=first_ms,
        last_ms=last_ms,
        offset_ms=offset_ms,
        trust=trust,
        sources=tuple(json.loads(sources)),
        learned_ms=learned_ms,
        rtc_good=bool(rtc_good),
    )


def _episode(row: Row) -> ClockEpisode:
    boot_id, after_ms, before_ms, duration_ms, readings, registers = row
    return ClockEpisode(
        boot_id=boot_id,
        after_ms=None if after_ms is None else UtcMs(after_ms),
        before_ms=UtcMs(before_ms),
        duration_ms=duration_ms,
        readings=readings,
        registers=tuple(_span(one) for one in json.loads(registers)),
    )


def _span(row: Sequence[int]) -> RegisterSpan:
    property_id, first, first_digits, last, last_digits, total, total_digits = row
    return RegisterSpan(
        property_id=PropertyId(property_id),
        first=Quantity(first, first_digits),
        last=Quantity(last, last_digits),
        total=None if total is None else Quantity(total, total_digits),
    )
