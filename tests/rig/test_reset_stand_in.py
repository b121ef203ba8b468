"""The RESET stand-in speaks Socket.IO v4 like the platform, checks by the document, misbehaves on request."""

from __future__ import annotations

import asyncio
import copy
import importlib.util
import itertools
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import socketio

from meterkast.model.errors import ConfigError
from meterkast.nodejs import find_node
from meterkast_rig import reset

# Starting Node takes most of a second, so all tests share one stand-in and the event loop it was started in.
pytestmark = pytest.mark.asyncio(loop_scope="module")

Message = dict[str, Any]
IDS = (f"test_{number}" for number in itertools.count())
LIMIT_S = 20  # only against hanging
SEARCH = os.pathsep.join(sys.path)  # for a child process, installed or not


class Client:
    """One Socket.IO connection: sends, and waits for the answering event."""

    def __init__(self, server: reset.ResetStandIn, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.socket = socketio.AsyncClient(reconnection=False, handle_sigint=False, http_session=session)
        self.answers: asyncio.Queue[tuple[str, Message]] = asyncio.Queue()
        for event in ("auth", "ack", "errors", "disconnect"):
            self.socket.on(event, self._taker(event), namespace="/v2")

    async def connect(self, secret: str | None = "demo") -> None:
        origin = self.server.origin
        await self.socket.connect(origin, namespaces=["/v2"], transports=["websocket"], wait_timeout=LIMIT_S)
        if secret is not None:
            await self.emit("auth", {"client_id": "demo", "client_secret": secret})

    async def emit(self, event: str, message: object) -> None:
        await self.socket.emit(event, message, namespace="/v2")

    async def answer(self) -> tuple[str, Message]:
        return await asyncio.wait_for(self.answers.get(), LIMIT_S)

    async def ask(self, event: str, message: object) -> Message:
        await self.emit(event, message)
        return (await self.answer())[1]

    async def send(self, event: str, message: Message) -> str:
        """Code of the answer to a message under a fresh message_id."""
        return str((await self.ask(event, message | {"message_id": next(IDS)}))["code"])

    def _taker(self, event: str) -> Any:
        async def take(*given: Any) -> None:
            await self.answers.put((event, given[0] if given and isinstance(given[0], dict) else {}))

        return take


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[reset.ResetStandIn]:
    async with reset.serving(seed=1) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def server(shared: reset.ResetStandIn) -> reset.ResetStandIn:
    await shared.reset_state()
    await shared.set_faults(**dict.fromkeys(await shared.faults()))
    return shared


@asynccontextmanager
async def unconnected(server: reset.ResetStandIn) -> AsyncIterator[Client]:
    # python-engineio 4.15.1 leaves its session open when connecting fails, its web socket after a time-out.
    async with aiohttp.ClientSession() as session:
        client = Client(server, session)
        yield client
        await client.socket.disconnect()
        if client.socket.eio.ws is not None:
            await client.socket.eio.ws.close()


@asynccontextmanager
async def connected(server: reset.ResetStandIn) -> AsyncIterator[Client]:
    async with unconnected(server) as client:
        await client.connect()
        assert (await client.answer())[1]["code"] == "10200"
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def client(server: reset.ResetStandIn) -> AsyncIterator[Client]:
    async with connected(server) as client:
        yield client


def create(
    module: str = "energy", connection_id: str = "E1", *, channels: tuple[str, ...] = ("c01",)
) -> Message:
    units = {
        "air": {"pm2p5": "ug/m3", "tvoc": "ppb", "co2": "ppm", "temp": "C", "rh": "%RH"},
        "water": {"water_flow": "L", "water_temp": "C"},
        "energy": {"power_consumption": "kWh"},
        "circularity": {"bin_weight": "kg"},
    }[module]
    data: Message = {
        "connection_id": connection_id,
        "module": module,
        "meta": {
            "monitor_detail": {"monitor_brand": "b", "monitor_sku": "s", "monitor_serial_id": "1"},
            "included_parameters": {name: {"unit": unit} for name, unit in units.items()},
        },
    }
    if module != "air":
        data["channels"] = [{"channel_id": channel} for channel in channels]
    return {"message_type": "create", "message_id": next(IDS), "data": data}


def power(time: str, value: object = 1, *, channel: str = "c01", monitor: str = "E1") -> Message:
    consumption = [{"channel_id": channel, "reading": value}]
    return {"connection_id": monitor, "reading_time": time, "power_consumption": consumption}


def readings(*given: Message, monitor: str = "E1") -> Message:
    return {"message_id": next(IDS), "data": {"connection_id": monitor, "readings": list(given)}}


def changed(message: Message, path: str, value: object) -> Message:
    """The message with one field set, or removed where the value is `...`."""
    message = copy.deepcopy(message)
    *way, last = (int(step) if step.isdigit() else step for step in path.split("/"))
    place: Any = message
    for step in way:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return message


async def seen(server: reset.ResetStandIn, condition: Callable[[Message], bool]) -> None:
    """Wait until the stand-in has received it: its switches and its socket are different connections."""
    async with asyncio.timeout(LIMIT_S):
        while not condition(await server.received()):  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.01)


NOON = "2026-01-15T12:00:00.000+01:00"
HALF_PAST = "2026-01-15T12:30:00.000+01:00"
ONE = "2026-01-15T13:00:00.000+01:00"


async def test_wrong_secret_is_answered_10401_and_disconnected(server: reset.ResetStandIn) -> None:
    expected = {"code": "10401", "message": "Authentication failed.", "api_version": "v2"}
    async with unconnected(server) as client:
        await client.connect(secret="wrong")
        assert await client.answer() == ("auth", expected)
        assert (await client.answer())[0] == "disconnect"


async def test_message_before_auth_is_answered_10401(server: reset.ResetStandIn) -> None:
    async with unconnected(server) as client:
        await client.connect(secret=None)
        assert await client.send("monitors", create()) == "10401"


async def test_readings_of_a_created_monitor_are_acknowledged_and_recorded(client: Client) -> None:
    message = create()
    assert await client.ask("monitors", message) == {
        "code": "10200",
        "ack": True,
        "message_id": message["message_id"],
        "api_version": "v2",
    }
    assert await client.send("readings", readings(power(NOON, 84.276), power(HALF_PAST, "84.300"))) == "10200"
    received = await client.server.received()
    assert received["monitors"]["E1"]["module"] == "energy"
    assert [
        (one["reading_time"], one["value"], one["count"], one["seq"]) for one in received["readings"]
    ] == [
        (NOON, 84.276, 1, 1),
        (HALF_PAST, "84.300", 1, 2),
    ]
    assert received["refused"] == received["conflicts"] == received["out_of_order"] == received["falls"] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("message_type", "enable"),
        ("data", ...),
        ("data/connection_id", ""),
        ("data/module", ...),
        ("data/module", "Energy"),
        ("data/module", "gas"),
        ("data/module", "air"),  # with channels
        ("data/channels", ...),
        ("data/channels", []),
        ("data/channels/0/channel_id", 1),
        ("data/channels", [{"channel_id": "c"}, {"channel_id": "c"}]),
        ("data/meta", ...),
        ("data/meta/monitor_detail/monitor_sku", ...),
        ("data/meta/monitor_detail/monitor_serial_id", 7),
        ("data/meta/monitor_detail/last_monitor_calibration_date", "2026-01-01"),
        ("data/meta/monitor_detail/last_calibration_date", "2026-01-01T00:00:00+01:00"),
        ("data/meta/included_parameters", {}),
        ("data/meta/included_parameters/power_consumption/unit", "Wh"),
        ("data/meta/included_parameters/co2", {"unit": "ppm"}),
        ("data/unknown", 1),
    ],
)
async def test_monitor_the_document_does_not_allow_is_refused(
    client: Client, path: str, value: object
) -> None:
    answer = await client.ask("monitors", changed(create(), path, value))
    assert answer["code"] == "10400"
    assert answer["message"]
    assert (await client.server.received())["monitors"] == {}


async def test_modify_needs_a_monitor_and_keeps_module_and_channels(client: Client) -> None:
    modify = changed(changed(create(channels=("c01", "c02")), "message_type", "modify"), "data/module", ...)
    assert await client.send("monitors", modify) == "10400"
    assert await client.send("monitors", create()) == "10200"
    assert await client.send("monitors", modify) == "10200"  # adds c02
    assert await client.send("monitors", create()) == "10400"  # c02 is gone, and channel_id is immutable
    assert await client.send("monitors", changed(modify, "data/module", "energy")) == "10400"
    received = await client.server.received()
    assert [channel["channel_id"] for channel in received["monitors"]["E1"]["channels"]] == ["c01", "c02"]


READING = "data/readings/0/"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (READING + "reading_time", "2026-01-15T12:00:00.000Z"),
        (READING + "reading_time", "2026-01-15T12:00:00"),
        (READING + "reading_time", "2026-01-15T12:00:01.000+01:00"),
        (READING + "reading_time", "2026-01-15T12:15:00.000+01:00"),
        (READING + "reading_time", "2026-02-30T12:00:00.000+01:00"),
        (READING + "reading_time", ...),
        (READING + "connection_id", "E2"),
        (READING + "power_consumption", ...),
        (READING + "power_consumption", 1),
        (READING + "power_consumption", []),
        (READING + "power_consumption/0/channel_id", "c09"),
        (READING + "power_consumption/0/reading", ...),
        (READING + "power_consumption/0/reading", True),
        (READING + "power_consumption/0/reading", "many"),
        (READING + "power_consumption/0/reading", "NaN"),
        (READING + "co2", 500),
        ("data/connection_id", "E2"),
        ("data/readings", []),
        ("data/readings/1/reading_time", NOON),
        ("message_id", ...),
        ("message_id", 17),
    ],
)
async def test_readings_the_document_does_not_allow_are_refused_whole(
    client: Client, path: str, value: object
) -> None:
    await client.send("monitors", create())
    message = changed(readings(power(NOON), power(HALF_PAST)), path, value)
    assert (await client.ask("readings", message))["code"] == "10400"
    assert (await client.server.received())["readings"] == []


async def test_more_than_48_reading_times_are_refused(client: Client) -> None:
    await client.send("monitors", create())
    times = [
        f"2026-01-{day}T{hour:02}:{minute}:00.000+01:00"
        for day in (15, 16)
        for hour in range(24)
        for minute in ("00", "30")
    ]
    assert await client.send("readings", readings(*map(power, times[:48]))) == "10200"
    assert await client.send("readings", readings(*map(power, times[:49]))) == "10400"


@pytest.mark.parametrize("missing", [None, "", "None"])
async def test_air_needs_every_declared_parameter_and_takes_a_missing_value(
    client: Client, missing: object
) -> None:
    assert await client.send("monitors", create("air", "A1")) == "10200"
    air = {"connection_id": "A1", "reading_time": NOON, "pm2p5": 1, "tvoc": "0.5", "co2": 500, "temp": -2.5}
    assert await client.send("readings", readings(air, monitor="A1")) == "10400"
    assert await client.send("readings", readings(air | {"rh": missing}, monitor="A1")) == "10200"


async def test_message_id_is_good_once(client: Client) -> None:
    message = create()
    await client.ask("monitors", message)
    assert (await client.ask("monitors", message))["code"] == "10400"


async def test_wall_clock_of_a_quarter_hour_zone_is_on_the_half_hour(client: Client) -> None:
    await client.send("monitors", create())
    assert await client.send("readings", readings(power("2026-01-15T12:30:00.000+05:45"))) == "10200"


async def test_repeats_conflicts_order_and_falls_are_told_apart(client: Client) -> None:
    await client.send("monitors", create())
    sent = [
        (ONE, 10),
        (ONE, "10.0"),
        (NOON, 8),
        (ONE, 11),
        ("2026-01-15T12:30:00+00:00", 5),
    ]
    for time, value in sent:
        assert await client.send("readings", readings(power(time, value))) == "10200"
    received = await client.server.received()
    counts = {one["reading_time"]: one["count"] for one in received["readings"]}
    assert counts == {ONE: 3, NOON: 1, "2026-01-15T12:30:00+00:00": 1}
    assert [(one["was"], one["value"]) for one in received["conflicts"]] == [(10, 11)]
    assert [(one["reading_time"], one["after"]) for one in received["out_of_order"]] == [(NOON, ONE)]
    assert [(one["was"], one["value"]) for one in received["falls"]] == [(11, 5)]


async def test_bin_emptied_within_a_half_hour_is_a_second_reading_of_it(client: Client) -> None:
    await client.send("monitors", create("circularity", "B1"))
    two = [
        {
            "connection_id": "B1",
            "reading_time": NOON,
            "bin_weight": [{"channel_id": "c01", "reading": weight}],
        }
        for weight in (30, 12)
    ]
    assert await client.send("readings", readings(*two, monitor="B1")) == "10200"
    received = await client.server.received()
    assert [(one["emptying"], one["value"]) for one in received["readings"]] == [(0, 30), (1, 12)]
    assert received["conflicts"] == []


async def test_nan_closes_the_connection_as_the_real_server_does(client: Client) -> None:
    await client.send("monitors", create())
    await client.emit("readings", readings(power(NOON, float("nan"))))
    assert (await client.answer())[0] == "disconnect"


async def test_answers_come_in_the_other_spelling_of_the_document(client: Client) -> None:
    await client.server.set_faults(answer_key="id", no_api_version=True)
    message = create()
    assert await client.ask("monitors", message) == {
        "code": "10200",
        "ack": True,
        "id": message["message_id"],
    }


async def test_lost_ack_is_stored_and_lost_message_is_not(client: Client) -> None:
    await client.server.set_faults(lost_acks=1)
    await client.emit("monitors", create())
    await seen(client.server, lambda received: received["lost"]["answers"] == 1)
    assert (await client.server.received())["monitors"].keys() == {"E1"}
    await client.server.set_faults(lost_acks=None)
    await client.server.set_faults(lost_messages=1)
    await client.emit("readings", readings(power(NOON)))
    await seen(client.server, lambda received: received["lost"]["messages"] == 1)
    assert (await client.server.received())["readings"] == []
    assert client.answers.empty()


async def test_error_10500_stores_some_all_the_same(client: Client) -> None:
    await client.send("monitors", create())
    await client.server.set_faults(error_10500=1)
    codes = {
        await client.send("readings", readings(power(f"2026-01-15T{hour:02}:00:00+01:00")))
        for hour in range(20)
    }
    assert codes == {"10500"}
    assert 0 < len((await client.server.received())["readings"]) < 20


async def test_disconnect_comes_before_or_after_processing(server: reset.ResetStandIn) -> None:
    await server.set_faults(disconnect=1)
    for number in range(8):
        async with connected(server) as client:
            await client.emit("monitors", create(connection_id=f"E{number}"))
            assert (await client.answer())[0] == "disconnect"
    assert 0 < len((await server.received())["monitors"]) < 8


async def test_poison_and_refused_monitor_are_answered_10400(client: Client) -> None:
    await client.server.set_faults(poison="2026-01-15T11:30:00+00:00", refuse_monitor="E2")
    assert await client.send("monitors", create()) == "10200"
    assert await client.send("monitors", create(connection_id="E2")) == "10400"
    assert await client.send("readings", readings(power(NOON), power(HALF_PAST))) == "10400"
    assert await client.send("readings", readings(power(NOON), power(ONE))) == "10200"


async def test_stray_and_double_answers(client: Client) -> None:
    await client.server.set_faults(stray_errors=1, duplicate_acks=1)
    await client.emit("monitors", create())
    got = [await client.answer() for _ in range(3)]
    assert [event for event, _ in got] == ["errors", "ack", "ack"]
    assert "message_id" not in got[0][1]


async def test_frozen_server_answers_what_waited_in_order(client: Client) -> None:
    await client.server.set_faults(freeze=600)
    await client.emit("monitors", create())
    await client.emit("readings", readings(power(NOON)))
    await seen(client.server, lambda received: received["messages"]["readings"] == 1)
    assert client.answers.empty()
    await client.server.set_faults(freeze=0)
    assert [(await client.answer())[0] for _ in range(2)] == ["ack", "ack"]


async def test_refused_and_silent_auth(server: reset.ResetStandIn) -> None:
    await server.set_faults(refuse_auth=True)
    async with unconnected(server) as client:
        await client.connect()
        assert (await client.answer())[1]["code"] == "10401"
    await server.set_faults(refuse_auth=False, silent_auth=True)
    async with unconnected(server) as client:
        await client.connect()
        assert await client.send("monitors", create()) == "10401"
    assert (await server.received())["answers"] == {"10401": 2}


async def test_refused_connection_closes_those_that_are_open(client: Client) -> None:
    await client.server.set_faults(refuse="connect")
    assert (await client.answer())[0] == "disconnect"
    async with unconnected(client.server) as late:
        with pytest.raises(socketio.exceptions.ConnectionError):
            await late.connect()


async def test_page_and_faults_over_http(client: Client) -> None:
    await client.send("monitors", create(connection_id="<E1>"))
    async with aiohttp.ClientSession() as session:
        async with session.get(client.server.origin + "/") as response:
            text = await response.text()
        async with session.post(client.server.origin + "/faults", data="[") as response:
            assert response.status == 400
    assert "&lt;E1&gt;" in text
    assert "<E1>" not in text
    with pytest.raises(ConfigError):
        await client.server.set_faults(lost_ack=0.1)
    with pytest.raises(ConfigError):
        await client.server.set_faults(lost_acks=2)


async def test_wrong_switch_is_refused_before_anything_starts() -> None:
    with pytest.raises(ConfigError) as caught:
        async with reset.serving(faults="lost_ack=0.1"):
            pass
    assert "'lost_acks'" in caught.value.hint


async def test_create_of_an_existing_monitor_is_taken_unless_switched_off(client: Client) -> None:
    assert [await client.send("monitors", create()) for _ in range(2)] == ["10200", "10200"]
    await client.server.set_faults(refuse_recreate=True)
    assert await client.send("monitors", create()) == "10400"


async def test_late_ack_comes_after_the_values_are_stored(client: Client) -> None:
    await client.send("monitors", create())
    await client.server.set_faults(late_acks=0.05, slow=0.01)
    assert await client.send("readings", readings(power(NOON))) == "10200"


async def test_frame_over_a_million_bytes_closes_the_connection(client: Client) -> None:
    await client.emit("monitors", changed(create(), "data/label", "x" * 1_000_001))
    assert (await client.answer())[0] == "disconnect"


async def test_connection_that_never_authenticates_is_closed() -> None:
    async with reset.serving(auth_timeout_s=0.1) as server, unconnected(server) as client:
        await client.connect(secret=None)
        assert (await client.answer())[0] == "disconnect"


async def test_paused_server_is_a_dead_link_to_the_client() -> None:
    async with reset.serving(ping_interval_s=0.2, ping_timeout_s=0.2) as server:
        async with connected(server) as client:
            server.pause()
            assert (await client.answer())[0] == "disconnect"
            server.resume()
        assert (await server.received())["messages"]["auth"] == 1


async def test_command_ends_cleanly_on_sigterm_and_takes_its_server_along() -> None:
    script = (
        "import argparse, sys; from meterkast_rig import reset; parser = argparse.ArgumentParser();"
        "reset.configure(parser); sys.exit(reset.run(parser.parse_args(['--port', '0'])))"
    )
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": SEARCH}
    )
    assert command.stdout is not None
    line = (await asyncio.wait_for(command.stdout.readline(), LIMIT_S)).decode()
    assert line.startswith("listening on http://127.0.0.1:")
    command.terminate()
    assert await asyncio.wait_for(command.wait(), LIMIT_S) == 0
    await command.communicate()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(line.split()[2])


async def test_old_node_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v18.20.4\n")
    node.chmod(0o755)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)  # as without the wheel
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        find_node()
    assert "v18.20.4" in str(caught.value)
    assert "Node.js 20 or newer" in caught.value.hint
    node.unlink()
    with pytest.raises(ConfigError, match="not found"):
        find_node()
