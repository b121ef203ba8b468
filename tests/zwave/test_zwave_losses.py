"""The server or the stick goes away and comes back; the gateway starts again."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from meterkast.model.errors import ConfigError
from meterkast.model.product import NodeStatus
from meterkast.ports.driver import LinkState
from meterkast_drivers.zwave.driver import Settings, create
from meterkast_drivers.zwave.service import Service

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("zwave losses")]


def ids(running: Any) -> dict[str, int]:
    return {f"{number}/{key}": prop.id for (number, key), prop in running.shelf.property_rows.items()}


async def reads_again(tools: Any, stick: Any, running: Any) -> None:
    before = len(running.batches)

    async def report() -> bool:
        await stick.verb("report", id=2)
        return len(running.batches) > before

    await tools.until(lambda: running.driver.status().state is LinkState.READING, "connected")
    await running.settled(2, 8)
    for _ in range(50):
        if await report():
            return
        await tools.until(lambda: True, "")
    await tools.until(lambda: len(running.batches) > before, "reads again")


async def test_killed_frozen_and_unplugged_it_comes_back_with_the_same_ids(tools: Any) -> None:
    async with tools.serving(devices="meter:2,plug:8", period_s=600) as stick:
        with tools.folder() as folder:
            async with tools.driving(stick.url, folder) as running:
                await running.settled(2, 8)
                known = ids(running)
                child = running.driver._service._child

                os.kill(child.pid, signal.SIGKILL)
                await tools.until(lambda: len(running.losses) == 1, "the loss")
                assert running.driver.devices.get(2).live is None
                assert [view.node for view in running.driver.network.nodes()] == [2, 8]
                await reads_again(tools, stick, running)

                child = running.driver._service._child
                os.kill(child.pid, signal.SIGSTOP)
                await tools.until(lambda: len(running.losses) == 2, "the frozen server was noticed")
                await reads_again(tools, stick, running)
                assert child.returncode is not None

                await stick.verb("unplug")
                for number in (3, 4):  # it is said at once, and while it is looked for
                    await tools.until(lambda wanted=number: len(running.losses) >= wanted, "stick gone")
                    assert running.driver.status().state is LinkState.LOST
                    assert "stick" in running.driver.status().detail.lower()
                assert "stick" in running.losses[2].lower()
                await stick.verb("plug")
                await reads_again(tools, stick, running)
                assert ids(running) == known
                assert all(device.status is NodeStatus.AVAILABLE for device in running.driver.devices.all())


async def test_a_restart_knows_the_devices_before_the_server_is_there(tools: Any, shelf: Any) -> None:
    async with tools.serving(devices="meter:2,plug:8", period_s=600) as stick:
        with tools.folder() as folder:
            async with tools.driving(stick.url, folder, shelf) as running:
                await running.settled(2, 8)
                known, products = ids(running), dict(shelf.product_rows)
            seen = shelf.node_rows["zwave:7e570001:2"].description.last_seen_ms
            assert seen is not None
            async with tools.driving(stick.url, folder, shelf) as running:
                await tools.until(lambda: running.driver.devices.all(), "known")
                first = running.driver.devices.get(2)
                assert first.product == products["zwave:7e570001:2"]
                assert first.live is None
                assert first.last_seen_ms == seen
                await running.settled(2, 8)
                assert ids(running) == known
                assert set(shelf.product_rows) == set(products)


async def test_a_server_that_runs_already_is_used_and_left_alone(tools: Any) -> None:
    async with tools.serving(devices="meter:2,plug:8", period_s=600) as stick:
        with tools.folder() as folder:
            service = Service(stick.url, folder)
            try:
                place = await service.start()
                async with tools.driving("", folder, server=str(place.socket)) as running:
                    await running.settled(2, 8)
                assert (await service.start()) == place
                async with tools.driving("", folder, server=str(place.socket)) as running:
                    await running.settled(2, 8)
                    await service.kill()
                    await tools.until(lambda: len(running.losses) >= 2, "the server is gone")
                    assert running.driver.status().state is LinkState.LOST
                    assert running.driver.devices.get(2).product is not None
            finally:
                await service.stop()


@pytest.mark.parametrize("given", [{}, {"stick": "/dev/ttyACM0", "server": "/run/zwave.sock"}])
def test_it_takes_a_stick_or_a_server(given: dict[str, str], shelf: Any) -> None:
    with pytest.raises(ConfigError, match="stick"):
        create("zwave", Settings(**given), shelf, shelf)
