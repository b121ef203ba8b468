"""Products and properties: small ids that last.

A driver's names are first names only: what a person writes over them stays. Everything else that a driver
tells is kept as it was told last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import aiosqlite

from meterkast.model.datatypes import Aggregation, DatatypeId
from meterkast.model.product import (
    Medium,
    Product,
    ProductDescription,
    ProductId,
    Property,
    PropertyDescription,
    PropertyId,
)
from meterkast.model.units import Unit
from meterkast_buffer.database import Database, Row, change, known

_PRODUCT = "id, identity, name, medium, maker, model, serial, type"
_PROPERTY = (
    "id, product_id, key, name, datatype, unit, decimals, reference, fresh_ms, late_ms, sending, receiving, "
    "aggregation, emptyings, rolls_at"
)


class Catalog:
    """The tables `products` and `properties`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def products(self) -> list[Product]:
        """All products, by id."""
        rows = await self._database.rows(f"SELECT {_PRODUCT} FROM products ORDER BY id")
        return [known(self._database, _product, row) for row in rows]

    async def properties(self) -> list[Property]:
        """All properties, by id."""
        rows = await self._database.rows(f"SELECT {_PROPERTY} FROM properties ORDER BY id")
        return [known(self._database, _property, row) for row in rows]

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

    async def rename_product(self, product_id: ProductId, name: str) -> Product:
        """Give a product a person's name for it; declaring does not change it any more."""
        await self._database.transact(change("UPDATE products SET name = ? WHERE id = ?", (name, product_id)))
        rows = await self._database.rows(f"SELECT {_PRODUCT} FROM products WHERE id = ?", (product_id,))
        return known(self._database, _product, rows[0])

    async def rename_property(self, property_id: PropertyId, name: str) -> None:
        """Give a property a person's name for it; drivers do not change it any more."""
        await self._database.transact(
            change("UPDATE properties SET name = ? WHERE id = ?", (name, property_id))
        )

    async def _find(
        self, product: ProductDescription, properties: Sequence[PropertyDescription]
    ) -> tuple[Product, dict[str, Property]] | None:
        """What is stored of them; None where anything is missing or was told differently."""
        rows = await self._database.rows(
            f"SELECT {_PRODUCT} FROM products WHERE identity = ?", (product.identity,)
        )
        if not rows:
            return None
        stored = known(self._database, _product, rows[0])
        if replace(stored.description, name=product.name) != product:
            return None
        rows = await self._database.rows(
            f"SELECT {_PROPERTY} FROM properties WHERE product_id = ?", (stored.id,)
        )
        own = {prop.key: prop for prop in (known(self._database, _property, row) for row in rows)}
        for wanted in properties:
            found = own.get(wanted.key)
            if found is None or replace(found.description, name=wanted.name) != wanted:
                return None
        return stored, {wanted.key: own[wanted.key] for wanted in properties}


async def _store(
    connection: aiosqlite.Connection, product: ProductDescription, properties: Sequence[PropertyDescription]
) -> None:
    await connection.execute(
        f"INSERT INTO products ({_PRODUCT}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (identity) DO UPDATE SET medium = excluded.medium, maker = excluded.maker, "
        "model = excluded.model, serial = excluded.serial, type = excluded.type",
        (
            product.identity,
            product.name,
            product.medium.value,
            product.maker,
            product.model,
            product.serial,
            product.type,
        ),
    )
    await connection.executemany(
        f"INSERT INTO properties ({_PROPERTY}) VALUES (NULL, (SELECT id FROM products WHERE identity = ?), "
        "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (product_id, key) DO UPDATE SET "
        "datatype = excluded.datatype, unit = excluded.unit, decimals = excluded.decimals, "
        "reference = excluded.reference, fresh_ms = excluded.fresh_ms, late_ms = excluded.late_ms, "
        "sending = excluded.sending, receiving = excluded.receiving, aggregation = excluded.aggregation, "
        "emptyings = excluded.emptyings, rolls_at = excluded.rolls_at",
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
                wanted.rolls_at,
            )
            for wanted in properties
        ],
    )


def _product(row: Row) -> Product:
    number, identity, name, medium, maker, model, serial, type_ = row
    return Product(
        id=ProductId(number),
        description=ProductDescription(
            identity=identity,
            name=name,
            medium=Medium(medium),
            maker=maker,
            model=model,
            serial=serial,
            type=type_,
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
        rolls_at,
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
            rolls_at=rolls_at,
        ),
    )
