"""Numbers of recorded devices: what is read of them, and what is written to them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from meterkast_drivers.zwave.mapping import Target, map_value, number_of, raw_of
from meterkast_drivers.zwave.value import ZwaveValue


def test_registers_come_digit_for_digit(recorded: Any) -> None:
    shown = {one["propertyKey"]: one["value"] for one in recorded.nodes["meter"] if "propertyKey" in one}
    found = recorded.readings("meter")
    assert found["import_total"] == Decimal(str(shown[65537])) * 1000
    assert found["export_total"] == Decimal(str(shown[65538])) * 1000
    assert found["power_import"] == Decimal(str(shown[66049]))
    assert recorded.readings("heat")["energy"] == Decimal("1157.4")  # 321.5 kWh in MJ
    assert recorded.readings("cooling")["energy"] == Decimal("44.1")


def test_a_switch_is_read_from_one_value_and_written_to_another(recorded: Any) -> None:
    switch = recorded.properties("strip")["switch_2"]
    assert (switch.write_to, switch.write_key, switch.receiving) == ("targetValue", None, True)
    assert [number_of(switch, value) for value in (True, False, 255, 0, None)] == [255, 0, 255, 0, None]
    assert raw_of(switch, Decimal(255)) is True
    assert raw_of(switch, Decimal(0)) is False
    only_state = [value for value in recorded.values("plug") if value.property != "targetValue"]
    assert not recorded.keyed(only_state)["switch"].receiving


def test_a_dimmer_goes_from_0_to_99(recorded: Any) -> None:
    dimmer = recorded.properties("dimmer")["dimmer"]
    assert (dimmer.datatype, dimmer.low, dimmer.high) == (8, 0, 99)
    assert [number_of(dimmer, level) for level in (0, 50, 99, 100, 255)] == [0, 50, 99, 99, 99]
    assert number_of(dimmer, 254) is None, "254 is unknown"
    assert raw_of(dimmer, Decimal(100)) == 99
    assert raw_of(dimmer, Decimal(42)) == 42


def test_a_multilevel_switch_that_opens_and_closes_is_a_blind(recorded: Any) -> None:
    values = recorded.values("dimmer")
    up = next(value for value in values if value.property == "Up")
    others = [value for value in values if value.property not in ("Up", "Down")]
    blind = recorded.keyed([*others, replace(up, property="Open"), replace(up, property="Close")])
    assert blind["dimmer"].datatype == 44
    assert raw_of(blind["dimmer"], Decimal(100)) == 99


def test_a_setpoint_has_the_range_of_its_device(recorded: Any) -> None:
    heating = recorded.properties("thermostat")["setpoint_heating"]
    assert (heating.low, heating.high, heating.parameter) == (5, 30, "1")
    fahrenheit = recorded.properties("thermostat in fahrenheit")["setpoint_heating"]
    assert (fahrenheit.low, fahrenheit.high) == (Decimal("4.444"), 30)
    assert number_of(fahrenheit, 70) == Decimal("21.111")
    assert raw_of(fahrenheit, Decimal("21.111")) == 70
    assert raw_of(fahrenheit, Decimal("21.5")) == 70.7
    silent = ZwaveValue(
        command_class=67,
        endpoint=0,
        property="setpoint",
        property_key=1,
        unit="°C",
        type="number",
        writeable=True,
        cc_specific={"setpointType": 1},
    )
    target = map_value(silent)
    assert isinstance(target, Target)
    assert (target.low, target.high) == (4, 28), "BeNext's range, where the device tells none"


def test_a_lock_is_locked_or_not(recorded: Any) -> None:
    lock = recorded.properties("lock")["lock"]
    assert (lock.datatype, lock.write_to) == (55, "targetMode")
    assert [number_of(lock, mode) for mode in (255, 0, 1, 33, 254)] == [255, 0, 0, 0, None]
    assert raw_of(lock, Decimal(255)) == 255


def test_a_changed_unit_keeps_the_key(recorded: Any) -> None:
    celsius = recorded.properties("thermostat")["temperature"]
    fahrenheit = recorded.properties("thermostat in fahrenheit")["temperature"]
    assert (celsius.key, celsius.unit, celsius.datatype) == (
        fahrenheit.key,
        fahrenheit.unit,
        fahrenheit.datatype,
    )
    assert number_of(celsius, 20.5) == Decimal("20.5")
    assert number_of(fahrenheit, 70) == Decimal("21.111")


@pytest.mark.parametrize(
    "odd",
    [
        None,
        float("nan"),
        float("inf"),
        float("-inf"),
        1e300,
        "21.5",
        "",
        b"\x01",
        {"value": 0, "unit": "seconds"},
        [1],
    ],
)
def test_what_is_no_usable_number(odd: object, recorded: Any) -> None:
    for device in ("meter", "climate", "plug", "dimmer", "lock", "contact", "thermostat"):
        for target in recorded.properties(device).values():
            assert number_of(target, odd) is None, target.key


def test_a_boolean_is_no_measurement(recorded: Any) -> None:
    assert number_of(recorded.properties("meter")["import_total"], True) is None
    assert number_of(recorded.properties("climate")["co2"], False) is None
    assert number_of(recorded.properties("contact")["battery"], 255) is None, "255 says low, and is no level"
