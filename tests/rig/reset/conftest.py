"""A client of the RESET stand-in, and messages for it as the document wants them."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import socketio

from meterkast_rig import reset

Message = dict[str, Any]
IDS = (f"test_{number}" for number in itertools.count())
LIMIT_S = 60  # only against hanging


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

    async def seen(self, condition: Callable[[Message], bool]) -> None:
        """Wait until the stand-in has received it: its switches and its socket are different connections."""
        async with asyncio.timeout(LIMIT_S):
            while not condition(await self.server.received()):  # noqa: ASYNC110 - it happens in another process
                await asyncio.sleep(0.01)

    def _taker(self, event: str) -> Any:
        async def take(*given: Any) -> None:
            await self.answers.put((event, given[0] if given and isinstance(given[0], dict) else {}))

        return take


class Draft:
    """Messages that the document allows, each under a fresh message_id."""

    def create(
        self, module: str = "energy", connection_id: str = "E1", *, channels: tuple[str, ...] = ("c01",)
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

    def power(self, time: str, value: object = 1) -> Message:
        consumption = [{"channel_id": "c01", "reading": value}]
        return {"connection_id": "E1", "reading_time": time, "power_consumption": consumption}

    def readings(self, *given: Message, monitor: str = "E1") -> Message:
        return {"message_id": next(IDS), "data": {"connection_id": monitor, "readings": list(given)}}

    def changed(self, message: Message, path: str, value: object) -> Message:
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


@pytest.fixture
def draft() -> Draft:
    return Draft()


@asynccontextmanager
async def open_client(server: reset.ResetStandIn) -> AsyncIterator[Client]:
    # python-engineio 4.15.1 leaves its session open when connecting fails, its web socket after a time-out.
    async with aiohttp.ClientSession() as session:
        client = Client(server, session)
        yield client
        await client.socket.disconnect()
        if client.socket.eio.ws is not None:
            await client.socket.eio.ws.close()


@asynccontextmanager
async def authenticated(server: reset.ResetStandIn) -> AsyncIterator[Client]:
    async with open_client(server) as client:
        await client.connect()
        assert (await client.answer())[1]["code"] == "10200"
        yield client


Opened = Callable[[reset.ResetStandIn], AbstractAsyncContextManager[Client]]


@pytest.fixture
def unconnected() -> Opened:
    """A client that has not connected yet: `async with unconnected(server) as client`."""
    return open_client


@pytest.fixture
def connected() -> Opened:
    """A client that is connected and authenticated."""
    return authenticated


# Starting Node takes most of a second, so all tests of a module share one stand-in and its event loop.
@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[reset.ResetStandIn]:
    async with reset.serving(seed=1) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def server(shared: reset.ResetStandIn) -> reset.ResetStandIn:
    await shared.reset_state()
    await shared.set_faults(**dict.fromkeys(await shared.faults()))
    return shared


@pytest_asyncio.fixture(loop_scope="module")
async def client(server: reset.ResetStandIn) -> AsyncIterator[Client]:
    async with authenticated(server) as client:
        yield client
