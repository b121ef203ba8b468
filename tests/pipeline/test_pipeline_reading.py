"""A driver is started again, its absences are remembered, and an uplink's words find the right property."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

import meterkast.pipeline.outages as outages_module
import meterkast.pipeline.supervisor as supervisor_module
from meterkast.model.datatypes import DatatypeId
from meterkast.model.errors import ConfigError, LinkLostError, StorageError
from meterkast.model.half_hour import Cause
from meterkast.model.product import (
    Medium,
    Product,
    ProductDescription,
    ProductId,
    Property,
    PropertyDescription,
    PropertyId,
)
from meterkast.model.reading import Batch, Column
from meterkast.model.time import HALF_HOUR_MS, MINUTE_MS, UtcMs
from meterkast.model.units import Unit
from meterkast.pipeline.binding import resolve
from meterkast.pipeline.outages import Outages
from meterkast.pipeline.supervisor import CAP_S, CONFIG_S, LASTED_S, Supervisor
from meterkast.ports import Binding, DriverStatus, Emit, LinkState

START = UtcMs(1_773_154_800_000)
END = UtcMs(START + HALF_HOUR_MS)
BATCH = Batch((Column(PropertyId(1), 0),), (5,), 0)


def prop(number: int, product: int = 1, key: str = "import_t1", unit: Unit = Unit.WATT_HOUR) -> Property:
    description = PropertyDescription(key=key, name=key, datatype=DatatypeId(39), unit=unit)
    return Property(id=PropertyId(number), product_id=ProductId(product), description=description)


# The supervisor


class Scripted:
    """A driver that does one thing after another, one at each start."""

    name = "p1 main"

    def __init__(self, *script: Callable[[Emit], Any]) -> None:
        self.script = list(script)
        self.starts = 0

    async def run(self, emit: Emit) -> None:
        act = self.script[min(self.starts, len(self.script) - 1)]
        self.starts += 1
        result = act(emit)
        if asyncio.iscoroutine(result):
            await result

    def status(self) -> DriverStatus:
        return DriverStatus(state=LinkState.OPENING, detail="", counters={})


def raising(error: Exception) -> Callable[[Emit], None]:
    def act(_: Emit) -> None:
        raise error

    return act


LOST = LinkLostError("the port went away", hint="Plug it in.")


class Watch:
    """A supervisor with a scripted driver on a clock that a test moves."""

    def __init__(self, clock: Any, *script: Callable[[Emit], Any]) -> None:
        self.clock = clock
        self.driver = Scripted(*script)
        self.outages = Outages(clock.now_ms())
        self.outages.trusted_since_ms = clock.now_ms()
        self.outages.reads("p1 main", ProductId(1))
        self.got: list[Batch] = []
        self.supervisor = Supervisor(self.driver, self.got.append, clock, self.outages, lambda: 1.0)
        self.task = asyncio.create_task(self.supervisor.run())

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        assert self.task.cancelled()


async def test_driver_that_loses_its_device_is_started_again_with_growing_waits(clock: Any) -> None:
    watch = Watch(clock, raising(LOST))
    await clock.settle()
    assert (watch.supervisor.problem, watch.supervisor.hint) == ("the port went away", "Plug it in.")
    starts = []
    for second in range(200):
        await clock.pass_s(1)
        if watch.driver.starts > len(starts) + 1:
            starts.append(second + 1)
    assert starts[:7] == [1, 3, 7, 15, 31, 61, 91]
    assert watch.supervisor.restarts == watch.driver.starts - 1
    await watch.stop()


@pytest.mark.parametrize(
    ("error", "wait_s", "shown"),
    [
        (ConfigError("`drivers.p1.port`: no such port", hint="Set it."), CONFIG_S, "no such port"),
        (StorageError("the disk is full", hint="Free space."), 1.0, "the disk is full"),
        (RuntimeError("a fault"), 1.0, "internal error: RuntimeError('a fault')"),
    ],
)
async def test_driver_that_cannot_work_is_shown_and_tried_again(
    clock: Any, error: Exception, wait_s: float, shown: str
) -> None:
    watch = Watch(clock, raising(error))
    await clock.pass_s(wait_s - 0.1)
    assert watch.driver.starts == 1
    assert shown in watch.supervisor.problem
    assert watch.supervisor.hint
    await clock.pass_s(0.2)
    assert watch.driver.starts == 2
    assert not watch.task.done()
    await watch.stop()


async def test_driver_that_ends_by_itself_is_started_again(clock: Any) -> None:
    watch = Watch(clock, lambda emit: emit(BATCH))
    await clock.pass_s(10)
    assert watch.driver.starts > 2
    assert watch.got[0] is BATCH
    assert watch.supervisor.problem == "the driver ended by itself"
    await watch.stop()


async def test_running_driver_has_no_problem_and_is_stopped_with_the_gateway(clock: Any) -> None:
    closed = []

    async def run(_: Emit) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    watch = Watch(clock, raising(LOST), run)
    await clock.pass_s(5)
    assert (watch.supervisor.problem, watch.supervisor.hint) == ("", "")
    await watch.stop()
    assert closed == [True]


async def test_wait_is_short_again_after_a_driver_has_worked_for_long(clock: Any) -> None:
    async def works(_: Emit) -> None:
        await clock.sleep(LASTED_S + 1)
        raise LOST

    watch = Watch(clock, *[raising(LOST)] * 8, works, raising(LOST))
    await clock.pass_s(1 + 2 + 4 + 8 + 16 + 3 * CAP_S + 0.5)
    assert watch.driver.starts == 9
    await clock.pass_s(LASTED_S + 1 + 1)
    assert watch.driver.starts == 10
    await watch.stop()


async def test_absence_lasts_from_the_loss_to_the_first_reading(clock: Any) -> None:
    async def opens_late(emit: Emit) -> None:
        await clock.sleep(20 * 60)
        emit(BATCH)
        emit(BATCH)
        await asyncio.Event().wait()

    watch = Watch(clock, raising(LOST), opens_late)
    await clock.pass_s(1800)
    assert watch.got == [BATCH, BATCH]
    now_ms = clock.now_ms()
    assert watch.outages.why(prop(1), START, UtcMs(START + 20 * MINUTE_MS)) is Cause.LINK_LOST
    assert watch.outages.why(prop(1), UtcMs(START + 21 * MINUTE_MS), now_ms) is Cause.METER_SILENT
    await watch.stop()


async def test_absence_is_logged_when_it_begins_and_when_it_ends(
    clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def reads(emit: Emit) -> None:
        emit(BATCH)
        await asyncio.Event().wait()

    watch = Watch(clock, *[raising(LOST)] * 9, reads)
    await clock.pass_s(600)
    assert watch.driver.starts == 10
    assert [record.message for record in caplog.records if record.name == supervisor_module.__name__] == [
        "driver stopped",
        "driver reads again",
    ]
    await watch.stop()


# Outages


def known() -> Outages:
    outages = Outages(START)
    outages.trusted_since_ms = START
    outages.reads("p1", ProductId(1))
    return outages


def test_meter_is_silent_where_the_gateway_knows_of_nothing_else() -> None:
    assert known().why(prop(1), START, END) is Cause.METER_SILENT
    assert known().why(prop(1, product=9), START, END) is Cause.METER_SILENT


def test_half_of_the_time_without_the_link_is_the_links() -> None:
    outages = known()
    outages.lost("p1", UtcMs(START + 5 * MINUTE_MS))
    outages.lost("p1", UtcMs(START + 6 * MINUTE_MS))
    outages.back("p1", UtcMs(START + 12 * MINUTE_MS))
    outages.back("p1", UtcMs(START + 13 * MINUTE_MS))
    assert outages.why(prop(1), START, END) is Cause.METER_SILENT
    outages.lost("p1", UtcMs(START + 23 * MINUTE_MS))
    assert outages.why(prop(1), START, END) is Cause.METER_SILENT, "14 minutes of 30"
    outages.back("p1", UtcMs(START + 23 * MINUTE_MS))
    outages.lost("p1", UtcMs(START + 22 * MINUTE_MS))
    assert outages.why(prop(1), START, END) is Cause.LINK_LOST, "15 minutes of 30"
    assert outages.why(prop(1), END, UtcMs(END + HALF_HOUR_MS)) is Cause.LINK_LOST, "and goes on"
    assert outages.why(prop(1, product=2), START, END) is Cause.METER_SILENT, "another driver's meter"
    outages.back("other", END)


def test_gateway_that_was_off_says_so() -> None:
    outages = Outages(UtcMs(END + 40 * MINUTE_MS))
    outages.off_since_ms = UtcMs(START + 10 * MINUTE_MS)
    outages.trusted_since_ms = outages.started_ms
    assert outages.why(prop(1), START, END) is Cause.GATEWAY_OFF
    assert outages.why(prop(1), END, UtcMs(END + HALF_HOUR_MS)) is Cause.GATEWAY_OFF
    outages.off_since_ms = UtcMs(END - 5 * MINUTE_MS)
    later = UtcMs(END + HALF_HOUR_MS)
    assert outages.why(prop(1), later, UtcMs(later + HALF_HOUR_MS)) is Cause.METER_SILENT


def test_half_hour_before_the_time_was_known_says_so() -> None:
    outages = Outages(UtcMs(START + MINUTE_MS))
    assert outages.why(prop(1), START, END) is Cause.CLOCK_UNKNOWN
    outages.trusted_since_ms = END
    assert outages.why(prop(1), START, END) is Cause.CLOCK_UNKNOWN
    assert outages.why(prop(1), UtcMs(START - HALF_HOUR_MS), START) is Cause.GATEWAY_OFF
    assert outages.why(prop(1), END, UtcMs(END + HALF_HOUR_MS)) is Cause.METER_SILENT


def test_loose_plug_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages_module, "_REMEMBERED", 3)
    outages = known()
    for number in range(10):
        outages.lost("p1", UtcMs(START + number * 1000))
        outages.back("p1", UtcMs(START + number * 1000 + 500))
    assert len(outages._lost["p1"]) == 3


# Bindings


def product(number: int, medium: Medium, serial: str, identity: str = "", name: str = "Meter") -> Product:
    described = ProductDescription(
        identity=identity or f"p1:{serial}", name=name, medium=medium, serial=serial
    )
    return Product(id=ProductId(number), description=described)


ELECTRICITY = product(1, Medium.ELECTRICITY, "E001", name="Electricity meter")
GAS = product(2, Medium.GAS, "G002")
COLD, HOT = product(3, Medium.WATER, "W003"), product(4, Medium.WATER, "W004")
SOCKET = [
    product(5, Medium.OTHER, "", identity="zwave:c0ffee:5:0"),
    product(6, Medium.OTHER, "", identity="zwave:c0ffee:5:1"),
]
PRODUCTS = [ELECTRICITY, GAS, COLD, HOT, *SOCKET]
PROPERTIES = [
    prop(1, 1),
    prop(2, 1, "export_t1"),
    prop(3, 2, "volume", Unit.LITRE),
    prop(4, 3, "volume", Unit.LITRE),
    prop(5, 4, "volume", Unit.LITRE),
    prop(6, 5, "power"),
    prop(7, 6, "power"),
]


def asked(name: str, key: str, unit: Unit | None = None, products: Sequence[Product] = PRODUCTS) -> Any:
    found, reason = resolve(Binding(product=name, key=key, unit=unit), products, PROPERTIES)
    return found.id if found is not None else reason


@pytest.mark.parametrize(
    ("name", "key", "number"),
    [
        ("E001", "import_t1", 1),
        ("p1:E001", "export_t1", 2),
        ("electricity", "import_t1", 1),
        ("Electricity meter", "import_t1", 1),
        ("gas", "volume", 3),
        ("W004", "volume", 5),
        ("zwave:c0ffee:5:1", "power", 7),
        ("c0ffee:5:0", "power", 6),
    ],
)
def test_word_for_a_meter_finds_its_property(name: str, key: str, number: int) -> None:
    assert asked(name, key) == number


def test_meter_that_was_not_read_yet_is_waited_for() -> None:
    assert asked("heat", "energy") == "heat/energy: no such meter was read yet"


def test_bare_name_of_a_medium_means_the_utilitys_meter_before_any_behind_it() -> None:
    behind = product(9, Medium.GAS, "G009")
    behind = replace(behind, description=replace(behind.description, identity="zwave:c0ffee:9"))
    assert asked("gas", "volume", products=[behind, *PRODUCTS]) == 3


def test_value_that_a_meter_has_not_is_answered_with_those_it_has() -> None:
    assert asked("E001", "import_t3") == (
        "E001/import_t3: the meter has no import_t3 yet; it has import_t1, export_t1"
    )
    bare = product(9, Medium.HEAT, "H009")
    assert asked("H009", "energy", products=[bare]).endswith("it has nothing")


def test_word_that_means_two_meters_takes_neither() -> None:
    assert asked("water", "volume") == (
        "water/volume: there are 2 such devices; write one of W003, W004 instead"
    )
    assert asked("Meter", "volume").startswith("Meter/volume: there are ")
    assert asked("Meter", "power").endswith("write one of zwave:c0ffee:5:0, zwave:c0ffee:5:1 instead")
    twins = [product(3, Medium.WATER, "W", "zwave:1:1"), product(4, Medium.WATER, "W", "zwave:1:2")]
    assert asked("W", "volume", products=twins).endswith("write one of zwave:1:1, zwave:1:2 instead")


def test_litres_never_go_out_as_energy() -> None:
    assert asked("gas", "volume", Unit.LITRE) == 3
    assert asked("gas", "volume", Unit.WATT_HOUR) == "gas/volume: is kept in L, and Wh is asked for"
