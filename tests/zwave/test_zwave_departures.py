"""Devices that leave, numbers that are given out again, and what a crash leaves, with made-up nodes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from meterkast.model.errors import LinkLostError, StorageError
from meterkast.model.product import NodeDescription, NodeStatus
from meterkast.ports.driver import LinkState
from meterkast_drivers.zwave import driver as module
from meterkast_drivers.zwave.devices import Devices
from meterkast_drivers.zwave.driver import ZwaveDriver
from meterkast_drivers.zwave.settings import Settings

HOME = "zwave:00007e57"
SETTINGS = Settings(stick="/dev/ttyACM0")
REMOVED, REPLACED = 0, 3


@pytest.fixture
def devices(shelf: Any, still: Any) -> Devices:
    return Devices(SETTINGS, shelf, still)


@pytest.fixture
def driver(shelf: Any, still: Any) -> ZwaveDriver:
    return ZwaveDriver("zwave", SETTINGS, shelf, still)


async def test_a_crash_before_the_row_is_complete_makes_no_second_product(
    devices: Devices, shelf: Any, still: Any, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = shelf.declare_node

    async def crash(node: NodeDescription) -> Any:
        if node.product_id is not None:
            raise StorageError("the power failed", hint="")
        return await keep(node)

    monkeypatch.setattr(shelf, "declare_node", crash)
    devices.attach(made.link(made.node(5, made.energy(), ready=False)))
    devices.get(5).live.data["ready"] = True
    with pytest.raises(StorageError):
        await devices.refresh(5)
    devices.detach()
    assert list(shelf.product_rows) == [f"{HOME}:5"]
    monkeypatch.setattr(shelf, "declare_node", keep)
    after = Devices(SETTINGS, shelf, still)
    await after.load()
    after.attach(made.link(made.node(5, made.energy())))
    await after.refresh(5)
    assert list(shelf.product_rows) == [f"{HOME}:5"]
    row = shelf.node_rows[f"{HOME}:5"].description
    assert row.product_id == shelf.product_rows[f"{HOME}:5"].id
    after.detach()


async def test_a_number_given_out_again_leaves_nothing_of_the_earlier_device(
    devices: Devices, shelf: Any, made: Any
) -> None:
    devices.attach(made.link(made.node(5, made.energy())))
    await devices.refresh(5)
    old = devices.get(5)
    product, prop = old.product, next(iter(old.properties.values())).property
    shelf.refusing = True
    with pytest.raises(StorageError):
        await devices.removed(old)
    assert devices.by_property(prop.id) is None
    shelf.refusing = False
    devices.adopt(5, made.node(5, made.energy()))
    await devices.refresh(5)
    assert shelf.words(product.id)[-1] == "unreachable"
    await devices.removed(old)  # tried again: that is not the new device's row
    assert shelf.node_rows[f"{HOME}:5"].description.product_id == devices.get(5).product.id
    assert devices.get(5).product.id != product.id
    devices.detach()


async def test_what_comes_after_a_removal_brings_no_row_back(devices: Devices, shelf: Any, made: Any) -> None:
    devices.attach(made.link(made.node(5, made.energy())))
    await devices.refresh(5)
    device, product = devices.get(5), devices.get(5).product
    async with device.lock:
        removing = asyncio.create_task(devices.removed(device))
        linking = asyncio.create_task(devices.link_product(5, product))
        recording = asyncio.create_task(devices.record(device))
        await asyncio.sleep(0)
    await asyncio.gather(removing, linking, recording)
    assert shelf.node_rows == {}
    devices.detach()


async def test_a_node_that_is_added_where_a_device_was_is_another_device(
    driver: ZwaveDriver, shelf: Any, made: Any, tools: Any
) -> None:
    driver.devices.attach(made.link(made.node(5, made.energy())))
    await driver.devices.refresh(5)
    driver.devices.detach()
    driver.devices.attach(made.link())  # it was removed with another program
    assert driver.devices.get(5) is not None
    driver._added({"node": made.node(5, made.energy())})
    await tools.until(lambda: not driver.devices.get(5).unsettled, "settled")
    await tools.until(lambda: not driver._removals, "the earlier one is removed")
    assert driver.devices.get(5).product.description.identity == f"{HOME}:5.2"
    assert shelf.words(shelf.product_rows[f"{HOME}:5"].id)[-1] == "unreachable"
    assert shelf.node_rows[f"{HOME}:5"].description.product_id == driver.devices.get(5).product.id
    driver.devices.detach()


async def test_a_device_that_is_replaced_keeps_number_and_product(
    driver: ZwaveDriver, shelf: Any, made: Any, tools: Any
) -> None:
    broken = made.node(5, made.energy(), status=3)
    driver.devices.attach(made.link(broken))
    await driver.devices.refresh(5)
    driver.reachability.attach()
    driver._removed({"node": broken, "reason": REPLACED})
    driver._added({"node": made.node(5, made.energy())})
    await tools.until(lambda: not driver.devices.get(5).unsettled, "settled")
    assert list(shelf.product_rows) == [f"{HOME}:5"]
    assert driver.devices.get(5).status is NodeStatus.AVAILABLE
    driver.devices.detach()


async def test_a_stop_waits_until_a_removal_is_stored(
    driver: ZwaveDriver, shelf: Any, made: Any, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = made.node(5, made.energy())
    link = Standing(made.link(live))
    monkeypatch.setattr(module.Link, "open", link.open)
    monkeypatch.setattr(module, "RETRY_S", 0.5)
    driver._service, driver._place = None, "here"
    running = asyncio.create_task(driver.run(lambda _: None))
    await tools.until(lambda: (one := driver.devices.get(5)) is not None and not one.unsettled, "settled")
    shelf.refusing = True
    driver._removed({"node": live, "reason": REMOVED})
    await asyncio.sleep(0.1)
    shelf.refusing = False
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert shelf.node_rows == {}


async def test_the_devices_of_another_stick_are_out_of_reach(
    driver: ZwaveDriver, shelf: Any, made: Any, tools: Any
) -> None:
    home, other = made.link(made.node(5, made.energy())), made.link(made.node(6, made.energy()), home_id=1)
    task = None
    for link, word in ((home, "available"), (other, "unreachable"), (home, "available")):
        driver.devices.attach(link)
        driver.reachability.attach()
        for device in driver.devices.all():
            await driver.devices.refresh(device.node)
        task = asyncio.create_task(driver.reachability.run(link))
        number = shelf.product_rows[f"{HOME}:5"].id
        await tools.until(lambda number=number, word=word: shelf.words(number)[-1] == word, word)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        driver.devices.detach()
    assert driver.devices.other_home_id is None


async def test_a_network_of_which_nothing_is_heard_is_silent(
    driver: ZwaveDriver, shelf: Any, made: Any
) -> None:
    driver._say(LinkState.READING, "")
    driver.devices.attach(made.link(made.node(5, made.energy()), made.node(6, made.energy())))
    for number in (5, 6):
        assert driver.status().state is LinkState.READING
        driver.devices.get(number).status = NodeStatus.NO_CONNECTION
    status = driver.status()
    assert status.state is LinkState.SILENT
    assert "2 not reached" in status.detail
    driver.devices.detach()


class Standing:
    """A connection to made-up nodes that stands until it is closed."""

    def __init__(self, made_link: Any) -> None:
        self.driver = made_link.driver
        self.driver.controller.on = lambda *_: None
        self.driver.client = SimpleNamespace(async_send_command=self._answered)
        self.counters: dict[str, int] = {}

    async def open(self, place: Any, *, before_events: Any) -> Any:
        before_events(self)
        return self

    async def ask(self, work: Any, *, what: str, within_s: float) -> Any:
        return await work

    async def lost(self) -> LinkLostError:
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None: ...

    async def _answered(self, *_: Any) -> dict[str, Any]:
        return {}
