"""The mapping against zwave-js' own tables: every meter, sensor and notification that it knows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from meterkast.model.datatypes import DATATYPES
from meterkast.model.product import Medium
from meterkast.model.units import Unit
from meterkast_drivers.zwave.mapping import Target, map_value
from meterkast_drivers.zwave.value import ZwaveValue

# One of each unit of zwave-js in canonical units, by the definitions of the units. What a unit goes to may
# depend on the quantity: by (unit, canonical unit).
FOOT, INCH, POUND = Fraction("0.3048"), Fraction("0.0254"), Fraction("0.45359237")
GALLON = 231 * INCH**3 * 1000
POUND_FORCE = POUND * Fraction("9.80665")
WORTH: dict[tuple[str, Unit], Fraction] = {
    ("kWh", Unit.WATT_HOUR): Fraction(1000),
    ("kWh", Unit.MEGAJOULE): Fraction(36, 10),
    ("kVAh", Unit.VOLT_AMPERE_HOUR): Fraction(1000),
    ("kVar", Unit.VAR): Fraction(1000),
    ("kVarh", Unit.VAR_HOUR): Fraction(1000),
    ("W", Unit.WATT): Fraction(1),
    ("Btu/h", Unit.WATT): Fraction("1055.05585262") / 3600,
    ("V", Unit.VOLT): Fraction(1),
    ("mV", Unit.VOLT): Fraction(1, 1000),
    ("mV", Unit.MILLIVOLT): Fraction(1),
    ("A", Unit.AMPERE): Fraction(1),
    ("mA", Unit.AMPERE): Fraction(1, 1000),
    ("Hz", Unit.HERTZ): Fraction(1),
    ("kHz", Unit.HERTZ): Fraction(1000),
    ("Hz", Unit.REVOLUTION_PER_MINUTE): Fraction(60),
    ("rpm", Unit.REVOLUTION_PER_MINUTE): Fraction(1),
    ("m³", Unit.LITRE): Fraction(1000),
    ("ft³", Unit.LITRE): FOOT**3 * 1000,
    ("gal", Unit.LITRE): GALLON,
    ("gallon", Unit.LITRE): GALLON,
    ("l", Unit.LITRE): Fraction(1),
    ("m³/h", Unit.LITRE_PER_HOUR): Fraction(1000),
    ("cfm", Unit.LITRE_PER_HOUR): FOOT**3 * 1000 * 60,
    ("l/h", Unit.LITRE_PER_HOUR): Fraction(1),
    ("°C", Unit.CELSIUS): Fraction(1),
    ("°F", Unit.CELSIUS): Fraction(1 - 32) * 5 / 9,
    ("%", Unit.PERCENT): Fraction(1),
    ("Lux", Unit.LUX): Fraction(1),
    ("g/m³", Unit.GRAM_PER_CUBIC_METRE): Fraction(1),
    ("mg/l", Unit.MILLIGRAM_PER_LITRE): Fraction(1),
    ("mol/m³", Unit.MOLE_PER_CUBIC_METRE): Fraction(1),
    ("µg/m³", Unit.MICROGRAM_PER_CUBIC_METRE): Fraction(1),
    ("m³/m³", Unit.CUBIC_METRE_PER_CUBIC_METRE): Fraction(1),
    ("ppm", Unit.PARTS_PER_MILLION): Fraction(1),
    ("ppm", Unit.PARTS_PER_BILLION): Fraction(1000),
    ("bq/m³", Unit.BECQUEREL_PER_CUBIC_METRE): Fraction(1),
    ("pCi/l", Unit.BECQUEREL_PER_CUBIC_METRE): Fraction("0.037") * 1000,
    ("pH", Unit.PH): Fraction(1),
    ("aw", Unit.NONE): Fraction(1),
    ("kPa", Unit.PASCAL): Fraction(1000),
    ("inHg", Unit.PASCAL): Fraction("3386.389"),
    ("psi", Unit.PASCAL): POUND_FORCE / INCH**2,
    ("mmHg", Unit.MILLIMETRE_OF_MERCURY): Fraction(1),
    ("m/s", Unit.METRE_PER_SECOND): Fraction(1),
    ("Mph", Unit.METRE_PER_SECOND): 5280 * FOOT / 3600,
    ("m/s²", Unit.METRE_PER_SQUARE_SECOND): Fraction(1),
    ("W/m²", Unit.WATT_PER_SQUARE_METRE): Fraction(1),
    ("mm/h", Unit.MILLIMETRE_PER_HOUR): Fraction(1),
    ("in/h", Unit.MILLIMETRE_PER_HOUR): INCH * 1000,
    ("m", Unit.METRE): Fraction(1),
    ("cm", Unit.METRE): Fraction(1, 100),
    ("ft", Unit.METRE): FOOT,
    ("°", Unit.DEGREE): Fraction(1),
    ("°N", Unit.DEGREE): Fraction(1),
    ("°S", Unit.DEGREE): Fraction(1),
    ("kg", Unit.KILOGRAM): Fraction(1),
    ("lb", Unit.KILOGRAM): POUND,
    ("N", Unit.NEWTON): Fraction(1),
    ("J", Unit.JOULE): Fraction(1),
    ("bpm", Unit.PER_MINUTE): Fraction(1),
    ("Ωm", Unit.OHM_METRE): Fraction(1),
    ("kΩ", Unit.OHM): Fraction(1000),
    ("S/m", Unit.SIEMENS_PER_METRE): Fraction(1),
    ("dB", Unit.DECIBEL): Fraction(1),
    ("dBA", Unit.DECIBEL_A): Fraction(1),
    ("dBm", Unit.DECIBEL_MILLIWATT): Fraction(1),
    ("s", Unit.SECOND): Fraction(1),
    ("", Unit.NONE): Fraction(1),
    ("", Unit.PULSE): Fraction(1),
}

# Meters and sensors that BeNext has no datatype for, kept as 54 Meter and 56 Sensor. A new zwave-js that
# knows more shows up here.
EXPECTED = json.loads(Path(__file__).parents[1].joinpath("data", "zwave", "expected.json").read_text())
# What no property should be without: key, datatype, canonical unit, by sensor type and scale (RESET's units).
WANTED_SENSORS = {
    (1, 0): ("temperature", 12, Unit.CELSIUS),
    (1, 1): ("temperature", 12, Unit.CELSIUS),
    (64, 0): ("outside_temperature", 102, Unit.CELSIUS),
    (64, 1): ("outside_temperature", 102, Unit.CELSIUS),
    (23, 0): ("water_temperature", 102, Unit.CELSIUS),
    (5, 0): ("humidity", 75, Unit.PERCENT),
    (17, 0): ("co2", 80, Unit.PARTS_PER_MILLION),
    (39, 1): ("tvoc", 56, Unit.PARTS_PER_BILLION),
    (35, 1): ("pm2p5", 56, Unit.MICROGRAM_PER_CUBIC_METRE),
    (59, 1): ("pm10", 56, Unit.MICROGRAM_PER_CUBIC_METRE),
    (3, 0): ("light_percent", 11, Unit.PERCENT),
    (3, 1): ("light", 4, Unit.LUX),
    (14, 0): ("weight", 56, Unit.KILOGRAM),
    (14, 1): ("weight", 56, Unit.KILOGRAM),
    (9, 0): ("barometric_pressure", 92, Unit.PASCAL),
    (56, 0): ("water_flow", 66, Unit.LITRE_PER_HOUR),
    (57, 0): ("water_pressure", 97, Unit.PASCAL),
    (67, 0): ("ph", 56, Unit.PH),
    (68, 0): ("orp", 56, Unit.MILLIVOLT),
    (6, 1): ("velocity", 91, Unit.METRE_PER_SECOND),
}
WANTED_METERS = {
    # meter type, scale, rate: key, datatype, canonical unit, medium.
    (1, 0, 1): ("import_total", 39, Unit.WATT_HOUR, Medium.SUBMETER),
    (1, 0, 2): ("export_total", 63, Unit.WATT_HOUR, Medium.SUBMETER),
    (1, 2, 1): ("power_import", 18, Unit.WATT, Medium.SUBMETER),
    (1, 2, 2): ("power_export", 62, Unit.WATT, Medium.SUBMETER),
    (1, 4, 1): ("voltage", 88, Unit.VOLT, Medium.SUBMETER),
    (1, 5, 1): ("current", 87, Unit.AMPERE, Medium.SUBMETER),
    **{(2, scale, 1): ("volume", 51, Unit.LITRE, Medium.GAS) for scale in (0, 1)},
    **{(3, scale, 1): ("volume", 52, Unit.LITRE, Medium.WATER) for scale in (0, 1, 2)},
    (4, 0, 1): ("energy", 47, Unit.MEGAJOULE, Medium.HEAT),
    (5, 0, 1): ("energy", 103, Unit.MEGAJOULE, Medium.COOLING),
}


def of_meter(kind: int, scale: int, unit: str, rate: int) -> ZwaveValue:
    return ZwaveValue(
        command_class=50,
        endpoint=0,
        property="value",
        property_key=kind << 16 | scale << 8 | rate,
        unit=unit,
        type="number",
        cc_specific={"meterType": kind, "scale": scale, "rateType": rate},
    )


def of_sensor(kind: int, scale: int, label: str, unit: str) -> ZwaveValue:
    return ZwaveValue(
        command_class=49,
        endpoint=0,
        property=label,
        label=label,
        unit=unit,
        type="number",
        cc_specific={"sensorType": kind, "scale": scale},
    )


def mapped(value: ZwaveValue) -> Target:
    found = map_value(value)
    assert isinstance(found, Target), value
    return found


def meters(tables: Any) -> Iterator[tuple[tuple[int, int, int], dict[str, Any], Target]]:
    for meter in tables["meters"]:
        for scale in meter["scales"]:
            for rate in sorted(tables["rates"].values()):
                numbers = (meter["key"], scale["key"], rate)
                yield numbers, scale, mapped(of_meter(*numbers[:2], scale["unit"], rate))


def sensors(tables: Any) -> Iterator[tuple[tuple[int, int], dict[str, Any], Target]]:
    for sensor in tables["sensors"]:
        for scale in sensor["scales"]:
            numbers = (sensor["key"], scale["key"])
            yield numbers, scale, mapped(of_sensor(*numbers, sensor["label"], scale["unit"]))


def is_a_row(target: Target, unit: str, where: tuple[int, ...]) -> None:
    """It is in the table, and agrees with its unit and its datatype."""
    assert "not in the table" not in target.why, where
    assert DATATYPES[target.datatype].unit in (target.unit, Unit.NONE), where
    assert target.kind is DATATYPES[target.datatype].kind, where
    worth = WORTH[unit, target.unit]
    got = Fraction(target.conversion.to_canonical(Decimal(1)))
    assert abs(got - worth) <= Fraction(1, 2 * 10**target.decimals), where
    if unit != "°F":
        assert target.conversion.factor == worth, where


def test_every_scale_of_every_meter_has_a_row_that_agrees_with_its_unit(tables: Any) -> None:
    seen = dict[tuple[int, str, bool], str]()
    for numbers, scale, target in meters(tables):
        is_a_row(target, scale["unit"], numbers)
        assert target.parameter == str(numbers[1])
        assert not target.receiving
        assert target.medium is not None
        seen[numbers[0], target.key, numbers[2] == 2] = scale["unit"]
    assert len(tables["meters"]) == 5
    # Consumed and produced never share a register.
    consumed = {key[:2] for key in seen if not key[2]}
    assert not consumed & {key[:2] for key in seen if key[2]}


def test_the_meters_without_a_datatype_are_those_that_are_known(tables: Any) -> None:
    generic = {target.key for _, _, target in meters(tables) if target.generic}
    assert sorted(generic) == EXPECTED["generic meters"]


def test_energy_gas_water_and_heat_are_what_they_should_be(tables: Any) -> None:
    found = {numbers: target for numbers, _, target in meters(tables)}
    for numbers, wanted in WANTED_METERS.items():
        target = found[numbers]
        assert (target.key, target.datatype, target.unit, target.medium) == wanted, numbers
        unspecified = found[(*numbers[:2], 0)]
        if numbers[2] == 1:  # a meter without rate types counts what is consumed
            assert (unspecified.key, unspecified.datatype) == (target.key, target.datatype)
    # A unit of energy or volume of zwave-js that is in no row of WANTED_METERS would be a surprise.
    for numbers, scale, target in meters(tables):
        if scale["unit"] in ("kWh", "m³", "ft³", "gal") and numbers[2] == 1:
            assert numbers in WANTED_METERS, numbers
            assert not target.generic


def test_every_scale_of_every_sensor_has_a_row_that_agrees_with_its_unit(tables: Any) -> None:
    keys = dict[str, int]()
    for numbers, scale, target in sensors(tables):
        is_a_row(target, scale["unit"], numbers)
        assert target.parameter == str(numbers[0])
        assert keys.setdefault(target.key, numbers[0]) == numbers[0], "two types share a key"
        assert target.emptyings == (numbers[0] == 14)
    assert len(tables["sensors"]) >= 88


def test_scales_of_one_key_are_units_of_one_quantity(tables: Any) -> None:
    units = dict[str, Unit]()
    for numbers, _, target in sensors(tables):
        assert units.setdefault(target.key, target.unit) is target.unit, numbers


def test_the_sensors_without_a_datatype_are_those_that_are_known(tables: Any) -> None:
    generic = {target.key for _, _, target in sensors(tables) if target.generic}
    assert sorted(generic) == EXPECTED["generic sensors"]


def test_climate_and_air_are_what_they_should_be(tables: Any) -> None:
    found = {numbers: target for numbers, _, target in sensors(tables)}
    for numbers, wanted in WANTED_SENSORS.items():
        target = found[numbers]
        assert (target.key, target.datatype, target.unit) == wanted, numbers
    for numbers, scale, target in sensors(tables):
        if scale["unit"] in ("°C", "°F"):
            assert target.datatype in (12, 102), numbers
            assert target.key.endswith("temperature") or target.key == "dew_point"
