"""The watch over the connection: a frozen server is found, and a gateway that stood still itself."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from meterkast.lean import aiohttp
from meterkast.model.errors import LinkLostError
from meterkast_drivers.zwave import client, link
from meterkast_drivers.zwave.link import Link
from meterkast_drivers.zwave.place import Place

# isort: split
# The package imports the library first, in its own way.
from zwave_js_server.exceptions import NotConnected

LIMIT_S = 30.0


def impatient(monkeypatch: pytest.MonkeyPatch, *, every_s: float, frozen_s: float) -> None:
    monkeypatch.setattr(link, "CHECK_EVERY_S", every_s)
    monkeypatch.setattr(link, "FROZEN_S", frozen_s)


async def pinging(connected: Link) -> object:
    node = connected.driver.controller.nodes[2]
    return await connected.ask(node.async_ping(), what="ask", within_s=LIMIT_S)


async def loss_of(connected: Link) -> LinkLostError:
    async with asyncio.timeout(LIMIT_S):
        return await connected.lost()


async def test_a_server_that_freezes(
    server: Any, place: Place, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch, every_s=0.1, frozen_s=1.0)
    async with opened(place) as connected:
        await server.until_asked("driver.get_log_config")
        assert not connected._loss.done()
        server.silent = True
        asked = asyncio.create_task(pinging(connected))
        assert "is frozen" in str(await loss_of(connected))
        with pytest.raises(LinkLostError, match="is frozen"):
            await asked


async def test_a_server_that_tells_but_does_not_answer_is_not_frozen(
    server: Any, place: Place, opened: Any, seen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch, every_s=0.05, frozen_s=0.25)
    async with opened(place, seen.before_events) as connected:
        server.silent = True
        for number in range(2, 60):
            await server.update(number)
            await seen.until(number)
            await asyncio.sleep(0.01)  # in all longer than a frozen server is given
        assert not connected._loss.done()


async def test_a_server_that_tells_all_the_time_is_not_asked(
    server: Any, place: Place, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(link, "CHECK_EVERY_S", 0.01)
    looked = asyncio.Queue[None]()

    def now(_: object) -> float:
        looked.put_nowait(None)
        return loop.time()

    monkeypatch.setattr(client.SafeClient, "heard_at", property(now, lambda *_: None), raising=False)
    async with opened(place) as connected, asyncio.timeout(LIMIT_S):
        for _ in range(40):
            await looked.get()
        assert not connected._loss.done()
    assert "driver.get_log_config" not in server.asked


async def test_what_waited_while_the_gateway_stood_still_is_no_report(
    server: Any, place: Place, opened: Any, seen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch, every_s=0.05, frozen_s=1.0)
    async with opened(place, seen.before_events) as connected:
        await server.update(7)
        await seen.until(7)
        monkeypatch.setattr(client, "STOPPED_S", 0.5)  # not before: a slow machine stands still by itself
        await server.update(8)
        time.sleep(1)  # noqa: ASYNC251  # on purpose: the whole process stands still, as one that is stopped
        async with asyncio.timeout(LIMIT_S):
            loss = await connected.lost()
    assert "stood still" in str(loss)
    assert seen.values == [7]


@pytest.mark.parametrize("error", [NotConnected(), TimeoutError(), aiohttp.ClientConnectionResetError()])
async def test_a_question_that_cannot_be_sent_is_not_answered(
    server: Any, place: Place, opened: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def send(*_: object) -> None:
        raise error

    impatient(monkeypatch, every_s=0.05, frozen_s=0.25)
    monkeypatch.setattr(client.SafeClient, "async_send_command_no_wait", send)
    async with opened(place) as connected:
        assert "is frozen" in str(await loss_of(connected))
