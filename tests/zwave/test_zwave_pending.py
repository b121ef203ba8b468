"""Values for devices that sleep, count in °F or do not obey: real devices and store, the server at
message level.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from meterkast.clock import SystemClock
from meterkast.model.errors import LinkLostError, RefusedError
from meterkast.model.time import DAY_MS, UtcMs
from meterkast.network import PendingView, WriteRequest
from meterkast_buffer.store import open_store
from meterkast_drivers.zwave import library  # noqa: F401

# isort: split
# `library` has to be imported before this.
from zwave_js_server.event import Event
from zwave_js_server.model.node import Node

from meterkast_drivers.zwave.devices import Devices
from meterkast_drivers.zwave.network import ZwaveNetwork
from meterkast_drivers.zwave.settings import Settings

ASLEEP, AWAKE, ALIVE = 1, 2, 4
VALVE, PLUG = 12, 13
SUPERVISED, UNSUPERVISED, REFUSED = 255, 254, 2


def setpoint(unit: str, value: float, low: float, high: float) -> dict[str, Any]:
    return {
        "commandClass": 67,
        "commandClassName": "Thermostat Setpoint",
        "endpoint": 0,
        "property": "setpoint",
        "propertyKey": 1,
        "propertyName": "setpoint",
        "propertyKeyName": "Heating",
        "value": value,
        "metadata": {
            "type": "number",
            "readable": True,
            "writeable": True,
            "label": "Setpoint (Heating)",
            "ccSpecific": {"setpointType": 1},
            "min": low,
            "max": high,
            "unit": unit,
        },
    }


def switch(name: str, *, writeable: bool) -> dict[str, Any]:
    return {
        "commandClass": 37,
        "commandClassName": "Binary Switch",
        "endpoint": 0,
        "property": name,
        "propertyName": name,
        "value": False,
        "metadata": {"type": "boolean", "readable": True, "writeable": writeable, "label": name},
    }


def wake_up(seconds: int) -> dict[str, Any]:
    return {
        "commandClass": 132,
        "commandClassName": "Wake Up",
        "endpoint": 0,
        "property": "wakeUpInterval",
        "propertyName": "wakeUpInterval",
        "value": seconds,
        "metadata": {"type": "number", "readable": False, "writeable": True, "min": 0, "max": 86400},
    }


def described(node: int, status: int, listening: bool, *values: dict[str, Any]) -> dict[str, Any]:
    return {
        "nodeId": node,
        "index": 0,
        "status": status,
        "ready": True,
        "isControllerNode": False,
        "isListening": listening,
        "isFrequentListening": False,
        "values": list(values),
        "endpoints": [{"nodeId": node, "index": 0, "commandClasses": []}],
    }


class Server:
    """Answers like the server; `devices` is what each device really holds, `obeys` whether it does what
    it is told.
    """

    def __init__(self) -> None:
        self.devices: dict[tuple[int, str], Any] = {}
        self.sent: list[tuple[int, str, Any]] = []
        self.obeys = True
        self.result = UNSUPERVISED
        self.lose = False

    async def async_send_command(self, message: dict[str, Any], **_: Any) -> dict[str, Any]:
        command, node = message["command"], message.get("nodeId", 0)
        if command == "node.set_value":
            if self.lose:
                raise LinkLostError("the Z-Wave server went away", hint="Wait.")
            name = message["valueId"]["property"]
            self.sent.append((node, name, message["value"]))
            if self.obeys:
                self.devices[node, str(name).replace("target", "current")] = message["value"]
            return {"result": {"status": self.result}}
        if command == "node.poll_value":
            return {"value": self.devices.get((node, message["valueId"]["property"]))}
        return {}

    async_send_command_no_wait = async_send_command


class Clock(SystemClock):
    """A clock whose days can pass."""

    passed_ms = 0

    def now_ms(self) -> UtcMs:
        return UtcMs(super().now_ms() + self.passed_ms)


class House:
    """One gateway after another on the same network and store."""

    def __init__(self, path: Path, until: Any, store: Any) -> None:
        self.server, self.clock = Server(), Clock()
        self._path, self._until, self._store = path, until, store
        self.status = ASLEEP
        self.unit = "°C"

    async def begin(self) -> None:
        """The gateway starts, and meets the network as it is."""
        low, high = (5.0, 30.0) if self.unit == "°C" else (41.0, 86.0)
        states = (
            described(VALVE, self.status, False, setpoint(self.unit, low, low, high), wake_up(3600)),
            described(
                PLUG,
                ALIVE,
                True,
                switch("currentValue", writeable=False),
                switch("targetValue", writeable=True),
            ),
        )
        self.nodes = {state["nodeId"]: Node(self.server, state) for state in states}  # type: ignore[arg-type]
        controller = SimpleNamespace(
            home_id=0x7E570001, own_node_id=1, nodes=self.nodes, on=lambda *_: lambda: None
        )
        driver = SimpleNamespace(controller=controller, client=self.server)
        settings = Settings(stick="tcp://127.0.0.1:1", folder=str(self._path))
        self.devices = Devices(settings, self._store, self.clock)
        self.network = ZwaveNetwork(self.devices, self._store, self.clock, settings)
        self.network.patience.confirm_s = 1.0
        await self.devices.load()
        link: Any = SimpleNamespace(driver=driver, ask=ask)
        self.devices.attach(link)
        self.network.attach(link)
        for node in self.nodes:
            device = self.devices.get(node)
            assert device is not None
            device.last_seen_ms = self.clock.now_ms()
            await self._until(lambda device=device: not device.unsettled, f"node {node} settled")

    async def end(self) -> None:
        await self.network.close()
        self.devices.detach()
        self.network.detach()

    async def write(self, node: int, key: str, text: str) -> PendingView:
        device = self.devices.get(node)
        assert device is not None
        found = next(one.property.id for one in device.properties.values() if one.property.key == key)
        return await self.network.write(WriteRequest(property_id=found, value=text))

    def wakes(self) -> None:
        self._tell("wake up")

    def sleeps(self) -> None:
        self._tell("sleep")

    def _tell(self, event: str) -> None:
        self.nodes[VALVE].receive_event(Event(event, {"source": "node", "event": event, "nodeId": VALVE}))
        self.devices.changed(VALVE)

    async def status_of(self, number: int) -> PendingView:
        return next(one for one in await self.network.pending() if one.id == number)

    async def ended(self, number: int) -> PendingView:
        async with asyncio.timeout(30):
            while (view := await self.status_of(number)).status in ("wakeup", "sending"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return view


async def ask(work: Coroutine[Any, Any, Any], **_: Any) -> Any:
    return await work


@pytest.fixture
async def house(tmp_path: Path, tools: Any) -> AsyncIterator[House]:
    store = await open_store(tmp_path / "meterkast.db")
    house = House(tmp_path, tools.until, store)
    try:
        await house.begin()
        yield house
        await house.end()
    finally:
        await store.close()


async def test_value_for_a_sleeping_device_waits_and_is_done_when_it_wakes_up(house: House) -> None:
    waits = await house.write(VALVE, "setpoint_heating", "21")
    assert (waits.status, house.server.sent) == ("wakeup", [])
    assert waits.detail == "The device sleeps: the value is sent when it wakes up."
    assert waits.eta_ms is not None
    assert 0 < waits.eta_ms - waits.at_ms <= 3_600_000
    house.wakes()
    done = await house.ended(waits.id)
    assert (done.status, house.server.sent) == ("done", [(VALVE, "setpoint", 21)])


async def test_newer_value_takes_the_place_of_the_one_that_waits(house: House) -> None:
    older = await house.write(VALVE, "setpoint_heating", "19")
    newer = await house.write(VALVE, "setpoint_heating", "20")
    assert (await house.status_of(older.id)).status == "replaced"
    house.wakes()
    assert (await house.ended(newer.id)).status == "done"
    assert [value for _, _, value in house.server.sent] == [20]


async def test_what_waits_survives_a_restart_of_the_gateway(house: House) -> None:
    waits = await house.write(VALVE, "setpoint_heating", "22")
    await house.end()
    await house.begin()
    assert (await house.status_of(waits.id)).status == "wakeup"
    house.wakes()
    assert (await house.ended(waits.id)).status == "done"
    assert house.server.sent == [(VALVE, "setpoint", 22)]


async def test_what_waits_is_sent_when_the_device_is_awake_at_the_start(house: House) -> None:
    waits = await house.write(VALVE, "setpoint_heating", "22")
    await house.end()
    house.status = AWAKE
    await house.begin()
    house.devices.changed(VALVE)
    assert (await house.ended(waits.id)).status == "done"


async def test_nobody_waits_for_more_than_a_week(house: House) -> None:
    waits = await house.write(VALVE, "setpoint_heating", "22")
    house.clock.passed_ms = 8 * DAY_MS
    house.wakes()
    given_up = await house.ended(waits.id)
    assert (given_up.status, house.server.sent) == ("failed", [])
    assert "did not wake up for a week" in given_up.detail


async def test_waiting_value_is_taken_back(house: House) -> None:
    waits = await house.write(VALVE, "setpoint_heating", "22")
    assert (await house.network.forget(waits.id)).status == "cancelled"
    house.wakes()
    await asyncio.sleep(0.1)
    assert house.server.sent == []
    with pytest.raises(RefusedError, match="does not wait"):
        await house.network.forget(waits.id)


async def test_fahrenheit_device_gets_its_own_unit_and_is_checked_in_it(house: House) -> None:
    await house.end()
    house.unit = "°F"
    house.status = AWAKE
    await house.begin()
    done = await house.write(VALVE, "setpoint_heating", "21")
    assert (done.status, house.server.sent) == ("done", [(VALVE, "setpoint", 69.8)])
    with pytest.raises(RefusedError, match="31 °C is not in its range") as caught:
        await house.write(VALVE, "setpoint_heating", "31")
    assert caught.value.hint == "It takes 5 to 30 °C."


async def test_device_that_does_not_obey(house: House) -> None:
    house.server.devices[PLUG, "currentValue"] = False
    house.server.obeys = False
    failed = await house.write(PLUG, "switch", "on")
    assert failed.status == "failed"
    assert failed.detail == "The device did not take the value: it still says Off."


async def test_device_that_refuses(house: House) -> None:
    house.server.result = REFUSED
    failed = await house.write(PLUG, "switch", "on")
    assert (failed.status, failed.detail) == ("failed", "The device refused it (fail).")


async def test_radio_acknowledgement_alone_is_not_success(house: House) -> None:
    house.server.obeys = False
    failed = await house.write(PLUG, "switch", "on")
    assert failed.status == "failed"
    assert "did not tell its value afterwards" in failed.detail
    house.server.result = SUPERVISED
    assert (await house.write(PLUG, "switch", "on")).status == "done"


async def test_connection_lost_while_sending_is_not_success(house: House) -> None:
    house.server.lose = True
    failed = await house.write(PLUG, "switch", "on")
    assert failed.status == "failed"
    assert "The connection was lost while it was being sent" in failed.detail
