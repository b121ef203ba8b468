"""The port to the devices: a driver declares what it reads, and gets lasting ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

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


class Catalog(Protocol):
    """Gives devices and their values lasting ids."""

    async def declare(
        self, product: ProductDescription, properties: Sequence[PropertyDescription]
    ) -> tuple[Product, Mapping[str, Property]]:
        """The product and its properties by key, with ids; new ones are made, known ones updated.

        Declaring part of a product's properties leaves the others as they are.

        Raises:
            StorageError: The database refused.
        """


class MeterCatalog(Catalog, Protocol):
    """The catalog of a driver whose port shows meters, all of them with every telegram."""

    def present(self, products: Sequence[ProductId]) -> None:
        """All the meters that the port shows now: one that is missing was swapped for one that is new."""


class Inventory(Catalog, Protocol):
    """The catalog of a driver that knows its devices as nodes of a network.

    Every method raises StorageError when the database refuses.
    """

    async def products(self) -> Sequence[Product]:
        """All there are, other drivers' too."""

    async def properties(self) -> Sequence[Property]:
        """All there are, other drivers' too."""

    async def rename_product(self, product_id: ProductId, name: str) -> Product:
        """Give a product a person's name for it."""

    async def nodes(self) -> Sequence[Node]:
        """All there are, other drivers' too."""

    async def declare_node(self, node: NodeDescription) -> Node:
        """The node of that identity, with its id; made or updated as needed."""

    async def remove_node(self, identity: str) -> None:
        """The node is no longer in its network: what waits for it fails. Its product and history stay."""

    async def map_properties(self, node_id: NodeId, mappings: Sequence[PropertyMapping]) -> None:
        """Which values of the node are which properties, from now on."""

    async def available(self, product_id: ProductId, status: Availability, at_ms: UtcMs) -> None:
        """From when on the product can be reached or not; the same again writes nothing."""

    async def report(self, message: InstallationMessage) -> None:
        """Keep one step of an installation."""

    async def pend(self, pending: PendingDescription) -> Pending:
        """Keep a value that is to be written, with an id."""

    async def update_pending(
        self, pending_id: PendingId, status: PendingStatus, *, eta_ms: UtcMs | None = None, detail: str = ""
    ) -> None:
        """Where a value on its way is now."""

    async def pendings(self, *, open_only: bool = True, limit: int = 200) -> Sequence[Pending]:
        """Values on their way, oldest first; with `open_only` those in WAKEUP or SENDING alone."""
