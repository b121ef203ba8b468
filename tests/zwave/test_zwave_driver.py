"""The Z-Wave driver from the network's point of view: real zwave-js on the simulated stick."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

import meterkast.lean  # noqa: F401
from meterkast.model.errors import RefusedError
from meterkast.model.product import Medium, NodeStatus
from meterkast.ports.driver import LinkState
from meterkast_drivers.zwave import polling

# isort: split
from zwave_js_server.const import InclusionStrategy

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("zwave driver"),
]

KINDS = (
    "meter:2,strip:3,gas:4,water:5,air:6,scale:7,plug:8,thermostat:9,lock:11,climate:12,dimmer:13,heat:14,"
    "cooling:15,water_pulses:16,three_phase:17,fahrenheit:18,noise:19,unknown:20,contact:21,sleeper:22"
)
LISTENING = [*range(2, 10), *range(11, 21)]
CLIMATE, METER, PLUG, CONTACT = 12, 2, 8, 21
LIMIT_S = 90.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stick(tools: Any) -> AsyncIterator[Any]:
    async with tools.serving(devices=KINDS, period_s=600) as stick:
        yield stick


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tools: Any, stick: Any) -> AsyncIterator[Any]:
    nodes = {"8": {"name": "Boiler", "parameters": {"1": 5}}, "16": {"pulse": "10 L"}}
    with tools.folder() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(polling, "APART_S", 0.05)  # sixty values at one a second would be a minute
        async with tools.driving(stick.url, folder, nodes=nodes) as running:
            await running.settled(*LISTENING)
            yield running


async def test_every_kind_of_device_is_seen_as_properties(running: Any) -> None:
    assert running.keys(2) >= {"import_total", "export_total", "power_import", "voltage", "current"}
    assert running.keys(3) >= {"switch_1", "import_total_1", "switch_3", "import_total_3", "power_import_3"}
    assert "volume" in running.keys(4)
    assert "volume" in running.keys(5)
    assert running.keys(6) >= {"temperature", "humidity", "co2", "tvoc", "pm2p5", "pm10"}
    assert running.keys(7) == {"weight"}
    assert running.keys(8) == {"switch"}
    assert running.keys(9) >= {"temperature", "mode", "setpoint_heating", "operating_state"}
    assert running.keys(11) >= {"lock", "battery"}
    assert "dimmer" in running.keys(13)
    assert "energy" in running.keys(14)
    assert "energy" in running.keys(15)
    assert any(key.startswith("volume") for key in running.keys(16))
    for node in LISTENING:
        assert running.keys(node), node


async def test_a_product_says_what_it_measures_and_what_it_is(running: Any) -> None:
    media = {node: running.product(node).description.medium for node in LISTENING}
    assert media[4] is Medium.GAS
    assert media[5] is Medium.WATER
    assert media[14] is Medium.HEAT
    assert media[15] is Medium.COOLING
    assert media[6] is Medium.SENSOR
    assert Medium.ELECTRICITY not in media.values()
    meter = running.product(METER).description
    assert meter.identity == "zwave:7e570001:2"
    assert meter.maker
    assert meter.type == "Simple Meter"
    assert running.product(PLUG).name == "Boiler"


async def test_nodes_and_their_mappings_are_kept(running: Any) -> None:
    row = running.shelf.node_rows["zwave:7e570001:3"]
    assert row.description.zwave_id == 3
    assert row.description.product_id == running.product(3).id
    assert {mapping.channel for mapping in running.shelf.mappings[row.id]} == {1, 2, 3}
    assert {mapping.command_class for mapping in running.shelf.mappings[row.id]} == {37, 50}


async def test_all_that_the_devices_showed_are_readings(tools: Any, stick: Any, running: Any) -> None:
    before = await stick.shown()
    newest = before[-1]["n"] if before else 0
    measuring = [node for node in LISTENING if node not in (8, 11, 13)]
    for node in measuring:
        await stick.verb("report", id=node)
    shown: list[dict[str, Any]] = []
    async with asyncio.timeout(LIMIT_S):
        while not {one["node"] for one in shown} >= set(measuring):
            shown = await stick.shown(newest)
            await asyncio.sleep(0.1)
    compared = set()
    for one in shown:
        mapped = _mapped(running, one)
        if mapped is None:
            continue
        wanted = float(mapped.target.conversion.to_canonical(Decimal(str(one["value"]))))
        await tools.until(
            lambda one=one, mapped=mapped, wanted=wanted: (
                pytest.approx(wanted, rel=1e-9) in running.values(one["node"], mapped.property.key)
            ),
            f"node {one['node']} has {mapped.property.key} {wanted}",
        )
        compared.add(one["node"])
    assert compared == set(measuring)


def _view(running: Any, node: int) -> Any:
    return next(view for view in running.driver.network.nodes() if view.node == node)


def _mapped(running: Any, shown: dict[str, Any]) -> Any:
    """The property of a value that a device showed; None where it is kept otherwise."""
    for mapped in running.driver.devices.get(shown["node"]).properties.values():
        value = mapped.value
        if (value.command_class, value.endpoint) != (shown["commandClass"], shown["endpoint"]):
            continue
        told = value.cc_specific
        key = (
            told["meterType"] << 16 | told["scale"] << 8 | told["rateType"]
            if "meterType" in told
            else told.get("sensorType")
        )
        if told and key == shown["key"]:
            return mapped
    return None


async def test_what_is_not_reported_is_asked_for_once(tools: Any, running: Any) -> None:
    await tools.until(
        lambda: running.values(PLUG, "switch") and running.values(11, "lock"), "states were asked for"
    )
    counters = running.driver.status().counters
    assert counters["values asked for"] > 0
    assert counters.get("values asked for in vain", 0) == 0


async def test_an_unchanged_report_is_a_reading_too(tools: Any, stick: Any, running: Any) -> None:
    before = running.values(PLUG, "switch").count(255)
    for _ in range(2):
        await stick.verb("button", id=PLUG, value=True)
    await tools.until(lambda: running.values(PLUG, "switch").count(255) >= before + 2, "both reports")


async def test_the_servers_guess_after_a_write_is_no_reading(tools: Any, stick: Any, running: Any) -> None:
    driver = running.driver
    device = driver.devices.get(PLUG)
    await stick.verb("button", id=PLUG, value=False)
    await tools.until(lambda: running.values(PLUG, "switch")[-1:] == [0], "off")
    told: list[Any] = []
    device.live.on("value updated", lambda event: told.append(event["args"]["property"]))
    before = len(running.values(PLUG, "switch"))
    echo = driver.devices.expect_echo(PLUG, "37-0-currentValue")
    await driver._link.ask(
        device.live.async_set_value("8-37-0-targetValue", True), what="switching", within_s=30
    )
    await tools.until(lambda: "currentValue" in told, "the server's guess")
    assert len(running.values(PLUG, "switch")) == before
    echo.end(confirmed=True)
    assert running.values(PLUG, "switch")[before:] == [255]


async def test_a_parameter_is_set_after_the_interview(tools: Any, stick: Any, running: Any) -> None:
    await tools.until(
        lambda: running.driver.parameters.counters, "the parameter was set, or told why it was not"
    )
    detail = _view(running, PLUG).detail
    set_at_device = await stick.verb("parameters", id=PLUG)
    assert set_at_device == {"1": 5} or "parameter 1 was not set" in detail.lower()


async def test_a_dead_device_is_retried_and_back_at_once(tools: Any, stick: Any, running: Any) -> None:
    driver, device = running.driver, running.driver.devices.get(19)
    product = running.product(19).id
    await stick.verb("dead", id=19)
    mapped = next(iter(device.properties.values()))
    question = device.live.async_poll_value(f"19-{mapped.value.id}")
    with pytest.raises(RefusedError):
        await driver._link.ask(question, what="node 19", within_s=30)
    await tools.until(lambda: device.status is NodeStatus.UNSTABLE, "retrying")
    assert "not reached" in driver.status().detail
    assert driver.status().state is LinkState.READING
    await stick.verb("alive", id=19)
    await stick.verb("report", id=19)
    await tools.until(lambda: device.status is NodeStatus.AVAILABLE, "available")
    await tools.until(
        lambda: running.shelf.words(product) == ["available", "retrying", "available"], "kept with its time"
    )


async def test_a_sleeping_device_is_known_once_it_woke_up(tools: Any, stick: Any, running: Any) -> None:
    device = running.driver.devices.get(CONTACT)
    await tools.until(lambda: device.ready or "wake" in _view(running, CONTACT).detail, "asleep")
    await stick.verb("wake", id=CONTACT)
    await running.settled(CONTACT)
    assert running.keys(CONTACT) >= {"battery", "contact"}
    assert device.wake_up_s
    assert device.report_ms == device.wake_up_s * 1000
    await stick.verb("battery_low", id=CONTACT)
    await tools.until(lambda: "battery" in _view(running, CONTACT).detail, "the warning")
    await stick.verb("battery", id=CONTACT, level=100)
    await tools.until(lambda: not _view(running, CONTACT).detail, "a new battery")
    await stick.verb("notify", id=CONTACT, type=6, event=0x16)
    await tools.until(lambda: 255 in running.values(CONTACT, "contact"), "the door opened")


async def test_a_unit_that_changes_does_not_change_the_quantity(tools: Any, stick: Any, running: Any) -> None:
    await stick.verb("report", id=CLIMATE)
    await tools.until(lambda: running.values(CLIMATE, "temperature"), "a temperature")
    celsius = running.values(CLIMATE, "temperature")[-1]
    product, keys = running.product(CLIMATE).id, running.keys(CLIMATE)
    before = len(running.values(CLIMATE, "temperature"))
    await stick.verb("unit", id=CLIMATE, type=1, scale=1)
    await tools.until(lambda: len(running.values(CLIMATE, "temperature")) > before, "one in °F")
    assert running.values(CLIMATE, "temperature")[-1] == pytest.approx(celsius, abs=1.5)
    await tools.until(lambda: _in_fahrenheit(running), "declared again")
    await running.settled(CLIMATE)
    assert running.product(CLIMATE).id == product
    assert running.keys(CLIMATE) == keys
    await stick.verb("unit", id=CLIMATE, type=1, scale=0)


def _in_fahrenheit(running: Any) -> bool:
    values = running.driver.devices.get(CLIMATE).properties.values()
    return any(mapped.property.key == "temperature" and mapped.value.unit == "°F" for mapped in values)


async def test_a_flood_is_thinned_out(tools: Any, stick: Any, running: Any) -> None:
    before = len(running.values(7, "weight"))
    await stick.verb("flood", id=7, count=600, per_s=300)
    what = "flood: reports left out, the newest of each second kept"
    await tools.until(lambda: running.driver.reports.counters[what] > 100, "counted")
    newest = [one for one in await stick.shown() if one["node"] == 7][-1]
    await tools.until(
        lambda: running.values(7, "weight")[-1:] == [pytest.approx(newest["value"])], "the newest was kept"
    )
    assert len(running.values(7, "weight")) - before < 100


async def test_nonsense_on_the_air_harms_nobody(tools: Any, stick: Any, running: Any) -> None:
    await stick.verb("unknown_cc", id=CLIMATE)
    await stick.verb("extremes", id=CLIMATE)
    await stick.verb("raw", id=CLIMATE, cc=49, command=5, hex="01")
    await stick.verb("nif", id=CLIMATE)
    before = len(running.values(METER, "import_total"))
    await stick.verb("report", id=METER)
    await tools.until(lambda: len(running.values(METER, "import_total")) > before, "the meter reports")
    assert running.losses == []
    assert running.driver.status().state is LinkState.READING


async def test_the_views_tell_all(tools: Any, stick: Any, running: Any) -> None:
    views = {view.node: view for view in running.driver.network.nodes()}
    assert views[METER].name == running.product(METER).name
    assert views[METER].values == len(running.driver.devices.get(METER).properties)
    assert views[11].battery_percent == 100
    await stick.verb("report", id=METER)
    await tools.until(lambda: running.values(METER, "import_total"), "the meter reports")
    values = running.driver.network.values(METER)
    total = next(one for one in values if one.key == "import_total")
    assert (total.value, total.parameter, total.unit) == ("50-0-value-65537", "0", "Wh")
    assert total.newest is not None
    assert float(total.newest) == running.values(METER, "import_total")[-1]
    assert any(not one.key and one.why for one in values)


async def test_a_number_that_is_given_out_again_is_another_product(
    tools: Any, stick: Any, running: Any
) -> None:
    driver = running.driver
    controller = driver._link.driver.controller
    old = running.product(20)
    await driver._link.ask(controller.async_begin_exclusion(), what="exclusion", within_s=30)
    await stick.verb("leave", id=20)
    await tools.until(lambda: driver.devices.get(20) is None, "removed")
    assert "zwave:7e570001:20" not in running.shelf.node_rows
    assert old.description.identity in running.shelf.product_rows
    plain = controller.async_begin_inclusion(InclusionStrategy.INSECURE)
    await driver._link.ask(plain, what="inclusion", within_s=30)
    await stick.verb("join", kind="plug", id=20)
    await running.settled(20)
    assert running.product(20).id != old.id
    assert running.product(20).description.identity == "zwave:7e570001:20.2"
    assert running.shelf.node_rows["zwave:7e570001:20"].description.product_id == running.product(20).id
