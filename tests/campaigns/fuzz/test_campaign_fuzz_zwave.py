"""Whatever the Z-Wave server sends: the connection lives, nothing is invented, the next report is read."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from meterkast.clock import SystemClock
from meterkast.config.decoding import decode
from meterkast.model.errors import ConfigError, LinkLostError
from meterkast.model.reading import Batch
from meterkast_buffer import SqliteStore, open_store
from meterkast_drivers.zwave.driver import Settings, ZwaveDriver

# isort: split
# aiohttp's first import is that of the package.
from aiohttp import WSMsgType, web

from ...zwave.made_up import energy, temperature, told_node
from .mutation import HALF_PAIR, SEED, SIZE, damaged, twisted

LIMIT_S = 60.0  # only against hanging
METER = {"commandClass": 50, "endpoint": 0, "property": "value", "propertyKey": 65537}
SENSOR = {"commandClass": 49, "endpoint": 0, "property": "Air temperature"}
TOKENS = (
    b"{",
    b"}",
    b"[" * 3000,
    b'"',
    b"\\ud800",
    b"9" * 5000,
    b"null",
    b"1e999",
    b",",
    b":",
    b"\0",
    b"\xff",
)


def described(node: int) -> dict[str, Any]:
    """A node as the server describes it: a meter with a thermometer."""
    meter = {**energy(1), "commandClassName": "Meter", "ccVersion": 4}
    sensor = {**temperature(20.5), "commandClassName": "Multilevel Sensor", "ccVersion": 5}
    return told_node(
        node,
        meter,
        sensor,
        interviewStage="Complete",
        firmwareVersion="1.5",
        label="ZW096",
        deviceConfig={"manufacturer": "AEON Labs", "label": "ZW096", "description": "Smart Switch 6"},
        endpoints=[{"nodeId": node, "index": 0, "commandClasses": []}],
    )


def node_event(name: str, **more: object) -> dict[str, Any]:
    return {"type": "event", "event": {"source": "node", "event": name, "nodeId": 2, **more}}


EVENTS: tuple[dict[str, Any], ...] = (
    node_event("value updated", args={**METER, "newValue": 7, "prevValue": 6}),
    node_event("value updated", args={**SENSOR, "newValue": 21.5}),
    node_event("value added", args={**SENSOR, "endpoint": 1, "newValue": 3}),
    node_event("value removed", args={**SENSOR}),
    node_event("value notification", args={**METER, "value": 1}),
    node_event("metadata updated", args={**METER, "metadata": described(2)["values"][0]["metadata"]}),
    node_event("dead"),
    node_event("sleep"),
    node_event("wake up"),
    node_event("alive"),
    node_event("interview failed", args={"errorMessage": "x", "isFinal": True}),
    node_event("ready", nodeState=described(2)),
    node_event("notification", ccId=113, args={"type": 6, "event": 22, "label": "a", "eventLabel": "b"}),
    node_event("statistics updated", statistics={"commandsTX": 1, "commandsRX": 2}),
    {"type": "event", "event": {"source": "controller", "event": "statistics updated", "statistics": {}}},
    {"type": "event", "event": {"source": "controller", "event": "node added", "node": described(3)}},
    {"type": "event", "event": {"source": "controller", "event": "inclusion started", "strategy": 0}},
    {"type": "event", "event": {"source": "controller", "event": "rebuild routes progress", "progress": {}}},
    {"type": "event", "event": {"source": "driver", "event": "logging", "message": ["x"]}},
    {"type": "result", "messageId": "x", "success": False, "errorCode": "y", "message": "z"},
    {"type": "version", "homeId": 2},
)


class Server:
    """Speaks as much of the protocol as the driver asks for, and then whatever a test says.

    Attributes:
        nodes: What it describes.
        opened: How many connections there were.
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = [described(1), described(2)]
        self.opened = 0
        self.socket: web.WebSocketResponse | None = None

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.opened += 1
        hello = {"driverVersion": "15.29.0", "serverVersion": "3.10.2", "homeId": 1}
        schemas = {"minSchemaVersion": 0, "maxSchemaVersion": 50}
        await socket.send_json({"type": "version", **hello, **schemas})
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            asked = message.json()
            result: dict[str, Any] = {}
            if asked["command"] == "start_listening":
                result = {"state": {"controller": {"homeId": 1}, "nodes": copy.deepcopy(self.nodes)}}
            answer = {"type": "result", "messageId": asked["messageId"], "success": True, "result": result}
            await socket.send_str(json.dumps(answer))
            if asked["command"] == "start_listening":
                self.socket = socket
        return socket

    async def send(self, message: object) -> None:
        await self.wire(json.dumps(message))

    async def wire(self, message: str | bytes) -> None:
        assert self.socket is not None
        await (
            self.socket.send_bytes(message) if isinstance(message, bytes) else self.socket.send_str(message)
        )


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = await open_store(tmp_path / "meterkast.db")
    yield made
    await made.close()


class Driving:
    """The driver on such a server, run again when its connection is lost, as the supervisor does."""

    def __init__(self, server: Server, driver: ZwaveDriver) -> None:
        self.server = server
        self.driver = driver
        self.batches: list[Batch] = []
        self.lost = 0
        self.crashed: list[BaseException] = []

    async def run(self) -> None:
        while True:
            try:
                await self.driver.run(self.batches.append)
            except (LinkLostError, ConfigError):
                self.lost += 1
            except Exception as error:  # what the campaign looks for
                self.crashed.append(error)
            await asyncio.sleep(0.01)

    async def numbers(self, ready: Any) -> set[float]:
        """All numbers read, once `ready` is among them."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                found = {
                    value / 10**column.decimals
                    for batch in self.batches
                    for column, value in zip(batch.layout, batch.values, strict=True)
                }
                if ready in found:
                    return found
                if self.crashed:
                    raise AssertionError("the driver crashed") from self.crashed[0]
                await asyncio.sleep(0.002)

    async def reported(self, number: int) -> set[float]:
        """Report a number of kWh until it is read: a device may have to be understood anew first."""
        while True:
            if self.server.socket is not None and not self.server.socket.closed:
                await self.server.send(node_event("value updated", args={**METER, "newValue": number}))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.25):
                    return await self.numbers(number * 1000)


@asynccontextmanager
async def driving(store: SqliteStore, folder: Path, server: Server) -> AsyncIterator[Driving]:
    application = web.Application()
    application.router.add_get("/", server.serve)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    section = {"server": f"ws://127.0.0.1:{runner.addresses[0][1]}", "folder": str(folder), "poll": False}
    driver = ZwaveDriver("zwave", decode(Settings, section, "drivers.zwave"), store, SystemClock())
    made = Driving(server, driver)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runner.cleanup()


def floats(message: Any) -> set[float]:
    """Every number in a message, as kWh and as they are: what a reading may stand for."""
    if isinstance(message, dict):
        return set().union(*map(floats, message.values()))
    if isinstance(message, list):
        return set().union(*map(floats, message))
    if isinstance(message, (int, float)) and abs(message) < 1e15:
        return {float(message), message * 1000.0}
    return set()


@pytest.mark.slow
async def test_odd_messages_of_the_server(store: SqliteStore) -> None:
    chance = Random(f"zwave {SEED}")
    server, odd = Server(), 0
    with tempfile.TemporaryDirectory(prefix="mk-") as folder:
        async with driving(store, Path(folder), server) as made:
            await made.reported(1_000_001)
            for number in range(60 * SIZE):
                made.batches.clear()
                true: set[float] = set()
                for _ in range(30):
                    event = chance.choice(EVENTS)
                    if chance.random() < 0.8:
                        event = twisted(event, chance, HALF_PAIR)
                        await server.send(event)
                    else:
                        wire = damaged(json.dumps(event).encode(), chance, TOKENS)
                        await server.wire(wire if chance.random() < 0.2 else wire.decode("latin-1"))
                        with contextlib.suppress(ValueError, RecursionError):
                            event = json.loads(wire)
                    true |= floats(event)
                    odd += 1
                # The truth about the device, then a report: it has to be read.
                await server.send(node_event("ready", nodeState=described(2)))
                await server.send(node_event("alive"))
                good = 1_000_002 + number
                read = await made.reported(good)
                # An earlier one that was reported twice may come late.
                invented = {value for value in read - true if not 1e9 < value <= good * 1000.0}
                assert not invented, f"seed {SEED}, round {number}: {sorted(invented)} was never sent"
            assert made.crashed == []
            print(f"\nfuzz zwave: seed {SEED}, {odd:,} odd messages, {made.lost} connections lost")
            assert made.lost == 0


@pytest.mark.slow
async def test_odd_descriptions_of_the_network(store: SqliteStore) -> None:
    chance = Random(f"nodes {SEED}")
    for number in range(60 * SIZE):
        server = Server()
        server.nodes = [described(1), described(2), *(twisted(described(n), chance) for n in range(3, 12))]
        chance.shuffle(server.nodes)
        with tempfile.TemporaryDirectory(prefix="mk-") as folder:
            async with driving(store, Path(folder), server) as made:
                await made.reported(2_000_000 + number)
                assert made.crashed == [], f"seed {SEED}, network {number}"
                assert made.lost == 0, f"seed {SEED}, network {number}"
