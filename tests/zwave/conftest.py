"""The Z-Wave driver on the simulated stick: real zwave-js, real server, an inventory in memory."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from meterkast.clock import SystemClock
from meterkast.model.errors import LinkLostError, StorageError
from meterkast.model.product import (
    Availability,
    Node,
    NodeDescription,
    NodeId,
    Product,
    ProductDescription,
    ProductId,
    Property,
    PropertyDescription,
    PropertyId,
    PropertyMapping,
)
from meterkast.model.reading import Batch
from meterkast.model.time import UtcMs
from meterkast.ports import Clock, Trust
from meterkast_rig import zwave
from meterkast_rig.zwave import write_keys

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


class Shelf:
    """An inventory in memory; it keeps ids as the store does, and can refuse."""

    def __init__(self) -> None:
        self.product_rows: dict[str, Product] = {}
        self.property_rows: dict[tuple[ProductId, str], Property] = {}
        self.node_rows: dict[str, Node] = {}
        self.mappings: dict[NodeId, Sequence[PropertyMapping]] = {}
        self.availabilities: list[tuple[ProductId, Availability]] = []
        self.declared = 0
        self.node_writes = 0
        self.refusing = False
        self._ids = iter(range(1, 100_000))

    def _check(self) -> None:
        if self.refusing:
            raise StorageError("the disk is full", hint="Free some space.")

    async def products(self) -> Sequence[Product]:
        self._check()
        return list(self.product_rows.values())

    async def properties(self) -> Sequence[Property]:
        self._check()
        return list(self.property_rows.values())

    async def nodes(self) -> Sequence[Node]:
        self._check()
        return list(self.node_rows.values())

    async def declare(
        self, product: ProductDescription, properties: Sequence[PropertyDescription]
    ) -> tuple[Product, dict[str, Property]]:
        self._check()
        self.declared += 1
        known = self.product_rows.get(product.identity)
        number = known.id if known else ProductId(next(self._ids))
        made = self.product_rows[product.identity] = Product(id=number, description=product)
        found = {}
        for told in properties:
            before = self.property_rows.get((made.id, told.key))
            found[told.key] = self.property_rows[made.id, told.key] = Property(
                id=before.id if before else PropertyId(next(self._ids)), product_id=made.id, description=told
            )
        return made, found

    async def rename_product(self, product_id: ProductId, name: str) -> Product:
        self._check()
        row = next(one for one in self.product_rows.values() if one.id == product_id)
        self.product_rows[row.description.identity] = renamed = replace(
            row, description=replace(row.description, name=name)
        )
        return renamed

    async def declare_node(self, node: NodeDescription) -> Node:
        self._check()
        self.node_writes += 1
        before = self.node_rows.get(node.identity)
        row = Node(id=before.id if before else NodeId(next(self._ids)), description=node)
        self.node_rows[node.identity] = row
        return row

    async def remove_node(self, identity: str) -> None:
        self._check()
        self.node_rows.pop(identity, None)

    async def map_properties(self, node_id: NodeId, mappings: Sequence[PropertyMapping]) -> None:
        self._check()
        self.mappings[node_id] = mappings

    async def available(self, product_id: ProductId, status: Availability, at_ms: UtcMs) -> None:
        self._check()
        newest = [word for number, word in self.availabilities if number == product_id][-1:]
        if newest != [status]:
            self.availabilities.append((product_id, status))

    async def report(self, message: Any) -> None: ...

    async def pend(self, pending: Any) -> Any:
        raise NotImplementedError

    async def update_pending(self, pending_id: Any, status: Any, **more: Any) -> None: ...

    async def pendings(self, **which: Any) -> Sequence[Any]:
        return []

    def words(self, product_id: int) -> list[str]:
        """What a product's availability was, in its order."""
        return [word.value for number, word in self.availabilities if number == product_id]


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
    from meterkast.config import decode
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


class FakeClock:
    """Gateway time that stands still until it is moved."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self.ns = 1_000_000_000_000
        self.trust = Trust.TRUSTED

    def now_ms(self) -> UtcMs:
        return self.utc_of(self.ns)

    def boot_ns(self) -> int:
        return self.ns

    def utc_of(self, boot_ns: int) -> UtcMs:
        return UtcMs(1_700_000_000_000 + boot_ns // 1_000_000)

    def allowance_ms(self, limit_ms: int) -> int:
        return limit_ms

    def pass_s(self, seconds: float) -> None:
        self.ns += int(seconds * 1e9)


def made_value(
    command_class: int,
    name: str | int,
    key: str | int | None = None,
    value: Any = None,
    endpoint: int = 0,
    **metadata: Any,
) -> dict[str, Any]:
    """A value as the server describes it."""
    told = {"type": "number", "readable": True, "writeable": False, **metadata}
    made = {
        "commandClass": command_class,
        "commandClassName": "",
        "ccVersion": 1,
        "endpoint": endpoint,
        "property": name,
        "propertyName": str(name),
        "metadata": told,
        "value": value,
    }
    return made if key is None else {**made, "propertyKey": key}


def energy(value: Any = 1.5, **metadata: Any) -> dict[str, Any]:
    """An electric meter's register, in kWh."""
    specific = {"meterType": 1, "scale": 0, "rateType": 1}
    return made_value(50, "value", 65537, value, ccSpecific=specific, unit="kWh", label="kWh", **metadata)


def temperature(value: Any = 20.5, unit: str = "°C") -> dict[str, Any]:
    scale = 1 if unit == "°F" else 0
    specific = {"sensorType": 1, "scale": scale}
    return made_value(49, "Air temperature", None, value, ccSpecific=specific, unit=unit, label="Temperature")


def weight(value: Any = 1.0) -> dict[str, Any]:
    return made_value(49, "Weight", None, value, ccSpecific={"sensorType": 14, "scale": 0}, unit="kg")


def made_node(number: int, *values: dict[str, Any], **data: Any) -> Any:
    """A node of the library, from made-up data; what a real device cannot be made to send."""
    from meterkast_drivers.zwave import library  # noqa: F401

    # isort: split
    from zwave_js_server.model.node import Node as LiveNode

    told: dict[str, Any] = {
        "nodeId": number,
        "index": 0,
        "status": 4,
        "ready": True,
        "isListening": True,
        "isFrequentListening": False,
        "isControllerNode": False,
        "manufacturerId": 0x86,
        "productType": 3,
        "productId": 0x60,
        "keepAwake": False,
        "highestSecurityClass": 2,
        "values": list(values),
        "endpoints": [],
        **data,
    }
    return LiveNode(SimpleNamespace(driver=None), told)


class MadeLink:
    """A connection to made-up nodes; `answers` is what a ping or a question comes to."""

    def __init__(self, *nodes: Any, home_id: int = 0x7E57) -> None:
        controller = SimpleNamespace(home_id=home_id, nodes={node.node_id: node for node in nodes})
        self.driver: Any = SimpleNamespace(controller=controller)
        self.asked: list[str] = []
        self.answer: Any = True

    async def ask(self, work: Any, *, what: str, within_s: float) -> Any:
        work.close()
        self.asked.append(what)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def event(value: dict[str, Any], new: Any) -> dict[str, Any]:
    """The arguments of a value event."""
    keys = ("commandClass", "endpoint", "property", "propertyKey")
    return {**{key: value[key] for key in keys if key in value}, "newValue": new}


@dataclass(frozen=True)
class Made:
    """How made-up networks are made."""

    node: Any = made_node
    value: Any = made_value
    energy: Any = energy
    temperature: Any = temperature
    weight: Any = weight
    link: type[MadeLink] = MadeLink
    event: Any = event


@pytest.fixture(scope="session")
def made() -> Made:
    return Made()


@pytest.fixture
def still() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()
