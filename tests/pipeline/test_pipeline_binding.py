"""The words of a configuration find the right property, or say what to write instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from meterkast.model.datatypes import DatatypeId
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
from meterkast.pipeline.binding import resolve
from meterkast.ports.uplink import Binding


def prop(number: int, product: int = 1, key: str = "import_t1", unit: Unit = Unit.WATT_HOUR) -> Property:
    description = PropertyDescription(key=key, name=key, datatype=DatatypeId(39), unit=unit)
    return Property(id=PropertyId(number), product_id=ProductId(product), description=description)


def product(number: int, medium: Medium, serial: str, identity: str = "", name: str = "Meter") -> Product:
    described = ProductDescription(
        identity=identity or f"p1:{serial}", name=name, medium=medium, serial=serial
    )
    return Product(id=ProductId(number), description=described)


ELECTRICITY = product(1, Medium.ELECTRICITY, "E001", name="Electricity meter")
GAS = product(2, Medium.GAS, "G002")
COLD, HOT = product(3, Medium.WATER, "W003"), product(4, Medium.WATER, "W004")
SOCKET = [
    product(5, Medium.OTHER, "", identity="zwave:c0ffee:5:0"),
    product(6, Medium.OTHER, "", identity="zwave:c0ffee:5:1"),
]
PRODUCTS = [ELECTRICITY, GAS, COLD, HOT, *SOCKET]
PROPERTIES = [
    prop(1, 1),
    prop(2, 1, "export_t1"),
    prop(3, 2, "volume", Unit.LITRE),
    prop(4, 3, "volume", Unit.LITRE),
    prop(5, 4, "volume", Unit.LITRE),
    prop(6, 5, "power"),
    prop(7, 6, "power"),
]


def asked(name: str, key: str, unit: Unit | None = None, products: Sequence[Product] = PRODUCTS) -> Any:
    found, reason = resolve(Binding(product=name, key=key, unit=unit), products, PROPERTIES, ())
    return found.id if found is not None else reason


@pytest.mark.parametrize(
    ("name", "key", "number"),
    [
        ("E001", "import_t1", 1),
        ("p1:E001", "export_t1", 2),
        ("electricity", "import_t1", 1),
        ("Electricity meter", "import_t1", 1),
        ("gas", "volume", 3),
        ("W004", "volume", 5),
        ("zwave:c0ffee:5:1", "power", 7),
        ("c0ffee:5:0", "power", 6),
    ],
)
def test_word_for_a_meter_finds_its_property(name: str, key: str, number: int) -> None:
    assert asked(name, key) == number


def test_meter_that_was_not_read_yet_is_waited_for() -> None:
    assert asked("heat", "energy") == "heat/energy: no such meter was read yet"


def test_bare_name_of_a_medium_means_the_utilitys_meter_before_any_behind_it() -> None:
    behind = product(9, Medium.GAS, "G009")
    behind = replace(behind, description=replace(behind.description, identity="zwave:c0ffee:9"))
    assert asked("gas", "volume", products=[behind, *PRODUCTS]) == 3


def test_value_that_a_meter_has_not_is_answered_with_those_it_has() -> None:
    assert asked("E001", "import_t3") == (
        "E001/import_t3: the meter has no import_t3 yet; it has import_t1, export_t1"
    )
    bare = product(9, Medium.HEAT, "H009")
    assert asked("H009", "energy", products=[bare]).endswith("it has nothing")


def test_word_that_means_two_meters_takes_neither() -> None:
    assert asked("water", "volume") == (
        "water/volume: there are 2 such devices; write one of W003, W004 instead"
    )
    assert asked("Meter", "volume").startswith("Meter/volume: there are ")
    assert asked("Meter", "power").endswith("write one of zwave:c0ffee:5:0, zwave:c0ffee:5:1 instead")
    twins = [product(3, Medium.WATER, "W", "zwave:1:1"), product(4, Medium.WATER, "W", "zwave:1:2")]
    assert asked("W", "volume", products=twins).endswith("write one of zwave:1:1, zwave:1:2 instead")


def test_litres_never_go_out_as_energy() -> None:
    assert asked("gas", "volume", Unit.LITRE) == 3
    assert asked("gas", "volume", Unit.WATT_HOUR) == "gas/volume: is kept in L, and Wh is asked for"
