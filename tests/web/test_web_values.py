"""How many digits of a value the page shows; programs get them all."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from meterkast.model.half_hour import HalfHour
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.words import shown

from .house import House


@pytest.mark.parametrize(
    ("unit", "value", "printed"),
    [
        ("Watt", "437.18691", "437.2"),
        ("W", "-0.04", "0.0"),
        ("Watt", "412", "412"),
        ("V", "234.65", "234.7"),
        ("A", "1.8249", "1.82"),
        ("gr C", "-3.4501", "-3.5"),
        ("%", "47.5", "47.5"),
        ("lx", "1203.6", "1204"),
        ("ppm", "612.50", "613"),
        ("m3/h", "0.012345", "0.012"),
        ("", "0.123456", "0.123"),
        ("µg/m3", "7.25", "7.3"),
    ],
)
async def test_a_measurement_has_the_digits_its_unit_is_useful_in(
    house: House, unit: str, value: str, printed: str
) -> None:
    power = house.snapshot.products[0].properties[4]
    assert shown(value, replace(power, unit=unit)) == printed


@pytest.mark.parametrize("kind", ["register", "state", "event"])
async def test_a_register_and_a_state_are_shown_digit_for_digit(house: House, kind: str) -> None:
    entry = replace(house.snapshot.products[0].properties[0], kind=kind)
    assert shown("0004821.33700", entry) == "4821.33700"


async def test_the_page_rounds_means_and_programs_get_every_digit(house: House) -> None:
    electricity, gas = house.snapshot.products
    registers, power, others = (
        electricity.properties[:4],
        electricity.properties[4],
        electricity.properties[5:],
    )
    mean = replace(power.last_half_hour, value="437.18691")
    power = replace(power, value="436.95123", last_half_hour=mean)
    house.change(products=(replace(electricity, properties=(*registers, power, *others)), gas))
    await house.keep(
        [HalfHour(property_id=PropertyId(5), end_ms=mean.end_ms, value=Quantity(43_718_691, 5), count=1800)]
    )
    _, page = await house.get("/?property=5")
    assert "<b>437.0</b> W" in page
    assert "14:30 · 437.2<" in page
    assert "<td>437.2</td>" in page
    assert 'data-value="437.2"' in page
    assert "<b>4821.337</b> kWh" in page
    assert "437.18691" not in page
    house.change(products=(replace(electricity, properties=(replace(power, fresh=False),)), gas))
    assert "last was 437.0 W" in (await house.get("/"))[1]
    _, told = await house.get("/api/half-hours?property=5")
    assert [row["value"] for row in json.loads(told)["half_hours"]] == ["437.18691"]
    _, status = await house.get("/api/status")
    assert json.loads(status)["products"][0]["properties"][0]["value"] == "436.95123"
