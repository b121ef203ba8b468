"""The datatype table says what the myBeNext documentation says, row by row."""

from __future__ import annotations

import pytest

from meterkast.model.datatypes import DATATYPES, Aggregation, DatatypeId, Kind, ValueType
from meterkast.model.units import POWERS, Unit

# Documentation 3.3.1, in its order: id, name, suffix ("" where it has a dash).
DOCUMENTED = [
    (39, "Energy_kWh", "kWh"),
    (50, "EnergyReceived_kWh", "kWh"),
    (63, "EnergyProductionkWh", "kWh"),
    (51, "GasVolume", "m3"),
    (52, "WaterVolume", "m3"),
    (47, "GigaJouleHeat", "GJ"),
    (103, "GigaJouleCool", "GJ"),
    (3, "ScheduleOverride", "gr C"),
    (67, "Setpoint", "gr C"),
    (83, "SecureSetpoint", "gr C"),
    (12, "Temperature", "gr C"),
    (102, "HighTemperature", "gr C"),
    (1, "SwitchOrder1", ""),
    (9, "Switch", ""),
    (8, "Dimmer", "%"),
    (44, "WindowDimmer", "%"),
    (53, "Basic", "%"),
    (55, "Door lock", ""),
    (4, "LightLux", "lx"),
    (10, "Battery", "%"),
    (11, "Lux", "%"),
    (13, "Movement", ""),
    (15, "Contact", ""),
    (18, "Energy", "Watt"),
    (54, "Meter", ""),
    (56, "Sensor", ""),
    (62, "EnergyProductionWatt", "Watt"),
    (66, "Flow", "m3/h"),
    (75, "Humidity", "%"),
    (80, "CO2", "ppm"),
    (87, "Ampere", "A"),
    (88, "Voltage", "V"),
    (91, "Velocity", "m/s"),
    (92, "AirPressure", "kPa"),
    (96, "BarPressure", "bar"),
    (97, "RelativePressure", "bar"),
    (101, "PowerWattage", "Watt"),
]
REGISTERS = {39, 50, 63, 51, 52, 47, 103, 54}
RANGES = {
    67: (4, 28),
    12: (0, 50),
    102: (-40, 200),
    1: (0, 255),
    9: (0, 255),
    8: (0, 99),
    44: (0, 99),
    53: (0, 255),
    55: (0, 255),
    13: (0, 255),
    15: (0, 255),
}
NAMES = {
    1: ("Off", "On"),
    9: ("Off", "On"),
    55: ("Unlock", "Lock"),
    13: ("Idle", "Detected"),
    15: ("Closed", "Open"),
}


def test_table_has_the_documented_rows_in_their_order_and_no_other() -> None:
    assert [(row.id, row.name, row.suffix) for row in DATATYPES.values()] == DOCUMENTED


@pytest.mark.parametrize(("number", "name", "suffix"), DOCUMENTED)
def test_canonical_unit_becomes_the_suffix_by_the_rows_power(number: int, name: str, suffix: str) -> None:
    row = DATATYPES[DatatypeId(number)]
    written = {"Watt": "W", "gr C": "°C"}.get(suffix, suffix)
    unit, power = POWERS[written]
    assert (row.unit, row.power) == (unit, power)
    assert row.description


def test_registers_are_closed_by_their_last_reading_and_momentary_values_by_their_mean() -> None:
    for row in DATATYPES.values():
        assert (row.kind is Kind.REGISTER) == (row.id in REGISTERS)
        expected = {
            Kind.REGISTER: Aggregation.LAST,
            Kind.MOMENTARY: Aggregation.MEAN,
            Kind.STATE: Aggregation.LAST,
            Kind.EVENT: Aggregation.MAX,
        }
        assert row.aggregation is expected[row.kind]


def test_ranges_and_names_of_values_are_the_documented_ones() -> None:
    for number, (low, high) in RANGES.items():
        row = DATATYPES[DatatypeId(number)]
        assert (row.low, row.high) == (low, high)
    for row in DATATYPES.values():
        assert (row.low_name, row.high_name) == NAMES.get(row.id, ("", ""))
        assert (row.value_type is ValueType.BOOLEAN) == (row.id in NAMES)


def test_units_that_mean_the_same_have_the_same_canonical_unit() -> None:
    for one, other, factor in [
        ("kWh", "Wh", 3),
        ("MWh", "kWh", 3),
        ("m3", "dm3", 3),
        ("GJ", "MJ", 3),
        ("kW", "W", 3),
        ("kPa", "Pa", 3),
        ("bar", "kPa", 2),
        ("mg/m3", "µg/m3", 3),
        ("kV", "V", 3),
        ("C", "°C", 0),
        ("%RH", "%", 0),
    ]:
        assert POWERS[one][0] is POWERS[other][0]
        assert POWERS[one][1] - POWERS[other][1] == factor


def test_every_canonical_unit_a_meter_can_write_is_written_as_itself() -> None:
    written = {unit for unit, _ in POWERS.values()}
    for unit in written - {Unit.LITRE_PER_HOUR}:
        assert POWERS[unit.value] == (unit, 0)
