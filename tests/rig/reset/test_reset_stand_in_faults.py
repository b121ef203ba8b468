"""The RESET stand-in misbehaves on request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import socketio

from meterkast_rig import reset

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOON = "2026-01-15T12:00:00.000+01:00"
HALF_PAST = "2026-01-15T12:30:00.000+01:00"
ONE = "2026-01-15T13:00:00.000+01:00"


async def test_answers_come_in_the_other_spelling_of_the_document(client: Any, draft: Any) -> None:
    await client.server.set_faults(answer_key="id", no_api_version=True)
    message = draft.create()
    assert await client.ask("monitors", message) == {
        "code": "10200",
        "ack": True,
        "id": message["message_id"],
    }


async def test_lost_ack_is_stored_and_lost_message_is_not(client: Any, draft: Any) -> None:
    await client.server.set_faults(lost_acks=1)
    await client.emit("monitors", draft.create())
    await client.seen(lambda received: received["lost"]["answers"] == 1)
    assert (await client.server.received())["monitors"].keys() == {"E1"}
    await client.server.set_faults(lost_acks=None)
    await client.server.set_faults(lost_messages=1)
    await client.emit("readings", draft.readings(draft.power(NOON)))
    await client.seen(lambda received: received["lost"]["messages"] == 1)
    assert (await client.server.received())["readings"] == []
    assert client.answers.empty()


async def test_error_10500_stores_some_all_the_same(client: Any, draft: Any) -> None:
    await client.send("monitors", draft.create())
    await client.server.set_faults(error_10500=1)
    codes = {
        await client.send("readings", draft.readings(draft.power(f"2026-01-15T{hour:02}:00:00+01:00")))
        for hour in range(20)
    }
    assert codes == {"10500"}
    assert 0 < len((await client.server.received())["readings"]) < 20


async def test_disconnect_comes_before_or_after_processing(
    server: reset.ResetStandIn, draft: Any, connected: Callable[..., Any]
) -> None:
    await server.set_faults(disconnect=1)
    for number in range(8):
        async with connected(server) as client:
            await client.emit("monitors", draft.create(connection_id=f"E{number}"))
            assert (await client.answer())[0] == "disconnect"
    assert 0 < len((await server.received())["monitors"]) < 8


async def test_poison_and_refused_monitor_are_answered_10400(client: Any, draft: Any) -> None:
    await client.server.set_faults(poison="2026-01-15T11:30:00+00:00", refuse_monitor="E2")
    assert await client.send("monitors", draft.create()) == "10200"
    assert await client.send("monitors", draft.create(connection_id="E2")) == "10400"
    assert await client.send("readings", draft.readings(draft.power(NOON), draft.power(HALF_PAST))) == "10400"
    assert await client.send("readings", draft.readings(draft.power(NOON), draft.power(ONE))) == "10200"


async def test_stray_and_double_answers(client: Any, draft: Any) -> None:
    await client.server.set_faults(stray_errors=1, duplicate_acks=1)
    await client.emit("monitors", draft.create())
    got = [await client.answer() for _ in range(3)]
    assert [event for event, _ in got] == ["errors", "ack", "ack"]
    assert "message_id" not in got[0][1]


async def test_frozen_server_answers_what_waited_in_order(client: Any, draft: Any) -> None:
    await client.server.set_faults(freeze=600)
    await client.emit("monitors", draft.create())
    await client.emit("readings", draft.readings(draft.power(NOON)))
    await client.seen(lambda received: received["messages"]["readings"] == 1)
    assert client.answers.empty()
    await client.server.set_faults(freeze=0)
    assert [(await client.answer())[0] for _ in range(2)] == ["ack", "ack"]


async def test_refused_and_silent_auth(
    server: reset.ResetStandIn, draft: Any, unconnected: Callable[..., Any]
) -> None:
    await server.set_faults(refuse_auth=True)
    async with unconnected(server) as client:
        await client.connect()
        assert (await client.answer())[1]["code"] == "10401"
    await server.set_faults(refuse_auth=False, silent_auth=True)
    async with unconnected(server) as client:
        await client.connect()
        assert await client.send("monitors", draft.create()) == "10401"
    assert (await server.received())["answers"] == {"10401": 2}


async def test_refused_connection_closes_those_that_are_open(
    client: Any, unconnected: Callable[..., Any]
) -> None:
    await client.server.set_faults(refuse="connect")
    assert (await client.answer())[0] == "disconnect"
    async with unconnected(client.server) as late:
        with pytest.raises(socketio.exceptions.ConnectionError):
            await late.connect()


async def test_captive_portal_answers_with_its_page_instead_of_a_connection(
    server: reset.ResetStandIn, unconnected: Callable[..., Any]
) -> None:
    await server.set_faults(portal=1)
    async with unconnected(server) as client:
        with pytest.raises(socketio.exceptions.ConnectionError):
            await client.connect()
    reader, writer = await asyncio.open_connection(*server.origin.removeprefix("http://").split(":"))
    writer.write(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: rig\r\n\r\n")
    answer = (await asyncio.wait_for(reader.read(), 10)).decode()
    writer.close()
    assert answer.startswith("HTTP/1.1 200 OK\r\nContent-Type: text/html")
    assert "I accept the terms" in answer
    assert (await server.received())["connections"] == 0


async def test_create_of_an_existing_monitor_is_taken_unless_switched_off(client: Any, draft: Any) -> None:
    assert [await client.send("monitors", draft.create()) for _ in range(2)] == ["10200", "10200"]
    await client.server.set_faults(refuse_recreate=True)
    assert await client.send("monitors", draft.create()) == "10400"


async def test_late_ack_comes_after_the_values_are_stored(client: Any, draft: Any) -> None:
    await client.send("monitors", draft.create())
    await client.server.set_faults(late_acks=0.05, slow=0.01)
    assert await client.send("readings", draft.readings(draft.power(NOON))) == "10200"


async def test_frame_over_a_million_bytes_closes_the_connection(client: Any, draft: Any) -> None:
    await client.emit("monitors", draft.changed(draft.create(), "data/label", "x" * 1_000_001))
    assert (await client.answer())[0] == "disconnect"


async def test_connection_that_never_authenticates_is_closed(unconnected: Callable[..., Any]) -> None:
    async with reset.serving(auth_timeout_s=0.5) as server, unconnected(server) as client:
        await client.connect(secret=None)
        assert (await client.answer())[0] == "disconnect"


async def test_paused_server_is_a_dead_link_to_the_client(connected: Callable[..., Any]) -> None:
    async with reset.serving(ping_interval_s=0.5, ping_timeout_s=2) as server:
        async with connected(server) as client:
            server.pause()
            assert (await client.answer())[0] == "disconnect"
            server.resume()
        assert (await server.received())["messages"]["auth"] == 1
