"""Commands, and the loss of the connection: which error it is, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from meterkast.lean import aiohttp
from meterkast.model.errors import ConfigError, LinkLostError, RefusedError
from meterkast_drivers.zwave import client, link
from meterkast_drivers.zwave.link import Link, NotAnsweredError
from meterkast_drivers.zwave.place import Place

LIMIT_S = 30.0
COMMANDS = ["node.set_value", "controller.stop_inclusion"]
"""The library asks a node in a task of its own, the controller in ours."""


def work(connected: Link, command: str) -> Coroutine[Any, Any, object]:
    if command == "node.ping":
        return connected.driver.controller.nodes[2].async_ping()
    if command == "node.set_value":
        return connected.driver.controller.nodes[2].async_send_command("set_value")
    return connected.driver.controller.async_stop_inclusion()


def asking(connected: Link, command: str, within_s: float = LIMIT_S) -> asyncio.Task[object]:
    return asyncio.create_task(connected.ask(work(connected, command), what="ask", within_s=within_s))


async def loss_of(connected: Link) -> LinkLostError:
    async with asyncio.timeout(LIMIT_S):
        return await connected.lost()


async def test_an_answer(server: Any, place: Place, opened: Any) -> None:
    server.answers["node.ping"] = {"success": True, "result": {"responded": True}}
    async with opened(place) as connected:
        assert await asking(connected, "node.ping") is True


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_lost_link_is_no_cancellation(server: Any, place: Place, opened: Any, command: str) -> None:
    server.answers[command] = {}
    async with opened(place) as connected:
        asked = asking(connected, command)
        await server.until_asked(command)
        await server.socket.close(code=1001, message=b"the stick is gone")
        with pytest.raises(LinkLostError, match="closed the connection: the stick is gone"):
            await asked
        assert asked.cancelling() == 0
        with pytest.raises(LinkLostError, match="the stick is gone"):
            await asking(connected, command)
        assert "the stick is gone" in str(await loss_of(connected))


@pytest.mark.parametrize("command", COMMANDS)
async def test_our_own_cancellation_stays_one(server: Any, place: Place, opened: Any, command: str) -> None:
    server.answers[command] = {}
    async with opened(place) as connected:
        asked = asking(connected, command)
        await server.until_asked(command)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert connected._client._result_futures == {}
        # The library's node waits for its own falling asleep in another task.
        assert not [task for task in asyncio.all_tasks() if "Event.wait" in repr(task.get_coro())]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("first", ["lost", "cancelled"])
async def test_both_at_once_is_our_cancellation(
    server: Any, place: Place, opened: Any, command: str, first: str
) -> None:
    server.answers[command] = {}
    async with opened(place) as connected:
        asked = asking(connected, command)
        await server.until_asked(command)
        if first == "cancelled":
            asked.cancel()
        connected._end(LinkLostError("lost", hint=""))
        if first == "lost":
            asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked


@pytest.mark.parametrize("command", COMMANDS)
async def test_closing_ends_what_is_asked(server: Any, place: Place, opened: Any, command: str) -> None:
    server.answers[command] = {}
    async with opened(place) as connected:
        asked = asking(connected, command)
        await server.until_asked(command)
        await connected.close()
        with pytest.raises(LinkLostError, match="was closed here"):
            await asked
        await connected.close()


@pytest.mark.parametrize("command", COMMANDS)
async def test_no_answer_in_time(server: Any, place: Place, opened: Any, seen: Any, command: str) -> None:
    server.answers[command] = {}
    async with opened(place, seen.before_events) as connected:
        with pytest.raises(NotAnsweredError, match="ask: no answer within"):
            await asking(connected, command, within_s=0.2)
        assert connected._client._result_futures == {}
        await server.update(2)
        await seen.until(2)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"errorCode": "zwave_error", "zwaveErrorCode": 204, "zwaveErrorMessage": "x"}, "did not answer"),
        ({"errorCode": "zwave_error", "zwaveErrorCode": 1, "zwaveErrorMessage": "dead"}, "ask: dead"),
        ({"errorCode": "node_not_found", "message": "no node 2"}, "node_not_found: no node 2"),
        ({"errorCode": "unknown_command"}, "odd answer"),
        ({}, "odd answer"),
        ({"success": True}, "odd answer"),
        ({"success": True, "result": {}}, "was not understood"),
        ({"success": True, "result": []}, "was not understood"),
    ],
)
async def test_a_refusal(server: Any, place: Place, opened: Any, answer: dict[str, Any], words: str) -> None:
    server.answers["controller.stop_inclusion"] = {"success": False, **answer}
    async with opened(place) as connected:
        with pytest.raises(RefusedError, match=words) as caught:
            await asking(connected, "controller.stop_inclusion")
        assert caught.value.hint
        assert not connected._loss.done()


async def test_an_error_of_ours_stays_itself(server: Any, place: Place, opened: Any) -> None:
    async def refuse() -> None:
        raise ConfigError("ours", hint="")

    async with opened(place) as connected:
        with pytest.raises(ConfigError, match="ours"):
            await connected.ask(refuse(), what="ask", within_s=LIMIT_S)


async def test_an_answer_twice_is_an_odd_message(server: Any, place: Place, opened: Any, seen: Any) -> None:
    async with opened(place, seen.before_events) as connected:
        waiting = connected._client._loop.create_future()
        connected._client._result_futures["twice"] = waiting
        for _ in range(2):
            await server.send({"type": "result", "messageId": "twice", "success": True, "result": {}})
        await server.update(2)
        await seen.until(2)
        assert connected.counters["odd messages"] == 1


async def test_a_message_over_the_limit(
    server: Any, place: Place, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MAX_MESSAGE_BYTES", 2**20)
    async with opened(place) as connected:
        with contextlib.suppress(ConnectionError):  # we hang up before all of it was sent
            await server.send("x" * (2**20 + 1))
        assert "a message of more than 1 MiB" in str(await loss_of(connected))


async def test_a_frame_against_the_protocol(server: Any, place: Place, opened: Any) -> None:
    async with opened(place) as connected:
        await server.socket.send_frame(b"", aiohttp.WSMsgType.CONTINUATION)
        assert "broke: " in str(await loss_of(connected))


async def test_an_end_without_a_word(server: Any, place: Place, opened: Any) -> None:
    async with opened(place) as connected:
        server.socket._req.transport.abort()
        assert "went away without a word" in str(await loss_of(connected))


async def test_a_server_that_freezes(
    server: Any, place: Place, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "CHECK_EVERY_S", 0.1)
    monkeypatch.setattr(link, "FROZEN_S", 1.0)
    async with opened(place) as connected:
        await server.until_asked("driver.get_log_config")
        assert not connected._loss.done()
        server.silent = True
        asked = asking(connected, "node.ping")
        assert "is frozen" in str(await loss_of(connected))
        with pytest.raises(LinkLostError, match="is frozen"):
            await asked


async def test_a_server_that_tells_but_does_not_answer_is_not_frozen(
    server: Any, place: Place, opened: Any, seen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "CHECK_EVERY_S", 0.05)
    monkeypatch.setattr(link, "FROZEN_S", 0.25)
    async with opened(place, seen.before_events) as connected:
        server.silent = True
        for number in range(2, 60):
            await server.update(number)
            await seen.until(number)
            await asyncio.sleep(0.01)
        assert not connected._loss.done()


async def test_a_server_that_tells_all_the_time_is_not_asked(
    server: Any, place: Place, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(link, "CHECK_EVERY_S", 0.01)
    always = property(lambda _: loop.time(), lambda *_: None)
    monkeypatch.setattr(client.SafeClient, "heard_at", always, raising=False)
    async with opened(place) as connected:
        await asyncio.sleep(0.5)
        assert not connected._loss.done()
    assert "driver.get_log_config" not in server.asked


async def test_no_event_after_the_loss(server: Any, place: Place, opened: Any, seen: Any) -> None:
    async with opened(place, seen.before_events) as connected:
        connected._end(LinkLostError("lost", hint=""))
        await server.update(2)
        await asyncio.sleep(0.1)
        assert seen.values == []


async def test_handlers_that_cannot_be_registered(server: Any, place: Place) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("handlers")

    with pytest.raises(RuntimeError, match="handlers"):
        await Link.open(place, before_events=fail)


async def test_cancelled_while_opening(server: Any, place: Place) -> None:
    server.silent = True
    opening = asyncio.create_task(Link.open(place, before_events=lambda _: None))
    await server.until_asked("initialize")
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening


async def test_what_waited_while_the_gateway_stood_still_is_no_report(
    server: Any, place: Place, opened: Any, seen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "CHECK_EVERY_S", 0.05)
    monkeypatch.setattr(link, "FROZEN_S", 1.0)
    monkeypatch.setattr(client, "STOPPED_S", 0.5)
    async with opened(place, seen.before_events) as connected:
        await server.update(7)
        await seen.until(7)
        await server.update(8)
        time.sleep(1)  # noqa: ASYNC251  # as if the process were stopped
        async with asyncio.timeout(LIMIT_S):
            loss = await connected.lost()
    assert "stood still" in str(loss)
    assert seen.values == [7]
