"""What the P1 tests share: telegrams of our own, a meter's line, and a catalog that gives ids."""

from __future__ import annotations

import os
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from meterkast.model.product import (
    Product,
    ProductDescription,
    ProductId,
    Property,
    PropertyDescription,
    PropertyId,
)
from meterkast.model.reading import Batch
from meterkast_drivers.p1 import crc

DATA = Path(__file__).parents[1] / "data" / "p1"


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


@pytest.fixture
def catalog() -> StubCatalog:
    return StubCatalog()


@pytest.fixture
def telegram() -> Callable[[str], bytes]:
    """Reads one of our own telegrams."""
    return lambda name: (DATA / name).read_bytes()


@pytest.fixture
def own_files() -> list[Path]:
    return sorted(path for path in DATA.iterdir() if path.suffix in (".telegram", ".raw"))


@pytest.fixture
def sealed() -> Callable[[bytes], bytes]:
    """Puts the right checksum behind a telegram that ends in "!" and whatever follows it."""

    def seal(text: bytes) -> bytes:
        body = text[: text.rindex(b"!") + 1]
        return body + b"%04X\r\n" % crc.arc(body)

    return seal


@pytest.fixture
def line() -> Iterator[tuple[int, str]]:
    """A serial line: the meter's end to write to, and the port name for the driver."""
    meter_end, driver_end = os.openpty()
    tty.setraw(driver_end)  # else the kernel rewrites \r\n, which a P1 line does not
    open_ends = [meter_end, driver_end]
    yield meter_end, os.ttyname(driver_end)
    for end in open_ends:
        try:
            os.close(end)
        except OSError:
            continue  # the test unplugged it
