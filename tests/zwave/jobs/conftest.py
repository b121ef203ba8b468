"""Jobs that go wrong in ways that the simulated stick does not: the real jobs and library, the server's
messages made up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from meterkast.clock import SystemClock
from meterkast.model.errors import LinkLostError
from meterkast.network import JobRequest, JobView
from meterkast_drivers.zwave import library  # noqa: F401

# isort: split
# `library` has to be imported before these.
from zwave_js_server.event import Event
from zwave_js_server.model.driver import Driver

from meterkast_drivers.zwave.devices import Devices
from meterkast_drivers.zwave.link import NotAnsweredError
from meterkast_drivers.zwave.network import ZwaveNetwork
from meterkast_drivers.zwave.settings import Settings

from ..following import followed

LIMIT_S = 60.0
ALIVE = 4


def described(
    node: int, *, listening: bool = True, status: int = ALIVE, ready: bool = True
) -> dict[str, Any]:
    return {
        "nodeId": node,
        "index": 0,
        "status": status,
        "ready": ready,
        "isControllerNode": node == 1,
        "isListening": listening,
        "isFrequentListening": False,
        "highestSecurityClass": -1,
        "values": [],
        "endpoints": [{"nodeId": node, "index": 0, "commandClasses": []}],
    }


class Server:
    """Answers like the server; `answers` holds what a command comes to instead: one after another, for good,
    or by what is asked. An event is waited for first.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self.newest: dict[str, dict[str, Any]] = {}
        self.looking: set[str] = set()
        self.answers: dict[str, Any] = {}
        self.driver: Any = None

    async def async_send_command(self, message: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        command = message["command"]
        self.told.append(command)
        self.newest[command] = message
        answer = self.answers.get(command)
        if isinstance(answer, list):
            answer = answer.pop(0) if answer else None
        if callable(answer):
            answer = answer(message)
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            answer = None
        if isinstance(answer, Exception):
            raise answer
        what = command.rpartition("_")[2]
        if answer is None and command.startswith("controller.begin_") and what in ("inclusion", "exclusion"):
            self.looking.add(what)
            answer = {"success": True}
        if answer is None and command.startswith("controller.stop_"):
            answer = {"success": what in self.looking}
            self.looking.discard(what)
        if answer is None and command == "controller.get_state":
            state = 1 if "inclusion" in self.looking else 2 if "exclusion" in self.looking else 0
            answer = {"state": {"inclusionState": state}}
        return answer if answer is not None else {}

    async_send_command_no_wait = async_send_command


class Link:
    """A connection that is lost when it is told so."""

    def __init__(self, server: Server, controller: dict[str, Any], *nodes: dict[str, Any]) -> None:
        state = {
            "controller": {"homeId": 0x7E570001, "ownNodeId": 1, "isPrimary": True, **controller},
            "nodes": [described(1), *nodes],
        }
        log_config = {
            "enabled": False,
            "level": "info",
            "logToFile": False,
            "filename": "",
            "forceConsole": False,
        }
        self.server = server
        self.driver = Driver(server, state, log_config)  # type: ignore[arg-type]
        server.driver = self.driver
        self.loss: asyncio.Future[LinkLostError] = asyncio.get_running_loop().create_future()

    async def ask(self, work: Any, *, what: str, within_s: float) -> Any:
        if self.loss.done():
            work.close()
            raise self.loss.result()
        task = asyncio.create_task(work)
        try:
            await asyncio.wait({task}, timeout=within_s)
        finally:
            if not task.done():
                task.cancel()
        if not task.done():
            raise NotAnsweredError(f"{what}: no answer", hint="Look at the device.")
        return task.result()

    async def lost(self) -> LinkLostError:
        return await asyncio.shield(self.loss)

    def lose(self) -> None:
        self.loss.set_result(LinkLostError("the Z-Wave server went away", hint="It comes back by itself."))

    def tell(self, event: str, **data: Any) -> None:
        source = "node" if "nodeId" in data else "controller"
        self.driver.receive_event(Event(event, {"source": source, "event": event, **data}))

    def added(self, node: dict[str, Any], **result: Any) -> None:
        self.tell("node added", node=node, result=result)

    def removed(self, node: int, reason: int = 0) -> None:
        self.tell("node removed", node=described(node), reason=reason)


class Site:
    """A cupboard whose stick does what the test says."""

    described = staticmethod(described)

    def __init__(self, folder: Path, shelf: Any, *, runs_server: bool = True) -> None:
        self.server, self.shelf = Server(), shelf
        settings = Settings(stick="tcp://127.0.0.1:1", folder=str(folder))
        self.devices = Devices(settings, shelf, SystemClock())
        self.restarts = 0
        self.restart_error: Exception | None = None
        self.network = ZwaveNetwork(
            self.devices,
            shelf,
            SystemClock(),
            settings,
            restart_server=self._restart_server if runs_server else None,
        )
        self.installation = self.network._installation
        patience = self.network.patience
        patience.command_s, patience.settle_s, patience.busy_s = 0.3, 0.3, 0.1
        patience.exchange_s = patience.interview_s = patience.wake_s = patience.rescue_s = 0.3
        patience.backup_s = patience.heal_s = 0.3

    async def _restart_server(self) -> None:
        self.restarts += 1
        if self.restart_error is not None:
            raise self.restart_error

    async def named(self, node: int) -> str:
        """The name of that device's product, once it has one."""
        await self.wait_for(lambda: (one := self.devices.get(node)) is not None and one.product is not None)
        return str(self.devices.get(node).product.name)  # type: ignore[union-attr]

    def made_link(self, *nodes: dict[str, Any], **controller: Any) -> Link:
        return Link(self.server, controller, *nodes)

    async def connect(self, *nodes: dict[str, Any], **controller: Any) -> Link:
        self.link = self.made_link(*nodes, **controller)
        self.devices.attach(self.link)  # type: ignore[arg-type]
        self.link.driver.controller.on("node added", self._added)
        self.link.driver.controller.on("node removed", self._removed)
        self.network.attach(self.link)  # type: ignore[arg-type]
        async with asyncio.timeout(LIMIT_S):
            await self.installation.tidying.task
        return self.link

    def _added(self, heard: dict[str, Any]) -> None:
        self.devices.adopt(heard["node"].node_id, heard["node"])

    def _removed(self, heard: dict[str, Any]) -> None:
        self.devices._here().pop(heard["node"].node_id, None)

    async def start(self, kind: Any, **more: Any) -> JobView:
        return await self.network.start(JobRequest(kind=kind, **{"timeout_s": 30.0, **more}))

    async def until(self, job: int, true: Callable[[JobView], bool]) -> JobView:
        return await followed(self.network, job, true)

    async def said(self, job: int, word: str) -> JobView:
        return await self.until(job, lambda view: any(one.status == word for one in view.steps))

    async def ended(self, job: int) -> JobView:
        return await self.until(job, lambda view: view.state in ("done", "failed"))

    async def searching(self, kind: Any = "include", **more: Any) -> JobView:
        job = await self.start(kind, **more)
        return await self.said(job.id, "install_searching" if kind != "exclude" else "deinst_searching")

    @staticmethod
    def last(view: JobView) -> tuple[str, str]:
        return view.steps[-1].status, view.steps[-1].detail

    @staticmethod
    async def wait_for(true: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not true():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)


@pytest.fixture
async def site(tmp_path: Path, shelf: Any, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    """With the parameter False the gateway does not run the server."""
    made = Site(tmp_path, shelf, runs_server=getattr(request, "param", True))
    yield made
    await made.network.close()
    made.network.detach()
    made.devices.detach()


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
