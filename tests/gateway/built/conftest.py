"""The built gateway without its devices and processes, on a clock that a test moves."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from meterkast.app import Gateway, device_id
from meterkast.config.decoding import decode
from meterkast.config.sections import Config
from meterkast.model.errors import LinkLostError
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import (
    Availability,
    Medium,
    NodeDescription,
    Product,
    ProductDescription,
    Property,
    PropertyDescription,
    Protocol,
)
from meterkast.model.reading import Batch, Column
from meterkast.model.time import HALF_HOUR_MS, MINUTE_MS, UtcMs
from meterkast.pipeline.health import ProductHealth
from meterkast.pipeline.inventory import DriverCatalog
from meterkast.pipeline.supervisor import Supervisor
from meterkast.ports.driver import DriverStatus, Emit, LinkState
from meterkast_buffer.store import SqliteStore, open_store
from meterkast_rig import configuration
from meterkast_rig.stepped import SteppedClock

from ...electricity import METER, VALUES

START = UtcMs(1_773_154_800_000)  # a whole half-hour

METERS: Sequence[Mapping[str, Any]] = (
    {"id": "half", "interval_min": 30, "readings": {"pC_1": "electricity/import_total"}},
    {"id": "five", "interval_min": 5, "readings": {"aP_1": "electricity/power_import"}},
)
"""At Wattics."""


class IdleDriver:
    """A driver that says what a test tells it to."""

    name = "p1"

    def __init__(self) -> None:
        self.state = LinkState.READING
        self.detail = ""

    async def run(self, emit: Emit) -> None:
        raise LinkLostError("it was unplugged", hint="Plug it in.")

    def status(self) -> DriverStatus:
        return DriverStatus(state=self.state, detail=self.detail, counters={"good": 1})


class Site:
    """A gateway on a stepped clock, and a meter that is read each minute."""

    def __init__(self, gateway: Gateway, store: SqliteStore, clock: SteppedClock) -> None:
        self.gateway = gateway
        self.store = store
        self.clock = clock
        self.layout: tuple[Column, ...] = ()

    async def load(self) -> None:
        await self.gateway.keeper.load()
        _, found = await self.gateway.keeper.declare("p1", METER, VALUES)
        self.layout = tuple(Column(prop.id, 0) for prop in found.values())

    def end(self, number: int) -> UtcMs:
        """When the n-th half-hour ends."""
        return UtcMs(START + number * HALF_HOUR_MS)

    async def minutes(self, count: int, *, read: bool = True) -> None:
        """Let minutes pass: a reading in the middle of each, a transaction at its end."""
        for _ in range(count):
            self.clock.pass_ms(MINUTE_MS // 2)
            if read:
                wh = (self.clock.now_ms() - START) // MINUTE_MS
                self.gateway.intake.emit(Batch(self.layout, (wh, 600), self.clock.boot_ns()))
            self.clock.pass_ms(MINUTE_MS // 2)
            await self.gateway.keeper.flush()

    async def half_hours(self, key: str = "import_total", length_ms: int = HALF_HOUR_MS) -> list[HalfHour]:
        ids = [prop.id for prop in self.gateway.keeper.properties.values() if prop.key == key]
        return list(
            await self.store.half_hours(UtcMs(0), self.clock.now_ms(), length_ms=length_ms, properties=ids)
        )

    async def samples(self) -> int:
        """How many are kept."""
        return sum([len(table.times) async for frames in self.store.samples(UtcMs(0)) for table in frames])

    def driver(self) -> Supervisor:
        """Give it a driver, as its supervisor has it."""
        outages = self.gateway.closing._why.__self__  # type: ignore[attr-defined]
        made = Supervisor(IdleDriver(), self.gateway.intake.emit, self.clock, outages, lambda: 0.5)
        self.gateway.supervisors.append(made)
        return made

    async def payloads(self, stream: str) -> list[str]:
        return [item.payload.decode() for item in await self.store.pending("wattics", stream, 10_000)]

    def problems(self) -> str:
        return "\n".join(
            f"{one.where}: {one.what} {one.do}" for one in self.gateway.examiner.snapshot().problems
        )


Opened = Callable[..., contextlib.AbstractAsyncContextManager[Site]]


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(START)


@pytest.fixture
def site(tmp_path: Path, clock: SteppedClock) -> Callable[..., contextlib.AbstractAsyncContextManager[Site]]:
    """Opens the gateway over the test's database: `async with site() as it`; again is a restart."""

    @contextlib.asynccontextmanager
    async def opened(meters: Sequence[Mapping[str, Any]] = METERS) -> AsyncIterator[Site]:
        wattics = configuration.wattics("http://127.0.0.1:9/", meters)
        tree = {"storage": {"path": str(tmp_path / "meterkast.db")}, "uplinks": {"wattics": wattics}}
        store = await open_store(tmp_path / "meterkast.db")
        try:
            gateway = Gateway(decode(Config, tree), clock, store, await device_id(store))
            it = Site(gateway, store, clock)
            await it.load()
            yield it
        finally:
            await store.close()

    return opened


class House:
    """A gateway that is driven by hand, with the inventory of a driver."""

    def __init__(self, store: SqliteStore, clock: SteppedClock) -> None:
        tree = {"storage": {"path": store.database.path}, "page": {"enabled": False}}
        self.clock = clock
        self.gateway = Gateway(decode(Config, tree), clock, store, "mk-test")
        self.inventory = DriverCatalog(self.gateway.keeper, "zwave")
        self.store = store

    async def loaded(self) -> House:
        """This one, with what the store keeps."""
        await self.gateway.keeper.load()
        return self

    async def again(self) -> House:
        """The gateway after a restart."""
        return await House(self.store, self.clock).loaded()

    async def device(self, node: int, *values: PropertyDescription) -> tuple[Product, dict[str, Property]]:
        identity = f"zwave:d15a1e4d:{node}"
        product, properties = await self.inventory.declare(
            ProductDescription(identity=identity, name=f"Device {node}", medium=Medium.SENSOR), values
        )
        await self.inventory.declare_node(
            NodeDescription(identity=identity, protocol=Protocol.ZWAVE, product_id=product.id, zwave_id=node)
        )
        await self.inventory.available(product.id, Availability.AVAILABLE, self.clock.now_ms())
        return product, dict(properties)

    def read(self, prop: Property, whole: int) -> None:
        self.gateway.intake.emit(Batch((Column(prop.id, 0),), (whole,), self.clock.boot_ns()))

    async def minutes(self, count: int) -> None:
        for _ in range(count):
            self.clock.pass_ms(MINUTE_MS)
            await self.gateway.keeper.flush()

    def seen(self, product: Product) -> ProductHealth:
        return next(one for one in self.gateway.examiner.snapshot().products if one.id == product.id)

    def problems(self) -> list[tuple[str, str]]:
        found = self.gateway.examiner.snapshot().problems
        return [(one.severity, one.what) for one in found if one.where.startswith("Device")]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = await open_store(tmp_path / "devices.db")
    yield made
    await made.close()


@pytest.fixture
async def house(store: SqliteStore, clock: SteppedClock) -> House:
    return await House(store, clock).loaded()
