"""Opening a connection: what stands in the way, and what a person is told."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from meterkast.model.errors import ConfigError, LinkLostError
from meterkast_drivers.zwave import client, why
from meterkast_drivers.zwave.link import Link
from meterkast_drivers.zwave.place import Place

# isort: split
# aiohttp's first import is that of the package.
from aiohttp import web


async def open_at(place: Place) -> None:
    async with asyncio.timeout(30):
        await Link.open(place, before_events=lambda _: None)


@pytest.mark.parametrize(("oldest", "newest", "age"), [(0, 34, "too old"), (36, 60, "too new")])
async def test_a_server_of_another_time(
    server: Any, place: Place, oldest: int, newest: int, age: str
) -> None:
    assert isinstance(server.greeting, dict)
    server.greeting |= {"minSchemaVersion": oldest, "maxSchemaVersion": newest}
    with pytest.raises(ConfigError, match=f"3.10.2 .*{age}.*schema {oldest} to {newest}, .* needs 35"):
        await open_at(place)


@pytest.mark.parametrize(
    "greeting", [{"type": "hello"}, {"type": "version"}, {"type": "version", "homeId": 1}]
)
async def test_something_else_that_speaks_websocket(
    server: Any, place: Place, greeting: dict[str, Any]
) -> None:
    server.greeting = greeting
    with pytest.raises(LinkLostError, match="is no Z-Wave server"):
        await open_at(place)


async def test_a_second_gateway_is_told_so(server: Any, place: Place) -> None:
    server.closing = (4009, b"another gateway is connected")
    with pytest.raises(LinkLostError, match="another gateway uses this Z-Wave server") as caught:
        await open_at(place)
    assert "One gateway at a time" in caught.value.hint


async def test_a_server_without_its_stick(server: Any, place: Place) -> None:
    server.closing = (1013, b"Driver is not ready")
    with pytest.raises(LinkLostError, match="no working stick: Driver is not ready"):
        await open_at(place)


async def test_a_server_that_says_nothing(server: Any, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "CONNECT_S", 0.2)
    server.greeting = None
    with pytest.raises(LinkLostError, match="said nothing"):
        await open_at(place)


async def test_a_port_that_accepts_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "CONNECT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(LinkLostError, match=f"127.0.0.1:{port} said nothing"):
            await open_at(Place.parse(f"ws://127.0.0.1:{port}"))


async def test_a_port_that_nobody_listens_on(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    for nowhere in (place, Place.parse(f"ws://127.0.0.1:{port}")):
        with pytest.raises(LinkLostError, match=f"no Z-Wave server listens on {nowhere}"):
            await open_at(nowhere)


async def test_a_web_server_that_knows_no_z_wave(place: Place) -> None:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    try:
        await web.UnixSite(runner, str(place.socket)).start()
        with pytest.raises(LinkLostError, match="is no Z-Wave server"):
            await open_at(place)
    finally:
        await runner.cleanup()


async def test_a_place_that_cannot_be_one_is_told_in_the_systems_words(place: Place) -> None:
    assert place.socket is not None
    place.socket.touch()
    with pytest.raises(LinkLostError, match=r"cannot be reached: .*Not a directory"):
        await open_at(Place.unix(place.socket / "below"))


async def test_a_socket_without_permission(server: Any, place: Place) -> None:
    error = why.not_reached(place, PermissionError(13, "Permission denied"))
    assert "no permission" in str(error)


async def test_a_server_that_never_gets_ready(
    server: Any, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "READY_S", 0.2)
    server.silent = True
    with pytest.raises(LinkLostError, match="did not describe its network"):
        await open_at(place)


async def test_a_server_that_refuses_to_start(server: Any, place: Place) -> None:
    server.answers["initialize"] = {"success": False, "errorCode": "schema_incompatible", "message": "no"}
    with pytest.raises(LinkLostError, match="refused initialize: no"):
        await open_at(place)


@pytest.mark.parametrize("state", [{}, {"nodes": 5, "controller": {}}, {"nodes": [], "controller": 5}])
async def test_a_network_described_in_another_way(server: Any, place: Place, state: dict[str, Any]) -> None:
    server.state = state
    with pytest.raises(LinkLostError, match="in another way than expected"):
        await open_at(place)
