"""Samples without a time are kept, get their time in one transaction, or become a clock episode."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from meterkast.model.boot import Boot
from meterkast.model.clock_episode import ClockEpisode, RegisterSpan
from meterkast.model.datatypes import ENERGY_CONSUMED, DatatypeId
from meterkast.model.errors import StorageError
from meterkast.model.product import Medium, ProductDescription, PropertyDescription, PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.reading import Column, Frames, TimeSource
from meterkast.model.time import DAY_MS, MINUTE_MS, UtcMs
from meterkast.model.units import Unit
from meterkast.model.untimed import Untimed
from meterkast.ports.store import Keep
from meterkast_buffer.store import SqliteStore, open_store

NOW = UtcMs(1_773_154_800_000)
BOOT = Boot(id="one", first_ms=1_000, last_ms=1_000)
LAYOUT = (Column(PropertyId(1), 0), Column(PropertyId(2), 1))


def known(boot: Boot, start_ms: int = NOW) -> Boot:
    return replace(boot, offset_ms=start_ms, trust="trusted", sources=("system clock",), learned_ms=9_000)


def table(*readings: tuple[int, int], source: TimeSource = TimeSource.ARRIVAL) -> Untimed:
    own = [None if source is TimeSource.ARRIVAL else UtcMs(NOW + at) for at, _ in readings]
    rows = [(value, 7) for _, value in readings]
    return Untimed(LAYOUT, source, [at for at, _ in readings], own, rows)


async def keep(store: SqliteStore, boot: Boot, *tables: Untimed) -> None:
    at_ms = max(table.seen_ms[-1] for table in tables)
    await store.keep(Keep(now_ms=UtcMs(5), untimed=tables, boot=replace(boot, last_ms=at_ms)))


def by_arrival(tables: Sequence[Untimed]) -> list[Frames]:
    return [Frames(one.layout, [UtcMs(NOW + at) for at in one.seen_ms], one.rows) for one in tables]


async def blocks(store: SqliteStore) -> list[list[Frames]]:
    return [list(frames) async for frames in store.samples(UtcMs(0))]


@pytest.fixture
async def meter(store: SqliteStore) -> SqliteStore:
    described = ProductDescription(identity="p1:1", name="Meter", medium=Medium.ELECTRICITY)
    energy = PropertyDescription(key="e", name="E", datatype=ENERGY_CONSUMED, unit=Unit.WATT_HOUR)
    power = PropertyDescription(key="p", name="P", datatype=DatatypeId(18), unit=Unit.WATT)
    await store.declare(described, [energy, power])
    return store


async def test_samples_get_their_time_in_the_order_in_which_they_came(meter: SqliteStore) -> None:
    await meter.keep(Keep(now_ms=UtcMs(NOW - DAY_MS), frames=by_arrival([table((-DAY_MS, 3))])))
    rng = random.Random(5)
    sources = [rng.choice(list(TimeSource)) for _ in range(70)]
    given = [
        table((at := 60_000 * number, 100 + number), (at + 10_000, 101 + number), source=source)
        for number, source in enumerate(sources, 1)
    ]
    for one in given:
        await keep(meter, BOOT, one)
    assert await meter.has_untimed()
    assert len(await blocks(meter)) == 1, "nothing of it has a time yet"
    seen: list[Untimed] = []

    def place(tables: Sequence[Untimed]) -> list[Frames]:
        seen.extend(tables)
        return by_arrival(tables)

    first, last = await meter.learn(known(BOOT), place)
    assert seen == given
    assert not await meter.has_untimed()
    placed = [list(frames) async for frames in meter.blocks(first, last)]
    assert placed == [by_arrival([one]) for one in given]
    assert (await blocks(meter))[1:] == placed
    assert [boot.offset_ms for boot in await meter.boots()] == [NOW]
    assert await meter.clock_episodes(UtcMs(0), UtcMs(NOW + DAY_MS)) == []


async def test_learning_is_all_or_nothing(meter: SqliteStore) -> None:
    for number in range(40):
        await keep(meter, BOOT, table((60_000 * number + 1, number)))
    count = 0

    def fails(tables: Sequence[Untimed]) -> list[Frames]:
        nonlocal count
        count += 1
        if count == 37:
            raise ValueError("the disk is full")
        return by_arrival(tables)

    with pytest.raises(StorageError):
        await meter.learn(known(BOOT), fails)
    assert await blocks(meter) == []
    path = meter.database.path
    await meter.close()
    again = await open_store(path)
    try:
        first, last = await again.learn(known(BOOT), by_arrival)
        assert last - first >= 39
        assert len(await blocks(again)) == 40
    finally:
        await again.close()


async def test_boot_that_never_knew_the_time_is_an_episode_with_a_known_total(meter: SqliteStore) -> None:
    before = known(replace(BOOT, id="before", last_ms=5_000), NOW - DAY_MS)
    await meter.keep(Keep(now_ms=NOW, boot=before))
    await keep(meter, BOOT, table((61_000, 500), (121_000, 530)))
    await keep(meter, BOOT, table((181_000, 590)))
    fell = replace(BOOT, id="fell")
    await keep(meter, fell, table((2_000, 600), (3_000, 4), (4_000, 9)))
    after = replace(BOOT, id="after", first_ms=2_000)
    await meter.learn(known(after), by_arrival)
    common = {"after_ms": UtcMs(NOW - DAY_MS + 5_000), "before_ms": UtcMs(NOW + 2_000)}
    one, other = sorted(
        await meter.clock_episodes(UtcMs(NOW - DAY_MS), NOW), key=lambda one: one.duration_ms, reverse=True
    )
    assert one == ClockEpisode(
        boot_id="one",
        duration_ms=180_000,
        readings=3,
        registers=(
            RegisterSpan(
                property_id=PropertyId(1), first=Quantity(500), last=Quantity(590), total=Quantity(90)
            ),
        ),
        **common,
    )
    assert other.registers[0].total is None, "a register that fell has no total"
    assert [boot.id for boot in await meter.boots()] == ["before", "after"]
    assert await meter.clock_episodes(UtcMs(NOW + 2_000), UtcMs(NOW + DAY_MS)) == []
    assert await meter.clock_episodes(UtcMs(0), UtcMs(NOW - DAY_MS + 5_000)) == []
    assert await blocks(meter) == []


async def test_damaged_block_without_a_time_costs_that_block_alone(
    meter: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        await keep(meter, BOOT, table((60_000 * (number + 1), number)))
    await meter.database.rows("UPDATE untimed SET data = x'0102030405060708' WHERE id = 2")
    first, last = await meter.learn(known(BOOT), by_arrival)
    rows = [row async for frames in meter.blocks(first, last) for one in frames for row in one.rows]
    assert rows == [(0, 7), (2, 7)]
    assert "block without a time damaged" in caplog.text


async def test_nothing_is_removed_for_its_age_by_a_time_that_is_not_known(meter: SqliteStore) -> None:
    await meter.keep(Keep(now_ms=NOW, frames=by_arrival([table((0, 3))])))
    later = UtcMs(NOW + 400 * DAY_MS)
    await meter.keep(Keep(now_ms=later, untimed=[table((1_000, 4))], boot=BOOT))
    await meter.keep(Keep(now_ms=later, boot=BOOT))
    assert len(await blocks(meter)) == 1
    await meter.keep(Keep(now_ms=later, boot=known(BOOT, later)))
    assert await blocks(meter) == []


async def test_too_many_blocks_without_a_time_leave_the_first_of_each_boot(
    meter: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meterkast_buffer.untimed._DAY_BLOCKS", 10)
    monkeypatch.setattr(meter._tables.untimed, "_most", 15)
    other = replace(BOOT, id="other")
    for number in range(30):
        await keep(meter, BOOT if number < 5 else other, table((MINUTE_MS * (number + 1), number)))
    rows = await meter.database.rows("SELECT id FROM untimed ORDER BY id")
    assert [number for (number,) in rows] == [1, 6, *range(16, 31)]


async def test_boots_are_remembered_to_a_number_and_those_without_a_time_for_good(meter: SqliteStore) -> None:
    await meter.keep(Keep(now_ms=NOW, boot=BOOT))
    for number in range(130):
        await meter.keep(Keep(now_ms=NOW, boot=known(replace(BOOT, id=f"b{number}", rtc_good=True))))
    boots = await meter.boots()
    assert len(boots) == 101
    assert boots[0] == BOOT
    assert boots[-1] == known(replace(BOOT, id="b129", rtc_good=True))
