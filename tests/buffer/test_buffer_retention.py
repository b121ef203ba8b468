"""What is removed, and what never is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from meterkast.model.boot import Boot
from meterkast.model.delivery import NewItem
from meterkast.model.errors import StorageError
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.reading import Column, Frames
from meterkast.model.time import DAY_MS, HALF_HOUR_MS, HOUR_MS, MINUTE_MS, UtcMs
from meterkast.ports.store import Keep
from meterkast_buffer import SqliteStore

Open = Callable[..., Awaitable[SqliteStore]]


NOW = UtcMs(1_735_689_600_000)
YEAR_MS = 366 * DAY_MS
LAYOUT = (Column(PropertyId(1), 0),)


def sample(at_ms: int) -> Frames:
    return Frames(LAYOUT, [UtcMs(at_ms)], [(1,)])


def half_hour(end_ms: int, length_ms: int = HALF_HOUR_MS) -> HalfHour:
    return HalfHour(property_id=PropertyId(1), end_ms=UtcMs(end_ms), length_ms=length_ms, value=Quantity(1))


async def keep_sample(store: SqliteStore, now_ms: int, at_ms: int | None = None) -> None:
    await store.keep(Keep(now_ms=UtcMs(now_ms), frames=[sample(now_ms if at_ms is None else at_ms)]))


async def times(store: SqliteStore) -> list[int]:
    return [block[0].times[0] async for block in store.samples(UtcMs(0))]


async def test_samples_are_kept_as_many_days_as_set(path: Path, opened: Open) -> None:
    store = await opened(path, samples_days=2)
    for hours in range(0, 73, 6):
        await keep_sample(store, NOW + hours * HOUR_MS)
    assert await times(store) == [NOW + hours * HOUR_MS for hours in range(24, 73, 6)]
    await store.close()


async def test_it_is_done_once_an_hour_in_the_same_transaction(path: Path, opened: Open) -> None:
    store = await opened(path, samples_days=1)
    await keep_sample(store, NOW)
    await keep_sample(store, NOW + DAY_MS - MINUTE_MS)
    await keep_sample(store, NOW + DAY_MS + MINUTE_MS)  # too old by a minute, but the hour is not over
    assert len(await times(store)) == 3
    writes = store.storage().writes
    await keep_sample(store, NOW + DAY_MS + HOUR_MS)
    assert len(await times(store)) == 3
    assert NOW not in await times(store)
    assert store.storage().writes == writes + 1
    await store.close()


async def test_a_clock_that_was_years_ahead_fills_no_card(path: Path, opened: Open) -> None:
    store = await opened(path, samples_days=1)
    ahead = NOW + 20 * YEAR_MS
    await keep_sample(store, ahead)
    for hours in range(0, 49, 2):
        await keep_sample(store, NOW + hours * HOUR_MS)
    assert min(await times(store)) == NOW + 24 * HOUR_MS
    await store.close()


async def test_a_clock_that_was_years_behind_costs_no_samples(path: Path, opened: Open) -> None:
    store = await opened(path, samples_days=1)
    await keep_sample(store, NOW)
    await keep_sample(store, NOW + 1000, NOW - 9 * YEAR_MS)
    await keep_sample(store, NOW + 2 * HOUR_MS)
    assert len(await times(store)) == 3
    await keep_sample(store, NOW + 26 * HOUR_MS)
    assert await times(store) == [NOW + 2 * HOUR_MS, NOW + 26 * HOUR_MS]
    assert await store.database.rows("SELECT count(*) FROM strays") == [(0,)]
    await store.close()


async def test_half_hours_are_kept_ten_years_and_other_lengths_as_long_as_samples(
    path: Path, opened: Open
) -> None:
    store = await opened(path, samples_days=1, half_hours_years=1)  # fewer than ten is not to be had
    ends = [NOW, NOW + 9 * YEAR_MS, NOW + 10 * YEAR_MS + DAY_MS]
    for end in ends:
        quarters = half_hour(end, HALF_HOUR_MS // 2)
        await store.keep(Keep(now_ms=UtcMs(end), half_hours=[half_hour(end), quarters]))
    assert [row.end_ms for row in await store.half_hours(UtcMs(0), UtcMs(1 << 50))] == ends[1:]
    rows = await store.half_hours(UtcMs(0), UtcMs(1 << 50), length_ms=HALF_HOUR_MS // 2)
    assert [row.end_ms for row in rows] == ends[2:]
    await store.close()


async def test_a_clock_that_jumps_ahead_costs_hours_and_not_everything(path: Path, opened: Open) -> None:
    store = await opened(path)
    ends = [NOW + number * HALF_HOUR_MS for number in range(48)]
    await store.keep(Keep(now_ms=NOW, half_hours=[half_hour(end) for end in ends]))
    await store.keep(Keep(now_ms=UtcMs(NOW + 30 * YEAR_MS)))
    await store.keep(Keep(now_ms=UtcMs(NOW + DAY_MS)))
    assert [row.end_ms for row in await store.half_hours(UtcMs(0), UtcMs(1 << 50))] == ends[6:]
    await store.close()


async def test_payloads_of_what_was_delivered_are_emptied_and_the_proof_stays(
    path: Path, opened: Open
) -> None:
    store = await opened(path, samples_days=1)
    items = [
        NewItem(uplink="reset", stream=name, at_ms=NOW, payload=b"frozen")
        for name in ("sent", "waits", "aside")
    ]
    await store.keep(Keep(now_ms=NOW, items=items))
    (sent,), (_,), (aside,) = [await store.pending("reset", item.stream, 1) for item in items]
    await store.acknowledge([sent.id], "receipt", NOW)
    await store.quarantine([aside.id], "422", NOW)
    await store.keep(Keep(now_ms=UtcMs(NOW + DAY_MS - 1)))
    assert await store.database.rows("SELECT payload FROM outbox") == [(b"frozen",)] * 3
    await store.keep(Keep(now_ms=UtcMs(NOW + 2 * DAY_MS)))
    assert await store.database.rows("SELECT payload, receipt FROM outbox ORDER BY id") == [
        (b"", "receipt"),
        (b"frozen", ""),
        (b"frozen", ""),
    ]
    await store.close()


async def test_what_goes_wrong_with_the_old_does_not_keep_the_new_from_being_kept(
    store: SqliteStore,
) -> None:
    await store.database.rows("DROP TABLE strays")
    await store.database.rows("CREATE TABLE strays (something TEXT)")
    await keep_sample(store, NOW)
    assert store.storage().failures == 0
    assert await store.database.rows("SELECT id FROM blocks") == [(NOW,)]


async def fill(store: SqliteStore) -> int:
    """Keep samples and half-hours until the disk is full; returns how many were kept."""
    [(pages,)] = await store.database.rows("PRAGMA page_count")
    await store.database.rows(f"PRAGMA max_page_count = {pages + 60}")
    for number in range(2000):
        now = NOW + number * MINUTE_MS
        rows = [(number * 7919 * place) & 0xFFFFFF for place in range(1, 200)]
        frames = Frames(LAYOUT, [UtcMs(now + place) for place in range(len(rows))], [(row,) for row in rows])
        try:
            await store.keep(Keep(now_ms=UtcMs(now), frames=[frames], half_hours=[half_hour(now)]))
        except StorageError:
            return number
    raise AssertionError("never full")


async def test_a_full_disk_loses_nothing_that_was_kept_and_says_so(
    path: Path, store: SqliteStore, opened: Open
) -> None:
    number = await fill(store)
    assert number > 20
    assert store.storage().failures == 1
    for words in ("the disk is full", "MiB are free", "samples_days"):
        assert words in store.storage().problem
    assert len(await times(store)) == number
    assert len(await store.half_hours(UtcMs(0), UtcMs(1 << 50))) == number
    await store.close()
    again = await opened(path)
    assert len(await times(again)) == number
    assert len(await again.half_hours(UtcMs(0), UtcMs(1 << 50))) == number
    assert await again.database.check() == []
    await again.close()


async def test_on_a_full_disk_the_oldest_samples_go_and_half_hours_never(store: SqliteStore) -> None:
    number = await fill(store)
    assert number > 130, "the test needs more blocks than are spared"
    now = NOW + number * MINUTE_MS
    await store.keep(Keep(now_ms=UtcMs(now), half_hours=[half_hour(now)], frames=[sample(now)]))
    assert store.storage().problem == ""
    kept = await times(store)
    assert kept[-1] == now
    assert NOW not in kept
    assert len(kept) >= 120
    assert len(await store.half_hours(UtcMs(0), UtcMs(1 << 50))) == number + 1


async def test_on_a_full_disk_one_hour_goes_for_each_refusal_and_it_is_told_while_the_time_is_unknown(
    store: SqliteStore,
) -> None:
    number = await fill(store)
    for step in range(15):
        boot = Boot(id="a", first_ms=0, last_ms=step * MINUTE_MS)
        # By its wrong clock all samples would be years old.
        await store.keep(Keep(now_ms=UtcMs(NOW + 9 * YEAR_MS + step), boot=boot))
    assert len(await times(store)) == number - 60
    assert "60 minutes of the oldest samples" in store.storage().notices[0][0]
