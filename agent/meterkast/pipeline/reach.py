"""Which products have a device in a network, and whether it can be reached."""

from __future__ import annotations

from meterkast.model.product import (
    Availability,
    AvailabilityChange,
    Node,
    NodeDescription,
    NodeId,
    NodeStatus,
    ProductId,
)
from meterkast.model.time import UtcMs
from meterkast.pipeline.meters import Meters
from meterkast.pipeline.outages import Outages
from meterkast.ports.clock import Clock
from meterkast.ports.store import Store

_BY_STATUS = {
    NodeStatus.AVAILABLE: Availability.AVAILABLE,
    NodeStatus.UNSTABLE: Availability.RETRYING,
    NodeStatus.NO_CONNECTION: Availability.UNREACHABLE,
}
"""What a node's status says of its product until its first availability is recorded."""


class Reach:
    """The nodes and the newest availability of each product, in memory as they are in the store.

    A half-hour that is missing while a product's device was out of reach or taken out gets that as its cause;
    a product whose device was taken out is retired.
    """

    def __init__(self, store: Store, clock: Clock, outages: Outages, meters: Meters) -> None:
        self._store = store
        self._clock = clock
        self._outages = outages
        self._meters = meters
        self._nodes: dict[NodeId, Node] = {}
        self._newest: dict[ProductId, AvailabilityChange] = {}

    async def load(self) -> None:
        """Take up where the last run ended.

        Raises:
            StorageError: The database cannot be read.
        """
        self._nodes = {node.id: node for node in await self._store.nodes()}
        self._newest = dict(await self._store.newest_availabilities())
        for change in self._newest.values():
            if self.removed(change.product_id):
                # Not before that; when exactly is not kept.
                self._outages.removed(change.product_id, change.at_ms)
            else:
                self._outages.reachable(change.product_id, change.status, change.at_ms)

    async def declare_node(self, node: NodeDescription) -> Node:
        """See `ports.inventory.Inventory`. Somebody waits for the product that it fills from now on."""
        made = await self._store.declare_node(node)
        before, self._nodes[made.id] = self._nodes.get(made.id), made
        filled = before.description.product_id if before is not None else None
        # A row also changes with its status: a retired product is back with a device, or with a reading.
        if node.product_id is not None and node.product_id != filled:
            self._outages.filled(node.product_id, self._clock.now_ms())
            self._meters.revive(node.product_id, self._clock.now_ms())
        return made

    async def remove_node(self, identity: str) -> None:
        """See `ports.inventory.Inventory`. From now on nobody waits for its product."""
        await self._store.remove_node(identity)
        for node in list(self._nodes.values()):
            if node.description.identity == identity:
                del self._nodes[node.id]
                product_id = node.description.product_id
                if product_id is not None and self._node_of(product_id) is None:
                    self._outages.removed(product_id, self._clock.now_ms())
                    self._meters.retire(product_id, self._clock.now_ms())

    async def available(self, product_id: ProductId, status: Availability, at_ms: UtcMs) -> None:
        """See `ports.inventory.Inventory`."""
        self._outages.reachable(product_id, status, at_ms)
        known = self._newest.get(product_id)
        if known is None or known.status is not status:
            self._newest[product_id] = AvailabilityChange(product_id=product_id, status=status, at_ms=at_ms)
        await self._store.available(product_id, status, at_ms)

    def of(self, product_id: ProductId) -> Availability | None:
        """Whether the product can be reached; None where it has no device in a network."""
        if (node := self._node_of(product_id)) is None:
            return None
        known = self._newest.get(product_id)
        return _BY_STATUS[node.description.status] if known is None else known.status

    def since_ms(self, product_id: ProductId) -> UtcMs | None:
        """Since when that is so; None where that is not known."""
        known = self._newest.get(product_id)
        return None if known is None else known.at_ms

    def removed(self, product_id: ProductId) -> bool:
        """Whether the product had a device, and that was taken out of its network."""
        return product_id in self._newest and self._node_of(product_id) is None

    def _node_of(self, product_id: ProductId) -> Node | None:
        return next(
            (node for node in self._nodes.values() if node.description.product_id == product_id), None
        )
