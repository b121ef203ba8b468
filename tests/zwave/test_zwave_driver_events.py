"""What the driver makes of events, and of the end of its parts, with made-up nodes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from meterkast.model.errors import LinkLostError
from meterkast.model.product import NodeStatus
from meterkast.ports.driver import LinkState
from meterkast_drivers.zwave import driver as module
from meterkast_drivers.zwave import reachability
from meterkast_drivers.zwave.driver import ZwaveDriver
from meterkast_drivers.zwave.settings import NodeSettings, Settings

ASLEEP, DEAD, ALIVE = 1, 3, 4


@pytest.fixture
def driver(shelf: Any, still: Any) -> ZwaveDriver:
    nodes = {"5": NodeSettings(parameters={"111": 300})}
    return ZwaveDriver("zwave", Settings(stick="/dev/ttyACM0", nodes=nodes), shelf, still)


async def shown(driver: ZwaveDriver, live: Any, made: Any, tools: Any) -> None:
    """The server shows that node, and its values have ids."""
    driver.devices.attach(made.link())
    driver._added({"node": live})
    await tools.until(lambda: not driver.devices.all()[0].unsettled, "settled")


async def test_events_of_a_node_are_its_status(driver: ZwaveDriver, made: Any, tools: Any) -> None:
    live = made.node(5, made.energy())
    await shown(driver, live, made, tools)
    device = driver.devices.get(5)
    assert device is not None
    changes: list[int] = []
    driver.devices.on_change.append(changes.append)
    for name, status in (
        ("dead", NodeStatus.UNSTABLE),
        ("alive", NodeStatus.AVAILABLE),
        ("dead", NodeStatus.UNSTABLE),
        ("wake up", NodeStatus.AVAILABLE),
        ("sleep", NodeStatus.AVAILABLE),
        ("interview failed", NodeStatus.AVAILABLE),
    ):
        changes.clear()
        live.emit(name, {})
        assert device.status is status, name
        assert changes, "who shows it is told"
    driver.devices.detach()


async def test_a_device_that_the_server_only_remembers_was_not_heard(
    driver: ZwaveDriver, made: Any, still: Any, tools: Any
) -> None:
    live = made.node(5, made.energy(), isListening=False, status=ASLEEP)
    await shown(driver, live, made, tools)
    device = driver.devices.get(5)
    assert device is not None
    live.emit("ready", {})
    assert device.last_seen_ns is None
    live.data["status"] = ALIVE
    live.emit("ready", {})
    assert device.last_seen_ns == still.ns
    assert driver.parameters._wanted == {5}, "its parameters are compared"
    driver.devices.detach()


async def test_a_battery_that_warns_is_told_until_there_is_a_new_one(
    driver: ZwaveDriver, made: Any, still: Any, tools: Any
) -> None:
    live = made.node(5, made.value(128, "level", None, 90, unit="%"))
    await shown(driver, live, made, tools)
    for told in ({"ccId": 113, "args": {}}, {"ccId": 128}, {"ccId": 128, "args": {"eventType": "x"}}):
        live.emit("notification", told)
        assert driver.devices.views()[0].detail == ""
    live.emit("notification", {"ccId": 128, "args": {"eventType": "battery low"}})
    for level, words in ((3, "nearly empty"), (100, "")):
        assert "nearly empty" in driver.devices.views()[0].detail
        still.pass_s(60)
        live.emit("value updated", {"args": made.event(made.value(128, "level"), level)})
        assert words in driver.devices.views()[0].detail
        assert driver.devices.views()[0].battery_percent == level
    assert driver.devices.views()[0].detail == ""
    driver.devices.detach()


async def test_the_stick_itself_is_no_device(driver: ZwaveDriver, made: Any) -> None:
    stick = made.node(1, isControllerNode=True)
    driver.devices.attach(made.link(stick))
    driver._added({"node": stick})
    driver._removed({"node": made.node(9), "reason": 0})  # nobody knows it
    assert list(driver.devices.all()) == []
    assert driver._removals == set()


async def test_a_device_in_another_network_than_before_is_told_with_both(
    driver: ZwaveDriver, made: Any
) -> None:
    driver._say(LinkState.READING, "")
    driver.devices.attach(made.link(made.node(5, made.energy())))
    driver.devices.detach()
    driver.devices.attach(made.link(*(made.node(number) for number in range(6, 11)), home_id=0xABCD))
    for device in driver.devices.all():
        device.status = NodeStatus.UNSTABLE
    status = driver.status()
    assert status.state is LinkState.READING
    assert "5 not reached: Node 6 (node 6), Node 7 (node 7), Node 8 (node 8) and 2 more" in status.detail
    assert "another stick than before (network 0000abcd)" in status.detail
    driver.devices.detach()


async def test_a_part_that_loses_the_connection_ends_the_session(
    driver: ZwaveDriver, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reachability, "PINGS_S", (0.0,))
    driver.devices.attach(made.link(made.node(6, made.energy())))  # this time the stick does not show it
    driver.devices.detach()
    link = made.link(made.node(5, made.energy(), status=DEAD))
    link.answer = LinkLostError("the ping was lost", hint="")
    closed: list[bool] = []

    async def stands() -> LinkLostError:
        await asyncio.Event().wait()
        raise AssertionError

    async def close() -> None:
        closed.append(True)

    async def opened(place: Any, *, before_events: Any) -> Any:
        before_events(link)
        return link

    async def answered(*_: object) -> dict[str, Any]:
        return {}

    link.driver.controller.on = lambda *_: None
    link.driver.client = SimpleNamespace(async_send_command=answered)
    link.counters, link.lost, link.close = {"messages": 7}, stands, close
    monkeypatch.setattr(module.Link, "open", opened)
    driver._service, driver._place = None, module.Place(url="ws://localhost/")
    with pytest.raises(LinkLostError, match="the ping was lost"):
        await driver.run(lambda _: None)
    assert closed == [True]
    assert [(device.node, device.live) for device in driver.devices.all()] == [(5, None), (6, None)]
    status = driver.status()
    assert (status.state, status.counters["messages"]) == (LinkState.LOST, 7)
    assert "the ping was lost" in status.detail
