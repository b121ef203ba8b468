"""The Z-Wave server as a child process, on the simulated stick."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from meterkast.lean import aiohttp
from meterkast.nodejs import find_node, install
from meterkast_drivers.zwave.place import Place
from meterkast_drivers.zwave.service import FOLDER, Service
from meterkast_rig import zwave

LIMIT_S = 60.0


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    install(FOLDER)


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not tmp_path: a socket's path has to be short.
    with tempfile.TemporaryDirectory(prefix="mk-") as name:
        yield Path(name) / "zwave"


@pytest.fixture
async def stick() -> AsyncIterator[zwave.Stick]:
    async with zwave.serving(devices="plug:8") as stick:
        yield stick


@contextlib.asynccontextmanager
async def running(stick: str, folder: Path) -> AsyncIterator[tuple[Service, Place]]:
    service = Service(stick, folder)
    try:
        yield service, await service.start()
    finally:
        await service.stop()


@contextlib.asynccontextmanager
async def session_at(place: Place) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(place.socket))) as session:
        yield session


async def greeted(session: aiohttp.ClientSession, place: Place, **options: Any) -> Any:
    client = await session.ws_connect(place.url, **options)
    assert (await client.receive_json(timeout=LIMIT_S))["type"] == "version"
    return client


def child_of(service: Service) -> asyncio.subprocess.Process:
    assert service._child is not None
    return service._child


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def launch(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The program by itself, until it ends."""
    command = [str(find_node()), str(FOLDER / "server.mjs"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def facts(said: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.splitlines()]


@dataclass(frozen=True)
class Tools:
    """What the tests of the service share."""

    running: Any = running
    session_at: Any = session_at
    greeted: Any = greeted
    child_of: Any = child_of
    mode: Any = mode
    launch: Any = launch
    facts: Any = facts


@pytest.fixture(scope="session")
def server() -> Tools:
    return Tools()
