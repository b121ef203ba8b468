"""Commands, and the loss of the connection: which error it is, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import pytest

from meterkast.lean import aiohttp
from meterkast.model.errors import ConfigError, LinkLostError, RefusedError
from meterkast_drivers.zwave import client
from meterkast_drivers.zwave.link import Link, NotAnsweredError
from meterkast_drivers.zwave.place import Place

# isort: split
# The package imports the library first, in its own way.
from zwave_js_server.exceptions import NotConnected

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


@pytest.mark.parametrize(
    "error", [NotConnected(), aiohttp.ClientConnectionResetError(), OSError("broken pipe")]
)
async def test_what_cannot_be_sent_is_a_loss_before_the_link_knows_of_it(
    server: Any, place: Place, opened: Any, error: Exception
) -> None:
    async def send() -> None:
        raise error

    async with opened(place) as connected:
        with pytest.raises(LinkLostError, match=r"the connection to the Z-Wave server on .* broke"):
            await connected.ask(send(), what="ask", within_s=LIMIT_S)


async def test_what_the_library_gives_up_is_no_answer(server: Any, place: Place, opened: Any) -> None:
    server.answers["node.set_value"] = {}
    async with opened(place) as connected:
        asked = asking(connected, "node.set_value")
        await server.until_asked("node.set_value")
        for waiting in connected._client._result_futures.values():
            waiting.cancel()
        with pytest.raises(NotAnsweredError, match="given up by the library"):
            await asked
        assert not connected._loss.done()


async def test_a_command_that_ends_in_an_error_when_it_is_given_up(
    server: Any, place: Place, opened: Any
) -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("while it was given up")

    async with opened(place) as connected:
        with pytest.raises(NotAnsweredError, match="no answer within"):
            await connected.ask(stubborn(), what="ask", within_s=0.05)


async def test_a_command_that_nobody_waits_for_here_is_the_librarys(
    server: Any, place: Place, opened: Any
) -> None:
    server.answers["controller.stop_inclusion"] = {"success": True, "result": {"success": True}}
    async with opened(place) as connected:
        assert await connected.driver.controller.async_stop_inclusion() is True


async def test_whatever_ends_the_reading_ends_the_link(
    server: Any, place: Place, opened: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    async with opened(place) as connected:
        monkeypatch.setattr(client.SafeClient, "_handle_incoming_message", fail)
        await server.update(2)
        assert "broke: a fault of ours" in str(await loss_of(connected))
    assert [vars(record)["server"] for record in caplog.records if record.exc_info] == [str(place)]


async def test_an_error_of_ours_stays_itself(server: Any, place: Place, opened: Any) -> None:
    async def refuse() -> None:
        raise ConfigError("ours", hint="")

    async with opened(place) as connected:
        with pytest.raises(ConfigError, match="ours"):
            await connected.ask(refuse(), what="ask", within_s=LIMIT_S)


@pytest.mark.parametrize("second", [{"success": True, "result": {}}, {"success": False}])
async def test_an_answer_twice_is_an_odd_message(
    server: Any, place: Place, opened: Any, seen: Any, second: dict[str, Any]
) -> None:
    async with opened(place, seen.before_events) as connected:
        waiting = connected._client._loop.create_future()
        connected._client._result_futures["twice"] = waiting
        for answer in ({"success": True, "result": {}}, second):
            await server.send({"type": "result", "messageId": "twice", **answer})
        await server.update(2)
        await seen.until(2)
        assert connected.counters["odd messages"] == 1


BEHIND = pytest.mark.parametrize("behind", [(), ("5",)], ids=["alone", "behind another message"])


@BEHIND
async def test_a_message_over_the_limit(
    server: Any, place: Place, opened: Any, monkeypatch: pytest.MonkeyPatch, behind: tuple[str, ...]
) -> None:
    monkeypatch.setattr(client, "MAX_MESSAGE_BYTES", 2**20)
    async with opened(place) as connected:
        for message in behind:
            await server.send(message)
        with contextlib.suppress(ConnectionError):  # we hang up before all of it was sent
            await server.send("x" * (2**20 + 1))
        assert "a message of more than 1 MiB" in str(await loss_of(connected))


@BEHIND
async def test_a_frame_against_the_protocol(
    server: Any, place: Place, opened: Any, behind: tuple[str, ...]
) -> None:
    async with opened(place) as connected:
        for message in behind:
            await server.send(message)
        await server.socket.send_frame(b"", aiohttp.WSMsgType.CONTINUATION)
        assert "broke: " in str(await loss_of(connected))


async def test_an_end_without_a_word(server: Any, place: Place, opened: Any) -> None:
    async with opened(place) as connected:
        server.socket._req.transport.abort()
        assert "went away without a word" in str(await loss_of(connected))


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
