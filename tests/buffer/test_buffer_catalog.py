"""Ids that last, and names that people gave."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from meterkast.model.datatypes import ENERGY_CONSUMED, METER, VOLTAGE, Aggregation
from meterkast.model.product import (
    Medium,
    ProductDescription,
    PropertyDescription,
)
from meterkast.model.units import Unit
from meterkast_buffer import SqliteStore
from meterkast_buffer.database import change

METER_A = ProductDescription(
    identity="p1:E0001",
    name="Electricity meter",
    medium=Medium.ELECTRICITY,
    maker="Landis",
    serial="E0001",
    type="Meter",
)
METER_B = replace(METER_A, identity="p1:E0002", serial="E0002")
IMPORT = PropertyDescription(
    key="import_t1", name="Import T1", datatype=ENERGY_CONSUMED, unit=Unit.WATT_HOUR, reference="1-0:1.8.1"
)
VOLTS = PropertyDescription(
    key="voltage_l1",
    name="Voltage L1",
    datatype=VOLTAGE,
    unit=Unit.VOLT,
    decimals=1,
    fresh_ms=5,
    late_ms=7,
    sending=False,
    receiving=True,
    aggregation=Aggregation.MAX,
    emptyings=True,
)

Open = Callable[..., Awaitable[SqliteStore]]


async def test_a_declared_product_comes_back_as_described_and_keeps_its_ids(
    path: Path, store: SqliteStore, opened: Open
) -> None:
    product, properties = await store.declare(METER_A, [IMPORT, VOLTS])
    assert product.description == METER_A
    assert {key: found.description for key, found in properties.items()} == {
        "import_t1": IMPORT,
        "voltage_l1": VOLTS,
    }
    assert all(found.product_id == product.id for found in properties.values())
    await store.close()
    again = await opened(path)
    assert await again.declare(METER_A, [IMPORT, VOLTS]) == (product, properties)
    assert await again.products() == [product]
    assert await again.properties() == list(properties.values())
    await again.close()


async def test_declaring_what_is_known_writes_nothing(store: SqliteStore) -> None:
    await store.declare(METER_A, [IMPORT])
    before = store.storage().writes
    await store.declare(METER_A, [IMPORT])
    assert store.storage().writes == before


async def test_declaring_a_part_leaves_the_others(store: SqliteStore) -> None:
    _, first = await store.declare(METER_A, [IMPORT])
    _, second = await store.declare(METER_A, [VOLTS])
    assert set(second) == {"voltage_l1"}
    assert await store.properties() == [first["import_t1"], second["voltage_l1"]]


async def test_equal_keys_of_two_products_are_two_properties(store: SqliteStore) -> None:
    one, first = await store.declare(METER_A, [IMPORT])
    two, second = await store.declare(METER_B, [IMPORT])
    assert one.id != two.id
    assert first["import_t1"].id != second["import_t1"].id


async def test_a_name_that_a_person_gave_stays(store: SqliteStore) -> None:
    product, properties = await store.declare(METER_A, [IMPORT])
    assert (await store.rename_product(product.id, "Shop")).name == "Shop"
    await store.rename_property(properties["import_t1"].id, "Night")
    changed = replace(IMPORT, name="Import tariff 1", decimals=3)
    again, found = await store.declare(replace(METER_A, name="Meter", model="E350"), [changed])
    assert (again.id, again.name, again.description.model) == (product.id, "Shop", "E350")
    assert found["import_t1"].id == properties["import_t1"].id
    assert found["import_t1"].description == replace(changed, name="Night")


async def test_what_a_driver_tells_differently_is_taken_over(store: SqliteStore) -> None:
    await store.declare(METER_A, [IMPORT])
    other = replace(
        VOLTS,
        key="import_t1",
        name=IMPORT.name,
        datatype=METER,
        unit=Unit.NONE,
        aggregation=None,
        emptyings=False,
    )
    _, found = await store.declare(replace(METER_A, medium=Medium.OTHER), [other])
    assert found["import_t1"].description == other
    assert (await store.products())[0].description.medium is Medium.OTHER


async def test_product_and_property_ids_are_never_used_again(
    path: Path, store: SqliteStore, opened: Open
) -> None:
    product, properties = await store.declare(METER_A, [IMPORT])
    await store.database.transact(change("DELETE FROM properties", ()))
    await store.database.transact(change("DELETE FROM products", ()))
    await store.close()
    again = await opened(path)
    newer, found = await again.declare(METER_A, [IMPORT])
    assert newer.id > product.id
    assert found["import_t1"].id > properties["import_t1"].id
    await again.close()


async def test_small_texts_are_kept_by_scope_and_key(path: Path, store: SqliteStore) -> None:
    await store.set_state("reset", "definition", "abc")
    await store.set_state("wattics", "definition", "")
    await store.set_state("reset", "definition", "déf")
    assert await store.get_state("reset", "definition") == "déf"
    assert await store.get_state("wattics", "definition") == ""
    assert await store.get_state("reset", "other") is None
    before = store.storage().writes
    await store.set_state("reset", "definition", "déf")
    assert store.storage().writes == before
