"""A catalog for what reads telegrams, without a store behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meterkast.model.product import (
    Product,
    ProductDescription,
    ProductId,
    Property,
    PropertyDescription,
    PropertyId,
)
from meterkast.model.reading import Batch


class StubCatalog:
    """Gives ids in the order in which it is asked."""

    def __init__(self) -> None:
        self.products: dict[str, Product] = {}
        self.properties: dict[PropertyId, tuple[str, PropertyDescription]] = {}
        self.calls = 0

    def present(self, products: Sequence[ProductId]) -> None:
        """All the meters that the port shows now; nobody asks here."""

    async def declare(
        self, product: ProductDescription, properties: Sequence[PropertyDescription]
    ) -> tuple[Product, Mapping[str, Property]]:
        self.calls += 1
        known = self.products.setdefault(
            product.identity, Product(id=ProductId(len(self.products) + 1), description=product)
        )
        found = {}
        for description in properties:
            number = self._number(product.identity, description)
            found[description.key] = Property(id=number, product_id=known.id, description=description)
        return known, found

    def _number(self, identity: str, description: PropertyDescription) -> PropertyId:
        for number, (owner, other) in self.properties.items():  # noqa: B007
            if (owner, other.key) == (identity, description.key):
                break
        else:
            number = PropertyId(len(self.properties) + 1)
        self.properties[number] = (identity, description)
        return number

    def named(self, batch: Batch) -> dict[str, tuple[int, int]]:
        """A batch's values and decimals by `identity/key`."""
        named = {}
        for column, value in zip(batch.layout, batch.values, strict=True):
            identity, description = self.properties[column.property_id]
            named[f"{identity}/{description.key}"] = (value, column.decimals)
        return named
