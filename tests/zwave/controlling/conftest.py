"""Orders to devices that go wrong in ways that the simulated stick does not: the real driver, library and
database, the server's messages made up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from meterkast.model.errors import LinkLostError, StorageError
from meterkast.model.product import PendingDescription
from meterkast.network import PendingView, WriteRequest
from meterkast_buffer.store import open_store
from meterkast_drivers.zwave import confirming, errands, library  # noqa: F401
from meterkast_drivers.zwave import driver as module

# isort: split
# `library` has to be imported before these.
from zwave_js_server.event import Event
from zwave_js_server.model.driver import Driver

from meterkast_drivers.zwave.driver import ZwaveDriver
from meterkast_drivers.zwave.link import NotAnsweredError
from meterkast_drivers.zwave.settings import Settings

from ..made_up import told_node

LIMIT_S = 60.0
ASLEEP, DEAD = 1, 3
SUPERVISED = 255

LOG_CONFIG: Any = {
    "enabled": False,
    "level": "info",
    "logToFile": False,
    "filename": "",
    "forceConsole": False,
}


class Disk:
    """The real store; what is named in `full` it refuses."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.full: set[str] = set()
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.store, name)

        async def asked(*args: Any, **more: Any) -> Any:
            if name in self.full:
                self.refused += 1
                raise StorageError("the disk is full", hint="Free some space.")
            return await found(*args, **more)

        return asked


class Server:
    """Answers like the server.

    Attributes:
        sent: What was written: node, property, value.
        says: What a value is where a device is asked for it, by node and property; it follows what is written
            unless `obeys` is off.
        status: What comes of a write.
        answers: By command, what it comes to instead: an exception, an event to wait for, or the answer.
        asked: Set whenever a command came.
    """

    def __init__(self) -> None:
        self.sent: list[tuple[int, str, Any]] = []
        self.says: dict[tuple[int, str], Any] = {}
        self.obeys = True
        self.status = SUPERVISED
        self.answers: dict[str, Any] = {}
        self.told: list[str] = []

    async def async_send_command(self, message: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        command = message["command"]
        self.told.append(command)
        place = message.get("valueId", {})
        key = message.get("nodeId", 0), str(place.get("property")).replace("target", "current")
        if command == "node.set_value":
            self.sent.append((key[0], place["property"], message["value"]))
            if self.obeys:
                self.says[key] = message["value"]
        answer = self.answers.get(command)
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            answer = None
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            return answer  # type: ignore[no-any-return]
        if command == "node.set_value":
            return {"result": {"status": self.status}}
        return {"value": self.says.get(key)} if command == "node.poll_value" else {}

    async_send_command_no_wait = async_send_command


class Link:
    """A connection that is lost when it is told so."""

    def __init__(self, server: Server, *nodes: dict[str, Any], home_id: int) -> None:
        controller = {"homeId": home_id, "ownNodeId": 1, "isPrimary": True}
        state: Any = {"controller": controller, "nodes": [described(1), *nodes]}
        self.driver = Driver(server, state, LOG_CONFIG)  # type: ignore[arg-type]
        self.counters: dict[str, int] = {}
        self.loss: asyncio.Future[LinkLostError] = asyncio.get_running_loop().create_future()

    async def ask(self, work: Any, *, what: str, within_s: float) -> Any:
        task = asyncio.create_task(work)
        try:
            await asyncio.wait({task, self.loss}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            if self.loss.done():
                raise self.loss.result()
            raise NotAnsweredError(f"{what}: no answer", hint="Look at the device.")
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def lost(self) -> LinkLostError:
        return await asyncio.shield(self.loss)

    async def close(self) -> None:
        self.lose()

    def lose(self) -> None:
        if not self.loss.done():
            self.loss.set_result(LinkLostError("the server went away", hint="It comes back by itself."))

    def tell(self, event: str, node: int, **data: Any) -> None:
        """An event of a device."""
        told = {"source": "node", "event": event, "nodeId": node, **data}
        self.driver.receive_event(Event(event, told))

    def added(self, node: dict[str, Any]) -> None:
        told = {"source": "controller", "event": "node added", "node": node, "result": {}}
        self.driver.receive_event(Event("node added", told))

    def removed(self, node: int) -> None:
        told = {"source": "controller", "event": "node removed", "node": described(node), "reason": 0}
        self.driver.receive_event(Event("node removed", told))


def described(node: int, *values: dict[str, Any], **more: Any) -> dict[str, Any]:
    endpoints = [{"nodeId": node, "index": 0, "commandClasses": []}]
    return told_node(node, *values, isControllerNode=node == 1, endpoints=endpoints, **more)


class Cupboard:
    """A gateway whose devices do what the test says."""

    def __init__(self, folder: Path, disk: Disk, clock: Any, tools: Any) -> None:
        self.disk, self.server, self.clock, self._tools = disk, Server(), clock, tools
        self._settings = Settings(server="ws://127.0.0.1:1", folder=str(folder), poll=False)
        self._nodes: tuple[dict[str, Any], ...] = ()
        self._home_id = 0x7E57
        self._task: asyncio.Task[None] | None = None
        self.begin()

    def begin(self) -> None:
        """A gateway that knows no more than its database."""
        self.driver = ZwaveDriver("zwave", self._settings, self.disk, self.clock)  # type: ignore[arg-type]
        patience = self.driver.network.patience
        patience.send_s, patience.confirm_s, patience.command_s = 5.0, 0.1, 5.0

    async def connect(self, *nodes: dict[str, Any], home_id: int = 0x7E57) -> None:
        """The server is there, with these devices; returns when they can be written to."""
        self._nodes, self._home_id = nodes, home_id
        self._task = asyncio.create_task(self.driver.run(lambda _: None))
        for node in nodes:
            if node["ready"]:
                await self.until(lambda node=node: self.settled(node["nodeId"]), "settled")

    def settled(self, node: int) -> bool:
        """Whether its values have ids."""
        device = self.driver.devices.get(node)
        return device is not None and device.live is not None and not device.unsettled

    async def open(self, _: Any, *, before_events: Any) -> Link:
        self.link = Link(self.server, *self._nodes, home_id=self._home_id)
        before_events(self.link)
        return self.link

    async def lose(self) -> None:
        """The server goes away."""
        assert self._task is not None
        self.link.lose()
        with contextlib.suppress(LinkLostError):
            await self._task
        self._task = None

    async def stop(self) -> None:
        """The gateway stops in order."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def crash(self) -> None:
        """The gateway dies and stores nothing more; the next one knows no more than its database."""
        self.disk.full = {"update_pending"}
        await self.stop()
        self.disk = Disk(self.disk.store)
        self.begin()

    async def restart(self, *nodes: dict[str, Any]) -> None:
        """The gateway stops, and starts again with what its database holds."""
        await self.stop()
        self.begin()
        await self.connect(*nodes)

    def property(self, node: int, key: str) -> int:
        device = self.driver.devices.get(node)
        assert device is not None
        return next(one.property.id for one in device.properties.values() if one.property.key == key)

    async def write(self, node: int, key: str, text: str, **more: Any) -> PendingView:
        request = WriteRequest(property_id=self.property(node, key), value=text, **more)
        return await self.driver.network.write(request)

    def writing(self, node: int, key: str, text: str) -> asyncio.Task[PendingView]:
        return asyncio.create_task(self.write(node, key, text))

    async def sent(self, count: int) -> None:
        await self.until(lambda: len(self.server.sent) >= count, f"{count} values sent")

    async def listed(self) -> list[PendingView]:
        return list(await self.driver.network.pending())

    async def until(self, true: Callable[[], Any], what: str) -> None:
        await self._tools.until(true, what)

    async def rows(self) -> list[PendingDescription]:
        """What the database says of each order, oldest first."""
        return [one.description for one in await self.disk.pendings(open_only=False)]

    async def stored(self) -> list[str]:
        """The same, their status alone."""
        return [one.status.value for one in await self.rows()]

    async def until_stored(self, true: Callable[[list[PendingDescription]], bool]) -> None:
        """Wait until the database says so."""
        async with asyncio.timeout(LIMIT_S):
            while not true(await self.rows()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def told(self, *words: str) -> list[PendingView]:
        """The orders as they are listed, once they are what they should be."""
        async with asyncio.timeout(LIMIT_S):
            while [one.status for one in await self.listed()] != list(words):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return await self.listed()


@pytest.fixture
async def cupboard(
    tmp_path: Path, still: Any, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Cupboard]:
    monkeypatch.setattr(confirming, "FIRST_S", 0.01)
    monkeypatch.setattr(errands, "RETRY_S", 0.01)
    store = await open_store(tmp_path / "meterkast.db")
    cupboard = Cupboard(tmp_path, Disk(store), still, tools)
    monkeypatch.setattr(module.Link, "open", cupboard.open)
    yield cupboard
    await cupboard.stop()
    await store.close()


class Kinds:
    """Devices, as the server describes them."""

    def __init__(self, made: Any) -> None:
        self._value = made.value
        self._energy = made.energy

    def plug(self, node: int, **more: Any) -> dict[str, Any]:
        return described(
            node,
            self._value(37, "currentValue", value=False, type="boolean"),
            self._value(37, "targetValue", value=False, type="boolean", writeable=True),
            **more,
        )

    def valve(self, node: int, **more: Any) -> dict[str, Any]:
        """It sleeps, and wakes up once an hour."""
        setpoint = self.setpoint(18, min=5, max=30)
        interval = self._value(132, "wakeUpInterval", value=3600, readable=False, writeable=True)
        return described(node, setpoint, interval, **{"isListening": False, "status": ASLEEP, **more})

    def setpoint(self, value: Any, **metadata: Any) -> dict[str, Any]:
        told = {"writeable": True, "ccSpecific": {"setpointType": 1}, "unit": "°C", **metadata}
        return self._value(67, "setpoint", 1, value, **told)  # type: ignore[no-any-return]

    def meter(self, node: int, **more: Any) -> dict[str, Any]:
        """With registers, and an order that sets them back."""
        reset = self._value(50, "reset", type="boolean", readable=False, writeable=True)
        return described(node, self._energy(12.5), reset, **more)

    def levels(self, node: int, command_class: int, value: Any = 0, **metadata: Any) -> dict[str, Any]:
        """What is set through `targetValue`."""
        return described(
            node,
            self._value(command_class, "currentValue", value=value, **metadata),
            self._value(command_class, "targetValue", value=value, writeable=True, **metadata),
        )

    def of(self, node: int, *values: dict[str, Any], **more: Any) -> dict[str, Any]:
        return described(node, *values, **more)

    def classed(self, node: dict[str, Any], label: str) -> dict[str, Any]:
        """With the class of device that it says it is."""
        item = {"key": 1, "label": label}
        classes = {"basic": item, "generic": item, "specific": item}
        lists: dict[str, Any] = {"mandatorySupportedCCs": [], "mandatoryControlledCCs": []}
        return {**node, "deviceClass": {**classes, **lists}}

    def value(self, *args: Any, **more: Any) -> dict[str, Any]:
        return self._value(*args, **more)  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def kinds(made: Any) -> Kinds:
    return Kinds(made)
