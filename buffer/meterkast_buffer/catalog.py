"""Products, properties, nodes and property mappings: small ids that last.

A driver's names are first names only: what a person writes over them stays. Everything else that a driver
tells is kept as it was told last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import aiosqlite

from meterkast.model.datatypes import Aggregation, DatatypeId
from meterkast.model.errors import StorageError
from meterkast.model.product import (
    Medium,
    Node,
    NodeId,
    Product,
    ProductDescription,
    ProductId,
    Property,
    PropertyDescription,
    PropertyId,
    PropertyMapping,
)
from meterkast.model.units import Unit
from meterkast_buffer.database import Database, Row

T = TypeVar("T", Product, Property)

_PRODUCT = "id, identity, name, medium, maker, model, serial"
_PROPERTY = (
    "id, product_id, key, name, datatype, unit, decimals, reference, fresh_ms, late_ms, sending, receiving, "
    "aggregation, emptyings"
)


class Catalog:
    """The tables `products`, `properties`, `nodes` and `property_mappings`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def products(self) -> list[Product]:
        """All products, by id."""
        rows = await self._database.rows(f"SELECT {_PRODUCT} FROM products ORDER BY id")
        return [self._known(_product, row) for row in rows]

    async def properties(self) -> list[Property]:
        """All properties, by id."""
        rows = await self._database.rows(f"SELECT {_PROPERTY} FROM properties ORDER BY id")
        return [self._known(_property, row) for row in rows]

    async def declare(
        self, product: ProductDescription, properties: Sequence[PropertyDescription]
    ) -> tuple[Product, Mapping[str, Property]]:
        """The product and its properties by key, with ids; new ones are made, known ones updated.

        Declaring what is known already writes nothing. Properties that are not declared stay as they are.

        Raises:
            StorageError: The database refused.
        """
        found = await self._find(product, properties)
        if found is None:

            async def work(connection: aiosqlite.Connection) -> None:
                await _store(connection, product, properties)

            await self._database.transact(work)
            found = await self._find(product, properties)
            assert found is not None, "what was just kept is not there"
        return found

    async def rename_product(self, product_id: ProductId, name: str) -> None:
        """Give a product a person's name for it; drivers do not change it any more."""
        await self._change("UPDATE products SET name = ? WHERE id = ?", (name, product_id))

    async def rename_property(self, property_id: PropertyId, name: str) -> None:
        """Give a property a person's name for it; drivers do not change it any more."""
        await self._change("UPDATE properties SET name = ? WHERE id = ?", (name, property_id))

    async def declare_node(self, identity: str, product_id: ProductId | None, status: int = 0) -> Node:
        """The node of that identity, with its id; made or updated as needed.

        Args:
            identity: Unique and lasting, as its network knows it.
            product_id: The product behind it, when that is known.
            status: 0 unknown, 1 reachable, 2 unreachable (BeNext 5.3).
        """
        query = "SELECT id, identity, product_id, status FROM nodes WHERE identity = ?"
        rows = await self._database.rows(query, (identity,))
        if not rows or rows[0][2:] != (product_id, status):
            await self._change(
                "INSERT INTO nodes (identity, product_id, status) VALUES (?, ?, ?) ON CONFLICT (identity) "
                "DO UPDATE SET product_id = excluded.product_id, status = excluded.status",
                (identity, product_id, status),
            )
            rows = await self._database.rows(query, (identity,))
        return _node(rows[0])

    async def nodes(self) -> list[Node]:
        """All nodes, by id."""
        rows = await self._database.rows("SELECT id, identity, product_id, status FROM nodes ORDER BY id")
        return [_node(row) for row in rows]

    async def map_property(self, mapping: PropertyMapping) -> None:
        """Record which value of a node is which property; the newest says where it is."""
        wanted = (
            mapping.node_id,
            mapping.property_id,
            mapping.channel,
            mapping.command_class,
            mapping.parameter,
        )
        if wanted in await self._database.rows(
            "SELECT * FROM property_mappings WHERE node_id = ? AND property_id = ?", wanted[:2]
        ):
            return
        await self._change("INSERT OR REPLACE INTO property_mappings VALUES (?, ?, ?, ?, ?)", wanted)

    async def property_mappings(self) -> list[PropertyMapping]:
        """All mappings, by node and property."""
        return [
            PropertyMapping(
                node_id=NodeId(node_id),
                property_id=PropertyId(property_id),
                channel=channel,
                command_class=command_class,
                parameter=parameter,
            )
            for node_id, property_id, channel, command_class, parameter in await self._database.rows(
                "SELECT node_id, property_id, channel, command_class, parameter FROM property_mappings "
                "ORDER BY node_id, property_id"
            )
        ]

    async def _find(
        self, product: ProductDescription, properties: Sequence[PropertyDescription]
    ) -> tuple[Product, dict[str, Property]] | None:
        """What is stored of them; None where anything is missing or was told differently."""
        rows = await self._database.rows(
            f"SELECT {_PRODUCT} FROM products WHERE identity = ?", (product.identity,)
        )
        if not rows:
            return None
        stored = self._known(_product, rows[0])
        if replace(stored.description, name=product.name) != product:
            return None
        known = {
            found.key: found
            for found in (
                self._known(_property, row)
                for row in await self._database.rows(
                    f"SELECT {_PROPERTY} FROM properties WHERE product_id = ?", (stored.id,)
                )
            )
        }
        for wanted in properties:
            found = known.get(wanted.key)
            if found is None or replace(found.description, name=wanted.name) != wanted:
                return None
        return stored, {wanted.key: known[wanted.key] for wanted in properties}

    async def _change(self, sql: str, parameters: tuple[object, ...]) -> None:
        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(sql, parameters)

        await self._database.transact(work)

    def _known(self, make: Callable[[Row], T], row: Row) -> T:
        try:
            return make(row)
        except (KeyError, ValueError) as error:
            raise StorageError(
                f"{self._database.path}: device {row[0]} is stored with a word that is not known: {error}",
                hint="A newer release, or a failing card, wrote it. Install the newest release.",
            ) from error


async def _store(
    connection: aiosqlite.Connection, product: ProductDescription, properties: Sequence[PropertyDescription]
) -> None:
    await connection.execute(
        "INSERT INTO products (identity, name, medium, maker, model, serial) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (identity) DO UPDATE SET medium = excluded.medium, maker = excluded.maker, "
        "model = excluded.model, serial = excluded.serial",
        (product.identity, product.name, product.medium.value, product.maker, product.model, product.serial),
    )
    await connection.executemany(
        f"INSERT INTO properties ({_PROPERTY}) VALUES (NULL, (SELECT id FROM products WHERE identity = ?), "
        "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (product_id, key) DO UPDATE SET "
        "datatype = excluded.datatype, unit = excluded.unit, decimals = excluded.decimals, "
        "reference = excluded.reference, fresh_ms = excluded.fresh_ms, late_ms = excluded.late_ms, "
        "sending = excluded.sending, receiving = excluded.receiving, aggregation = excluded.aggregation, "
        "emptyings = excluded.emptyings",
        [
            (
                product.identity,
                wanted.key,
                wanted.name,
                wanted.datatype,
                wanted.unit.value,
                wanted.decimals,
                wanted.reference,
                wanted.fresh_ms,
                wanted.late_ms,
                wanted.sending,
                wanted.receiving,
                wanted.aggregation.value if wanted.aggregation else None,
                wanted.emptyings,
            )
            for wanted in properties
        ],
    )


def _product(row: Row) -> Product:
    number, identity, name, medium, maker, model, serial = row
    return Product(
        id=ProductId(number),
        description=ProductDescription(
            identity=identity, name=name, medium=Medium(medium), maker=maker, model=model, serial=serial
        ),
    )


def _property(row: Row) -> Property:
    (
        number,
        product_id,
        key,
        name,
        datatype,
        unit,
        decimals,
        reference,
        fresh_ms,
        late_ms,
        sending,
        receiving,
        aggregation,
        emptyings,
    ) = row
    return Property(
        id=PropertyId(number),
        product_id=ProductId(product_id),
        description=PropertyDescription(
            key=key,
            name=name,
            datatype=DatatypeId(datatype),
            unit=Unit(unit),
            decimals=decimals,
            reference=reference,
            fresh_ms=fresh_ms,
            late_ms=late_ms,
            sending=bool(sending),
            receiving=bool(receiving),
            aggregation=Aggregation(aggregation) if aggregation else None,
            emptyings=bool(emptyings),
        ),
    )


def _node(row: Row) -> Node:
    number, identity, product_id, status = row
    return Node(id=NodeId(number), identity=identity, product_id=product_id, status=status)
