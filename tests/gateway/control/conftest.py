"""The control socket and `meterkast zwave`: a real socket, the real command, a network of the test's own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from meterkast.clock import SystemClock
from meterkast.lean import aiohttp
from meterkast.model.errors import RefusedError
from meterkast.model.time import UtcMs
from meterkast.network import (
    JobRequest,
    JobStep,
    JobView,
    Network,
    NodeView,
    PendingView,
    ValueView,
    WriteRequest,
)
from meterkast.web import control
from meterkast.web.control import Running

NOW = UtcMs(1_763_735_825_000)  # 2025-11-21T14:37:05Z

WATER = NodeView(
    node=12,
    product_id=3,
    name="Water main",
    maker="Aeotec",
    model="Range Extender with a rather long name 7",
    type="Sensor",
    status=2,
    availability="unreachable",
    state="asleep",
    ready=True,
    detail="It should have woken up at 13:00. Check its battery and the distance.",
    security="S2_Authenticated",
    firmware="1.7",
    battery_percent=12,
    last_seen_ms=UtcMs(NOW - 7_200_000),
    wake_up_s=3600,
    route=(3, 4),
    rssi_dbm=-84,
    timeouts=3,
    values=2,
)
PLUG = NodeView(node=5, product_id=2, name="Plug", state="alive", ready=True, last_seen_ms=NOW, values=1)
VALUES = {
    12: (
        ValueView(
            value="50-0-value-197377",
            label="Water Consumption [Pulse count]",
            command_class=50,
            property_id=31,
            key="volume",
            datatype="Water consumed",
            unit="L",
            sending=True,
            newest="10360",
            at_ms=UtcMs(NOW - 12_000),
            why="Meter: water, pulses of 10 L",
        ),
        ValueView(
            value="50-0-value-200000",
            label="Something new",
            command_class=50,
            property_id=32,
            key="meter_7",
            datatype="Meter",
            generic=True,
            sending=True,
            why="no datatype of its own",
        ),
        ValueView(value="112-0-111", label="Report every", command_class=112, why="configuration parameter"),
    ),
    5: (
        ValueView(
            value="37-0-currentValue", label="Switch", command_class=37, property_id=21, key="switch",
            datatype="Switch", sending=True, receiving=True, newest="0", at_ms=NOW,
            names={"0": "Off", "255": "On"},
        ),
    ),
}  # fmt: skip


@dataclass
class MadeUpNetwork:
    """Devices and jobs that do what a test says; steps come when it calls `step`.

    Attributes:
        stubborn: A job cannot be cancelled.
        asked: Set when somebody waits for a job's next step.
    """

    devices: tuple[NodeView, ...] = (PLUG, WATER)
    made: list[JobView] = field(default_factory=list)
    written: list[WriteRequest] = field(default_factory=list)
    outcome: str = "done"
    stubborn: bool = False
    refuses: Exception | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    def nodes(self) -> Sequence[NodeView]:
        if self.refuses is not None:
            raise self.refuses
        return self.devices

    def values(self, node: int) -> Sequence[ValueView]:
        if node not in VALUES:
            raise RefusedError(f"There is no node {node}.", hint="List them.")
        return VALUES[node]

    async def rename(self, node: int, name: str) -> NodeView:
        if name == PLUG.name:
            raise RefusedError(f'"{name}" is the name of another device', hint="Choose another one.")
        found = next(one for one in self.devices if one.node == node)
        return replace(found, name=name)

    def jobs(self) -> Sequence[JobView]:
        return self.made

    async def start(self, request: JobRequest) -> JobView:
        if self.made and self.made[-1].state in ("running", "asking"):
            raise RefusedError("Another job is running.", hint="Wait for it, or cancel it.")
        job = JobView(id=len(self.made) + 1, request=request, state="running", left_s=request.timeout_s)
        self.made.append(job)
        return await self.step("install_start")

    async def step(self, status: str, detail: str = "", **changes: Any) -> JobView:
        async with self._news:
            job = self.made[-1]
            steps = (*job.steps, JobStep(status=status, at_ms=NOW, detail=detail))
            self.made[-1] = replace(job, steps=steps, **{"asks": "", "dsk": "", **changes})
            self._news.notify_all()
            return self.made[-1]

    async def answer(self, job: int, text: str) -> JobView:
        if not (text.isdigit() and len(text) == 5):
            raise RefusedError(f'"{text}" is no PIN', hint="Give the five digits that stand on the device.")
        return await self.step("install_configuring", f"PIN {text} taken.", state="running")

    async def cancel(self, job: int) -> JobView:
        if self.stubborn:
            await asyncio.Event().wait()
        return await self.step("install_aborted", "Cancelled.", state="failed", left_s=None)

    async def changed(self, job: int, seen: int) -> JobView:
        def news() -> bool:
            it = self.made[job - 1]
            return len(it.steps) > seen or it.state != "running"

        self.asked.set()
        async with self._news:
            await self._news.wait_for(news)
            return self.made[job - 1]

    async def write(self, request: WriteRequest) -> PendingView:
        self.written.append(request)
        return self._pending(request, self.outcome)

    async def pending(self) -> Sequence[PendingView]:
        return [self._pending(request, "wakeup") for request in self.written]

    async def forget(self, pending: int) -> PendingView:
        return self._pending(self.written[pending - 1], "cancelled")

    def _pending(self, request: WriteRequest, status: str) -> PendingView:
        return PendingView(
            id=self.written.index(request) + 1,
            node=5,
            property_id=request.property_id,
            channel=0,
            command_class=37,
            parameter="",
            value=request.value,
            status=status,
            at_ms=NOW,
            eta_ms=UtcMs(NOW + 600_000) if status == "wakeup" else None,
        )


if TYPE_CHECKING:
    _fits: type[Network] = MadeUpNetwork


class StillClock(SystemClock):
    """Always the same time, so that ages can be told."""

    def now_ms(self) -> UtcMs:
        return NOW


@dataclass
class Cli:
    """The command, and the socket that it asks."""

    folder: Path
    network: MadeUpNetwork = field(default_factory=MadeUpNetwork)

    @property
    def socket(self) -> str:
        return str(self.folder / "control.sock")

    async def begin(self, *arguments: str, **options: Any) -> asyncio.subprocess.Process:
        environment = {**os.environ, "COLUMNS": "60", "PYTHONUNBUFFERED": "1"}
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "meterkast", "zwave", *arguments,
            "--config", str(self.folder / "meterkast.toml"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=environment, **{"stdin": asyncio.subprocess.PIPE, **options},
        )  # fmt: skip

    async def until(self, process: asyncio.subprocess.Process, word: str) -> str:
        """What a command prints, until the word comes."""
        assert process.stdout is not None
        said = b""
        while word.encode() not in said:
            more = await asyncio.wait_for(process.stdout.read(4096), 60)
            if not more:
                raise AssertionError(f"ended before it said {word!r}: {said.decode()}")
            said += more
        return said.decode()

    async def rest(
        self, process: asyncio.subprocess.Process, typed: bytes | None = None
    ) -> tuple[int, str, str]:
        """The command ends: its exit status, what it still printed, and its errors."""
        out, errors = await asyncio.wait_for(process.communicate(typed), 60)
        assert process.returncode is not None
        return process.returncode, out.decode(), errors.decode()

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, what it printed, and its errors."""
        return await self.rest(await self.begin(*arguments), b"")

    async def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        """Ask the socket itself."""
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(self.socket)) as session,
            session.request(method, f"http://localhost{path}", data=body) as answer,
        ):
            return answer.status, json.loads(await answer.read())


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    made = Path(tempfile.mkdtemp(prefix="mk-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def network() -> MadeUpNetwork:
    """A network that is not served by itself."""
    return MadeUpNetwork()


@pytest.fixture
def serve() -> Callable[[Mapping[str, Network], str], Awaitable[Running]]:
    """Serves networks, by their drivers' names, on the socket of that path."""

    def serve(networks: Mapping[str, Network], path: str) -> Awaitable[Running]:
        return control.serve(control.application(networks, StillClock()), path)

    return serve


@pytest.fixture
def lone(folder: Path) -> Cli:
    """The command where no gateway runs."""
    (folder / "meterkast.toml").write_text(f'[storage]\npath = "{folder}/meterkast.db"\n')
    return Cli(folder)


@pytest.fixture
async def cli(
    lone: Cli, serve: Callable[[Mapping[str, Network], str], Awaitable[Running]]
) -> AsyncIterator[Cli]:
    """The command, and a network that is served."""
    running = await serve({"zwave": lone.network}, lone.socket)
    yield lone
    await running.close()
