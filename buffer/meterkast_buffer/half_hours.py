"""Half-hours and intervals of other lengths: written once, read back with their CRC checked."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

import aiosqlite

from meterkast.model.errors import StorageError
from meterkast.model.half_hour import Cause, HalfHour, Intervals, RowKey, State
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import HALF_HOUR_MS, UtcMs
from meterkast_buffer.database import Database, Row

log = logging.getLogger(__name__)

# What the column `state` says. Causes are kept as their text: few rows have one.
_STATES = {State.MEASURED: 0, State.LATE: 1, State.SUSPECT: 2, State.MISSING: 3}
_STATE_OF = {number: state for state, number in _STATES.items()}

# As a signed number a CRC takes four bytes in a row of SQLite, as an unsigned one six.
CRC_MIDDLE = 1 << 31

# Rows of one answer of the database: about 10 ms of work, then other tasks have their turn.
_PAGE_ROWS = 2000

COLUMNS = (
    "length_ms, end_ms, property_id, revision, whole, decimals, taken_before_ms, count, state, cause, "
    "epoch, before_emptyings, crc"
)
INSERT = f"INSERT INTO half_hours ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = f"""
    SELECT {COLUMNS} FROM half_hours
    WHERE length_ms = ? AND (end_ms, property_id, revision) > (?, ?, ?) AND end_ms <= ?
    ORDER BY end_ms, property_id, revision LIMIT {_PAGE_ROWS}
"""
_SELECT_SOME = _SELECT.replace("ORDER", "AND property_id IN (SELECT value FROM json_each(?)) ORDER")
_NOT_AMENDED = (
    "NOT EXISTS (SELECT 1 FROM amendments AS late WHERE late.end_ms = half_hours.end_ms "
    "AND late.property_id = half_hours.property_id AND late.revision = half_hours.revision)"
)
_LAST = f"""
    SELECT {COLUMNS} FROM half_hours
    WHERE length_ms = {HALF_HOUR_MS} AND property_id = ? AND end_ms <= ?
        AND state < 2 AND taken_before_ms IS NOT NULL
    ORDER BY end_ms DESC, revision DESC LIMIT 1
"""
CLOSED = """
    INSERT INTO closed (property_id, length_ms, end_ms) VALUES (?, ?, ?)
    ON CONFLICT (property_id, length_ms) DO UPDATE SET end_ms = excluded.end_ms
"""


class HalfHours:
    """The tables `half_hours` and `closed`.

    Attributes:
        damaged: Rows whose CRC was found wrong since start.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.damaged: set[RowKey] = set()

    async def insert(self, connection: aiosqlite.Connection, half_hours: Sequence[HalfHour]) -> None:
        """Add rows, in a transaction of the caller.

        Raises:
            StorageError: A row with that key is there already: what is closed is never overwritten.
        """
        if not half_hours:
            return
        # In the order of the key, so that the end of the B-tree is all that is touched.
        rows = sorted(map(row_of, half_hours))
        before = connection.total_changes
        try:
            await connection.executemany(INSERT, rows)
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
                raise
            key = RowKey(*rows[connection.total_changes - before][:4])
            raise StorageError(
                f"{key}: was kept before, and a closed row is never overwritten",
                hint="A fault in the gateway: report it. What was kept first stands.",
            ) from error

    async def among(self, one: HalfHour) -> bool:
        """Whether exactly this is kept."""
        key = one.length_ms, one.end_ms, one.property_id, one.revision
        rows = await self._database.rows(
            f"SELECT {COLUMNS} FROM half_hours WHERE length_ms = ? AND end_ms = ? AND property_id = ? "
            "AND revision = ?",
            key,
        )
        return [half_hour_of(row) for row in rows] == [one]

    async def close(
        self, connection: aiosqlite.Connection, closed: Mapping[tuple[PropertyId, int], UtcMs]
    ) -> None:
        """Record how far (property, length) are closed, in a transaction of the caller."""
        await connection.executemany(CLOSED, [(*key, end_ms) for key, end_ms in sorted(closed.items())])

    async def closed_until(self) -> dict[tuple[PropertyId, int], UtcMs]:
        """How far each (property, length in ms) is closed."""
        rows = await self._database.rows("SELECT property_id, length_ms, end_ms FROM closed")
        return {(PropertyId(row[0]), row[1]): UtcMs(row[2]) for row in rows}

    async def first_ms(self) -> UtcMs | None:
        """End of the oldest half-hour that is kept."""
        rows = await self._database.rows(
            "SELECT min(end_ms) FROM half_hours WHERE length_ms = ?", (HALF_HOUR_MS,)
        )
        return None if rows[0][0] is None else UtcMs(rows[0][0])

    async def select(
        self,
        after_ms: UtcMs,
        until_ms: UtcMs,
        length_ms: int,
        properties: Iterable[PropertyId] | None,
        damaged: list[RowKey] | None,
    ) -> list[HalfHour]:
        """Newest revision of each interval that ends in (after, until], by end then property.

        A wrong row takes its whole interval with it, because an older revision is not the truth any more;
        every other interval is unharmed.

        Args:
            after_ms, until_ms, length_ms: Which intervals.
            properties: Of which properties; None for all.
            damaged: Takes the keys of wrong rows. None raises at the end instead, when all are known.

        Raises:
            StorageError: The database refused, or rows are wrong and `damaged` is None.
        """
        newest: dict[tuple[int, int], HalfHour | None] = {}
        wrong: list[RowKey] = []
        some = None if properties is None else list(properties)
        async for row in self._rows(Intervals(after_ms, until_ms, length_ms, some)):
            half_hour = half_hour_of(row)
            if half_hour is None:
                wrong.append(RowKey(*row[:4]))
            newest[row[1], row[2]] = half_hour
        self._refuse(wrong, damaged)
        return [half_hour for half_hour in newest.values() if half_hour is not None]

    async def revisions(
        self, intervals: Intervals, damaged: list[RowKey], *, sealable: bool = False
    ) -> list[HalfHour]:
        """Every revision of each interval, by end, property and revision.

        Args:
            damaged: Takes the keys of wrong rows, which are left out.
            sealable: Without those that were made after their day was sealed.

        Raises:
            StorageError: The database refused.
        """
        found: list[HalfHour] = []
        wrong: list[RowKey] = []
        async for row in self._rows(intervals, sealable=sealable):
            half_hour = half_hour_of(row)
            if half_hour is None:
                wrong.append(RowKey(*row[:4]))
            else:
                found.append(half_hour)
        self._refuse(wrong, damaged)
        return found

    async def _rows(self, intervals: Intervals, *, sealable: bool = False) -> AsyncIterator[Row]:
        after_ms, until_ms, length_ms, properties = intervals
        query, more = _SELECT, []
        if properties is not None:
            query, more = _SELECT_SOME, [json.dumps(list(properties))]
        if sealable:
            query = query.replace("ORDER", f"AND {_NOT_AMENDED} ORDER")
        # Above every property and revision, so that the first page starts behind `after_ms` itself.
        place: tuple[int, int, int] = (after_ms, (1 << 63) - 1, 0)
        while True:
            rows = await self._database.rows(query, (length_ms, *place, until_ms, *more))
            for row in rows:
                yield row
            if len(rows) < _PAGE_ROWS:
                return
            place = rows[-1][1:4]

    def _refuse(self, wrong: Sequence[RowKey], damaged: list[RowKey] | None) -> None:
        if not wrong:
            return
        self._report(wrong)
        if damaged is None:
            raise StorageError(
                f"{self._database.path}: {len(wrong)} damaged: " + "; ".join(map(str, wrong[:5])),
                hint="The card changed what was written: copy the database and replace the card.",
            )
        damaged += wrong

    async def last_measured(self, properties: Iterable[PropertyId], until_ms: UtcMs) -> list[HalfHour]:
        """The newest half-hour up to then of each property that has a reading; a damaged one is none."""
        rows: list[Row] = []
        for property_id in properties:
            rows += await self._database.rows(_LAST, (property_id, until_ms))
        return [found for row in rows if (found := half_hour_of(row)) is not None]

    def _report(self, wrong: Sequence[RowKey]) -> None:
        for key in wrong:
            if key not in self.damaged:
                self.damaged.add(key)
                log.error("half-hour damaged", extra={"row": str(key)})


def row_of(half_hour: HalfHour) -> Row:
    """A half-hour as its row."""
    value, taken_ms = half_hour.value, half_hour.taken_ms
    return (
        half_hour.length_ms,
        half_hour.end_ms,
        half_hour.property_id,
        half_hour.revision,
        None if value is None else value.whole,
        None if value is None else value.decimals,
        None if taken_ms is None else half_hour.end_ms - taken_ms,
        half_hour.count,
        _STATES[half_hour.state],
        half_hour.cause.value if half_hour.cause else None,
        half_hour.epoch,
        ",".join(map(str, half_hour.before_emptyings)) or None,
        half_hour.crc() - CRC_MIDDLE,
    )


def half_hour_of(row: Row) -> HalfHour | None:
    """The half-hour of a row; None where the row is not as it was written."""
    (
        length_ms,
        end_ms,
        property_id,
        revision,
        whole,
        decimals,
        before_ms,
        count,
        state,
        cause,
        epoch,
        emptyings,
        crc,
    ) = row
    try:
        half_hour = HalfHour(
            property_id=PropertyId(property_id),
            end_ms=UtcMs(end_ms),
            length_ms=length_ms,
            value=None if whole is None else Quantity(whole, decimals),
            taken_ms=None if before_ms is None else UtcMs(end_ms - before_ms),
            count=count,
            state=_STATE_OF[state],
            cause=None if cause is None else Cause(cause),
            revision=revision,
            epoch=epoch,
            before_emptyings=tuple(map(int, emptyings.split(","))) if emptyings else (),
        )
        return half_hour if half_hour.crc() - CRC_MIDDLE == crc else None
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError):
        return None  # a damaged row may hold any type in any column
