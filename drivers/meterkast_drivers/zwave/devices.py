"""The devices of the network: each node, the product it fills, and where its values go.

They are known from the store before the server is there, and stay known when it goes away. A device is
forgotten only when its node was removed from the network.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from meterkast.model.errors import RefusedError, StorageError
from meterkast.model.product import Product, ProductId, PropertyId
from meterkast.network import NodeView, ValueView
from meterkast.ports.clock import Clock
from meterkast.ports.inventory import Inventory
from meterkast_drivers.zwave import describing, views
from meterkast_drivers.zwave.declaring import Declaring
from meterkast_drivers.zwave.device import LONGEST_NAME, Device, Early, Mapped
from meterkast_drivers.zwave.echo import Echo, Echoes
from meterkast_drivers.zwave.settings import Settings

if TYPE_CHECKING:
    from meterkast_drivers.zwave.link import Link

__all__ = ["Device", "Devices", "Early", "Mapped"]

log = logging.getLogger(__name__)

GATHER_S = 0.2
"""An interview tells a device's values one by one: what comes within this time is declared at once."""

RETRY_S, RETRY_CAP_S = 1.0, 60.0
"""How long until a device is declared again that the database refused."""


class Devices:
    """All devices of the stick's network.

    Attributes:
        home_id: The network's; None before the first connection ever.
        other_home_id: The network that was known before, where another stick is plugged in now.
        on_change: Called with a node's number when it got ready, woke up, died, came alive or was removed.
        on_settled: Called with a device when its values have ids.
        counters: What went wrong, in the operator's words.
        declaring: Writes a device to the store.
    """

    def __init__(self, settings: Settings, inventory: Inventory, clock: Clock) -> None:
        self.home_id: int | None = None
        self.other_home_id: int | None = None
        self.on_change: list[Callable[[int], None]] = []
        self.on_settled: list[Callable[[Device], None]] = []
        self.counters: Counter[str] = Counter()
        self._settings = settings
        self._inventory = inventory
        self._clock = clock
        self._known: dict[int, dict[int, Device]] = {}  # home id → node → device
        self.declaring = Declaring(settings, inventory, clock, self.counters)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._wanted: set[int] = set()
        self._by_property: dict[PropertyId, tuple[Device, Mapped]] = {}
        self._echoes = Echoes()
        self._pauses = 0

    # What is known.

    def all(self) -> Sequence[Device]:
        """The devices of the stick's network, by node."""
        return [device for _, device in sorted(self._here().items())]

    def known(self) -> Sequence[Device]:
        """The devices of all networks, also of one whose stick is not plugged in."""
        return [device for network in self._known.values() for device in network.values()]

    def get(self, node: int) -> Device | None:
        """That device; None where there is no such node."""
        return self._here().get(node)

    def by_property(self, property_id: int) -> tuple[Device, Mapped] | None:
        """Whose value a property is; None while the device's values are not known."""
        return self._by_property.get(PropertyId(property_id))

    def views(self) -> Sequence[NodeView]:
        """All devices as they are shown."""
        return [views.node_view(device) for device in self.all()]

    def value_views(self, node: int) -> Sequence[ValueView]:
        """Each value of a device as it is shown; nothing where there is no such node."""
        device = self.get(node)
        return [] if device is None else views.value_views(device)

    def expect_echo(self, node: int, value_id: str) -> Echo:
        """A value is about to be written: what the server tells of it until `end` is its own guess."""
        return self._echoes.expect(node, value_id)

    @property
    def echoes(self) -> Echoes:
        """The writes that are under way."""
        return self._echoes

    def pause(self) -> None:
        """A job has the radio: no device is pinged or asked for values until `resume`; may be nested."""
        self._pauses += 1

    def resume(self) -> None:
        """The job has ended; one call for each `pause`."""
        self._pauses = max(0, self._pauses - 1)

    @property
    def paused(self) -> bool:
        """Whether a job has the radio."""
        return self._pauses > 0

    # The store and the server.

    async def load(self) -> None:
        """Take up what the store knows.

        Raises:
            StorageError: The database refused.
        """
        await self.declaring.load()
        products = {product.id: product for product in await self._inventory.products()}
        newest: tuple[int, int] | None = None
        for record in await self._inventory.nodes():
            found = describing.parse_identity(record.description.identity)
            if found is None:
                continue
            home_id, node = found
            device = self._device(home_id, node)
            device.record = record
            device.status = record.description.status
            device.last_seen_ms = record.description.last_seen_ms
            device.product = products.get(record.description.product_id or ProductId(-1))
            seen = record.description.last_seen_ms or 0
            if newest is None or seen > newest[0]:
                newest = seen, home_id
        if self.home_id is None and newest is not None:
            self.home_id = newest[1]

    def attach(self, link: Link) -> None:
        """The server is there: its nodes are the devices from now on. Nothing may be awaited here."""
        controller = link.driver.controller
        home_id = controller.home_id or 0
        if self.home_id is not None and home_id != self.home_id:
            log.warning("another network", extra={"home_id": f"{home_id:08x}"})
            back = home_id == self.other_home_id
            self.other_home_id = None if back else self.home_id
        self.home_id = home_id
        for number, live in controller.nodes.items():
            if not live.is_controller_node:
                self.adopt(number, live)

    def adopt(self, node: int, live: Any) -> Device:
        """The server shows this node."""
        assert self.home_id is not None
        device = self._device(self.home_id, node)
        if device.gone:
            # The number is given out again before the removal could be stored.
            del self._here()[node]
            former, device = device, self._device(self.home_id, node)
            device.lock, device.former = former.lock, former
        device.live = live
        device.unsettled, device.replaced = True, False
        device.early.clear()
        for mapped in device.properties.values():
            mapped.heard, mapped.polled_ns = False, None
        if live.ready:
            self.schedule(node)
        return device

    def detach(self) -> None:
        """The connection is gone; the devices stay known."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        self._wanted.clear()
        self._echoes.clear()
        for device in self._here().values():
            device.live = None
            device.early.clear()

    def schedule(self, node: int) -> None:
        """Map a device's values anew, soon; several calls within a moment are one."""
        device = self.get(node)
        if device is None:
            return
        device.unsettled = True
        self._wanted.add(node)
        running = self._tasks.get(node)
        if running is None or running.done():
            task = asyncio.create_task(self._settle(node), name=f"zwave node {node}")
            self._tasks[node] = task
            task.add_done_callback(lambda done: self._forget(node, done))

    def _forget(self, node: int, done: asyncio.Task[None]) -> None:
        if self._tasks.get(node) is done:
            del self._tasks[node]

    async def _settle(self, node: int) -> None:
        wait_s = RETRY_S
        while node in self._wanted:
            await asyncio.sleep(GATHER_S)
            self._wanted.discard(node)
            try:
                await self.refresh(node)
            except StorageError as error:
                self.counters["not stored, tried again"] += 1
                log.warning("device not stored", extra={"node": node, "reason": str(error)})
                self._wanted.add(node)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_CAP_S)

    # One device.

    async def refresh(self, node: int) -> None:
        """Map and declare a device's values, where the server has interviewed it to the end.

        Raises:
            StorageError: The database refused; what was known of it stays.
        """
        device = self.get(node)
        if device is None:
            return
        async with device.lock:
            if device.live is None or not device.live.ready:
                return
            device.unsettled = True
            before = list(device.properties.values())
            try:
                await self.declaring.declare(device)
            except StorageError:
                self.schedule(node)  # whoever asked: reports wait until it is stored
                raise
            except Exception:  # whatever one device shows must not end the others
                self._misunderstood(device)
                return
            device.misunderstood = False
            self._unlist(before)
            if device.gone:
                return
            for mapped in device.properties.values():
                self._by_property[mapped.property.id] = device, mapped
        if node not in self._wanted:
            self._settled(device)

    def _misunderstood(self, device: Device) -> None:
        """Told when it starts; what was understood before is read on."""
        self.counters["devices not understood"] += 1
        if not device.misunderstood:
            device.misunderstood = True
            log.exception("device not understood", extra={"node": device.node})
        if device.properties:
            self._settled(device)

    async def record(self, device: Device) -> None:
        """Keep the row of a device as it is now, where it has one.

        Raises:
            StorageError: The database refused.
        """
        async with device.lock:
            if device.record is not None:
                await self.declaring.record(device)

    def _settled(self, device: Device) -> None:
        device.unsettled = False
        for told in self.on_settled:
            told(device)

    async def link_product(self, node: int, product: Product) -> None:
        """This node fills that product from now on, whatever device it is.

        Raises:
            StorageError: The database refused.
        """
        assert self.home_id is not None
        device = self._device(self.home_id, node)
        async with device.lock:
            if device.gone:
                return
            # Without a model the product takes the next device's, and it is no other device's any more.
            bare = replace(product.description, maker="", model="", type="")
            if bare != product.description and describing.stored_ids(product):
                product, _ = await self._inventory.declare(bare, [])
            device.product = product
            device.new_identity = ""
            await self.declaring.record(device)
        if device.ready:
            self.schedule(node)

    async def rename(self, node: int, name: str) -> None:
        """Give a device's product a person's name.

        Raises:
            RefusedError: The name cannot be given; the message says why.
            StorageError: The database refused.
        """
        device, name = self.get(node), name.strip()
        if device is None or device.product is None:
            raise RefusedError(
                f"there is no device {node} with a product",
                hint="`meterkast zwave nodes` lists the devices and their numbers.",
            )
        if not 0 < len(name) <= LONGEST_NAME:
            raise RefusedError(f'"{name}" is no name', hint=f"Give 1 to {LONGEST_NAME} characters.")
        if set_name := self._settings.of(node).name:
            raise RefusedError(
                f'its name "{set_name}" stands in the configuration',
                hint=f"Change `name` in [drivers.zwave.nodes.{node}], and start the gateway again.",
            )
        async with device.lock:
            product = device.product
            if any(one.name == name and one.id != product.id for one in await self._inventory.products()):
                raise RefusedError(f'"{name}" is the name of another device', hint="Choose another one.")
            device.product = await self._inventory.rename_product(product.id, name)

    def leave(self, device: Device) -> None:
        """The node left the network: nothing is read of it or written to it from now on."""
        device.gone, device.live = True, None
        if self.get(device.node) is device:
            self._wanted.discard(device.node)
        self._unlist(device.properties.values())

    async def removed(self, device: Device) -> None:
        """The node left the network: its row goes; product and history stay.

        Raises:
            StorageError: The database refused.
        """
        self.leave(device)
        async with device.lock:
            await self.declaring.retire(device)
            for network in self._known.values():
                if network.get(device.node) is device:
                    del network[device.node]
        self.changed(device.node)

    def _unlist(self, values: Iterable[Mapped]) -> None:
        for mapped in values:
            self._by_property.pop(mapped.property.id, None)

    def changed(self, node: int) -> None:
        """Tell everybody that a device is not what it was."""
        for told in self.on_change:
            told(node)

    def _here(self) -> dict[int, Device]:
        return self._known.setdefault(self.home_id, {}) if self.home_id is not None else {}

    def _device(self, home_id: int, node: int) -> Device:
        known = self._known.setdefault(home_id, {})
        if node not in known:
            known[node] = Device(
                node=node,
                identity=describing.identity(home_id, node),
                report_ms=self._settings.report_ms(node),
            )
        return known[node]

    def others(self) -> int:
        """How many devices of the network that was known before are kept."""
        return len(self._known.get(self.other_home_id, {})) if self.other_home_id is not None else 0
