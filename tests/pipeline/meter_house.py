"""A keeper over a real store, a P1 port whose meters change, and platforms that continue or restart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meterkast.model.datatypes import ENERGY_CONSUMED, GAS_VOLUME, POWER, DatatypeId
from meterkast.model.delivery import Stream
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import (
    Medium,
    ProductDescription,
    ProductId,
    Property,
    PropertyDescription,
)
from meterkast.model.reading import Batch, Column
from meterkast.model.time import HALF_HOUR_MS, MINUTE_MS, UtcMs
from meterkast.model.units import Unit
from meterkast.pipeline.examine_meters import MeterExaminer
from meterkast.pipeline.inventory import DriverCatalog
from meterkast.pipeline.meter_desk import MeterDesk, SwapOrder
from meterkast.ports.uplink import Binding, Wanted
from meterkast_buffer.store import SqliteStore

from .kept_site import KeptSite
from .sites import GRID, START


def register(
    key: str, datatype: DatatypeId = ENERGY_CONSUMED, unit: Unit = Unit.WATT_HOUR
) -> PropertyDescription:
    return PropertyDescription(key=key, name=key, datatype=datatype, unit=unit)


IMPORT = register("import_total")
POWER_NOW = PropertyDescription(key="power_import", name="Power", datatype=POWER, unit=Unit.WATT)
GAS = register("volume", GAS_VOLUME, Unit.LITRE)


class Platform:
    """Composes `end key=value …`, with minutes since the start; it asks for one stream."""

    def __init__(self, name: str, *bindings: str, continues: bool, length_ms: int = HALF_HOUR_MS) -> None:
        self.name = name
        self.continues = continues
        self._bindings = tuple(Binding(product=p, key=k) for p, _, k in (b.partition("/") for b in bindings))
        self._length_ms = length_ms

    def wanted(self) -> Sequence[Wanted]:
        return [Wanted(name="m", bindings=self._bindings, length_ms=self._length_ms)]

    def compose(self, stream: Stream, half_hours: Any, end_ms: UtcMs) -> list[bytes]:
        told = " ".join(f"{binding.key}={_said(one)}" for binding, one in half_hours.items())
        return [f"{(end_ms - START) // MINUTE_MS} {told}".encode()]


def _said(one: HalfHour) -> str:
    return f"{one.value.decimal():f}" if one.value is not None else str(one.cause)


class MeterHouse(KeptSite):
    """A gateway's keeper with one P1 port, driven by hand.

    Attributes:
        shown: What each meter shows, by serial and key; meters that are named in `port` are read each minute.
        step: By how much each register rises a minute.
    """

    def __init__(self, store: SqliteStore, *, auto: bool = False) -> None:
        super().__init__(store)
        self.auto = auto
        self.step = 10
        self.port: list[str] = []
        self.shown: dict[str, dict[str, int]] = {}
        self.described: dict[str, tuple[Medium, tuple[PropertyDescription, ...]]] = {}
        self._known: dict[str, tuple[ProductId, dict[str, Property]]] = {}

    async def start(self, *platforms: Platform) -> None:
        """Again is a restart."""
        if platforms:
            self.platforms: dict[str, Any] = {one.name: one for one in platforms}
        await self.load(self.platforms, auto_swap=self.auto)
        self.desk = MeterDesk(self.keeper)
        self.catalog = DriverCatalog(self.keeper, "p1")
        self._known = {}
        if self.port:
            await self.show(*self.port)

    def meter(
        self, serial: str, value: int, medium: Medium = Medium.ELECTRICITY, *more: PropertyDescription
    ) -> None:
        """There is such a meter, and its register shows that."""
        values = ((GAS,) if medium is Medium.GAS else (IMPORT,)) + more
        self.described[serial] = medium, values
        self.shown[serial] = {one.key: value for one in values}

    async def show(self, *serials: str) -> None:
        """The port shows these meters from now on."""
        self.port = list(serials)
        for serial in serials:
            await self._declare(serial)
        self.catalog.present([self._known[serial][0] for serial in serials])

    async def _declare(self, serial: str) -> None:
        medium, values = self.described[serial]
        product, found = await self.catalog.declare(
            ProductDescription(identity=f"p1:{serial}", name=f"{medium} meter", medium=medium, serial=serial),
            values,
        )
        self._known[serial] = product.id, dict(found)

    async def include(self, *serials: str) -> None:
        """These meters are read from now on, as devices of a network."""
        self.port = list(serials)
        for serial in serials:
            await self._declare(serial)

    async def replace(self, old: str, new: str, *, minute: int = 40, gap: int = 0) -> None:
        """The port shows a meter until that minute, and another one `gap` minutes later."""
        await self.show(old)
        await self.minutes(minute)
        self.port = []
        await self.minutes(gap)
        await self.show(new)

    def id(self, serial: str) -> str:
        return str(self._known[serial][0])

    async def minutes(self, count: int) -> None:
        """A reading in the middle of each minute, a transaction at its end."""
        for _ in range(count):
            self.clock.pass_ms(MINUTE_MS // 2)
            for serial in self.port:
                self.read(serial)
            self.clock.pass_ms(MINUTE_MS // 2)
            await self.keeper.flush()

    def read(self, serial: str) -> None:
        """The meter is read: each register has risen."""
        values = self.shown[serial]
        for key in values:
            values[key] += self.step
        _, found = self._known[serial]
        layout = tuple(Column(found[key].id, 0) for key in values)
        self.intake.emit(Batch(layout, tuple(values.values()), self.clock.boot_ns()))

    async def swap(self, old: str, new: str, **more: Any) -> str:
        told = await self.desk.swap(SwapOrder(old=old, new=new, by="Jan", **more))
        return "\n".join(told.lines)

    def problems(self) -> list[str]:
        return [f"{one.severity}: {one.what}" for one in MeterExaminer(self.keeper, GRID).problems()]

    async def sent(self, platform: str) -> list[str]:
        return [item.payload.decode() for item in await self.store.pending(platform, "m", 10_000)]
