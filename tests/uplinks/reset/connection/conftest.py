"""Far ends that do what a test says, and a gateway that is sent to them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import engineio.base_client
import pytest
import socketio
from aiohttp import web

from meterkast.clock import SystemClock
from meterkast.config.decoding import decode
from meterkast.model.delivery import Item, ItemId
from meterkast.model.time import UtcMs
from meterkast.uplinks.reset import Settings, create

from ...remembering import context
from ..monitor import MONITOR, PAYLOAD

LIMIT_S = 30.0  # only against hanging
SECRET = "s3cret-of-the-test"
TREE: dict[str, Any] = {
    "client_id": "demo",
    "client_secret": SECRET,
    "connect_timeout_s": 2,
    "auth_timeout_s": 2,
    "ack_timeout_s": 2,
    "stray_wait_s": 0.1,
    "monitors": [MONITOR],
}

Message = dict[str, Any]
Answer = Callable[[str, Message], Awaitable[None]]
"""Sends an event back."""


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """When a test is over, nothing of its connections may be left."""
    before = asyncio.all_tasks()
    yield
    # A server's own; python-engineio leaves them to sleep until the next ping.
    servers = [task for task in asyncio.all_tasks() if "AsyncSocket." in repr(task.get_coro())]
    for task in servers:
        task.cancel()
    await asyncio.gather(*servers, return_exceptions=True)
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()
    assert engineio.base_client.connected_clients == []


class Gateway:
    """An uplink to any far end, and the items it is given."""

    def __init__(self, url: str, **keys: Any) -> None:
        self.settings = decode(Settings, TREE | {"url": url} | keys, "uplinks.reset")
        self.uplink = create(self.settings, context(SystemClock()))

    async def deliver(self, *numbers: int) -> str:
        """Deliver the items of these numbers; one where none is given."""
        items = [
            Item(id=ItemId(number), uplink="reset", stream="M1", at_ms=UtcMs(number), payload=PAYLOAD)
            for number in numbers or (1,)
        ]
        return await asyncio.wait_for(self.uplink.deliver("M1", items), LIMIT_S)


@asynccontextmanager
async def started(url: str, **keys: Any) -> AsyncIterator[Gateway]:
    made = Gateway(url, **keys)
    try:
        yield made
    finally:
        await asyncio.wait_for(made.uplink.close(), LIMIT_S)


@pytest.fixture
def secret() -> str:
    """What the gateways of these tests authenticate with."""
    return SECRET


@pytest.fixture
def gateway() -> Callable[..., Any]:
    """Starts a gateway: `async with gateway(url, **keys) as started`."""
    return started


class FarEnd:
    """A Socket.IO server that does what a test says, where the stand-in does what the document says."""

    def __init__(self) -> None:
        self.server = socketio.AsyncServer(async_mode="aiohttp")
        self.heard: list[tuple[str, Message]] = []
        self.on: dict[str, Callable[[Message, Answer], Awaitable[None]]] = {}
        self.url = ""
        for event in ("auth", "monitors", "readings"):
            self.server.on(event, self._taker(event), namespace="/v2")

    @asynccontextmanager
    async def serving(self, context: ssl.SSLContext | None = None) -> AsyncIterator[None]:
        app = web.Application()
        self.server.attach(app)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        port = runner.addresses[0][1]
        self.url = f"{'https' if context else 'http'}://localhost:{port}/v2"
        try:
            yield
        finally:
            await self.server.shutdown()
            await runner.cleanup()

    def asked(self, event: str) -> list[Message]:
        """The messages of an event, oldest first."""
        return [message for name, message in self.heard if name == event]

    async def part(self) -> None:
        """Disconnect everyone."""
        for sid, _ in list(self.server.manager.get_participants("/v2", None)):
            await self.server.disconnect(sid, namespace="/v2")

    async def good(self, message: Message, answer: Answer) -> None:
        """Answer as RESET does when all is well."""
        if "message_id" in message:
            await answer("ack", {"code": "10200", "ack": True, "id": message["message_id"]})
        else:
            await answer("auth", {"code": "10200", "message": "Succeeded.", "api_version": "v2"})

    def _taker(self, event: str) -> Callable[[str, Message], Awaitable[None]]:
        async def take(sid: str, message: Message) -> None:
            self.heard.append((event, message))

            async def answer(name: str, said: Message) -> None:
                await self.server.emit(name, said, to=sid, namespace="/v2")

            await self.on.get(event, self.good)(message, answer)

        return take


@pytest.fixture
def far_end() -> FarEnd:
    return FarEnd()


@asynccontextmanager
async def bare(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A bare TCP server."""
    writers: list[asyncio.StreamWriter] = []
    tasks: list[asyncio.Task[None] | None] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        tasks.append(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)
        await server.wait_closed()


@pytest.fixture
def listening() -> Callable[..., Any]:
    """Starts a bare TCP server: `async with listening(answer) as port`."""
    return bare
