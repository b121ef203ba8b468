"""Devices and what is known of them: the tables put together as the `Inventory` that drivers ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from meterkast.model.product import (
    Availability,
    AvailabilityChange,
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
    PropertyId,
    PropertyMapping,
)
from meterkast.model.time import UtcMs
from meterkast.ports.inventory import Inventory
from meterkast_buffer.availabilities import Availabilities
from meterkast_buffer.catalog import Catalog
from meterkast_buffer.database import Database
from meterkast_buffer.installations import Installations
from meterkast_buffer.nodes import Nodes
from meterkast_buffer.pendings import Pendings


class SqliteInventory:
    """Products, properties and nodes with their lasting ids, and what happened to them.

    Attributes:
        database: The connection; for the checks and for what only this package may do.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._catalog = Catalog(database)
        self._nodes = Nodes(database)
        self._availabilities = Availabilities(database)
        self._installations = Installations(database)
        self._pendings = Pendings(database)

    async def declare(
        self, product: ProductDescription, properties: Sequence[PropertyDescription]
    ) -> tuple[Product, Mapping[str, Property]]:
        """The product and its properties by key, with ids; new ones are made, known ones updated."""
        return await self._catalog.declare(product, properties)

    async def products(self) -> Sequence[Product]:
        """All products, by id."""
        return await self._catalog.products()

    async def properties(self) -> Sequence[Property]:
        """All properties, by id."""
        return await self._catalog.properties()

    async def rename_product(self, product_id: ProductId, name: str) -> Product:
        """Give a product a person's name for it."""
        return await self._catalog.rename_product(product_id, name)

    async def rename_property(self, property_id: PropertyId, name: str) -> None:
        """Give a property a person's name for it."""
        await self._catalog.rename_property(property_id, name)

    async def nodes(self) -> Sequence[Node]:
        """All nodes, by id."""
        return await self._nodes.all()

    async def declare_node(self, node: NodeDescription) -> Node:
        """The node of that identity, with its id; made or updated as needed."""
        return await self._nodes.declare(node)

    async def remove_node(self, identity: str) -> None:
        """The node is no longer in its network; its product stays."""
        await self._nodes.remove(identity)

    async def map_properties(self, node_id: NodeId, mappings: Sequence[PropertyMapping]) -> None:
        """Which values of the node are which properties, from now on."""
        await self._nodes.map(node_id, mappings)

    async def property_mappings(self) -> Mapping[int, PropertyMapping]:
        """All mappings by their own ids."""
        return await self._nodes.mappings()

    async def available(self, product_id: ProductId, status: Availability, at_ms: UtcMs) -> None:
        """From when on the product can be reached or not; the same again writes nothing."""
        await self._availabilities.record(product_id, status, at_ms)

    async def newest_availabilities(self) -> Mapping[ProductId, AvailabilityChange]:
        """The newest change of each product that has any."""
        return await self._availabilities.newest()

    async def availabilities(self, after_ms: UtcMs, until_ms: UtcMs) -> Sequence[AvailabilityChange]:
        """The changes in (after, until], in the order in which they were kept."""
        return await self._availabilities.between(after_ms, until_ms)

    async def report(self, message: InstallationMessage) -> None:
        """Keep one step of an installation."""
        await self._installations.add(message)

    async def installation_messages(self, limit: int = 200) -> Sequence[InstallationMessage]:
        """The newest steps of installations, oldest first."""
        return await self._installations.newest(limit)

    async def pend(self, pending: PendingDescription) -> Pending:
        """Keep a value that is to be written, with an id."""
        return await self._pendings.add(pending)

    async def update_pending(
        self, pending_id: PendingId, status: PendingStatus, *, eta_ms: UtcMs | None = None, detail: str = ""
    ) -> None:
        """Where a value on its way is now; the same again writes nothing."""
        await self._pendings.update(pending_id, status, eta_ms, detail)

    async def pendings(self, *, open_only: bool = True, limit: int = 200) -> Sequence[Pending]:
        """The newest values on their way, oldest first; with `open_only` not those that are through."""
        return await self._pendings.newest(open_only, limit)


if TYPE_CHECKING:
    _fits: type[Inventory] = SqliteInventory
