"""Raw samples: one block a minute, found by time without an index.

A block's id is the time it was kept, so blocks lie in the order of time and a search is a walk down one
B-tree. Its samples were measured shortly before; an hourly gas value up to an hour before. The few blocks
that hold anything further off (a clock that was wrong, a meter that was caught up with) are listed in the
table `strays`, and every search looks there too: nothing is missed, and nothing is scanned.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import aiosqlite

from meterkast.model.reading import Frames, Layout
from meterkast.model.time import HOUR_MS, UtcMs
from meterkast_buffer.block import BlockError, decode, encode, pack_layout, span, unpack_layout
from meterkast_buffer.database import Database, Row

log = logging.getLogger(__name__)

# Hourly M-Bus values come up to an hour late, a block lasts up to 15 minutes: twice that is room enough.
NEAR_MS = 2 * HOUR_MS

# Blocks of one answer: 64 kB, and some 20 ms to decode on the smallest Pi before others have their turn.
_PAGE_BLOCKS = 32

_SELECT = f"""
    SELECT id, data FROM blocks WHERE id > ? AND id <= ? AND last_ms > ? AND first_ms <= ?
    ORDER BY id LIMIT {_PAGE_BLOCKS}
"""
_END = (1 << 63) - 1


def _rows(table: Frames) -> int:
    return len(table.times)


@dataclass(slots=True)
class Numbers:
    """What a transaction added; comes into force when it is committed."""

    last_id: int
    layouts: dict[Layout, int] = field(default_factory=dict)


class Samples:
    """The tables `blocks`, `strays` and `layouts`.

    Attributes:
        damaged: Blocks that could not be decoded since start, by id.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._numbers: dict[Layout, int] = {}
        self._layouts: dict[int, Layout] = {}
        self._last_id = 0
        self.damaged: set[int] = set()

    async def load(self) -> None:
        """Read the layouts and the newest id, at start and when the file was opened anew.

        Raises:
            StorageError: The database refused.
        """
        self._numbers.clear()
        self._layouts.clear()
        for number, columns in await self._database.rows("SELECT id, columns FROM layouts"):
            self._know(unpack_layout(columns), number)
        self._last_id = (await self._database.rows("SELECT coalesce(max(id), 0) FROM blocks"))[0][0]

    def begin(self) -> Numbers:
        """What a transaction adds, empty yet; `apply` takes it once it is committed."""
        return Numbers(self._last_id)

    async def pack(self, connection: aiosqlite.Connection, frames: Sequence[Frames], added: Numbers) -> bytes:
        """The block of some tables, in a transaction of the caller; layouts that are new are kept."""
        new: dict[Layout, int] = {}

        def number(layout: Layout) -> int:
            known = self._numbers.get(layout) or added.layouts.get(layout)
            if known is None:
                # Not how many there are: where one was lost its number stays free.
                known = max((0, *self._layouts, *added.layouts.values())) + 1
                new[layout] = added.layouts[layout] = known
            return known

        data = encode(frames, number)
        if new:
            await connection.executemany(
                "INSERT INTO layouts (id, columns) VALUES (?, ?)",
                [(one, pack_layout(layout)) for layout, one in new.items()],
            )
        return data

    async def insert(
        self, connection: aiosqlite.Connection, frames: Sequence[Frames], now_ms: UtcMs, added: Numbers
    ) -> None:
        """Add one block, in a transaction of the caller; none where there is no sample.

        Args:
            added: Of that transaction; see `begin`.
        """
        # Tables of one length beside one another pack better: a radio network is two hundred little ones.
        filled = sorted((table for table in frames if table.times), key=_rows)
        if not filled:
            return
        data = await self.pack(connection, filled, added)
        added.last_id = max(now_ms, added.last_id + 1)
        first_ms, last_ms = span(filled)
        await connection.execute(
            "INSERT INTO blocks (id, first_ms, last_ms, data) VALUES (?, ?, ?, ?)",
            (added.last_id, first_ms, last_ms, data),
        )
        if first_ms < added.last_id - NEAR_MS or last_ms > added.last_id + NEAR_MS:
            await connection.execute(
                "INSERT INTO strays (block_id, first_ms, last_ms) VALUES (?, ?, ?)",
                (added.last_id, first_ms, last_ms),
            )

    def unpack(self, data: bytes) -> list[Frames]:
        """The tables of a block.

        Raises:
            BlockError: It is damaged.
        """
        return decode(data, self._layouts)

    def apply(self, added: Numbers) -> None:
        """Take over what a committed transaction added."""
        self._last_id = added.last_id
        for layout, number in added.layouts.items():
            self._know(layout, number)

    async def select(self, since_ms: UtcMs, until_ms: UtcMs | None) -> AsyncIterator[list[Frames]]:
        """Blocks that hold samples measured in (since, until], in the order they were kept.

        A block at the edge is given whole. A damaged block is left out, logged and listed in `damaged`.

        Raises:
            StorageError: The database refused.
        """
        until = _END if until_ms is None else until_ms
        low, high = since_ms - NEAR_MS - 1, min(_END, until + NEAR_MS)
        strays = await self._database.rows(
            "SELECT block_id FROM strays WHERE last_ms > ? AND first_ms <= ? "
            "AND (block_id <= ? OR block_id > ?) ORDER BY block_id",
            (since_ms, until, low, high),
        )
        for (stray,) in strays:
            if stray <= low:
                async for frames in self._page(stray - 1, stray, since_ms, until):
                    yield frames
        async for frames in self._page(low, high, since_ms, until):
            yield frames
        for (stray,) in strays:
            if stray > high:
                async for frames in self._page(stray - 1, stray, since_ms, until):
                    yield frames

    async def between(self, first: int, last: int) -> AsyncIterator[list[Frames]]:
        """The blocks of those ids, in their order; a damaged one is left out, as by `select`."""
        async for frames in self._page(first - 1, last, -_END, _END):
            yield frames

    async def _page(
        self, after_id: int, until_id: int, since: int, until: int
    ) -> AsyncIterator[list[Frames]]:
        while rows := await self._database.rows(_SELECT, (after_id, until_id, since, until)):
            for row in rows:
                if (frames := self._decoded(row)) is not None:
                    yield frames
            if len(rows) < _PAGE_BLOCKS:
                return
            after_id = rows[-1][0]

    def _decoded(self, row: Row) -> list[Frames] | None:
        try:
            return decode(row[1], self._layouts)
        except BlockError as error:
            if row[0] not in self.damaged:
                self.damaged.add(row[0])
                log.error("block damaged", extra={"block": row[0], "reason": str(error)})
            return None

    def _know(self, layout: Layout, number: int) -> None:
        self._numbers[layout] = number
        self._layouts[number] = layout
