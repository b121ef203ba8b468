"""Devices of a network in the built gateway: out of reach, removed, with rare values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from meterkast.model.datatypes import (
    BATTERY,
    CONTACT,
    DATATYPES,
    ENERGY_CONSUMED,
    SENSOR,
    SWITCH,
    TEMPERATURE,
    Aggregation,
    DatatypeId,
    Kind,
)
from meterkast.model.half_hour import Cause, State
from meterkast.model.product import (
    Availability,
    Medium,
    NodeDescription,
    NodeStatus,
    PendingDescription,
    PendingStatus,
    ProductDescription,
    Property,
    PropertyDescription,
    Protocol,
)
from meterkast.model.time import HOUR_MS, MINUTE_MS, UtcMs
from meterkast.model.units import Unit
from meterkast.web.tones import nothing_because, of_product
from meterkast_buffer.store import SqliteStore


def value(key: str, datatype: DatatypeId, fresh_ms: int = HOUR_MS) -> PropertyDescription:
    return PropertyDescription(
        key=key, name=key, datatype=datatype, unit=DATATYPES[datatype].unit, fresh_ms=fresh_ms
    )


async def causes(house: Any, prop: Property) -> list[Cause | None]:
    rows = await house.store.half_hours(UtcMs(0), house.clock.now_ms(), properties=[prop.id])
    return [one.cause for one in rows if one.state is State.MISSING]


async def test_what_is_missing_while_a_device_is_out_of_reach_says_so(house: Any) -> None:
    meter, values = await house.device(7, value("energy", ENERGY_CONSUMED, MINUTE_MS))
    _, others = await house.device(8, value("energy", ENERGY_CONSUMED, MINUTE_MS))
    await house.minutes(1)
    house.read(values["energy"], 1)
    house.read(others["energy"], 1)
    await house.minutes(35)
    await house.inventory.available(meter.id, Availability.RETRYING, house.clock.now_ms())
    await house.inventory.available(meter.id, Availability.UNREACHABLE, house.clock.now_ms())
    await house.minutes(60)
    await house.inventory.available(meter.id, Availability.AVAILABLE, house.clock.now_ms())
    await house.minutes(60)
    assert await causes(house, values["energy"]) == [
        Cause.LINK_LOST,
        Cause.LINK_LOST,
        Cause.METER_SILENT,
        Cause.METER_SILENT,
    ]
    assert set(await causes(house, others["energy"])) == {Cause.METER_SILENT}


async def test_a_device_that_was_out_of_reach_before_a_restart_still_is(house: Any) -> None:
    meter, values = await house.device(7, value("energy", ENERGY_CONSUMED, MINUTE_MS))
    house.read(values["energy"], 1)
    await house.minutes(31)
    await house.inventory.available(meter.id, Availability.UNREACHABLE, house.clock.now_ms())
    await house.minutes(30)
    again = await house.again()
    again.gateway.intake.take()  # the clock is trusted from here on
    await again.minutes(62)
    assert (await causes(again, values["energy"]))[-1] is Cause.LINK_LOST
    assert again.seen(meter).availability == "unreachable"


async def test_a_device_out_of_reach_is_told_with_its_cure(house: Any) -> None:
    meter, values = await house.device(7, value("energy", ENERGY_CONSUMED))
    sensor, _ = await house.device(9, value("temperature", TEMPERATURE))
    house.read(values["energy"], 1)
    await house.minutes(10)
    for product in (meter, sensor):
        await house.inventory.available(product.id, Availability.UNREACHABLE, house.clock.now_ms())
    assert house.problems() == [
        ("problem", "Device 7 cannot be reached since 16:10."),
        ("attention", "Device 9 cannot be reached since 16:10."),
    ]
    house.clock.pass_ms(24 * HOUR_MS)
    assert house.problems()[0][1] == "Device 7 cannot be reached since 2026-03-10 16:10."


async def test_a_switch_that_says_nothing_is_well_as_long_as_it_can_be_reached(house: Any) -> None:
    switch, _ = await house.device(5, value("switch", SWITCH, MINUTE_MS))
    await house.minutes(10)
    assert (house.seen(switch).fresh, house.problems()) == (True, [])
    await house.inventory.available(switch.id, Availability.UNREACHABLE, house.clock.now_ms())
    assert not house.seen(switch).fresh


async def test_a_device_counts_as_one_before_its_first_availability(house: Any) -> None:
    plug, _ = await house.inventory.declare(
        ProductDescription(identity="product:59cd", name="Device 3", medium=Medium.SENSOR),
        [value("switch", SWITCH)],
    )
    node = NodeDescription(identity="zwave:d15a1e4d:3", protocol=Protocol.ZWAVE, product_id=plug.id)
    assert house.seen(plug).availability == ""
    await house.inventory.declare_node(node)
    assert (house.seen(plug).availability, house.seen(plug).fresh) == ("available", True)
    await house.inventory.declare_node(replace(node, status=NodeStatus.NO_CONNECTION))
    assert house.problems() == [("attention", "Device 3 cannot be reached.")]


SILENT = "Device 9 has not been heard of for longer than it should be silent."


async def test_one_value_that_is_never_told_makes_no_device_silent(house: Any) -> None:
    sensor, values = await house.device(
        9, value("temperature", TEMPERATURE, 20 * MINUTE_MS), value("battery", BATTERY, 20 * MINUTE_MS)
    )
    house.read(values["temperature"], 20)
    await house.minutes(20)
    assert (house.seen(sensor).fresh, house.problems()) == (True, [])
    await house.minutes(5)
    assert (house.seen(sensor).fresh, house.problems()) == (False, [("problem", SILENT)])


@pytest.mark.parametrize("slow", [BATTERY, SWITCH, CONTACT])
async def test_a_sleeping_device_without_measured_values_goes_by_its_reach(
    house: Any, slow: DatatypeId
) -> None:
    sensor, values = await house.device(9, value("contact", CONTACT), value("slow", slow, HOUR_MS))
    await house.minutes(5)
    assert (house.seen(sensor).fresh, house.problems()) == (True, []), "nothing told since the start"
    house.read(values["slow"], 80)
    await house.minutes(70)
    assert (house.seen(sensor).fresh, house.problems()) == (True, []), "told long ago"
    assert of_product(house.seen(sensor), house.gateway.examiner.snapshot()) == ("good", "Available")
    await house.inventory.available(sensor.id, Availability.UNREACHABLE, house.clock.now_ms())
    assert not house.seen(sensor).fresh


async def test_a_state_without_a_datatype_of_its_own_is_no_measured_value(house: Any) -> None:
    handle = replace(value("handle", SENSOR, HOUR_MS), unit=Unit.NONE, aggregation=Aggregation.LAST)
    weight = replace(value("weight", SENSOR, HOUR_MS), aggregation=Aggregation.MAX, emptyings=True)
    window, values = await house.device(9, handle)
    scale, weights = await house.device(8, weight)
    house.read(values["handle"], 1)
    house.read(weights["weight"], 1)
    await house.minutes(70)
    assert (house.seen(window).fresh, house.seen(scale).fresh) == (True, False)


async def test_a_sleeping_meter_has_time_for_its_first_report_after_a_start(house: Any) -> None:
    meter, values = await house.device(9, value("energy", ENERGY_CONSUMED, 2 * HOUR_MS))
    house.read(values["energy"], 1)
    await house.minutes(62)
    again = await house.again()
    again.gateway.intake.take()  # the clock is trusted from here on
    assert again.seen(meter).fresh
    await again.minutes(119)
    assert (again.seen(meter).fresh, again.problems()) == (True, [])
    await again.minutes(2)
    assert (again.seen(meter).fresh, again.problems()) == (False, [("problem", SILENT)])


async def test_a_register_that_began_again_names_its_device(house: Any) -> None:
    _, values = await house.device(9, value("energy", ENERGY_CONSUMED))

    async def read(*wholes: int) -> None:
        for whole in wholes:
            house.read(values["energy"], whole)
            await house.minutes(1)

    await read(50_000, 50_010, 3, 4, 5)
    assert house.problems() == [
        (
            "attention",
            "Device 9, energy: the register began again at a lower value (once since the start).",
        )
    ]
    await read(9_000, 9_001, 9_002, 3, 4, 5)
    assert house.problems()[0][1].endswith("(2 times since the start).")
    for _ in range(7 * 24):
        await house.minutes(60)
        await read(6)
    assert house.problems() == [], "a week later that is no news"
    await read(1, 2, 3)
    assert len(house.problems()) == 1
    house.gateway.keeper.meters.retire(values["energy"].product_id, house.clock.now_ms())
    assert house.problems() == []


async def test_nobody_waits_for_a_device_that_was_removed(house: Any) -> None:
    meter, values = await house.device(7, value("energy", ENERGY_CONSUMED, MINUTE_MS))
    house.read(values["energy"], 1)
    await house.minutes(10)
    await house.inventory.available(meter.id, Availability.UNREACHABLE, house.clock.now_ms())
    await house.inventory.remove_node("zwave:d15a1e4d:7")
    assert (house.seen(meter).availability, house.seen(meter).removed, house.problems()) == ("", True, [])
    await house.minutes(60)
    assert (await causes(house, values["energy"]))[-1] is Cause.DEVICE_REMOVED
    again = await house.again()
    again.gateway.intake.take()  # the clock is trusted from here on
    assert (again.seen(meter).removed, again.problems()) == (True, [])
    await again.minutes(62)
    assert (await causes(again, values["energy"]))[-1] is Cause.DEVICE_REMOVED
    other = NodeDescription(
        identity="zwave:d15a1e4d:9", protocol=Protocol.ZWAVE, product_id=meter.id, zwave_id=9
    )
    await again.inventory.declare_node(other)
    await again.minutes(62)
    assert (await causes(again, values["energy"]))[-1] is Cause.METER_SILENT, "another device fills it"


async def test_the_inventory_of_a_driver_is_the_stores(house: Any, store: SqliteStore) -> None:
    await house.device(5, value("switch", SWITCH))
    assert await house.inventory.products() == await store.products()
    assert await house.inventory.properties() == await store.properties()
    assert await house.inventory.nodes() == await store.nodes()
    assert await house.inventory.pendings() == []


def test_kinds_are_what_these_tests_take_them_for() -> None:
    kinds = [DATATYPES[one].kind for one in (ENERGY_CONSUMED, TEMPERATURE, SWITCH)]
    assert kinds == [Kind.REGISTER, Kind.MOMENTARY, Kind.STATE]


async def test_a_value_that_was_not_set_is_told_until_it_is(house: Any, store: SqliteStore) -> None:
    product, properties = await house.device(9, value("switch", SWITCH))
    switch = properties["switch"]
    node = next(one for one in await store.nodes() if one.description.product_id == product.id)

    async def order(status: PendingStatus, detail: str = "") -> None:
        made = await house.inventory.pend(
            PendingDescription(
                node_id=node.id,
                property_id=switch.id,
                channel=0,
                command_class=37,
                parameter="",
                value="255",
                status=PendingStatus.SENDING,
                at_ms=house.clock.now_ms(),
            )
        )
        assert house.problems() == []
        await house.inventory.update_pending(made.id, status, detail=detail)

    await order(PendingStatus.FAILED, "The device refused it (fail).")
    told = [("attention", "Device 9: switch was not set to On. The device refused it (fail).")]
    assert house.problems() == told

    again = await house.again()  # also after a restart
    assert again.problems() == told

    await order(PendingStatus.DONE)
    assert house.problems() == []
    await order(PendingStatus.FAILED)
    house.clock.pass_ms(25 * HOUR_MS)
    await house.inventory.available(product.id, Availability.AVAILABLE, house.clock.now_ms())
    assert house.problems() == []


async def test_what_has_words_is_shown_in_words(house: Any) -> None:
    product, properties = await house.device(9, value("switch", SWITCH), value("temperature", TEMPERATURE))
    house.read(properties["switch"], 255)
    house.read(properties["temperature"], 20)
    await house.minutes(31)
    switch, temperature = house.seen(product).properties
    assert (switch.value, switch.word) == ("255", "On")
    assert switch.last_half_hour is not None
    assert switch.last_half_hour.word == "On"
    assert temperature.word == ""
    assert "last was On" in nothing_because(structs.replace(switch, fresh=False))
