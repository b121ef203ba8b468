"""The link against the real server and driver on the simulated stick."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from meterkast.model.errors import LinkLostError, RefusedError
from meterkast_drivers.zwave.link import Link
from meterkast_drivers.zwave.place import Place
from meterkast_drivers.zwave.service import Service
from meterkast_drivers.zwave.values import value_of
from meterkast_rig import zwave

LIMIT_S = 60.0
METER = 2


pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stick() -> AsyncIterator[zwave.Stick]:
    async with zwave.serving(devices=f"meter:{METER}", period_s=1.0) as stick:
        yield stick


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(stick: zwave.Stick) -> AsyncIterator[Service]:
    folder = Path(tempfile.mkdtemp(prefix="mk-"))
    zwave.write_keys(folder / "keys.json")
    service = Service(stick.url, folder)
    yield service
    await service.kill()
    shutil.rmtree(folder)


@pytest_asyncio.fixture(loop_scope="module")
async def place(stick: zwave.Stick, service: Service) -> Place:
    """The server, started again where the test before ended it."""
    await stick.verb("alive", id=METER)
    return await service.start()


class Seen:
    """The events of the meter, as a driver of ours would take them."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.more = asyncio.Event()

    def before_events(self, link: Link) -> None:
        assert self.names == []
        node = link.driver.controller.nodes[METER]
        for name in ("ready", "value updated", "value added", "dead"):
            node.on(name, self._take)

    def _take(self, data: dict[str, Any]) -> None:
        self.names.append(data["event"])
        self.more.set()

    async def until(self, name: str, count: int = 1) -> None:
        async with asyncio.timeout(LIMIT_S):
            while self.names.count(name) < count:
                self.more.clear()
                await self.more.wait()


async def loss_of(link: Link) -> str:
    async with asyncio.timeout(30):
        return str(await link.lost())


def asking(link: Link) -> asyncio.Task[Any]:
    """A command to a device that does not answer: it waits for seconds."""
    node = link.driver.controller.nodes[METER]
    return asyncio.create_task(link.ask(node.async_ping(), what="ping node 2", within_s=LIMIT_S))


async def test_events_flow_and_a_button_press_ends_nothing(stick: zwave.Stick, place: Place) -> None:
    seen = Seen()
    link = await Link.open(place, before_events=seen.before_events)
    if not link.driver.controller.nodes[METER].ready:
        await seen.until("ready")
    await seen.until("value updated")
    assert await asking(link) is True
    values = [value_of(value) for value in link.driver.controller.nodes[METER].values.values()]
    assert [(value.label, value.unit) for value in values if value.id == "50-0-value-65537"] == [
        ("Electric Consumption [kWh]", "kWh")
    ]
    await stick.verb("nif", id=METER)
    await seen.until("value updated", seen.names.count("value updated") + 5)
    assert link.counters["unknown events"] == 1
    assert link.counters["odd messages"] == link.counters["nodes not understood"] == 0
    with pytest.raises(LinkLostError, match="another gateway uses this Z-Wave server"):
        await Link.open(place, before_events=lambda _: None)
    with pytest.raises(RefusedError, match="deletes the whole network"):
        await link.ask(link.driver.async_hard_reset(), what="reset", within_s=LIMIT_S)
    await link.close()
    again = await Link.open(place, before_events=lambda _: None)
    await again.close()


async def test_a_killed_server(stick: zwave.Stick, service: Service, place: Place) -> None:
    link = await Link.open(place, before_events=lambda _: None)
    await stick.verb("dead", id=METER)
    asked = asking(link)
    await asyncio.sleep(0.2)
    await service.kill()
    assert "went away without a word" in await loss_of(link)
    with pytest.raises(LinkLostError, match="went away without a word"):
        await asked
    with pytest.raises(LinkLostError, match="went away without a word"):
        await asking(link)
    await link.close()
    with pytest.raises(LinkLostError, match="no Z-Wave server listens on"):
        await Link.open(place, before_events=lambda _: None)


async def test_a_frozen_server(service: Service, place: Place) -> None:
    link = await Link.open(place, before_events=lambda _: None)
    assert service._child is not None
    os.kill(service._child.pid, signal.SIGSTOP)
    asked = asking(link)
    assert "is frozen" in await loss_of(link)
    with pytest.raises(LinkLostError, match="is frozen"):
        await asked
    await link.close()
    await service.kill()


async def test_a_server_that_is_stopped_and_our_own_cancellation(
    stick: zwave.Stick, service: Service, place: Place
) -> None:
    link = await Link.open(place, before_events=lambda _: None)
    await stick.verb("dead", id=METER)
    asked = asking(link)
    await asyncio.sleep(0.2)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert not link._loss.done()
    await service.stop()
    assert "closed the connection" in await loss_of(link)
    await link.close()
