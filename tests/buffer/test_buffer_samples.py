"""Raw samples: kept, found by time, and no others."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from meterkast.model.product import PropertyId
from meterkast.model.reading import Column, Frames
from meterkast.model.time import DAY_MS, HOUR_MS, MINUTE_MS, UtcMs
from meterkast.ports.store import Keep
from meterkast_buffer import SqliteStore

Open = Callable[..., Awaitable[SqliteStore]]


NOW = UtcMs(1_735_689_600_000)
LAYOUT = (Column(PropertyId(1), 0), Column(PropertyId(2), 1))


def table(*times: int, layout: tuple[Column, ...] = LAYOUT) -> Frames:
    return Frames(
        layout,
        [UtcMs(at) for at in times],
        [tuple(at + place for place, _ in enumerate(layout)) for at in times],
    )


async def keep(store: SqliteStore, now_ms: int, *frames: Frames) -> None:
    await store.keep(Keep(now_ms=UtcMs(now_ms), frames=frames))


async def read(store: SqliteStore, since_ms: int = 0, until_ms: int | None = None) -> list[Sequence[Frames]]:
    until = None if until_ms is None else UtcMs(until_ms)
    return [block async for block in store.samples(UtcMs(since_ms), until)]


async def test_samples_come_back_as_they_were_also_after_a_restart(
    path: Path, store: SqliteStore, opened: Open
) -> None:
    other = (Column(PropertyId(9), 3),)
    first = [table(NOW, NOW + 1000), table(NOW + 7, NOW - 7, layout=other)]
    second = [table(NOW + 2000)]
    await keep(store, NOW + 3000, *first)
    await store.close()
    again = await opened(path)
    await keep(again, NOW + 4000, *second)
    assert await read(again) == [first, second]
    assert (await read(again))[0][0].layout is (await read(again))[1][0].layout
    await again.close()


async def test_nothing_read_makes_no_block(store: SqliteStore) -> None:
    await keep(store, NOW, Frames(LAYOUT))
    await keep(store, NOW)
    assert await read(store) == []
    assert await store.database.rows("SELECT count(*) FROM layouts") == [(0,)]


@pytest.mark.parametrize("seed", range(5))
async def test_a_search_by_time_finds_all_and_nothing_else(store: SqliteStore, seed: int) -> None:
    """Blocks with ordinary, hour-old, day-old and future samples, kept by a clock that also steps."""
    chance = random.Random(seed)
    blocks: list[list[Frames]] = []
    now = NOW
    for _ in range(150):
        now = UtcMs(now + MINUTE_MS + chance.choice([0, 0, 0, 0, 0, 0, 0, 5 * HOUR_MS, -7 * HOUR_MS]))
        times = [now - chance.randrange(MINUTE_MS) for _ in range(3)]
        if chance.random() < 0.3:
            times.append(now - chance.choice([HOUR_MS, HOUR_MS, 30 * HOUR_MS, -9 * HOUR_MS]))
        blocks.append([table(*times)])
        await keep(store, now, *blocks[-1])
    for _ in range(40):
        since = NOW + chance.randrange(-2 * DAY_MS, 4 * DAY_MS)
        until = since + chance.choice([0, 1, MINUTE_MS, HOUR_MS, DAY_MS])
        expected = [
            block
            for block in blocks
            if max(block[0].times) > since and min(block[0].times) <= until  # overlapping (since, until]
        ]
        assert await read(store, since, until) == expected
    assert await read(store, 0) == blocks


async def test_a_search_reads_no_more_than_its_own_part(store: SqliteStore) -> None:
    plan = await store.database.rows(
        "EXPLAIN QUERY PLAN SELECT id, data FROM blocks WHERE id > 1 AND id <= 2 AND last_ms > 3 "
        "AND first_ms <= 4 ORDER BY id"
    )
    assert [row[-1] for row in plan] == ["SEARCH blocks USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]


async def test_one_may_write_while_reading(store: SqliteStore) -> None:
    for number in range(100):
        await keep(store, NOW + number * MINUTE_MS, table(NOW + number * MINUTE_MS))
    seen = 0
    async for block in store.samples(UtcMs(NOW - 1)):
        assert block[0].times == [NOW + seen * MINUTE_MS]
        seen += 1
        if seen == 50:
            await keep(store, NOW + 100 * MINUTE_MS, table(NOW + 100 * MINUTE_MS))
    assert seen == 101


async def test_a_damaged_block_is_left_out_and_shown(store: SqliteStore) -> None:
    for number in range(3):
        await keep(store, NOW + number, table(NOW + number))
    await store.database.rows("UPDATE blocks SET data = substr(data, 1, 12) WHERE id = ?", (NOW + 1,))
    assert await read(store) == [[table(NOW)], [table(NOW + 2)]]
    assert "1 blocks" in store.storage().problem


async def test_a_number_too_large_for_the_database_keeps_nothing_from_being_kept(store: SqliteStore) -> None:
    huge = Frames(LAYOUT, [NOW, UtcMs(NOW + 1)], [(1 << 80, -(1 << 62)), (3, (1 << 62) - 1)])
    await keep(store, NOW, huge)
    assert await read(store) == [[huge]]


async def test_a_layout_that_was_lost_keeps_no_new_one_from_being_kept(
    path: Path, store: SqliteStore, opened: Open
) -> None:
    layouts = [(Column(PropertyId(one), 0),) for one in (1, 2, 3)]
    await keep(store, NOW, table(NOW, layout=layouts[0]))
    await keep(store, NOW + 1000, table(NOW + 1, layout=layouts[1]))
    await store.close()
    shutil.rmtree(f"{path}.journal")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
        assert file.execute("DELETE FROM layouts WHERE id = 1").rowcount == 1
    again = await opened(path)
    new = [table(NOW + 2, layout=layouts[2])]
    await keep(again, NOW + 2000, *new)
    assert (await read(again))[-1] == new
