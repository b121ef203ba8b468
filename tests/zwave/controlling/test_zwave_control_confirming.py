"""Whether a device did what it was told: only its own answer counts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meterkast.model.errors import RefusedError

PLUG, DIMMER, HEAT, METER, VALVE = 5, 6, 7, 8, 9
WORKING, FAIL, RADIO_ALONE = 1, 2, 254


@pytest.fixture
async def home(cupboard: Any, kinds: Any) -> Any:
    await cupboard.connect(
        kinds.plug(PLUG),
        kinds.levels(DIMMER, 38, 10, min=0, max=99),
        kinds.of(HEAT, kinds.setpoint(18, min=5, max=30)),
        kinds.meter(METER),
        kinds.valve(VALVE),
    )
    cupboard.server.status = RADIO_ALONE
    return cupboard


async def test_device_is_asked_until_it_is_there(home: Any) -> None:
    home.driver.network.patience.confirm_s = 60.0
    home.server.obeys = False
    home.server.status = WORKING
    home.server.says[DIMMER, "currentValue"] = 20
    order = home.writing(DIMMER, "dimmer", "70")
    await home.until(lambda: home.server.told.count("node.poll_value") >= 3, "asked again")
    assert not order.done()
    home.server.says[DIMMER, "currentValue"] = 70
    done = await order
    assert (done.status, done.detail) == ("done", "")


async def test_device_that_says_something_else_or_nothing(home: Any) -> None:
    home.server.obeys = False
    home.server.says[PLUG, "currentValue"] = False
    failed = await home.write(PLUG, "switch", "on")
    assert failed.status == "failed"
    assert failed.detail == "The device did not take the value: it still says Off."
    home.server.says[DIMMER, "currentValue"] = 10
    failed = await home.write(DIMMER, "dimmer", "70")
    assert failed.detail == "The device did not take the value: it still says 10 %."
    home.server.answers["node.poll_value"] = RefusedError("no answer", hint="")
    failed = await home.write(PLUG, "switch", "on")
    assert failed.status == "failed"
    assert failed.detail == (
        "It was sent, but the device did not tell its value afterwards: look at the device."
    )


async def test_thermostat_that_rounds_has_done_it(home: Any) -> None:
    home.server.obeys = False
    home.server.says[HEAT, "setpoint"] = 21.5
    done = await home.write(HEAT, "setpoint_heating", "21.3")
    assert (done.status, done.detail) == ("done", "The device made it 21.5 °C.")
    # What it said before the order is no answer, though it is near.
    home.server.says[HEAT, "setpoint"] = 18
    failed = await home.write(HEAT, "setpoint_heating", "18.4")
    assert failed.detail == "The device did not take the value: it still says 18 °C."
    home.server.says[HEAT, "setpoint"] = 25
    assert (await home.write(HEAT, "setpoint_heating", "21.3")).status == "failed"


async def test_newer_order_takes_the_place_of_one_on_its_way(home: Any) -> None:
    home.driver.network.patience.confirm_s = 60.0
    home.server.obeys = False
    home.server.says[DIMMER, "currentValue"] = 10
    older = home.writing(DIMMER, "dimmer", "70")
    await home.until(lambda: "node.poll_value" in home.server.told, "read back")
    newer = home.writing(DIMMER, "dimmer", "30")
    replaced = await older
    assert (replaced.status, replaced.detail) == ("replaced", "A newer value took its place.")
    home.server.says[DIMMER, "currentValue"] = 30
    assert (await newer).status == "done"


async def test_newer_order_while_the_older_is_not_answered(home: Any) -> None:
    home.server.answers["node.set_value"] = gate = asyncio.Event()
    older = home.writing(DIMMER, "dimmer", "70")
    await home.sent(1)
    newer = home.writing(DIMMER, "dimmer", "30")
    await home.sent(2)
    gate.set()
    assert ((await older).status, (await newer).status) == ("replaced", "done")


async def test_device_that_refuses(home: Any) -> None:
    home.server.status = FAIL
    failed = await home.write(PLUG, "switch", "on")
    assert (failed.status, failed.detail) == ("failed", "The device refused it (fail).")
    home.server.answers["node.set_value"] = {"result": {"status": 5, "message": "jammed"}}
    failed = await home.write(PLUG, "switch", "on")
    assert (failed.status, failed.detail) == ("failed", "The device refused it (jammed).")
    home.server.answers["node.set_value"] = RefusedError("it is in use", hint="")
    failed = await home.write(PLUG, "switch", "on")
    assert (failed.status, failed.detail) == ("failed", "it is in use.")


async def test_meter_is_set_back_when_its_registers_have_fallen(home: Any) -> None:
    home.driver.network.patience.confirm_s = 60.0
    home.server.says[METER, "value"] = 12.5
    order = asyncio.create_task(home.write(METER, "reset", "reset", reset_meter=True))
    await home.until(lambda: home.server.told.count("node.poll_value") >= 2, "asked again")
    assert not order.done()
    home.server.says[METER, "value"] = 0.1  # it counts on
    assert (await order).status == "done"
    home.driver.network.patience.confirm_s = 0.1
    home.server.says[METER, "value"] = 12.5
    failed = await home.write(METER, "reset", "reset", reset_meter=True)
    assert failed.status == "failed"
    assert failed.detail == "The meter was told to start at 0 again, but its registers did not fall."


async def test_reset_is_ordered_in_so_many_words(home: Any) -> None:
    with pytest.raises(RefusedError, match="back to 0, for good"):
        await home.write(METER, "reset", "reset")
    with pytest.raises(RefusedError, match="can only be done, not undone"):
        await home.write(METER, "reset", "off", reset_meter=True)
    assert home.server.sent == []


async def test_reset_is_held_against_the_registers_that_it_is_for(cupboard: Any, kinds: Any) -> None:
    def register(key: int, endpoint: int = 0, scale: int = 0) -> Any:
        told = {"meterType": 1, "scale": scale, "rateType": key % 256}
        unit = {0: "kWh", 2: "W"}[scale]
        return kinds.value(50, "value", key, 5, endpoint, ccSpecific=told, unit=unit)

    def reset(key: int | None = None) -> Any:
        return kinds.value(50, "reset", key, type="boolean", readable=False, writeable=True)

    await cupboard.connect(
        kinds.of(
            METER,
            register(65537),
            register(65538),
            register(66049, scale=2),
            register(65537, endpoint=1),
            reset(65537),
        ),
        kinds.of(PLUG, register(66049, scale=2), reset()),
    )
    cupboard.server.status = RADIO_ALONE
    cupboard.server.says[METER, "value"] = 0
    key = next(
        one.property.key
        for one in cupboard.driver.devices.get(METER).properties.values()
        if one.target.resets
    )
    assert (await cupboard.write(METER, key, "reset", reset_meter=True)).status == "done"
    assert cupboard.server.told.count("node.poll_value") == 1
    failed = await cupboard.write(PLUG, "reset", "reset", reset_meter=True)
    assert failed.status == "failed"
    assert failed.detail == ("The meter was told to start at 0 again, but shows no register to tell by.")


async def test_device_that_falls_asleep_while_it_is_sent_gets_it_when_it_wakes_up(home: Any) -> None:
    home.link.tell("wake up", VALVE)
    home.server.answers["node.set_value"] = gate = asyncio.Event()
    order = home.writing(VALVE, "setpoint_heating", "21")
    await home.sent(1)
    home.link.tell("sleep", VALVE)
    waits = await order
    assert (waits.status, waits.detail) == (
        "wakeup",
        "The device sleeps: the value is sent when it wakes up.",
    )
    assert await home.stored() == ["wakeup"]
    gate.set()
    home.link.tell("wake up", VALVE)
    await home.told("done")
    assert home.server.sent == [(VALVE, "setpoint", 21)] * 2


async def test_device_that_dies_while_it_is_sent_has_not_done_it(home: Any) -> None:
    home.server.answers["node.set_value"] = asyncio.Event()
    order = home.writing(PLUG, "switch", "on")
    await home.sent(1)
    home.link.tell("dead", PLUG)
    failed = await order
    assert failed.status == "failed"
    assert failed.detail.startswith("The device stopped answering while it was being sent.")
