"""A server that does what the real one cannot be made to do."""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from meterkast_drivers.zwave.link import Link
from meterkast_drivers.zwave.place import Place

# isort: split
# aiohttp's first import is that of the package.
from aiohttp import web

LIMIT_S = 30.0
VALUE = {"commandClass": 50, "endpoint": 0, "property": "value", "propertyKey": 65537}


class FakeServer:
    """Speaks as much of the protocol as the link needs; each part can be made to misbehave."""

    @staticmethod
    def described(node: int, **other: object) -> dict[str, Any]:
        metadata = {"type": "number", "readable": True, "writeable": False, "unit": "kWh"}
        value = {
            **VALUE,
            "commandClassName": "Meter",
            "propertyName": "value",
            "value": 1,
            "metadata": metadata,
        }
        endpoint = {"nodeId": node, "index": 0, "commandClasses": []}
        base = {"nodeId": node, "index": 0, "status": 4, "ready": True}
        return {**base, "values": [value], "endpoints": [endpoint], **other}

    def __init__(self) -> None:
        self.greeting: object = {
            "type": "version",
            "driverVersion": "15.29.0",
            "serverVersion": "3.10.2",
            "homeId": 1,
            "minSchemaVersion": 0,
            "maxSchemaVersion": 50,
        }
        self.state: dict[str, Any] = {
            "controller": {"homeId": 1},
            "nodes": [self.described(1), self.described(2)],
        }
        self.before_state: list[object] = []
        self.closing: tuple[int, bytes] | None = None
        self.silent = False
        self.answers: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.socket: web.WebSocketResponse | None = None
        self.heard = asyncio.Event()

    async def update(self, number: object) -> None:
        """A new value of node 2."""
        arguments = {**VALUE, "newValue": number}
        told = {"source": "node", "event": "value updated", "nodeId": 2, "args": arguments}
        await self.send({"type": "event", "event": told})

    async def until_asked(self, command: str) -> None:
        async with asyncio.timeout(LIMIT_S):
            while command not in self.asked:
                self.heard.clear()
                await self.heard.wait()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.socket = socket = web.WebSocketResponse()
        await socket.prepare(request)
        if self.closing is not None:
            await socket.close(code=self.closing[0], message=self.closing[1])
            return socket
        if self.greeting is not None:
            await self.send(self.greeting)
        async for frame in socket:
            await self._answer(frame.json())
        return socket

    async def send(self, message: object) -> None:
        assert self.socket is not None
        if isinstance(message, bytes):
            await self.socket.send_bytes(message)
        else:
            await self.socket.send_str(message if isinstance(message, str) else json.dumps(message))

    async def _answer(self, asked: dict[str, Any]) -> None:
        self.asked.append(asked["command"])
        self.heard.set()
        if self.silent:
            return
        result: dict[str, Any] = {"success": True, "result": {}}
        if asked["command"] == "start_listening":
            for message in self.before_state:
                await self.send(message)
            result["result"] = {"state": self.state}
        result = self.answers.get(asked["command"], result)
        if result:
            await self.send({"type": "result", "messageId": asked["messageId"], **result})


class Seen:
    """What handlers of ours got."""

    def __init__(self) -> None:
        self.values: list[object] = []
        self.more = asyncio.Event()

    def before_events(self, opened: Link) -> None:
        opened.driver.controller.nodes[2].on("value updated", self._take)

    def _take(self, data: dict[str, Any]) -> None:
        self.values.append(data["value"].value)
        self.more.set()

    async def until(self, number: object) -> None:
        async with asyncio.timeout(LIMIT_S):
            while number not in self.values:
                self.more.clear()
                await self.more.wait()


@pytest.fixture
def socket_path() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="mk-"))
    yield folder / "zwave.sock"
    shutil.rmtree(folder)


@pytest.fixture
async def server(socket_path: Path) -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    application = web.Application()
    application.router.add_get("/", fake.serve)
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    await web.UnixSite(runner, str(socket_path)).start()
    yield fake
    await runner.cleanup()


@pytest.fixture
def place(socket_path: Path) -> Place:
    return Place.unix(socket_path)


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    gc.collect()
    ours = [task for task in asyncio.all_tasks() - before if "aiohttp" not in repr(task.get_coro())]
    assert [task for task in ours if not task.done() and task is not asyncio.current_task()] == []


@pytest.fixture
def seen() -> Seen:
    return Seen()


@asynccontextmanager
async def _opened(place: Place, before: Callable[[Link], None] = lambda _: None) -> AsyncIterator[Link]:
    async with asyncio.timeout(LIMIT_S):
        connected = await Link.open(place, before_events=before)
    try:
        yield connected
    finally:
        async with asyncio.timeout(LIMIT_S):
            await connected.close()


@pytest.fixture
def opened() -> Callable[..., AbstractAsyncContextManager[Link]]:
    """Opens a link, and closes it at the end of the block."""
    return _opened
