"""Where the gateway's readings come from: a P1 port, and a driver for devices by radio.

The port stands at the P1 driver's lowest seam (`p1.port.open_port`): framer, reader and mapping are the real
ones. The real zwave-js server is a process of its own and cannot live on a virtual clock, so its devices come
as batches through a driver of the rig.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import replace
from typing import cast

from meterkast.config.decoding import Settings as Base
from meterkast.model.datatypes import ENERGY_CONSUMED, TEMPERATURE
from meterkast.model.errors import LinkLostError
from meterkast.model.product import (
    Availability,
    Medium,
    NodeDescription,
    ProductDescription,
    PropertyDescription,
    Protocol,
)
from meterkast.model.reading import Batch, Layout
from meterkast.model.reading import Column as ReadingColumn
from meterkast.model.time import UtcMs
from meterkast.model.units import Unit
from meterkast.ports.clock import Clock
from meterkast.ports.driver import Driver, DriverStatus, Emit, LinkState
from meterkast.ports.inventory import Catalog, Inventory
from meterkast_drivers.p1 import port
from meterkast_rig.virtual.loop import VirtualLoop
from meterkast_rig.virtual.site import REPORT_S, SIZE, TELEGRAM_S, Site, report_ms
from meterkast_rig.virtual.weather import Spans

_TELEGRAM_MS = TELEGRAM_S * 1000
_WIRE_MS = 0
"""From the telegram's stamp to its last byte: none, so that a clock that follows the stamps is exact too."""

_FOREVER_MS = 1 << 52
_NEVER = Spans()

CURRENT: ContextVar[Site] = ContextVar("site")
"""Whose devices a driver made now reads: drivers are made from the configuration, which cannot name it."""


def _now_ms(site: Site) -> int:
    loop = cast(VirtualLoop, asyncio.get_running_loop())
    return site.start_ms + loop.now_us // 1000


async def open_port(name: str, speed: int) -> port.Source:
    """What stands for `p1.port.open_port`."""
    site = CURRENT.get()
    if site.weather.link.at(_now_ms(site)):
        raise LinkLostError(f'port = "{name}": no such port', hint="Plug in the P1 cable.")
    return VirtualPort(name, site)


class VirtualPort(port.Source):
    """An open port with a meter behind it."""

    def __init__(self, name: str, site: Site) -> None:
        super().__init__(name)
        self._site = site
        self._read_ms = _now_ms(site)

    async def read(self, wait_s: float) -> bytes:
        site = self._site
        now_ms = _now_ms(site)
        lost_ms = site.weather.link.next_change_ms(now_ms, _FOREVER_MS)
        due_ms = self._due_ms()
        until_ms = min(now_ms + math.ceil(wait_s * 1000), due_ms, lost_ms)
        if until_ms > now_ms:
            await asyncio.sleep((until_ms - now_ms) / 1000)
        now_ms = max(until_ms, _now_ms(site))  # a timer may come a µs early
        if site.weather.link.at(now_ms):
            raise LinkLostError(f"{self.name}: the port went away", hint="Plug the cable in again.")
        if now_ms < due_ms:
            return b""
        self._read_ms = due_ms
        return site.telegram(UtcMs(due_ms - _WIRE_MS), now_ms)

    def _due_ms(self) -> int:
        """When the next telegram is here; a silent meter sends none."""
        due_ms = ((self._read_ms - _WIRE_MS) // _TELEGRAM_MS + 1) * _TELEGRAM_MS + _WIRE_MS
        while (silent := self._site.weather.silent.at(due_ms)) is not None:
            due_ms = -(-(silent.end_ms - _WIRE_MS) // _TELEGRAM_MS) * _TELEGRAM_MS + _WIRE_MS
        return due_ms

    def close(self) -> None:
        """There is nothing to close."""


class Settings(Base, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[drivers.radio]`."""


def create(name: str, settings: Settings, catalog: Catalog, clock: Clock) -> Driver:
    """The driver of the site's radio devices."""
    return Radio(name, cast(Inventory, catalog), clock, CURRENT.get())


class Radio:
    """A plug that counts and a room's thermometer."""

    def __init__(self, name: str, inventory: Inventory, clock: Clock, site: Site) -> None:
        self.name = name
        self._inventory = inventory
        self._clock = clock
        self._site = site

    def status(self) -> DriverStatus:
        return DriverStatus(state=LinkState.READING, detail="", counters={})

    async def run(self, emit: Emit) -> None:
        async with asyncio.TaskGroup() as group:
            for number, device in enumerate(REPORT_S, start=2):
                group.create_task(self._device(number, device, emit))

    async def _device(self, number: int, device: str, emit: Emit) -> None:
        """The devices in one place, one after the other."""
        while True:
            now_ms = _now_ms(self._site)
            swaps = [one.at_ms for one in self._site.weather.swaps if one.source == device]
            until_ms = min((at_ms for at_ms in swaps if at_ms > now_ms), default=_FOREVER_MS)
            generation = self._site.meters.generation(device, now_ms)
            await self._one(number + 10 * generation, device, emit, until_ms)

    async def _one(self, number: int, device: str, emit: Emit, until_ms: int) -> None:
        description = replace(PRODUCTS[device], identity=f"radio:{number}")
        product, found = await self._inventory.declare(description, (PROPERTIES[device],))
        await self._inventory.declare_node(
            NodeDescription(
                identity=product.description.identity,
                protocol=Protocol.ZWAVE,
                product_id=product.id,
                zwave_id=number,
            )
        )
        layout: Layout = (ReadingColumn(found[PROPERTIES[device].key].id, PROPERTIES[device].decimals),)
        dead = self._site.weather.dead.get(device, _NEVER)
        while (now_ms := _now_ms(self._site)) < until_ms:
            away = dead.at(now_ms)
            status = Availability.UNREACHABLE if away else Availability.AVAILABLE
            await self._inventory.available(product.id, status, self._clock.now_ms())
            change_ms = dead.next_change_ms(now_ms, until_ms)
            if away:
                await self._sleep_until(change_ms)
            else:
                await self._reports(device, layout, emit, change_ms)

    async def _reports(self, device: str, layout: Layout, emit: Emit, until_ms: int) -> None:
        site = self._site
        asleep = site.weather.asleep.get(device, _NEVER)
        number = _now_ms(site) // (REPORT_S[device] * 1000)
        while True:
            at_ms = report_ms(device, number, site.seed)
            number += 1
            if at_ms <= _now_ms(site):
                continue
            if at_ms >= until_ms:
                await self._sleep_until(until_ms)
                return
            await self._sleep_until(at_ms)
            if asleep.at(at_ms) is None:
                seen_ms = _now_ms(site)
                site.record.handed(device, seen_ms, seen_ms)
                emit(Batch(layout, (site.meters.value(device, seen_ms),), self._clock.boot_ns()))

    async def _sleep_until(self, at_ms: int) -> None:
        while (left_ms := at_ms - _now_ms(self._site)) > 0:  # noqa: ASYNC110 - a timer may come a µs early
            await asyncio.sleep(left_ms / 1000)


PRODUCTS: Mapping[str, ProductDescription] = {
    "plug": ProductDescription(identity="radio:2", name="Plug", medium=Medium.SUBMETER),
    "room": ProductDescription(identity="radio:3", name="Room", medium=Medium.SENSOR),
}
PROPERTIES: Mapping[str, PropertyDescription] = {
    "plug": PropertyDescription(
        key="energy",
        name="Energy",
        datatype=ENERGY_CONSUMED,
        unit=Unit.WATT_HOUR,
        rolls_at=SIZE["plug"],
        fresh_ms=2 * REPORT_S["plug"] * 1000,
    ),
    "room": PropertyDescription(
        key="temperature",
        name="Temperature",
        datatype=TEMPERATURE,
        unit=Unit.CELSIUS,
        decimals=1,
        fresh_ms=2 * REPORT_S["room"] * 1000,
    ),
}
