"""The Z-Wave driver on the simulated stick: real zwave-js, real server, an inventory in memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import meterkast_drivers.zwave
from meterkast import nodejs
from meterkast.clock import SystemClock
from meterkast.model.errors import LinkLostError
from meterkast.model.product import (
    Product,
)
from meterkast.model.reading import Batch
from meterkast.ports.clock import Clock
from meterkast_rig import zwave
from meterkast_rig.zwave import write_keys

from .made_up import FakeClock, Made
from .shelf import Shelf

if TYPE_CHECKING:
    from meterkast_drivers.zwave.driver import ZwaveDriver

LIMIT_S = 90.0
"""How long something may take before a test fails; never what is measured."""


async def until(true: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> Any:
    """Wait for something that happens by itself; what it returned."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + limit_s
    while loop.time() < end_s:
        if found := true():
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"still not: {what}")


class Running:
    """A driver that is run again whenever its connection is lost, as the supervisor does."""

    def __init__(self, driver: ZwaveDriver, shelf: Shelf) -> None:
        self.driver = driver
        self.shelf = shelf
        self.batches: list[Batch] = []
        self.losses: list[str] = []

    async def run(self) -> None:
        while True:
            try:
                await self.driver.run(self.batches.append)
            except LinkLostError as error:
                self.losses.append(str(error))
            await asyncio.sleep(0.5)

    def product(self, node: int) -> Product:
        device = self.driver.devices.get(node)
        assert device is not None
        assert device.product is not None
        return device.product

    def keys(self, node: int) -> set[str]:
        product = self.product(node)
        return {key for number, key in self.shelf.property_rows if number == product.id}

    def values(self, node: int, key: str) -> list[float]:
        """All readings of a property, oldest first."""
        prop = self.shelf.property_rows.get((self.product(node).id, key))
        return [
            batch.values[0] / 10 ** batch.layout[0].decimals
            for batch in self.batches
            if prop is not None and batch.layout[0].property_id == prop.id
        ]

    async def settled(self, *nodes: int) -> None:
        """All these devices were interviewed, and their values have ids."""
        for node in nodes:
            await until(
                lambda node=node: (
                    (device := self.driver.devices.get(node)) is not None
                    and device.ready
                    and not device.unsettled
                ),
                f"node {node} settled",
            )


@contextlib.asynccontextmanager
async def driving(
    stick: str, folder: Path, shelf: Shelf | None = None, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[Running]:
    """A driver while the block lasts, with a server of its own on a stick; "" where `server` names one."""
    from meterkast.config.decoding import decode
    from meterkast_drivers.zwave.driver import Settings, ZwaveDriver

    shelf = shelf or Shelf()
    source = {"stick": stick} if stick else {}
    section = decode(Settings, {**source, "folder": str(folder), **settings}, "drivers.zwave")
    running = Running(ZwaveDriver("zwave", section, shelf, clock or SystemClock()), shelf)
    task = asyncio.create_task(running.run())
    try:
        yield running
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.contextmanager
def folder_with_keys() -> Iterator[Path]:
    """With the network keys of the simulated devices. Not tmp_path: a socket's path has to be short."""
    with tempfile.TemporaryDirectory(prefix="mk-") as name:
        folder = Path(name) / "zwave"
        write_keys(folder / "keys.json")
        yield folder


@dataclass(frozen=True)
class Tools:
    """What the tests of the driver share."""

    until: Any = until
    driving: Any = driving
    folder: Any = folder_with_keys
    serving: Any = zwave.serving
    Shelf: type[Shelf] = Shelf


@pytest.fixture(scope="session")
def tools() -> Tools:
    return Tools()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture(scope="session")
def made() -> Made:
    return Made()


@pytest.fixture
def still() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture(scope="session")
def tables() -> Any:
    """zwave-js' own tables: every meter, sensor, notification and value that it knows."""
    service = Path(meterkast_drivers.zwave.__file__).parent / "service"
    nodejs.install(service)
    asked = subprocess.run(
        [nodejs.find_node(), Path(__file__).with_name("tables.mjs"), service],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert asked.returncode == 0, asked.stderr
    return json.loads(asked.stdout)
