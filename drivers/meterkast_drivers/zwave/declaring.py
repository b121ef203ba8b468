"""One device to the store: its values are mapped, and product, properties, node and mappings declared."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from meterkast.model.product import (
    Availability,
    Node,
    Product,
    ProductDescription,
    ProductId,
    Property,
    PropertyId,
    PropertyMapping,
)
from meterkast.model.reading import Column, Layout
from meterkast.ports.clock import Clock
from meterkast.ports.inventory import Inventory
from meterkast_drivers.zwave import describing, views
from meterkast_drivers.zwave.device import Device, Mapped
from meterkast_drivers.zwave.mapping import Aside, Target, map_value, resolve
from meterkast_drivers.zwave.settings import Settings
from meterkast_drivers.zwave.value import ZwaveValue
from meterkast_drivers.zwave.values import value_of

log = logging.getLogger(__name__)

_ODD = Aside("it could not be understood; please report this, with the log")


class Declaring:
    """Knows what is stored of the devices' values.

    Args:
        counters: What went wrong, in the operator's words.
    """

    def __init__(
        self, settings: Settings, inventory: Inventory, clock: Clock, counters: Counter[str]
    ) -> None:
        self._settings = settings
        self._inventory = inventory
        self._clock = clock
        self._counters = counters
        self._layouts: dict[Layout, Layout] = {}
        self._decimals_of: dict[tuple[ProductId, str], int] = {}

    async def load(self) -> None:
        """How many decimals are kept of each value: they never become less.

        Raises:
            StorageError: The database refused.
        """
        for prop in await self._inventory.properties():
            self._decimals_of[prop.product_id, prop.key] = prop.description.decimals

    def layout(self, property_id: PropertyId, decimals: int) -> Layout:
        """The one layout of a property with so many decimals."""
        layout = (Column(property_id, decimals),)
        return self._layouts.setdefault(layout, layout)

    async def declare(self, device: Device) -> None:
        """Map what the server shows of a device and declare it; `device` then says so.

        Raises:
            StorageError: The database refused; what was known stays.
        """
        live = device.live
        assert live is not None
        if device.former is not None:
            await self.retire(device.former)
            device.former = None
        values = {value.id: value for value in map(value_of, live.values.values())}
        mapping = self._map(device, values)
        targets = {place: found for place, found in mapping.items() if isinstance(found, Target)}
        self._pace(device, live)
        product = self._same_hardware(device)
        described = {
            place: describing.describe_property(
                values[place],
                target,
                self._decimals(device, product, values[place], target, live),
                device.report_ms,
            )
            for place, target in targets.items()
        }
        wanted = await self._product(device, live, product, list(targets.values()))
        made, properties = await self._inventory.declare(wanted, list(described.values()))
        await self._fill(device, await self._named(device, made))
        kept = {
            place: self._mapped(device, values[place], target, properties[described[place].key])
            for place, target in targets.items()
        }
        assert device.record is not None
        await self._map_properties(device.record, kept)
        device.properties = kept
        device.asides = {place: found for place, found in mapping.items() if isinstance(found, Aside)}

    async def _product(
        self, device: Device, live: Any, product: Product | None, targets: Sequence[Target]
    ) -> ProductDescription:
        """The device as a product: the one it fills, or a new one."""
        own_name = self._settings.of(device.node).name
        if product is not None:
            own_identity = product.description.identity
            return describing.describe_product(live, own_identity, own_name, targets, product)
        others = await self._inventory.products()
        own_identity = _new_identity(device, others)
        if device.record is None and own_identity == device.identity:
            # Should the power fail before it has its product, its row tells whose the product is.
            await self.record(device)
        wanted = describing.describe_product(live, own_identity, own_name, targets, None)
        if any(wanted.name == one.name for one in others if one.description.identity != own_identity):
            wanted = replace(wanted, name=f"{wanted.name} (node {device.node})")
        return wanted

    async def _named(self, device: Device, made: Product) -> Product:
        """The product under the name that the configuration has for the device."""
        wanted = self._settings.of(device.node).name
        if not wanted or made.name == wanted:
            return made
        if any(one.name == wanted and one.id != made.id for one in await self._inventory.products()):
            wanted = f"{wanted} (node {device.node})"
        return made if made.name == wanted else await self._inventory.rename_product(made.id, wanted)

    async def _fill(self, device: Device, made: Product) -> None:
        """The device fills that product from now on."""
        now_ms = self._clock.now_ms()
        if device.product is not None and device.product.id != made.id:
            await self._inventory.available(device.product.id, Availability.UNREACHABLE, now_ms)
        device.product, device.new_identity = made, ""
        await self.record(device)
        await self._inventory.available(made.id, views.AVAILABILITY[device.status], now_ms)

    async def record(self, device: Device) -> None:
        """Keep the device's row as it is now.

        Raises:
            StorageError: The database refused.
        """
        before = device.record.description if device.record is not None else None
        wanted = describing.describe_node(
            device.identity,
            device.node,
            device.live,
            product_id=device.product.id if device.product is not None else None,
            status=device.status,
            last_seen_ms=device.last_seen_ms,
            before=before,
        )
        if wanted != before:
            device.record = await self._inventory.declare_node(wanted)

    async def retire(self, device: Device) -> None:
        """The device left the network: its row goes; product and history stay. A second call does nothing.

        Raises:
            StorageError: The database refused.
        """
        if device.former is not None:
            await self.retire(device.former)
            device.former = None
        if device.product is not None:
            await self._inventory.available(device.product.id, Availability.UNREACHABLE, self._clock.now_ms())
            device.product = None
        if device.record is not None:
            await self._inventory.remove_node(device.identity)
            device.record = None

    def _map(self, device: Device, values: dict[str, ZwaveValue]) -> dict[str, Target | Aside]:
        """Where each value goes; one that makes a row of the table fail stands aside, and is told once."""
        pulse = self._settings.pulse(device.node)
        alone: dict[str, Target | Aside] = {}
        odd: dict[str, Target | Aside] = {}
        for place, value in values.items():
            try:
                alone[place] = map_value(value, pulse)
            except Exception:  # whatever the device says of one value must not cost it the others
                odd[place] = _ODD
                if device.asides.get(place) is not _ODD:
                    self._counters["values not understood"] += 1
                    log.exception("value not understood", extra={"node": device.node, "value": place})
        return odd | resolve([values[place] for place in alone], alone)

    def _pace(self, device: Device, live: Any) -> None:
        """How often its values are expected: as set, as it wakes up, or as often as it is asked."""
        device.wake_up_s = describing.wake_up_s(live)
        if self._settings.of(device.node).report_s is None and device.wake_up_s is not None:
            device.report_ms = device.wake_up_s * 1000
        else:
            device.report_ms = self._settings.report_ms(device.node)

    def _same_hardware(self, device: Device) -> Product | None:
        """The product it fills; None where it has none yet, or the number belongs to another device now."""
        product = device.product
        if product is None or device.live is None:
            return None
        stored, told = describing.stored_ids(product), describing.hardware_ids(device.live)
        if stored and told and stored != told:
            log.warning("another device has the number now", extra={"node": device.node})
            return None
        return product

    def _decimals(
        self, device: Device, product: Product | None, value: ZwaveValue, target: Target, live: Any
    ) -> int:
        """As many as were kept so far, or as the value has that the server remembers."""
        decimals = views.decimals_of(target, live.values.get(f"{device.node}-{value.id}"))
        known = device.properties.get(value.id)
        if known is not None and product is not None:
            decimals = max(decimals, known.layout[0].decimals)
        if product is not None:
            decimals = max(decimals, self._decimals_of.get((product.id, target.key_at(value.endpoint)), 0))
        return min(decimals, target.decimals)

    def _mapped(self, device: Device, value: ZwaveValue, target: Target, prop: Property) -> Mapped:
        self._decimals_of[prop.product_id, prop.key] = prop.description.decimals
        layout = self.layout(prop.id, prop.description.decimals)
        known = device.properties.get(value.id)
        if known is None or known.property.id != prop.id:
            return Mapped(value=value, target=target, property=prop, layout=layout)
        known.value, known.target, known.property, known.layout = value, target, prop, layout
        return known

    async def _map_properties(self, record: Node, kept: dict[str, Mapped]) -> None:
        await self._inventory.map_properties(
            record.id,
            [
                PropertyMapping(
                    node_id=record.id,
                    property_id=mapped.property.id,
                    channel=mapped.value.endpoint,
                    command_class=mapped.value.command_class,
                    parameter=mapped.target.parameter,
                )
                for mapped in kept.values()
            ],
        )


def _new_identity(device: Device, others: Sequence[Product]) -> str:
    """The device's own, or the next where a product of an earlier device has that.

    A row without product is one that was kept while the device's own was free: that is no other device's.
    """
    if device.record is not None and device.record.description.product_id is None:
        return device.identity
    if not device.new_identity:
        taken = {product.description.identity for product in others}
        wanted, number = device.identity, 1
        while wanted in taken:
            number += 1
            wanted = f"{device.identity}.{number}"
        device.new_identity = wanted  # a second try after an error takes it too
    return device.new_identity
