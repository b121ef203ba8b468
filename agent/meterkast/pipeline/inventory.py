"""What one driver may ask and tell of its devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from meterkast.model.product import (
    Availability,
    InstallationMessage,
    Node,
    NodeDescription,
    NodeId,
    Pending,
    PendingDescription,
    PendingId,
    PendingStatus,
    Product,
    ProductDescription,
    ProductId,
    Property,
    PropertyDescription,
    PropertyMapping,
)
from meterkast.model.time import UtcMs
from meterkast.pipeline.keeping import Keeper
from meterkast.ports.inventory import Inventory, MeterCatalog


class DriverCatalog:
    """The catalog and the inventory as one driver sees them; see `ports.inventory.Inventory`."""

    def __init__(self, keeper: Keeper, driver: str) -> None:
        self._keeper = keeper
        self._store = keeper.store
        self._driver = driver

    async def declare(
        self, product: ProductDescription, properties: Sequence[PropertyDescription]
    ) -> tuple[Product, Mapping[str, Property]]:
        return await self._keeper.declare(self._driver, product, properties)

    def present(self, products: Sequence[ProductId]) -> None:
        self._keeper.meters.present(self._driver, products)

    async def products(self) -> Sequence[Product]:
        return await self._store.products()

    async def properties(self) -> Sequence[Property]:
        return await self._store.properties()

    async def rename_product(self, product_id: ProductId, name: str) -> Product:
        return await self._keeper.rename_product(product_id, name)

    async def nodes(self) -> Sequence[Node]:
        return await self._store.nodes()

    async def declare_node(self, node: NodeDescription) -> Node:
        return await self._keeper.reach.declare_node(node)

    async def remove_node(self, identity: str) -> None:
        await self._keeper.reach.remove_node(identity)

    async def map_properties(self, node_id: NodeId, mappings: Sequence[PropertyMapping]) -> None:
        await self._store.map_properties(node_id, mappings)

    async def available(self, product_id: ProductId, status: Availability, at_ms: UtcMs) -> None:
        await self._keeper.reach.available(product_id, status, at_ms)

    async def report(self, message: InstallationMessage) -> None:
        await self._store.report(message)

    async def pend(self, pending: PendingDescription) -> Pending:
        return await self._keeper.orders.pend(pending)

    async def update_pending(
        self, pending_id: PendingId, status: PendingStatus, *, eta_ms: UtcMs | None = None, detail: str = ""
    ) -> None:
        await self._keeper.orders.update(pending_id, status, eta_ms=eta_ms, detail=detail)

    async def pendings(self, *, open_only: bool = True, limit: int = 200) -> Sequence[Pending]:
        return await self._store.pendings(open_only=open_only, limit=limit)


if TYPE_CHECKING:
    _fits: type[Inventory] = DriverCatalog
    _shows: type[MeterCatalog] = DriverCatalog
