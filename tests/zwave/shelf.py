"""An inventory in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from meterkast.model.errors import StorageError
from meterkast.model.product import (
    Availability,
    Node,
    NodeDescription,
    NodeId,
    Product,
    ProductDescription,
    ProductId,
    Property,
    PropertyDescription,
    PropertyId,
    PropertyMapping,
)
from meterkast.model.time import UtcMs


class Shelf:
    """An inventory in memory; it keeps ids as the store does, and can refuse."""

    def __init__(self) -> None:
        self.product_rows: dict[str, Product] = {}
        self.property_rows: dict[tuple[ProductId, str], Property] = {}
        self.node_rows: dict[str, Node] = {}
        self.mappings: dict[NodeId, Sequence[PropertyMapping]] = {}
        self.availabilities: list[tuple[ProductId, Availability]] = []
        self.declared = 0
        self.node_writes = 0
        self.refusing = False
        self._ids = iter(range(1, 100_000))

    def _check(self) -> None:
        if self.refusing:
            raise StorageError("the disk is full", hint="Free some space.")

    async def products(self) -> Sequence[Product]:
        self._check()
        return list(self.product_rows.values())

    async def properties(self) -> Sequence[Property]:
        self._check()
        return list(self.property_rows.values())

    async def nodes(self) -> Sequence[Node]:
        self._check()
        return list(self.node_rows.values())

    async def declare(
        self, product: ProductDescription, properties: Sequence[PropertyDescription]
    ) -> tuple[Product, dict[str, Property]]:
        self._check()
        self.declared += 1
        known = self.product_rows.get(product.identity)
        number = known.id if known else ProductId(next(self._ids))
        made = self.product_rows[product.identity] = Product(id=number, description=product)
        found = {}
        for told in properties:
            before = self.property_rows.get((made.id, told.key))
            found[told.key] = self.property_rows[made.id, told.key] = Property(
                id=before.id if before else PropertyId(next(self._ids)), product_id=made.id, description=told
            )
        return made, found

    async def rename_product(self, product_id: ProductId, name: str) -> Product:
        self._check()
        row = next(one for one in self.product_rows.values() if one.id == product_id)
        self.product_rows[row.description.identity] = renamed = replace(
            row, description=replace(row.description, name=name)
        )
        return renamed

    async def declare_node(self, node: NodeDescription) -> Node:
        self._check()
        self.node_writes += 1
        before = self.node_rows.get(node.identity)
        row = Node(id=before.id if before else NodeId(next(self._ids)), description=node)
        self.node_rows[node.identity] = row
        return row

    async def remove_node(self, identity: str) -> None:
        self._check()
        self.node_rows.pop(identity, None)

    async def map_properties(self, node_id: NodeId, mappings: Sequence[PropertyMapping]) -> None:
        self._check()
        self.mappings[node_id] = mappings

    async def available(self, product_id: ProductId, status: Availability, at_ms: UtcMs) -> None:
        self._check()
        newest = [word for number, word in self.availabilities if number == product_id][-1:]
        if newest != [status]:
            self.availabilities.append((product_id, status))

    async def report(self, message: Any) -> None: ...

    async def pend(self, pending: Any) -> Any:
        raise NotImplementedError

    async def update_pending(self, pending_id: Any, status: Any, **more: Any) -> None: ...

    async def pendings(self, **which: Any) -> Sequence[Any]:
        return []

    def words(self, product_id: int) -> list[str]:
        """What a product's availability was, in its order."""
        return [word.value for number, word in self.availabilities if number == product_id]
