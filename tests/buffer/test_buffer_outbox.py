"""The outbox: order, states, counts and water marks."""

from __future__ import annotations

import tracemalloc
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from meterkast.model.delivery import ItemId, ItemState, NewItem, StreamStatus
from meterkast.model.errors import StorageError
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import HALF_HOUR_MS, UtcMs
from meterkast.ports.store import Keep
from meterkast_buffer import SqliteStore
from meterkast_buffer.outbox import PENDING_ITEMS

Open = Callable[..., Awaitable[SqliteStore]]


NOW = UtcMs(1_735_689_600_000)


def at(number: int) -> UtcMs:
    return UtcMs(NOW + number * HALF_HOUR_MS)


def item(number: int, stream: str = "a", uplink: str = "reset") -> NewItem:
    return NewItem(
        uplink=uplink, stream=stream, at_ms=at(number), payload=f"{uplink} {stream} {number}".encode()
    )


async def put(
    store: SqliteStore, *items: NewItem, composed: Mapping[tuple[str, str], UtcMs] | None = None
) -> None:
    await store.keep(Keep(now_ms=NOW, items=items, composed=composed))


async def ids(store: SqliteStore, stream: str = "a", uplink: str = "reset") -> list[ItemId]:
    return [found.id for found in await store.pending(uplink, stream, 1000)]


async def status(store: SqliteStore, stream: str = "a", uplink: str = "reset") -> StreamStatus:
    return store.streams()[uplink, stream]


async def test_items_come_out_oldest_first_and_per_stream(store: SqliteStore) -> None:
    await put(store, item(0), item(0, "b"), item(1), item(1, uplink="wattics"), item(2))
    found = await store.pending("reset", "a", 2)
    assert [(one.at_ms, one.payload, one.state, one.tries) for one in found] == [
        (at(0), b"reset a 0", ItemState.PENDING, 0),
        (at(1), b"reset a 1", ItemState.PENDING, 0),
    ]
    assert [one.payload for one in await store.pending("wattics", "a", 9)] == [b"wattics a 1"]
    assert await store.pending("reset", "nothing", 9) == []


async def test_counts_and_marks_follow_what_happens_and_survive(
    path: Path, store: SqliteStore, opened: Open
) -> None:
    await put(store, item(0), item(1), item(2), composed={("reset", "a"): at(2), ("reset", "b"): at(7)})
    first, second, third = await ids(store)
    await store.intend([first, second], NOW)
    await store.acknowledge([first], "receipt 1", NOW)
    await store.quarantine([second], "422 no such channel", NOW)
    expected = StreamStatus(
        uplink="reset",
        stream="a",
        composed_ms=at(2),
        delivered_ms=at(0),
        pending=1,
        quarantined=1,
        oldest_pending_ms=at(2),
    )
    assert await status(store) == expected
    assert await status(store, "b") == StreamStatus(uplink="reset", stream="b", composed_ms=at(7))
    await store.close()
    again = await opened(path)
    assert await status(again) == expected
    assert await ids(again) == [third]
    await again.close()


async def test_the_water_mark_is_the_newest_interval_and_never_goes_back(store: SqliteStore) -> None:
    await put(store, item(5), item(1))  # a late revision comes after newer ones
    newer, late = await ids(store)
    await store.acknowledge([newer], "", NOW)
    await store.acknowledge([late], "", NOW)
    assert (await status(store)).delivered_ms == at(5)
    assert (await status(store)).oldest_pending_ms is None


async def test_a_quarantined_item_has_the_far_ends_words_and_can_be_put_back(store: SqliteStore) -> None:
    await put(store, item(0), item(1))
    first, second = await ids(store)
    await store.intend([first], NOW)
    await store.quarantine([first], "422 élevé", NOW)
    (aside,) = await store.quarantined("reset")
    assert (aside.id, aside.state, aside.words, aside.tries) == (first, ItemState.QUARANTINED, "422 élevé", 1)
    assert await store.quarantined("wattics") == []
    assert await ids(store) == [second]
    await store.release([first, second])
    assert await ids(store) == [first, second]
    assert (await status(store)).quarantined == 0
    assert (await status(store)).oldest_pending_ms == at(0)


async def test_the_first_receipt_stands_and_doing_it_twice_counts_once(store: SqliteStore) -> None:
    await put(store, item(0), item(1))
    first, _ = await ids(store)
    await store.acknowledge([first], "one", NOW)
    await store.acknowledge([first], "two", at(1))
    await store.quarantine([first], "too late", NOW)
    await store.acknowledge([ItemId(999)], "nobody", NOW)
    assert ((await status(store)).pending, (await status(store)).quarantined) == (1, 0)
    assert await store.database.rows(
        "SELECT state, receipt, delivered_ms FROM outbox WHERE id = ?", (first,)
    ) == [(1, "one", NOW)]


async def test_intents_are_counted_and_wait_for_no_flush(store: SqliteStore) -> None:
    await put(store, item(0))
    before = store.storage().writes
    await store.intend(await ids(store), NOW)
    await store.intend(await ids(store), NOW)
    assert (await store.pending("reset", "a", 1))[0].tries == 2
    assert await store.database.rows("PRAGMA synchronous") == [(1,)]
    assert store.storage().writes == before
    await put(store, item(1))
    assert await store.database.rows("PRAGMA synchronous") == [(2,)]


async def test_a_long_backlog_is_flushed_now_and_then_and_only_then_checkpointed(store: SqliteStore) -> None:
    await put(store, item(0))
    settings = []
    for _ in range(102):
        await store.intend(await ids(store), NOW)
        [(level,)] = await store.database.rows("PRAGMA synchronous")
        [(pages,)] = await store.database.rows("PRAGMA wal_autocheckpoint")
        settings.append((level, pages > 0))
    assert settings == [(1, False)] * 100 + [(2, True), (1, False)]


async def test_what_is_pending_is_found_by_the_partial_index(store: SqliteStore) -> None:
    plan = await store.database.rows(f"EXPLAIN QUERY PLAN {PENDING_ITEMS}", (1, 10))
    text = "\n".join(row[-1] for row in plan)
    assert "outbox USING INDEX outbox_pending (stream_id=?)" in text
    assert "SCAN outbox" not in text
    assert "TEMP B-TREE" not in text


async def test_ids_are_never_used_again(path: Path, store: SqliteStore, opened: Open) -> None:
    await put(store, item(0), item(1))
    last = (await ids(store))[-1]
    await store.database.rows("DELETE FROM outbox")
    await store.close()
    again = await opened(path)
    await put(again, item(2))
    assert (await ids(again))[0] > last
    await again.close()


async def test_a_keep_that_fails_leaves_items_marks_and_counts_as_they_were(store: SqliteStore) -> None:
    row = HalfHour(property_id=PropertyId(1), end_ms=NOW, value=Quantity(1))
    await store.keep(Keep(now_ms=NOW, half_hours=[row], items=[item(0)], composed={("reset", "a"): at(0)}))
    before = store.streams()
    with pytest.raises(StorageError):
        await store.keep(
            Keep(
                now_ms=NOW,
                half_hours=[row],
                items=[item(1), item(1, "new")],
                composed={("reset", "a"): at(1), ("reset", "new"): at(1)},
            )
        )
    assert store.streams() == before
    assert len(await ids(store)) == 1
    await put(store, item(1, "new"))
    assert [found.payload for found in await store.pending("reset", "new", 9)] == [b"reset new 1"]


async def test_lost_items_come_back_in_their_places_and_ids_left_out_take_no_memory(
    path: Path, store: SqliteStore, opened: Open
) -> None:
    composed = {("reset", "a"): at(4)}
    await put(store, *map(item, range(5)), composed=composed)
    lost = (await ids(store))[1:3]
    # As a restore does, which does not know what was given out after the backup.
    await store.database.rows("UPDATE sqlite_sequence SET seq = seq + 1000000 WHERE name = 'outbox'")
    await put(store, item(5), composed={("reset", "a"): at(5)})
    await store.database.rows(
        f"UPDATE outbox SET payload = x'00' WHERE id IN ({lost[0]}, {lost[1]})"
    )  # which is not what their CRCs say
    await store.close()
    tracemalloc.start()
    try:
        again = await opened(path)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken < 8 << 20
    assert len(await ids(again)) == 4
    await put(again, *map(item, range(6)), composed={("reset", "a"): at(5)})
    found = await again.pending("reset", "a", 9)
    assert [one.at_ms for one in found] == [at(number) for number in range(6)]
    assert [one.id for one in found][1:3] == lost
