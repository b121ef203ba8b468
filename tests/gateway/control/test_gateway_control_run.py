"""The running gateway and its control socket: it comes and goes with it, and never stops metering."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from meterkast.app import Gateway
from meterkast.clock import SystemClock
from meterkast.config.decoding import Settings, decode
from meterkast.config.sections import Config
from meterkast.network import NodeView
from meterkast.ports.driver import DriverStatus, LinkState
from meterkast.web import control
from meterkast_buffer import open_store
from meterkast_drivers import KINDS

LIMIT_S = 60  # only against hanging


class NetworkDriver:
    """A driver that has devices and reads nothing."""

    def __init__(self, name: str, network: Any) -> None:
        self.name = name
        self.network = network

    async def run(self, emit: Any) -> None:
        await asyncio.Event().wait()

    def status(self) -> DriverStatus:
        return DriverStatus(state=LinkState.READING, detail="", counters={})


@pytest.fixture
def kind(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of driver that a configuration may name as [drivers.made_up]; `network` is what it has."""
    module = types.ModuleType("made_up_driver")
    module.Settings = type("Settings", (Settings,), {}, frozen=True)  # type: ignore[attr-defined]
    module.create = lambda name, *_: NetworkDriver(name, network)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_up_driver", module)
    monkeypatch.setitem(KINDS, "made_up", "made_up_driver")


@asynccontextmanager
async def built(folder: Path, **tree: Any) -> AsyncIterator[Gateway]:
    """A gateway that does not run yet."""
    store = await open_store(folder / "gateway.db")
    try:
        parts = {"storage": {"path": str(folder / "gateway.db")}, "page": {"enabled": False}, **tree}
        yield Gateway(decode(Config, parts), SystemClock(), store, "mk-test")
    finally:
        await store.close()


@asynccontextmanager
async def running(folder: Path, **tree: Any) -> AsyncIterator[None]:
    """A gateway that runs and has tried its socket once; it is stopped at the end, and must end well."""
    stop, ready = asyncio.Event(), asyncio.Event()
    async with built(folder, **tree) as gateway, asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        group.create_task(gateway.run(stop, lambda url: ready.set()))
        await ready.wait()
        try:
            yield
        finally:
            stop.set()


async def test_a_gateway_with_a_network_has_the_socket_while_it_runs(
    folder: Path, kind: None, lone: Any
) -> None:
    async with running(folder, drivers={"made_up": {}}):
        status, content = await lone.ask("GET", "/made_up/nodes")
        assert (status, [one["name"] for one in content]) == (200, ["Plug", "Water main"])
    assert not (folder / "control.sock").exists()


async def test_a_device_that_is_half_in_the_network_is_seen(
    folder: Path, kind: None, network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meterkast.pipeline.newcomers.PATIENCE_S", -1.0)
    network.devices = (network.devices[0], NodeView(node=30, state="asleep"))
    async with built(folder, drivers={"made_up": {}}) as gateway:
        gateway.examiner.snapshot()
        snapshot = gateway.examiner.snapshot()
        (told,) = [one for one in snapshot.problems if one.where == "device 30"]
        assert (snapshot.verdict != "ok", told.severity) == (True, "attention")
        assert "Wake it up by its button" in told.do
        looking = asyncio.create_task(gateway.examiner.run())
        await asyncio.sleep(0)
        assert not looking.done()
        looking.cancel()


async def test_a_long_question_does_not_hold_a_stop(
    folder: Path, kind: None, lone: Any, network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "POLL_S", 10 * LIMIT_S)
    async with running(folder, drivers={"made_up": {}}):
        status, job = await lone.ask("POST", "/made_up/jobs", b'{"kind": "include"}')
        assert status == 200
        asking = asyncio.create_task(lone.ask("GET", f"/made_up/jobs/{job['id']}?seen=9"))
        await network.asked.wait()
    await asyncio.gather(asking, return_exceptions=True)


async def test_a_door_that_breaks_does_not_stop_metering(
    folder: Path, kind: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: asyncio.Queue[None] = asyncio.Queue()

    async def broken(*_: Any) -> None:
        tries.put_nowait(None)
        raise OSError("no sockets left")

    monkeypatch.setattr("meterkast.pipeline.door.RETRY_S", 0.01)
    monkeypatch.setattr(control, "serve", broken)
    async with running(folder, drivers={"made_up": {}}):
        assert "no control socket" in caplog.text
        for _ in range(3):  # it goes on trying, so the gateway still runs
            await tries.get()


async def test_a_gateway_without_a_network_has_one_for_its_meters(folder: Path) -> None:
    async with running(folder):
        assert (folder / "control.sock").exists()
        assert await said(folder, "meter", "list") == (0, "No meter was read yet.\n")
        status, words = await said(folder, "zwave", "nodes")
        assert (status, "no network of devices" in words) == (2, True)


async def said(folder: Path, *words: str) -> tuple[int | None, str]:
    """Exit status of a command, and what it says."""
    file = folder / "meterkast.toml"
    file.write_text(f'[storage]\npath = "{folder / "gateway.db"}"\n', encoding="utf-8")
    asked = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "meterkast", *words, "--config", str(file),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asked.communicate()
    return asked.returncode, out.decode()


async def test_a_socket_that_cannot_be_made_does_not_stop_metering(
    folder: Path, kind: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("meterkast.pipeline.door.RETRY_S", 0.05)
    path = folder / "late" / "control.sock"
    async with running(folder, drivers={"made_up": {}}, control={"socket": str(path)}):
        assert "no control socket" in caplog.text
        path.parent.mkdir()
        while not path.exists():  # noqa: ASYNC110 - a file tells nobody that it is there
            await asyncio.sleep(0.05)
