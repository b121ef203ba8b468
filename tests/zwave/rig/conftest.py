"""The simulated stick under the real zwave-js driver and server, seen through the raw client."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from meterkast.lean import aiohttp
from meterkast.nodejs import find_node, install
from meterkast_rig import zwave

# isort: split
from zwave_js_server.client import Client
from zwave_js_server.const import InclusionStrategy
from zwave_js_server.model.controller import InclusionGrant
from zwave_js_server.model.node import Node

import meterkast_drivers

SERVICE = Path(meterkast_drivers.__file__).parent / "zwave" / "service"
WAIT_S = 90.0
METER = 50


class Tolerant(Client):
    """A client that survives what it does not know: this is a test of the stick."""

    def _handle_incoming_message(self, msg: Any) -> None:
        try:
            super()._handle_incoming_message(msg)
        except Exception as error:  # whatever the library stumbles over: the stick is tested, not the library
            print("not understood:", type(error).__name__, str(msg)[:100])


class Seen:
    """A connected client and every value event it saw: (node, class, endpoint, key, value)."""

    def __init__(self, client: Client) -> None:
        self.client = client
        assert client.driver is not None
        self.controller = client.driver.controller
        self.values: list[tuple[int, int, int, int | None, Any]] = []
        for node in self.controller.nodes.values():
            self.follow(node)

    def node(self, number: int) -> Node:
        return self.controller.nodes[number]

    def follow(self, node: Node) -> None:
        for event in ("value updated", "value added"):
            node.on(event, lambda data, node=node: self._value(node.node_id, data["value"], data["args"]))

    def _value(self, node: int, value: Any, args: Any) -> None:
        specific = value.metadata.cc_specific or {}
        if args["commandClass"] == METER and specific:
            key = specific["meterType"] << 16 | specific["scale"] << 8 | specific["rateType"]
        else:
            key = specific.get("sensorType")
        self.values.append((node, args["commandClass"], args["endpoint"], key, args.get("newValue")))


async def until(true: Callable[[], Any], what: str) -> Any:
    for _ in range(int(WAIT_S / 0.1)):
        if found := true():
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"still not: {what}")


async def recorded(
    stick: zwave.Stick, after: int, true: Callable[[list[dict[str, Any]]], Any]
) -> list[dict[str, Any]]:
    """What was shown after a record, once it is enough: a verb answers before its report is at the host."""
    async with asyncio.timeout(WAIT_S):
        while not true(records := await stick.shown(after)):  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.1)
    return records


@asynccontextmanager
async def server(stick: zwave.Stick, folder: Path) -> AsyncIterator[Path]:
    """The real driver and server on a stick; yields its socket."""
    await asyncio.to_thread(install, SERVICE)
    zwave.write_keys(folder / "keys.json")
    with tempfile.TemporaryDirectory(prefix="mk-") as short:
        socket = Path(short) / "zwave.sock"
        child = await asyncio.create_subprocess_exec(
            *(str(find_node()), str(SERVICE / "server.mjs"), "--stick", stick.url, "--listen", str(socket)),
            *("--folder", str(folder), "--end-with-stdin"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert child.stdout is not None
            while json.loads(await asyncio.wait_for(child.stdout.readline(), WAIT_S))["fact"] != "listening":
                pass
            drained = asyncio.create_task(child.stdout.read())
            yield socket
            drained.cancel()
        finally:
            if child.returncode is None:
                child.terminate()
                try:
                    await asyncio.wait_for(child.wait(), 10)
                except TimeoutError:
                    child.kill()
            await child.communicate()


@asynccontextmanager
async def connected(socket: Path) -> AsyncIterator[Seen]:
    """A client of the server at `socket`."""
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session:
        client = Tolerant("ws://localhost/", session)
        await asyncio.wait_for(client.connect(), WAIT_S)
        ready = asyncio.Event()
        listening = asyncio.create_task(client.listen(ready))
        await asyncio.wait_for(ready.wait(), WAIT_S)
        yield Seen(client)
        await client.disconnect()
        await asyncio.gather(listening, return_exceptions=True)


@asynccontextmanager
async def network(folder: Path, **options: Any) -> AsyncIterator[tuple[zwave.Stick, Seen]]:
    """A stick, the server on it, and a client."""
    async with (
        zwave.serving(**{"speed": 60.0, "period_s": 600.0, **options}) as stick,
        server(stick, folder) as socket,
        connected(socket) as seen,
    ):
        yield stick, seen


async def ready(seen: Seen, *numbers: int) -> None:
    await until(lambda: all(n in seen.controller.nodes and seen.node(n).ready for n in numbers), "ready")


async def include(
    stick: zwave.Stick,
    seen: Seen,
    kind: str,
    number: int,
    *classes: str,
    pin: str = "",
    typing_s: float = 0.0,
    strategy: InclusionStrategy = InclusionStrategy.DEFAULT,
) -> Node:
    """Let a device join as an installer would; returns the node once it was added."""
    added: asyncio.Future[Node] = asyncio.get_running_loop().create_future()
    device: dict[str, Any] = {}
    tasks: set[asyncio.Task[Any]] = set()
    controller = seen.controller

    def grant(data: Any) -> None:
        classes = InclusionGrant(data["requested_grant"].security_classes, False)
        tasks.add(asyncio.create_task(controller.async_grant_security_classes(classes)))

    async def type_pin() -> None:
        await asyncio.sleep(typing_s)
        await controller.async_validate_dsk_and_enter_pin(pin or device["pin"])

    def enter(_: Any) -> None:
        tasks.add(asyncio.create_task(type_pin()))

    stop = [
        controller.on("grant security classes", grant),
        controller.on("validate dsk and enter pin", enter),
        controller.on("node added", lambda data: added.set_result(data["node"])),
    ]
    assert await controller.async_begin_inclusion(strategy)
    device |= await stick.verb(
        "join", kind=kind, id=number, **({"classes": list(classes)} if classes else {})
    )
    try:
        node = await asyncio.wait_for(added, WAIT_S)
        await asyncio.gather(*tasks)
        seen.follow(node)
        return node
    finally:
        for each in stop:
            each()


@dataclass(frozen=True)
class Rig:
    """What the tests of the simulated stick share."""

    wait_s: float = WAIT_S
    service: Path = SERVICE
    until: Any = until
    recorded: Any = recorded
    server: Any = server
    connected: Any = connected
    network: Any = network
    ready: Any = ready
    include: Any = include


@pytest.fixture(scope="session")
def rig() -> Rig:
    return Rig()
