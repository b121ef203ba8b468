"""Whether a device is what a product was meant for.

A product that a device filled before keeps its history, so only the same kind of device may fill it again: a
water meter's litres must never go on as gas. A product made before its device takes any.
"""

from __future__ import annotations

import asyncio
from typing import Any

from meterkast.model.product import Medium, Product
from meterkast_drivers.zwave import describing
from meterkast_drivers.zwave.devices import Devices
from meterkast_drivers.zwave.mapping import Target, map_node
from meterkast_drivers.zwave.values import value_of


def misfit(product: Product, live: Any) -> str:
    """Why a device is not for that product, to follow "Device 5"; empty where it is.

    Before its interview only the device's class can be compared, after it what it measures as well.
    """
    before = product.description
    values = [value_of(value) for value in list(live.values.values())] if live.ready else []
    targets = [found for found in map_node(values).values() if isinstance(found, Target)]
    now = describing.describe_product(live, before.identity, "", targets, None)
    if before.type and now.type and before.type != now.type:
        return f'is a {now.type}, but "{product.name}" was a {before.type}'
    if live.ready and before.type and before.medium is not Medium.OTHER and now.medium is not before.medium:
        return f'measures {now.medium.value}, but "{product.name}" was for {before.medium.value}'
    return ""


def is_empty(live: Any) -> bool:
    """Whether a device that was interviewed has nothing to read and nothing to switch."""
    values = [value_of(value) for value in list(live.values.values())]
    return not any(isinstance(found, Target) for found in map_node(values).values())


class Meant:
    """Which products wait for their device: linked as soon as it is sure that the device is the right one."""

    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        self._waiting: dict[int, Product] = {}
        self._wrong: dict[int, str] = {}
        self._lock = asyncio.Lock()

    def expect(self, node: int, product: Product) -> None:
        """That node was added for this product."""
        self._wrong.pop(node, None)
        self._waiting[node] = product

    def waits(self, node: int) -> bool:
        """Whether that node still has to be linked."""
        return node in self._waiting

    async def link(self, live: Any) -> str:
        """Link a device with the product it is meant for, where that is sure by now.

        Returns:
            Why it is not for that product; empty where it is, or where nothing was meant.

        Raises:
            StorageError: The database refused.
        """
        node = live.node_id
        async with self._lock:
            product = self._waiting.get(node)
            if product is None:
                return self._wrong.get(node, "")
            wrong = misfit(product, live)
            if wrong:
                self._wrong[node] = wrong
            elif live.ready or not product.description.type:
                await self._devices.link_product(node, product)
            else:
                return ""
            del self._waiting[node]
            return wrong

    def forget(self, node: int) -> None:
        """That node is gone."""
        self._waiting.pop(node, None)
        self._wrong.pop(node, None)
