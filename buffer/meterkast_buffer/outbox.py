"""The outbox of every uplink: what is to be sent, what was sent, and what proved it.

How many items wait is asked every second or so; it is counted once at start and kept in memory from there,
changed by the same transactions that change the rows.

A row that is not as it was written (`item_rows.py`) is never sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import aiosqlite

from meterkast.model.delivery import Item, ItemId, NewItem, StreamStatus
from meterkast.model.time import UtcMs
from meterkast_buffer.database import Database, Row, fetch
from meterkast_buffer.item_rows import (
    CHECKED,
    DELIVERED,
    ITEM,
    ITEMS,
    PENDING,
    QUARANTINED,
    item_of,
    new_crc,
    row_crc,
)
from meterkast_buffer.redoing import Redoing

PENDING_ITEMS = (
    f"SELECT {ITEM} FROM {ITEMS} WHERE stream_id = ? AND state = {PENDING} ORDER BY outbox.id LIMIT ?"
)
_OLDEST = f"SELECT at_ms FROM outbox WHERE stream_id = ? AND state = {PENDING} ORDER BY id LIMIT 1"
ITEMS_BETWEEN = (
    f"SELECT {ITEM} FROM {ITEMS} WHERE at_ms > ? AND at_ms <= ? ORDER BY at_ms, stream_id, outbox.id"
)
DELIVERED_ITEMS = (
    f"SELECT id, length(payload) FROM outbox WHERE at_ms > ? AND stream_id = ? AND state = {DELIVERED}"
)
SINCE_MARK = f"SELECT max(at_ms) FROM outbox WHERE at_ms > ? AND stream_id = ? AND state = {DELIVERED}"
"""The mark in `streams` is as old as the newest closing: a receipt does not write it."""
_AMONG = "id IN (SELECT value FROM json_each(?))"

Key = tuple[str, str]  # uplink and stream


@dataclass(frozen=True, slots=True)
class Known:
    """A stream's id in the database, and how far it is."""

    id: int
    status: StreamStatus


class Outbox:
    """The tables `outbox` and `streams`.

    Attributes:
        waits: Items were lost while the gateway ran: with the next start they are composed anew.
    """

    def __init__(self, database: Database) -> None:
        self.waits = False
        self._database = database
        self._known: dict[Key, Known] = {}
        self._redoing = Redoing(database)

    async def load(self, *, redo: bool = True) -> None:
        """Count what waits, once at start.

        Args:
            redo: Begin to compose anew what was lost; not while the gateway runs.

        Raises:
            StorageError: The database refused.
        """
        rows = self._database.rows
        self._known.clear()
        if redo:
            await self._redoing.load()
        streams = await rows("SELECT id, uplink, name, composed_ms, delivered_ms, redo_from_ms FROM streams")
        counts = {
            state: {stream: (count, at_ms) for stream, count, at_ms in await rows(_counting(state))}
            for state in (PENDING, QUARANTINED)
        }
        self.waits = False
        for number, uplink, stream, composed_ms, delivered_ms, redo_ms in streams:
            if number in self._redoing:
                composed_ms = redo_ms
            elif redo_ms is not None:
                self.waits = True
            since = await rows(SINCE_MARK, (-1 if delivered_ms is None else delivered_ms, number))
            delivered_ms = delivered_ms if since[0][0] is None else since[0][0]
            pending, oldest_ms = counts[PENDING].get(number, (0, None))
            self._known[uplink, stream] = Known(
                number,
                StreamStatus(
                    uplink=uplink,
                    stream=stream,
                    composed_ms=composed_ms,
                    delivered_ms=delivered_ms,
                    pending=pending,
                    quarantined=counts[QUARANTINED].get(number, (0, None))[0],
                    oldest_pending_ms=oldest_ms,
                ),
            )

    def streams(self) -> dict[Key, StreamStatus]:
        """Every stream that was ever composed."""
        return {key: known.status for key, known in self._known.items()}

    async def add(
        self, connection: aiosqlite.Connection, items: Sequence[NewItem], composed: Mapping[Key, UtcMs]
    ) -> dict[Key, Known]:
        """Put items in and move the marks, in a transaction of the caller.

        Returns:
            What `apply` takes once the transaction is committed.
        """
        changed: dict[Key, Known] = {}
        for uplink, stream in dict.fromkeys([(item.uplink, item.stream) for item in items] + list(composed)):
            known = self._known.get((uplink, stream)) or await _new_stream(connection, uplink, stream)
            changed[uplink, stream] = known
        await self._insert(connection, items, changed)
        await self._mark(connection, composed, changed)
        return changed

    async def _insert(
        self, connection: aiosqlite.Connection, items: Sequence[NewItem], changed: dict[Key, Known]
    ) -> None:
        new: list[tuple[object, ...]] = []
        for item in items:
            known = changed[item.uplink, item.stream]
            if (place := self._redoing.place(known.id, item)) is None:
                continue
            new.append((place[0], known.id, item.at_ms, item.payload, place[1], new_crc(known.id, item)))
            status = known.status
            oldest_ms = status.oldest_pending_ms if status.pending else item.at_ms
            changed[item.uplink, item.stream] = replace(
                known, status=replace(status, pending=status.pending + 1, oldest_pending_ms=oldest_ms)
            )
        await connection.executemany(
            "INSERT INTO outbox (id, stream_id, at_ms, payload, tries, crc) VALUES (?, ?, ?, ?, ?, ?)", new
        )

    async def _mark(
        self, connection: aiosqlite.Connection, composed: Mapping[Key, UtcMs], changed: dict[Key, Known]
    ) -> None:
        for key, composed_ms in composed.items():
            known = changed[key]
            changed[key] = replace(known, status=replace(known.status, composed_ms=composed_ms))
        await connection.executemany(
            "UPDATE streams SET composed_ms = ?, delivered_ms = ? WHERE id = ?",
            [
                (composed_ms, changed[key].status.delivered_ms, changed[key].id)
                for key, composed_ms in composed.items()
            ],
        )
        for key, composed_ms in composed.items():
            await self._redoing.composed(connection, changed[key].id, composed_ms)

    def apply(self, changed: Mapping[Key, Known]) -> None:
        """Take over what a committed transaction changed."""
        self._known.update(changed)

    async def pending(self, uplink: str, stream: str, limit: int) -> list[Item]:
        """The oldest pending items of a stream, oldest first."""
        known = self._known.get((uplink, stream))
        if known is None or not known.status.pending:
            return []
        return await self._items(PENDING_ITEMS, (known.id, limit))

    async def quarantined(self, uplink: str) -> list[Item]:
        """All items of an uplink that were set aside, oldest first."""
        return await self._items(
            f"SELECT {ITEM} FROM {ITEMS} WHERE uplink = ? AND state = {QUARANTINED} ORDER BY outbox.id",
            (uplink,),
        )

    async def between(self, after_ms: UtcMs, until_ms: UtcMs) -> list[Item]:
        """The items of intervals that end in (after, until], by end, stream and id.

        Raises:
            StorageError: The database refused, or a row is not as it was written.
        """
        return await self._items(ITEMS_BETWEEN, (after_ms, until_ms))

    async def _items(self, sql: str, parameters: tuple[object, ...]) -> list[Item]:
        return [item_of(row, self._database.path) for row in await self._database.rows(sql, parameters)]

    async def send_again(self, status: StreamStatus, after_ms: UtcMs, *, dry_run: bool) -> tuple[int, int]:
        """Put delivered items back to pending; see `Books.send_again`."""
        known = self._known[status.uplink, status.stream]
        found = await self._database.rows(DELIVERED_ITEMS, (after_ms, known.id))
        ids = [ItemId(number) for number, length in found if length]
        if dry_run or not ids:
            return len(ids), len(found) - len(ids)

        def unchanged() -> bool:
            return self._known[status.uplink, status.stream].status == status

        moved = await self._move(ids, (DELIVERED,), PENDING, {}, only_if=unchanged)
        return (len(ids), len(found) - len(ids)) if moved else (0, 0)

    async def intend(self, ids: Sequence[ItemId], now_ms: UtcMs) -> None:
        """Record that these are about to be sent: tries + 1.

        Not fsynced: nothing promised depends on it being on the card. After a restart everything that waited
        is in doubt anyway, and is sent so that twice is harmless; this saves two flushes a delivery.
        """

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                f"UPDATE outbox SET tries = tries + 1, sent_ms = ? WHERE {_AMONG} AND state = {PENDING}",
                (now_ms, _listed(ids)),
            )

        await self._database.transact(work, durable=False)

    async def acknowledge(self, ids: Sequence[ItemId], receipt: str, now_ms: UtcMs) -> None:
        """Record that the far end has them; the first receipt of an item stands.

        Not fsynced either: an acknowledgement that a power cut takes back leaves an item in doubt, which is
        sent again or asked for, as after any restart.
        """
        await self._move(
            ids,
            (PENDING, QUARANTINED),
            DELIVERED,
            {"receipt": receipt, "delivered_ms": now_ms},
            durable=False,
        )

    async def quarantine(self, ids: Sequence[ItemId], words: str, now_ms: UtcMs) -> None:
        """Set pending items aside with the far end's words."""
        await self._move(ids, (PENDING,), QUARANTINED, {"words": words, "sent_ms": now_ms})

    async def release(self, ids: Sequence[ItemId]) -> None:
        """Put quarantined items back to pending; tries and words stay."""
        await self._move(ids, (QUARANTINED,), PENDING, {})

    async def _move(
        self,
        ids: Sequence[ItemId],
        before: tuple[int, ...],
        after: int,
        setting: Mapping[str, object],
        *,
        durable: bool = True,
        only_if: Callable[[], bool] | None = None,
    ) -> bool:
        """Bring those of the items that are in a state of `before` to `after`; whether `only_if` let it."""
        listed, allowed = _listed(ids), ", ".join(map(str, before))

        async def work(connection: aiosqlite.Connection) -> dict[Key, Known]:
            if only_if is not None and not only_if():
                return {}
            found = await fetch(
                connection,
                f"SELECT id, sent_ms, {CHECKED} FROM outbox WHERE {_AMONG} AND state IN ({allowed})",
                (listed,),
            )
            rows = []
            for number, sent_ms, *checked in found:
                new = dict(zip(("sent_ms", *CHECKED.split(", ")), (sent_ms, *checked), strict=True))
                new.update(setting, state=after)
                crc = row_crc(*(new[name] for name in CHECKED.split(", ")))
                rows.append(
                    (after, new["words"], new["receipt"], new["delivered_ms"], new["sent_ms"], crc, number)
                )
            await connection.executemany(
                "UPDATE outbox SET state = ?, words = ?, receipt = ?, delivered_ms = ?, sent_ms = ?, crc = ? "
                "WHERE id = ?",
                rows,
            )
            return await self._recounted(connection, [(row[2], row[5], row[3]) for row in found], after)

        changed = await self._database.transact(work, durable=durable, committed=self.apply)
        return bool(changed)

    async def _recounted(
        self, connection: aiosqlite.Connection, found: Iterable[Row], after: int
    ) -> dict[Key, Known]:
        by_id = {known.id: known for known in self._known.values()}
        moved: dict[int, Known] = {}
        for stream_id, before, at_ms in found:
            known = moved.get(stream_id) or by_id[stream_id]
            status = known.status
            delivered_ms = status.delivered_ms
            if after == DELIVERED and (delivered_ms is None or at_ms > delivered_ms):
                delivered_ms = UtcMs(at_ms)
            status = replace(
                status,
                pending=status.pending - (before == PENDING) + (after == PENDING),
                quarantined=status.quarantined - (before == QUARANTINED) + (after == QUARANTINED),
                delivered_ms=delivered_ms,
            )
            moved[stream_id] = replace(known, status=status)
        changed: dict[Key, Known] = {}
        for known in moved.values():
            oldest = await fetch(connection, _OLDEST, (known.id,))
            status = replace(known.status, oldest_pending_ms=UtcMs(oldest[0][0]) if oldest else None)
            changed[status.uplink, status.stream] = replace(known, status=status)
        return changed


async def _new_stream(connection: aiosqlite.Connection, uplink: str, stream: str) -> Known:
    cursor = await connection.execute("INSERT INTO streams (uplink, name) VALUES (?, ?)", (uplink, stream))
    assert cursor.lastrowid is not None
    return Known(cursor.lastrowid, StreamStatus(uplink=uplink, stream=stream))


def _counting(state: int) -> str:
    """Per stream how many items are in a state, and when the oldest of them is, by a partial index."""
    return (
        "SELECT stream_id, n, (SELECT at_ms FROM outbox WHERE id = oldest) FROM (SELECT stream_id, "
        f"count(*) AS n, min(id) AS oldest FROM outbox WHERE state = {state} GROUP BY stream_id)"
    )


def _listed(ids: Sequence[ItemId]) -> str:
    # A JSON list keeps the statement's text the same for any number of ids: it is compiled once.
    return json.dumps(list(ids))
