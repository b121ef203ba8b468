"""Values that wait for a sleeping device, and devices that nothing is sent to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meterkast.model.errors import RefusedError, StorageError
from meterkast.network import WriteRequest

PLUG, METER, VALVE = 5, 8, 9
UNKNOWN, AWAKE, DEAD = 0, 2, 3
DAY_S = 86_400


async def test_device_that_woke_up_while_its_order_was_stored_gets_it_at_once(
    cupboard: Any, kinds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cupboard.connect(kinds.valve(VALVE))
    pend = cupboard.disk.pend

    async def slow(description: Any) -> Any:
        made = await pend(description)
        cupboard.link.tell("wake up", VALVE)
        return made

    monkeypatch.setattr(cupboard.disk, "pend", slow, raising=False)
    assert (await cupboard.write(VALVE, "setpoint_heating", "21")).status == "wakeup"
    await cupboard.told("done")


async def test_newer_value_takes_the_place_of_the_one_that_waits_and_of_no_other(
    cupboard: Any, kinds: Any
) -> None:
    await cupboard.connect(kinds.valve(VALVE), kinds.valve(10))
    for node, text in ((VALVE, "21"), (10, "20"), (VALVE, "22")):
        await cupboard.write(node, "setpoint_heating", text)
    replaced, *_ = await cupboard.told("replaced", "wakeup", "wakeup")
    assert replaced.detail == "A newer value took its place."
    assert await cupboard.stored() == ["replaced", "wakeup", "wakeup"]
    cupboard.link.tell("wake up", VALVE)
    await cupboard.told("replaced", "wakeup", "done")
    assert cupboard.server.sent == [(VALVE, "setpoint", 22)]


async def test_newer_value_that_the_database_refuses_leaves_the_older_waiting(
    cupboard: Any, kinds: Any
) -> None:
    await cupboard.connect(kinds.valve(VALVE))
    await cupboard.write(VALVE, "setpoint_heating", "21")
    cupboard.disk.full = {"pend"}
    with pytest.raises(StorageError):
        await cupboard.write(VALVE, "setpoint_heating", "22")
    cupboard.disk.full.clear()
    cupboard.link.tell("wake up", VALVE)
    await cupboard.told("done")
    assert cupboard.server.sent == [(VALVE, "setpoint", 21)]


async def test_value_whose_taking_back_the_database_refuses_goes_on_waiting(
    cupboard: Any, kinds: Any
) -> None:
    await cupboard.connect(kinds.valve(VALVE))
    waits = await cupboard.write(VALVE, "setpoint_heating", "21")
    cupboard.disk.full = {"update_pending"}
    with pytest.raises(StorageError):
        await cupboard.driver.network.forget(waits.id)
    cupboard.disk.full.clear()
    assert [one.status for one in await cupboard.listed()] == ["wakeup"]
    assert (await cupboard.driver.network.forget(waits.id)).status == "cancelled"
    with pytest.raises(RefusedError, match="does not wait"):
        await cupboard.driver.network.forget(waits.id)
    assert await cupboard.stored() == ["cancelled"]


async def test_reset_waits_for_a_day_and_other_values_for_a_week(cupboard: Any, kinds: Any) -> None:
    await cupboard.connect(
        kinds.valve(VALVE), kinds.meter(METER, isListening=False, status=1), kinds.plug(PLUG)
    )
    await cupboard.write(METER, "reset", "reset", reset_meter=True)
    await cupboard.write(VALVE, "setpoint_heating", "21")
    cupboard.clock.pass_s(DAY_S + 1)
    reset, _ = await cupboard.told("failed", "wakeup")
    assert reset.detail == "The device did not wake up for a day; order it again."
    cupboard.clock.pass_s(6 * DAY_S)
    _, setpoint = await cupboard.told("failed", "failed")
    assert setpoint.detail == "The device did not wake up for a week; order it again."
    assert await cupboard.stored() == ["failed", "failed"]
    cupboard.link.tell("wake up", VALVE)
    assert (await cupboard.write(PLUG, "switch", "on")).status == "done"
    assert cupboard.server.sent == [(PLUG, "targetValue", True)]


async def test_reset_of_a_device_that_falls_asleep_again_is_not_kept(cupboard: Any, kinds: Any) -> None:
    await cupboard.connect(kinds.meter(METER, isListening=False, status=AWAKE))
    cupboard.server.answers["node.set_value"] = asyncio.Event()
    order = asyncio.create_task(cupboard.write(METER, "reset", "reset", reset_meter=True))
    await cupboard.sent(1)
    cupboard.link.tell("sleep", METER)
    assert (await order).status == "failed"


async def test_device_sleeps_again_after_the_first_of_two(cupboard: Any, kinds: Any) -> None:
    mode = kinds.value(64, "mode", value=0, writeable=True, states={"0": "Off", "1": "Heat"})
    await cupboard.connect(kinds.of(VALVE, kinds.setpoint(18), mode, isListening=False, status=1))
    await cupboard.write(VALVE, "setpoint_heating", "21")
    waits = await cupboard.write(VALVE, "mode", "heat")
    assert waits.eta_ms is None  # it does not tell how often it wakes up
    cupboard.server.answers["node.set_value"] = gate = asyncio.Event()
    cupboard.link.tell("wake up", VALVE)
    await cupboard.sent(1)
    cupboard.link.driver.controller.nodes[VALVE].data["status"] = 1  # asleep; the event is on its way
    gate.set()
    await cupboard.told("done", "wakeup")
    assert cupboard.server.sent == [(VALVE, "setpoint", 21)]
    cupboard.link.tell("wake up", VALVE)
    await cupboard.told("done", "done")
    assert cupboard.server.sent == [(VALVE, "setpoint", 21), (VALVE, "mode", 1)]


async def test_values_of_one_device_are_sent_one_after_another(cupboard: Any, kinds: Any) -> None:
    mode = kinds.value(64, "mode", value=0, writeable=True, states={"0": "Off", "1": "Heat"})
    await cupboard.connect(kinds.of(VALVE, kinds.setpoint(18), mode, isListening=False, status=1))
    await cupboard.write(VALVE, "setpoint_heating", "21")
    await cupboard.write(VALVE, "mode", "heat")
    cupboard.server.answers["node.set_value"] = gate = asyncio.Event()
    cupboard.link.tell("wake up", VALVE)
    await cupboard.sent(1)
    cupboard.link.tell("wake up", VALVE)
    assert [one.status for one in await cupboard.listed()] == ["sending", "wakeup"]
    gate.set()
    await cupboard.told("done", "done")


async def test_dead_and_unheard_devices_get_nothing(cupboard: Any, kinds: Any) -> None:
    await cupboard.connect(kinds.plug(PLUG, status=DEAD), kinds.plug(6, status=UNKNOWN))
    with pytest.raises(RefusedError, match="does not answer") as caught:
        await cupboard.write(PLUG, "switch", "on")
    assert "Nothing was sent" in caught.value.hint
    with pytest.raises(RefusedError, match="has not been heard since the Z-Wave server began"):
        await cupboard.write(6, "switch", "on")
    with pytest.raises(RefusedError, match="property 4711 is not of a Z-Wave device"):
        await cupboard.driver.network.write(WriteRequest(property_id=4711, value="on"))
    assert cupboard.server.sent == []
    assert await cupboard.stored() == []


async def test_device_that_has_lost_the_value_to_write_to(cupboard: Any, kinds: Any) -> None:
    await cupboard.connect(kinds.plug(PLUG))
    place = {"commandClass": 37, "endpoint": 0, "property": "targetValue", "propertyName": "targetValue"}
    cupboard.link.tell("value removed", PLUG, args=place)
    with pytest.raises(RefusedError, match="the device has not told enough of itself") as caught:
        await cupboard.write(PLUG, "switch", "on")
    assert "meterkast zwave interview 5" in caught.value.hint


async def test_another_stick_keeps_what_waits_in_the_first_ones_network(cupboard: Any, kinds: Any) -> None:
    await cupboard.connect(kinds.valve(VALVE), kinds.plug(PLUG))
    switch = cupboard.property(PLUG, "switch")
    await cupboard.write(VALVE, "setpoint_heating", "21")
    await cupboard.lose()
    await cupboard.connect(kinds.valve(VALVE), home_id=0xA)
    with pytest.raises(RefusedError, match="cannot be reached: it is in another network"):
        await cupboard.driver.network.write(WriteRequest(property_id=switch, value="on"))
    await cupboard.write(VALVE, "setpoint_heating", "22")  # another device of that number
    cupboard.link.tell("wake up", VALVE)
    await cupboard.told("wakeup", "done")
    assert cupboard.server.sent == [(VALVE, "setpoint", 22)]
    await cupboard.lose()
    await cupboard.connect(kinds.valve(VALVE, status=AWAKE))
    await cupboard.told("done", "done")
    assert cupboard.server.sent[1:] == [(VALVE, "setpoint", 21)]


async def test_restart_with_another_stick_and_back_keeps_what_waits_in_the_first_ones_network(
    cupboard: Any, kinds: Any
) -> None:
    await cupboard.connect(kinds.valve(VALVE))
    await cupboard.write(VALVE, "setpoint_heating", "21")
    await cupboard.stop()
    cupboard.begin()
    await cupboard.connect(kinds.plug(PLUG), home_id=0xA)
    await cupboard.told("wakeup")
    await cupboard.restart(kinds.valve(VALVE, status=AWAKE))
    await cupboard.told("done")


async def test_what_waits_is_listed_however_many_came_after_it(
    cupboard: Any, kinds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cupboard.connect(kinds.valve(VALVE), kinds.plug(PLUG))
    waits = await cupboard.write(VALVE, "setpoint_heating", "21")
    await cupboard.write(PLUG, "switch", "on")
    pendings = cupboard.disk.pendings

    async def newest(*, open_only: bool = True) -> Any:
        return (await pendings(open_only=open_only))[-1:]  # as if there were hundreds

    monkeypatch.setattr(cupboard.disk, "pendings", newest, raising=False)
    assert [one.status for one in await cupboard.listed()] == ["wakeup", "done"]
    assert (await cupboard.listed())[0].id == waits.id
