"""Meters that nobody waits for any more, and tariffs that do not come to their total."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from meterkast.config.decoding import decode
from meterkast.config.sections import Limit
from meterkast.model.epoch import Break
from meterkast.model.errors import ConfigError
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.product import Medium, NodeDescription, NodeStatus, ProductId, PropertyId, Protocol
from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, UtcMs
from meterkast.model.units import Unit
from meterkast.pipeline.meter_desk import RetireOrder
from meterkast.pipeline.recent import KEPT_MS

from .meter_house import MeterHouse, Platform, register


async def rows(house: MeterHouse, number: int) -> list[str]:
    found = await house.store.half_hours(UtcMs(0), house.clock.now_ms(), properties=[number])  # type: ignore[list-item]
    return [str(one.cause) if one.value is None else f"{one.value.decimal()}" for one in found]


async def test_retired_meter_is_closed_no_more_and_the_others_of_its_stream_go_on(house: MeterHouse) -> None:
    house.meter("A", 1000)
    house.meter("G", 2000, Medium.GAS)
    await house.start(Platform("on", "electricity/import_total", "gas/volume", continues=True))
    await house.show("A", "G")
    await house.minutes(40)
    house.port = ["A"]
    await house.minutes(5)
    await house.desk.retire(RetireOrder(meter="G"))
    await house.minutes(80)
    assert await rows(house, 2) == ["2300", "2400"], "none after the half-hour in which it was retired"
    assert (await house.sent("on"))[-1] == "120 import_total=2200 volume=device removed"
    await house.start()
    house.port = ["A"]
    await house.minutes(60)
    assert len(await rows(house, 2)) == 2
    assert [one.state for one in house.desk.meters()] == ["in use", "retired"]


async def test_retired_meter_that_reports_again_has_an_honest_gap(house: MeterHouse) -> None:
    house.meter("G", 2000, Medium.GAS)
    await house.start(Platform("on", "gas/volume", continues=True))
    await house.show("G")
    await house.minutes(40)
    house.port = []
    await house.desk.retire(RetireOrder(meter="G"))
    await house.minutes(100)
    house.port = ["G"]
    await house.minutes(72)
    assert [one.state for one in house.desk.meters()] == ["in use"]
    removed = Cause.DEVICE_REMOVED.value
    assert await rows(house, 1) == ["2300", "2400", removed, removed, "2500", "2800", "3100"]


async def test_retired_meter_of_a_dead_device_stays_retired_until_it_is_read(house: MeterHouse) -> None:
    house.meter("G", 2000, Medium.GAS)
    await house.start(Platform("on", "gas/volume", continues=True))
    await house.show("G")
    reach, node = house.keeper.reach, NodeDescription(identity="zwave:00007e57:5", protocol=Protocol.ZWAVE)
    node = replace(node, product_id=ProductId(int(house.id("G"))))
    await reach.declare_node(node)
    await house.minutes(40)
    house.port = []
    await house.desk.retire(RetireOrder(meter="G"))
    for status in (NodeStatus.NO_CONNECTION, NodeStatus.AVAILABLE, NodeStatus.NO_CONNECTION):
        await reach.declare_node(replace(node, status=status, last_seen_ms=house.clock.now_ms()))
        await house.minutes(30)
    assert [one.state for one in house.desk.meters()] == ["retired"]
    assert await rows(house, 1) == ["2300", "2400"]
    house.port = ["G"]
    await house.minutes(1)
    assert [one.state for one in house.desk.meters()] == ["in use"]
    await house.desk.retire(RetireOrder(meter="G"))
    house.port = []
    await reach.remove_node(node.identity)
    await reach.declare_node(node)
    assert [one.state for one in house.desk.meters()] == ["in use"], "a device was put in its place"


async def test_replaced_meter_is_closed_no_more(house: MeterHouse) -> None:
    house.meter("OLD", 1000)
    house.meter("NEW", 5)
    await house.start(Platform("on", "electricity/import_total", continues=True))
    await house.replace("OLD", "NEW")
    await house.minutes(40)
    assert len(await rows(house, 1)) == 2
    await house.swap("OLD", "NEW")
    await house.minutes(120)
    assert len(await rows(house, 1)) == 2
    assert [one.state for one in house.desk.meters()] == ["replaced", "in use"]


async def with_tariffs(house: MeterHouse) -> None:
    """A meter of two tariffs whose registers stand still."""
    house.meter("A", 10_000, Medium.ELECTRICITY, register("import_t1"), register("import_t2"))
    await house.start(Platform("on", "electricity/import_total", continues=True))
    await house.show("A")
    house.step = 0


async def test_tariffs_that_do_not_come_to_the_total_are_told_with_their_figures(house: MeterHouse) -> None:
    await with_tariffs(house)
    house.shown["A"] |= {"import_t1": 4_001, "import_t2": 5_998}
    await house.minutes(32)
    assert house.problems() == [], "the last digit is rounded"
    house.shown["A"] |= {"import_t1": 4_001, "import_t2": 5_997}
    await house.minutes(60)
    (told,) = house.problems()
    assert told == (
        "attention: electricity meter A: its tariffs come to 9.998 kWh and its total shows 10.000 kWh "
        "(2 half-hours since the start)."
    )
    assert (await house.sent("on"))[-1] == "90 import_total=10000", "nothing is changed"
    house.shown["A"] |= {"import_t2": 5_999}
    await house.minutes(30)
    assert house.problems() == []
    house.shown["A"] |= {"import_total": 10_009}
    await house.minutes(30)
    assert len(house.problems()) == 1
    house.port = []
    await house.desk.retire(RetireOrder(meter="A"))
    assert house.problems() == []


async def test_tariffs_of_a_meter_of_whole_kwh_may_differ_by_one_of_those(house: MeterHouse) -> None:
    await with_tariffs(house)
    house.shown["A"] |= {"import_t1": 4_000, "import_t2": 5_000}
    await house.minutes(32)
    assert house.problems() == []


def test_limit_says_what_a_connection_carries() -> None:
    fuse = decode(Limit, {"meter": "electricity", "fuse_a": 25, "phases": 3, "volts": 230})
    assert fuse.per_hour(Unit.WATT_HOUR) == 25_875
    assert fuse.per_hour(Unit.LITRE) is None
    assert decode(Limit, {"meter": "water", "flow_m3h": 2.5}).per_hour(Unit.LITRE) == 3750
    assert decode(Limit, {"meter": "heat", "power_kw": 10}).per_hour(Unit.MEGAJOULE) == 54
    with pytest.raises(ConfigError, match="one of fuse_a"):
        decode(Limit, {"meter": "water"})


async def test_configured_limit_reaches_its_meter_alone(house: MeterHouse) -> None:
    house.meter("A", 1000)
    house.meter("B", 1000)
    await house.start(Platform("on", "A/import_total", continues=True))
    house.keeper._limits = [decode(Limit, {"meter": "A", "fuse_a": 1, "phases": 1})]
    await house.show("A", "B")
    guards = [series.guard for series in house.closing._series.values()]
    assert [guard.given for guard in guards if guard is not None] == [True, False]


async def test_register_that_began_again_in_a_long_silence_is_seen_after_a_restart(house: MeterHouse) -> None:
    house.meter("A", 84_000_000)
    await house.start(Platform("on", "electricity/import_total", continues=True))
    await house.show("A")
    await house.minutes(40)
    house.port = []
    for _ in range(40):
        house.clock.pass_ms(HOUR_MS)
        await house.keeper.flush()
    await house.start()
    house.shown["A"] = {"import_total": 0}
    await house.show("A")
    await house.minutes(40)
    assert [one.kind for one in await house.store.epochs()] == [Break.FIRST, Break.RESET]
    numbers = [
        one.split("=")[1] for one in await house.sent("on") if "silent" not in one and "off" not in one
    ]
    assert [int(one) for one in numbers] == sorted(int(one) for one in numbers), "it never falls"


async def test_start_long_after_a_retirement_takes_up_no_more_than_any_other(
    house: MeterHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_up: list[HalfHour] = []
    half_hours = house.store.half_hours

    async def watched(*of: Any, **more: Any) -> Sequence[HalfHour]:
        found = await half_hours(*of, **more)
        taken_up.extend(found)
        return found

    monkeypatch.setattr(house.store, "half_hours", watched)
    house.meter("E", 1000)
    house.meter("G", 2000, Medium.GAS)
    await house.start(Platform("p", "electricity/import_total", continues=True))
    await house.show("E", "G")
    await house.minutes(70)
    await house.show("E")
    await house.desk.retire(RetireOrder(meter="G"))
    await house.minutes(12 * 60)
    await house.start()
    assert len({one.end_ms for one in taken_up}) <= KEPT_MS / HALF_HOUR_MS + 1
    before = len(await house.sent("p"))
    await house.minutes(60)
    assert len(await house.sent("p")) == before + 2


async def test_doubtful_reading_of_a_daily_meter_is_decided_after_a_restart(house: MeterHouse) -> None:
    house.described["DAILY"] = Medium.WATER, (replace(register("volume"), fresh_ms=25 * HOUR_MS),)
    house.shown["DAILY"] = {"volume": 9_000_000}
    house.meter("A", 1000)
    await house.start(Platform("on", "A/import_total", continues=True))
    await house.show("A", "DAILY")
    await house.minutes(1)
    house.port = ["A"]
    await house.minutes(40)
    house.shown["DAILY"] = {"volume": 40}
    house.read("DAILY")
    for _ in range(16):
        house.clock.pass_ms(HALF_HOUR_MS)
        house.read("A")
        await house.keeper.flush()
    (doubtful,) = [one for one in await of_second(house) if one.state is State.SUSPECT]
    await house.start()
    house.port = ["A"]
    for _ in range(60):
        house.clock.pass_ms(HALF_HOUR_MS)
        house.read("A")
        await house.keeper.flush()
    (decided,) = [one for one in await of_second(house) if one.end_ms == doubtful.end_ms]
    assert (decided.cause, decided.revision) == (Cause.COUNTER_RESET, doubtful.revision + 1)


async def of_second(house: MeterHouse) -> list[HalfHour]:
    return list(await house.store.half_hours(UtcMs(0), house.clock.now_ms(), properties=[PropertyId(2)]))
