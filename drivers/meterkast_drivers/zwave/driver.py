"""The Z-Wave driver: one stick, its network, and the devices in it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meterkast.model.errors import ConfigError, LinkLostError, StorageError
from meterkast.model.product import NodeStatus
from meterkast.ports.clock import Clock
from meterkast.ports.driver import Driver, DriverStatus, Emit, LinkState
from meterkast.ports.inventory import Inventory
from meterkast_drivers.zwave.devices import Device, Devices
from meterkast_drivers.zwave.link import Link
from meterkast_drivers.zwave.network import ZwaveNetwork
from meterkast_drivers.zwave.parameters import Parameters
from meterkast_drivers.zwave.place import Place
from meterkast_drivers.zwave.polling import Polling
from meterkast_drivers.zwave.reachability import Reachability
from meterkast_drivers.zwave.reports import Reports
from meterkast_drivers.zwave.service import Service
from meterkast_drivers.zwave.settings import Settings, check

__all__ = ["Settings", "ZwaveDriver", "create"]

log = logging.getLogger(__name__)

_REPLACED = (3, 4)
# RemoveNodeReason: another device takes the number at once, so the node stays.

_THERE = (2, 4)
# NodeStatus: awake, alive.

_BATTERY = 128

_NAMED = 3
# So many devices are named in the status; the page lists all.

RETRY_S = 5.0
"""How long until a removal is tried again that the database refused."""

STOP_S = 5.0
"""How long a removal may hold up the stop; one that the database refuses is lost then."""


def create(name: str, settings: Settings, inventory: Inventory, clock: Clock) -> Driver:
    """The driver.

    Raises:
        ConfigError: Neither stick nor server is set, or both; a device's settings cannot be.
    """
    return ZwaveDriver(name, settings, inventory, clock)


class ZwaveDriver:
    """Reads one Z-Wave network.

    Attributes:
        network: Its devices, for who adds, removes and controls them.
        devices, reports, polling, reachability: Its parts.
    """

    def __init__(self, name: str, settings: Settings, inventory: Inventory, clock: Clock) -> None:
        check(name, settings)
        self.name = name
        self._settings = settings
        self._clock = clock
        folder = Path(settings.folder)
        self._service = Service(settings.stick, folder) if settings.stick else None
        self._place = None if settings.stick else Place.parse(settings.server)
        self.devices = Devices(settings, inventory, clock)
        self.reachability = Reachability(self.devices, inventory, clock)
        self.reports = Reports(self.devices, clock, self.reachability.heard)
        self.polling = Polling(self.devices, settings, clock)
        self.parameters = Parameters(self.devices, settings)
        self.network = ZwaveNetwork(
            self.devices,
            inventory,
            clock,
            settings,
            # The connection is lost by that, and the supervisor starts everything anew.
            restart_server=self._service.kill if self._service is not None else None,
        )
        self._link: Link | None = None
        self._loaded = False
        self._state = LinkState.OPENING
        self._detail = f"{self._source()}: opening"
        self._logged: tuple[LinkState, str] | None = None
        self._messages: Counter[str] = Counter()
        self._removals: set[asyncio.Task[None]] = set()

    async def run(self, emit: Emit) -> None:
        """Read until cancelled.

        Raises:
            LinkLostError: The stick or the server went away, or is not there yet.
            ConfigError: The server cannot be used.
            StorageError: What is known of the devices cannot be read.
        """
        if not self._loaded:
            await self.devices.load()
            self._loaded = True
        if self._state is not LinkState.LOST:  # why it was lost stands until it is back
            self._say(LinkState.OPENING, f"{self._source()}: opening")
        try:
            await self._session(emit)
        except (LinkLostError, ConfigError) as lost:
            # The server knows better than its connection why it ended.
            ended = await self._service.ended() if self._service is not None else None
            better = ended if isinstance(lost, LinkLostError) else None
            self._say(LinkState.LOST, f"{better or lost}. {(better or lost).hint}")
            if better is None:
                raise
            raise better from lost
        finally:
            if self._service is not None:
                await self._service.stop()

    async def _session(self, emit: Emit) -> None:
        """One connection, from its opening to its loss."""
        place = self._place if self._service is None else await self._service.start()
        assert place is not None
        self.reports.emit = emit
        try:
            self._link = link = await Link.open(place, before_events=self._attach)
        except BaseException:  # also a cancellation; it goes on up
            self._detach()
            raise
        try:
            self._say(LinkState.READING, "")
            await self._work(link)
        except asyncio.CancelledError:  # a clean stop, while the connection still stands
            await self.network.close()
            await self.reachability.finish()
            if self._removals:
                await asyncio.wait(self._removals, timeout=STOP_S)
            raise
        finally:
            self._messages.update(link.counters)
            self._link = None
            self._detach()
            await link.close()

    async def _work(self, link: Link) -> None:
        """Run everything that needs the connection until it is lost."""
        lost = asyncio.create_task(link.lost())
        workers = [
            asyncio.create_task(self.reachability.run(link), name="zwave reachability"),
            asyncio.create_task(self.polling.run(link), name="zwave polling"),
            asyncio.create_task(self.parameters.run(link), name="zwave parameters"),
        ]
        tasks: list[asyncio.Task[Any]] = [lost, *workers]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {lost}:
                task.result()
            raise await link.lost()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # Events of the library. Handlers are registered before the first event is handed out; one that fails is
    # counted and told by the client.

    def _attach(self, link: Link) -> None:
        controller = link.driver.controller
        self.devices.attach(link)
        self.reachability.attach()
        for device in self.devices.all():
            if device.live is not None:
                self._listen(device)
        controller.on("node added", self._added)
        controller.on("node removed", self._removed)
        self.network.attach(link)

    def _detach(self) -> None:
        self.network.detach()
        self.devices.detach()

    def _listen(self, device: Device) -> None:
        live, node = device.live, device.node
        assert live is not None

        def value(event: Mapping[str, Any]) -> None:
            self.reports.take(node, event["args"])

        def changed(_: object) -> None:
            self.devices.schedule(node)

        def ready(_: object) -> None:
            self.devices.schedule(node)
            if live.data.get("status") in _THERE:  # else the server only remembers it
                self.reachability.heard(device)
            self.parameters.ready(node)
            self.devices.changed(node)

        def heard(_: object) -> None:
            self.reachability.heard(device)
            self.parameters.awake(node)
            self.devices.changed(node)

        def dead(_: object) -> None:
            self.reachability.died(device)
            self.devices.changed(node)

        def told(_: object) -> None:
            self.devices.changed(node)

        def notified(event: Mapping[str, Any]) -> None:
            self.reachability.heard(device)
            if event.get("ccId") == _BATTERY and event.get("args", {}).get("eventType") == "battery low":
                device.low_battery_ns = self._clock.boot_ns()

        live.on("value added", value)
        live.on("value updated", value)
        for names, handler in (
            (("metadata updated", "value removed"), changed),
            (("ready",), ready),
            (("alive", "wake up"), heard),
            (("dead",), dead),
            (("sleep", "interview failed"), told),
        ):
            for name in names:
                live.on(name, handler)
        live.on("notification", notified)
        if device.ready:
            self.parameters.ready(node)

    def _added(self, event: Mapping[str, Any]) -> None:
        live = event["node"]
        if live.is_controller_node:
            return
        known = self.devices.get(live.node_id)
        if known is not None and known.live is None and not known.replaced:
            self._gone(known)  # it was removed while nobody listened, and its number is given out again
        device = self.devices.adopt(live.node_id, live)
        self.reachability.follow(device)
        self.parameters.added(device.node)
        self._listen(device)
        self.devices.changed(device.node)

    def _removed(self, event: Mapping[str, Any]) -> None:
        node = event["node"].node_id
        device = self.devices.get(node)
        if device is None:
            return
        if int(event["reason"]) in _REPLACED:
            device.live, device.replaced = None, True
        else:
            self._gone(device)

    def _gone(self, device: Device) -> None:
        self.devices.leave(device)
        self.reachability.removed(device)
        task = asyncio.create_task(self._remove(device), name=f"zwave node {device.node} removed")
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)

    async def _remove(self, device: Device) -> None:
        # It outlives the connection: the server will not tell it again.
        while True:
            try:
                await self.devices.removed(device)
                return
            except StorageError as error:
                log.warning("removal not stored", extra={"node": device.node, "reason": str(error)})
            await asyncio.sleep(RETRY_S)

    # How it is.

    def status(self) -> DriverStatus:
        state, detail = self._state, self._detail
        if state is LinkState.READING:
            state, detail = self._reading()
            detail = f"{detail} {self.network.problem}".rstrip()
        messages = self._messages + Counter(dict(self._link.counters) if self._link is not None else {})
        counters = Counter(messages)
        for part in (
            self.reports.counters,
            self.devices.counters,
            self.polling.counters,
            self.reachability.counters,
            self.parameters.counters,
        ):
            counters.update(part)
        return DriverStatus(state=state, detail=detail, counters=dict(counters))

    def _reading(self) -> tuple[LinkState, str]:
        devices = self.devices.all()
        source = self._source()
        if not devices and (others := self.devices.others()):
            return LinkState.SILENT, (
                f"{source}: this is another network than before, {self.devices.home_id:08x} and not "
                f"{self.devices.other_home_id:08x}, and has no device. The {others} devices of the other "
                "stay known: plug their stick in, or restore its backup to this one."
            )
        if not devices:
            return LinkState.READING, (
                f"{source}: connected; no device yet. Add one with `meterkast zwave include`."
            )
        words = [f"{len(devices)} device{'s' if len(devices) != 1 else ''}"]
        ready = sum(device.ready for device in devices)
        words.append(f"{ready} ready")
        away = [device for device in devices if device.status is not NodeStatus.AVAILABLE]
        if away:
            names = ", ".join(f"{one.name} (node {one.node})" for one in away[:_NAMED])
            more = f" and {len(away) - _NAMED} more" if len(away) > _NAMED else ""
            words.append(f"{len(away)} not reached: {names}{more}")
        lost = all(device.status is NodeStatus.NO_CONNECTION for device in devices)
        state = LinkState.SILENT if lost else LinkState.READING
        sentence = f"{source}: {', '.join(words)}"
        if self.devices.other_home_id is not None:
            sentence += f"; another stick than before (network {self.devices.home_id:08x})"
        return state, f"{sentence}."

    def _source(self) -> str:
        settings = self._settings
        return f"Z-Wave stick {settings.stick}" if settings.stick else f"Z-Wave server {settings.server}"

    def _say(self, state: LinkState, detail: str) -> None:
        # What repeats with every attempt to open the connection is logged once.
        if state is not LinkState.OPENING and (state, detail) != self._logged:
            level = logging.INFO if state is LinkState.READING else logging.WARNING
            log.log(level, "Z-Wave connection changed", extra={"driver": self.name, "state": state.value})
            self._logged = state, detail
        self._state, self._detail = state, detail
