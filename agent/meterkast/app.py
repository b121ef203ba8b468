"""Builds the gateway from its configuration, runs it, and stops it in order.

The one file that knows everyone. A stop (SIGTERM, Ctrl-C) goes against the stream: drivers first, then what
is in memory is kept, then the uplinks close.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import random
import signal
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from meterkast.address import loopback
from meterkast.config.decoding import decode, nearest
from meterkast.config.sections import Config, control_socket
from meterkast.model.errors import ConfigError
from meterkast.model.time import Grid, zone
from meterkast.night import Night
from meterkast.pipeline.closing import Closing
from meterkast.pipeline.delivery import Delivery, slot_ms
from meterkast.pipeline.door import Door, Opened
from meterkast.pipeline.examine import Examiner
from meterkast.pipeline.intake import Intake
from meterkast.pipeline.inventory import DriverCatalog
from meterkast.pipeline.keeping import Keeper
from meterkast.pipeline.outages import Outages
from meterkast.pipeline.supervisor import Supervisor
from meterkast.ports.clock import Clock
from meterkast.ports.driver import Driver
from meterkast.ports.store import Store
from meterkast.ports.uplink import Uplink
from meterkast.proof.books import BookedStore
from meterkast.uplinks import KINDS as UPLINKS
from meterkast.uplinks.context import Context
from meterkast_buffer.store import open_store
from meterkast_drivers import KINDS as DRIVERS

if TYPE_CHECKING:
    # Its classes cost memory, and only a network has them.
    from meterkast.network import Network

log = logging.getLogger(__name__)


def _module(kinds: Mapping[str, str], name: str, section: str) -> Any:
    """The module of a kind of driver or uplink, imported now; `Any` because the table holds its name only."""
    if name not in kinds:
        meant = nearest(name, kinds)
        hint = f"Did you mean `{meant}`?" if meant else f"There are: {', '.join(kinds)}."
        raise ConfigError(f"`{section}.{name}` is not known", hint=hint)
    return importlib.import_module(kinds[name])


def uplink_settings(config: Config) -> dict[str, Any]:
    """The settings of each configured uplink, by name, checked.

    Raises:
        ConfigError: An uplink, a key or a value is wrong.
    """
    return {
        name: decode(_module(UPLINKS, name, "uplinks").Settings, tree, f"uplinks.{name}")
        for name, tree in config.uplinks.items()
    }


def make_uplinks(config: Config, context: Context) -> dict[str, Uplink]:
    """Every configured uplink by name, in the file's order; none of them connects yet.

    Raises:
        ConfigError: An uplink, a key or a value is wrong.
    """
    return {
        name: _module(UPLINKS, name, "uplinks").create(settings, context)
        for name, settings in uplink_settings(config).items()
    }


def driver_sections(config: Config) -> list[tuple[str, Any, Any]]:
    """Title, module and settings of every configured driver.

    `[drivers.p1]` is one driver; `[drivers.p1.cellar]` and `[drivers.p1.roof]` are two of a kind.

    Raises:
        ConfigError: A driver, a key or a value is wrong.
    """
    sections: list[tuple[str, Any, Any]] = []
    for kind, tree in config.drivers.items():
        module = _module(DRIVERS, kind, "drivers")
        several = bool(tree) and all(isinstance(value, dict) for value in tree.values())
        for name, section in tree.items() if several else [("", tree)]:
            path = f"drivers.{kind}.{name}" if name else f"drivers.{kind}"
            title = f"{kind}.{name}" if name else kind
            sections.append((title, module, decode(module.Settings, section, path)))
    return sections


def make_drivers(config: Config, clock: Clock, catalog: Callable[[str], DriverCatalog]) -> list[Driver]:
    """Every configured driver; none of them opens its device yet.

    Raises:
        ConfigError: A driver, a key or a value is wrong.
    """
    return [
        module.create(title, settings, catalog(title), clock)
        for title, module, settings in driver_sections(config)
    ]


def refuse_real_platforms(uplinks: Mapping[str, Uplink]) -> None:
    """A rehearsal on a fast clock must not reach a real platform.

    Raises:
        ConfigError: An uplink's address is not loopback.
    """
    for name, uplink in uplinks.items():
        for url in uplink.urls:
            host = urlsplit(url).hostname or ""
            if not loopback(host):
                raise ConfigError(
                    f"uplinks.{name} sends to {host}, and the clock does not run at its real speed",
                    hint="With --speed every platform must be a stand-in on this machine (127.0.0.1).",
                )


async def device_id(store: Store) -> str:
    """This gateway's own lasting id, made at the first start."""
    known = await store.get_state("gateway", "device_id")
    if known is None:
        known = f"mk-{uuid.uuid4().hex[:12]}"
        await store.set_state("gateway", "device_id", known)
    return known


class Gateway:
    """The whole gateway, built and not yet running; see `run`."""

    def __init__(self, config: Config, clock: Clock, store: BookedStore, own_id: str) -> None:
        grid = Grid(zone(config.site.time_zone))
        self.config = config
        self.clock = clock
        self.store = store
        self.grid = grid
        context = Context(device_id=own_id, grid=grid, clock=clock, store=store, random=random.random)
        self.uplinks = make_uplinks(config, context)
        if clock.speed != 1:
            refuse_real_platforms(self.uplinks)
        outages = Outages(clock.now_ms(), lambda boot_ms: clock.utc_of(boot_ms * 1_000_000))
        self.intake = Intake(clock)
        self.closing = Closing(grid, clock.allowance_ms(config.half_hours.grace_s * 1000), outages.why)
        slot = slot_ms(own_id, config.delivery.spread_s * 1000)
        self.deliveries = {
            name: Delivery(uplink, store, clock, slot_ms=slot, random=random.random)
            for name, uplink in self.uplinks.items()
        }
        self.keeper = Keeper(
            store=store,
            clock=clock,
            grid=grid,
            intake=self.intake,
            closing=self.closing,
            outages=outages,
            uplinks=self.uplinks,
            flush_ms=config.storage.flush_s * 1000,
            announce=self._announce,
            limits=config.limits,
            auto_swap=config.counters.swap == "auto",
        )
        drivers = make_drivers(config, clock, lambda name: DriverCatalog(self.keeper, name))
        self.supervisors = [
            Supervisor(driver, self.intake.emit, clock, outages, random.random) for driver in drivers
        ]
        self.networks: dict[str, Network] = {
            driver.name: network
            for driver in drivers
            if (network := getattr(driver, "network", None)) is not None
        }
        self.night = Night(
            store,
            grid,
            clock,
            own_id,
            self.uplinks,
            self._announce,
            samples_days=config.storage.samples_days,
        )
        self.examiner = Examiner(
            site=config.site.name,
            zone=config.site.time_zone,
            device_id=own_id,
            grid=grid,
            clock=clock,
            store=store,
            intake=self.intake,
            closing=self.closing,
            keeper=self.keeper,
            supervisors=self.supervisors,
            deliveries=self.deliveries,
            networks=self.networks,
            night=self.night,
        )

    def _announce(self, uplinks: set[str]) -> None:
        for name in sorted(uplinks):  # a set of texts has another order in every process
            self.deliveries[name].announce()

    async def run(self, stop: asyncio.Event, ready: Callable[[str], None]) -> None:
        """Run until `stop` is set, then stop in order: nothing that was read is lost.

        Args:
            ready: Called once with the page's address ("" where there is none) when everything runs.
        """
        await self.keeper.load()
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(self.keeper.run(), name="keeper")
            reading = [group.create_task(one.run(), name=one.driver.name) for one in self.supervisors]
            delivering = [
                group.create_task(delivery.run(), name=f"uplink {name}")
                for name, delivery in self.deliveries.items()
            ]
            page, control = Page(self), ControlSocket(self)
            showing = [group.create_task(door.run(), name=door.name) for door in (page, control)]
            showing.append(group.create_task(self.examiner.run(), name="examiner"))
            showing.append(group.create_task(self.night.run(), name="night"))
            await page.tried.wait()
            await control.tried.wait()
            ready(page.url)
            await stop.wait()
            await _cancel(reading)
            await _cancel([keeping])
            await self.keeper.finish()
            await _cancel(delivering)
            await _cancel(showing)


class Page(Door):
    """The gateway's page.

    Attributes:
        url: Its address; "" until it was opened.
    """

    name = "page"
    url = ""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        self._gateway = gateway

    def wanted(self) -> bool:
        return self._gateway.config.page.enabled

    async def open(self) -> Opened:
        # Imported here: a gateway without a page does not pay for it.
        from meterkast.web.server import application, serve

        gateway = self._gateway
        app = application(
            gateway.config.page,
            snapshot=gateway.examiner.snapshot,
            store=gateway.store,
            grid=gateway.grid,
        )
        running = await serve(app, gateway.config.page)
        self.url = running.url
        return running


class ControlSocket(Door):
    """The socket for the command line."""

    name = "control socket"

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        self._gateway = gateway

    def wanted(self) -> bool:
        return True

    async def open(self) -> Opened:
        from meterkast.pipeline.meter_desk import MeterDesk
        from meterkast.web.control import application, serve
        from meterkast.web.meters import add_meters

        gateway = self._gateway
        path = control_socket(gateway.config)
        app = application(gateway.networks, gateway.clock)
        add_meters(app, MeterDesk(gateway.keeper))
        return await serve(app, path)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def main(config: Config, clock: Clock, ready: Callable[[str], None]) -> None:
    """Open the store, run the gateway until SIGTERM or SIGINT, close the store.

    Raises:
        ConfigError, StorageError: It cannot start.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    store = await open_store(
        config.storage.path,
        samples_days=config.storage.samples_days,
        half_hours_years=config.storage.half_hours_years,
        evidence_months=config.storage.evidence_months,
    )
    try:
        await store.make_ballast()
        gateway = Gateway(config, clock, store, await device_id(store))
        await gateway.run(stop, ready)
    finally:
        await store.close()
