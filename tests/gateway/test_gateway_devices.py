"""Devices of a network in the built gateway: out of reach, removed, with rare values."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from meterkast.app import Gateway
from meterkast.cli import init
from meterkast.config import Config, decode
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
    Product,
    ProductDescription,
    Property,
    PropertyDescription,
    Protocol,
)
from meterkast.model.reading import Batch, Column
from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, MINUTE_MS, UtcMs
from meterkast.model.units import Unit
from meterkast.pipeline.health import ProductHealth
from meterkast.pipeline.inventory import DriverCatalog
from meterkast.ports import Trust
from meterkast.web.tones import nothing_because, of_product
from meterkast_buffer.store import SqliteStore, open_store
from meterkast_drivers.sticks import zwave_sticks

START = UtcMs(1_773_154_800_000)  # a whole half-hour


class HandClock:
    """Stands still until a test moves it."""

    speed = 1.0
    trust = Trust.TRUSTED

    def __init__(self) -> None:
        self.at_ms = int(START)

    def now_ms(self) -> UtcMs:
        return UtcMs(self.at_ms)

    def boot_ns(self) -> int:
        return (self.at_ms - START) * 1_000_000

    def utc_of(self, boot_ns: int) -> UtcMs:
        return UtcMs(START + boot_ns // 1_000_000)

    def offer(self, stamp_ms: UtcMs, seen_ns: int) -> None: ...

    def allowance_ms(self, limit_ms: int) -> int:
        return limit_ms

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing sleeps here")

    async def sleep_until(self, at_ms: UtcMs) -> None:
        raise AssertionError("nothing sleeps here")


def value(key: str, datatype: DatatypeId, fresh_ms: int = HOUR_MS) -> PropertyDescription:
    return PropertyDescription(
        key=key, name=key, datatype=datatype, unit=DATATYPES[datatype].unit, fresh_ms=fresh_ms
    )


class House:
    """A gateway that is driven by hand, with the inventory of a driver."""

    def __init__(self, store: SqliteStore, clock: HandClock) -> None:
        tree = {"storage": {"path": store.database.path}, "page": {"enabled": False}}
        self.clock = clock
        self.gateway = Gateway(decode(Config, tree), clock, store, "mk-test")
        self.inventory = DriverCatalog(self.gateway.keeper, "zwave")
        self.store = store

    async def device(self, node: int, *values: PropertyDescription) -> tuple[Product, dict[str, Property]]:
        identity = f"zwave:d15a1e4d:{node}"
        product, properties = await self.inventory.declare(
            ProductDescription(identity=identity, name=f"Device {node}", medium=Medium.SENSOR), values
        )
        await self.inventory.declare_node(
            NodeDescription(identity=identity, protocol=Protocol.ZWAVE, product_id=product.id, zwave_id=node)
        )
        await self.inventory.available(product.id, Availability.AVAILABLE, self.clock.now_ms())
        return product, dict(properties)

    def read(self, prop: Property, whole: int) -> None:
        self.gateway.intake.emit(Batch((Column(prop.id, 0),), (whole,), self.clock.boot_ns()))

    async def minutes(self, count: int) -> None:
        for _ in range(count):
            self.clock.at_ms += MINUTE_MS
            await self.gateway.keeper.flush()

    def seen(self, product: Product) -> ProductHealth:
        return next(one for one in self.gateway.examiner.snapshot().products if one.id == product.id)

    def problems(self) -> list[tuple[str, str]]:
        found = self.gateway.examiner.snapshot().problems
        return [(one.severity, one.what) for one in found if one.where.startswith("Device")]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = await open_store(tmp_path / "devices.db")
    yield made
    await made.close()


@pytest.fixture
async def house(store: SqliteStore) -> House:
    made = House(store, HandClock())
    await made.gateway.keeper.load()
    return made


async def causes(house: House, prop: Property) -> list[Cause | None]:
    rows = await house.store.half_hours(UtcMs(0), house.clock.now_ms(), properties=[prop.id])
    return [one.cause for one in rows if one.state is State.MISSING]


async def test_what_is_missing_while_a_device_is_out_of_reach_says_so(house: House) -> None:
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


async def test_a_device_that_was_out_of_reach_before_a_restart_still_is(
    house: House, store: SqliteStore
) -> None:
    meter, values = await house.device(7, value("energy", ENERGY_CONSUMED, MINUTE_MS))
    house.read(values["energy"], 1)
    await house.minutes(31)
    await house.inventory.available(meter.id, Availability.UNREACHABLE, house.clock.now_ms())
    await house.minutes(30)
    again = House(store, house.clock)
    await again.gateway.keeper.load()
    again.gateway.intake.take()  # the clock is trusted from here on
    await again.minutes(62)
    assert (await causes(again, values["energy"]))[-1] is Cause.LINK_LOST
    assert again.seen(meter).availability == "unreachable"


async def test_a_device_out_of_reach_is_told_with_its_cure(house: House) -> None:
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
    house.clock.at_ms += 24 * HOUR_MS
    assert house.problems()[0][1] == "Device 7 cannot be reached since 2026-03-10 16:10."


async def test_a_switch_that_says_nothing_is_well_as_long_as_it_can_be_reached(house: House) -> None:
    switch, _ = await house.device(5, value("switch", SWITCH, MINUTE_MS))
    await house.minutes(10)
    assert (house.seen(switch).fresh, house.problems()) == (True, [])
    await house.inventory.available(switch.id, Availability.UNREACHABLE, house.clock.now_ms())
    assert not house.seen(switch).fresh


async def test_a_device_counts_as_one_before_its_first_availability(house: House) -> None:
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


async def test_one_value_that_is_never_told_makes_no_device_silent(house: House) -> None:
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
    house: House, slow: DatatypeId
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


async def test_a_state_without_a_datatype_of_its_own_is_no_measured_value(house: House) -> None:
    handle = replace(value("handle", SENSOR, HOUR_MS), unit=Unit.NONE, aggregation=Aggregation.LAST)
    weight = replace(value("weight", SENSOR, HOUR_MS), aggregation=Aggregation.MAX, emptyings=True)
    window, values = await house.device(9, handle)
    scale, weights = await house.device(8, weight)
    house.read(values["handle"], 1)
    house.read(weights["weight"], 1)
    await house.minutes(70)
    assert (house.seen(window).fresh, house.seen(scale).fresh) == (True, False)


async def test_a_sleeping_meter_has_time_for_its_first_report_after_a_start(
    house: House, store: SqliteStore
) -> None:
    meter, values = await house.device(9, value("energy", ENERGY_CONSUMED, 2 * HOUR_MS))
    house.read(values["energy"], 1)
    await house.minutes(62)
    again = House(store, house.clock)
    await again.gateway.keeper.load()
    again.gateway.intake.take()  # the clock is trusted from here on
    assert again.seen(meter).fresh
    await again.minutes(119)
    assert (again.seen(meter).fresh, again.problems()) == (True, [])
    await again.minutes(2)
    assert (again.seen(meter).fresh, again.problems()) == (False, [("problem", SILENT)])


async def test_a_register_that_began_again_names_its_device(house: House) -> None:
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


async def test_nobody_waits_for_a_device_that_was_removed(house: House, store: SqliteStore) -> None:
    meter, values = await house.device(7, value("energy", ENERGY_CONSUMED, MINUTE_MS))
    house.read(values["energy"], 1)
    await house.minutes(10)
    await house.inventory.available(meter.id, Availability.UNREACHABLE, house.clock.now_ms())
    await house.inventory.remove_node("zwave:d15a1e4d:7")
    assert (house.seen(meter).availability, house.seen(meter).removed, house.problems()) == ("", True, [])
    again = House(store, house.clock)
    await again.gateway.keeper.load()
    house.clock.at_ms += HALF_HOUR_MS
    assert (again.seen(meter).removed, again.problems()) == (True, [])


async def test_the_inventory_of_a_driver_is_the_stores(house: House, store: SqliteStore) -> None:
    await house.device(5, value("switch", SWITCH))
    assert await house.inventory.products() == await store.products()
    assert await house.inventory.properties() == await store.properties()
    assert await house.inventory.nodes() == await store.nodes()
    assert await house.inventory.pendings() == []


def test_kinds_are_what_these_tests_take_them_for() -> None:
    kinds = [DATATYPES[one].kind for one in (ENERGY_CONSUMED, TEMPERATURE, SWITCH)]
    assert kinds == [Kind.REGISTER, Kind.MOMENTARY, Kind.STATE]


# ------------------------------------------------------------------------------------------------- init

BY_ID = "/dev/serial/by-id/usb-"


@pytest.mark.parametrize(
    "name",
    [
        "Zooz_800_Z-Wave_Stick_533D004242-if00",
        "0658_0200-if00",
        "Nabu_Casa_ZWA-2_81B53EE1-if00",
        "Silicon_Labs_HubZ_Smart_Home_Controller_612-if00-port0",
        "Aeotec_Z-Stick_8-if00",
    ],
)
def test_a_stick_is_known_by_its_name(name: str) -> None:
    cable = BY_ID + "FTDI_P1_Converter_Cable_P1RBW1V1-if00-port0"
    assert zwave_sticks([cable, BY_ID + name, "/dev/ttyUSB1"]) == [BY_ID + name]


async def test_init_leaves_a_stick_alone_and_writes_its_section_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stick, cable = BY_ID + "Zooz_800_Z-Wave_Stick_1-if00", "/dev/ttyUSB9"
    listened: list[str] = []

    async def listen(port: str) -> tuple[init.Found, str]:
        listened.append(port)
        return init.Found(), "silent"

    monkeypatch.setattr("meterkast_drivers.p1.port.present", lambda: [stick, cable])
    monkeypatch.setattr(init, "_listen", listen)
    parser = argparse.ArgumentParser()
    init.configure(parser)
    file = tmp_path / "new.toml"
    await asyncio.to_thread(init.run, parser.parse_args(["--config", str(file)]))
    assert listened == [cable]
    assert stick in capsys.readouterr().out
    written = file.read_text()
    assert f'# [drivers.zwave]\n# stick = "{stick}"' in written


async def test_a_value_that_was_not_set_is_told_until_it_is(house: House, store: SqliteStore) -> None:
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

    again = House(store, house.clock)  # also after a restart
    await again.gateway.keeper.load()
    assert again.problems() == told

    await order(PendingStatus.DONE)
    assert house.problems() == []
    await order(PendingStatus.FAILED)
    house.clock.at_ms += 25 * HOUR_MS
    await house.inventory.available(product.id, Availability.AVAILABLE, house.clock.now_ms())
    assert house.problems() == []


async def test_what_has_words_is_shown_in_words(house: House) -> None:
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
