"""Whole devices as properties: recorded nodes of zwave-js, and what devices do to us."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterkast.model.datatypes import ENERGY_CONSUMED, Aggregation, Kind
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
from meterkast.ports import Binding
from meterkast_drivers.zwave.mapping import Aside, Target, map_node, map_value, number_of, raw_of
from meterkast_drivers.zwave.scales import Pulse
from meterkast_drivers.zwave.value import ZwaveValue

DATA = Path(__file__).parents[1] / "data" / "zwave"
NODES: dict[str, list[dict[str, Any]]] = json.loads((DATA / "nodes.json").read_text(encoding="utf-8"))[
    "nodes"
]
DEVICES: dict[str, list[str]] = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))["devices"]


def value_of(recorded: dict[str, Any]) -> ZwaveValue:
    metadata = recorded["metadata"]
    numbers = metadata.get("ccSpecific", {})
    return ZwaveValue(
        command_class=recorded["commandClass"],
        endpoint=recorded["endpoint"],
        property=recorded["property"],
        property_key=recorded.get("propertyKey"),
        label=metadata.get("label", ""),
        unit=metadata.get("unit", ""),
        type=metadata["type"],
        states=metadata.get("states", {}),
        cc_specific={name: number for name, number in numbers.items() if isinstance(number, int)},
        readable=metadata["readable"],
        writeable=metadata["writeable"],
        low=metadata.get("min"),
        high=metadata.get("max"),
    )


def values_of(device: str) -> list[ZwaveValue]:
    return [value_of(recorded) for recorded in NODES[device]]


def properties(device: str, pulse: Pulse | None = None) -> dict[str, Target]:
    """Targets of a recorded device, by property key."""
    values = {value.id: value for value in values_of(device)}
    found = map_node(list(values.values()), pulse)
    assert found.keys() == values.keys(), "every value goes somewhere, visibly"
    targets = [
        (target.key_at(values[id_].endpoint), target)
        for id_, target in found.items()
        if isinstance(target, Target)
    ]
    assert len(dict(targets)) == len(targets), "keys are unique"
    return dict(targets)


def readings(device: str) -> dict[str, Decimal | None]:
    """What the recording shows, by property key."""
    found = map_node(values_of(device))
    shown = {}
    for recorded in NODES[device]:
        value = value_of(recorded)
        target = found[value.id]
        if isinstance(target, Target) and target.sending:
            shown[target.key_at(value.endpoint)] = number_of(target, recorded.get("value"))
    return shown


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_is_these_properties(device: str) -> None:
    assert sorted(properties(device)) == DEVICES[device]


@pytest.mark.parametrize("device", NODES)
def test_the_order_of_values_changes_nothing(device: str) -> None:
    values = values_of(device)
    expected = map_node(values)
    shuffled = random.Random(1)
    for _ in range(5):
        shuffled.shuffle(values)
        assert map_node(values) == expected


@pytest.mark.parametrize("device", NODES)
def test_every_target_tells_why_and_every_number_fits(device: str) -> None:
    values = {value.id: value for value in values_of(device)}
    found = map_node(list(values.values()))
    for recorded in NODES[device]:
        target = found[value_of(recorded).id]
        assert target.why
        if isinstance(target, Aside):
            continue
        assert target.sending or target.receiving
        shown = recorded.get("value")
        number = number_of(target, shown)
        if shown is not None:
            assert number is not None, recorded
            assert -number.as_tuple().exponent <= target.decimals  # type: ignore[operator]


def test_registers_come_digit_for_digit() -> None:
    shown = {
        recorded["propertyKey"]: recorded["value"] for recorded in NODES["meter"] if "propertyKey" in recorded
    }
    found = readings("meter")
    assert found["import_total"] == Decimal(str(shown[65537])) * 1000
    assert found["export_total"] == Decimal(str(shown[65538])) * 1000
    assert found["power_import"] == Decimal(str(shown[66049]))
    assert readings("heat")["energy"] == Decimal("1157.4")  # 321.5 kWh in MJ
    assert readings("cooling")["energy"] == Decimal("44.1")


def test_what_a_product_measures_is_told_by_its_registers() -> None:
    assert properties("meter")["import_total"].medium is Medium.SUBMETER
    assert properties("gas")["volume"].medium is Medium.GAS
    assert properties("water")["volume"].medium is Medium.WATER
    assert properties("heat")["energy"].medium is Medium.HEAT
    assert properties("cooling")["energy"].medium is Medium.COOLING
    assert properties("climate")["co2"].medium is Medium.SENSOR
    assert properties("plug")["switch"].medium is None


def test_an_added_plug_never_becomes_the_electricity_meter() -> None:
    p1 = product_of(1, "p1:E001", Medium.ELECTRICITY)
    medium = properties("strip")["import_total_1"].medium
    assert medium is not None
    plug = product_of(2, "zwave:7e570001:3", medium)
    total = Property(
        id=PropertyId(1),
        product_id=p1.id,
        description=PropertyDescription(
            key="import_total", name="Energy", datatype=ENERGY_CONSUMED, unit=Unit.WATT_HOUR
        ),
    )
    asked = Binding(product="electricity", key="import_total")
    assert resolve(asked, [p1, plug], [total]) == (total, "")
    assert resolve(asked, [plug], [])[0] is None, "not even before the main meter was read"


def product_of(number: int, identity: str, medium: Medium) -> Product:
    described = ProductDescription(identity=identity, name=identity, medium=medium)
    return Product(id=ProductId(number), description=described)


def test_pulses_are_pulses_until_somebody_says_what_they_are_worth() -> None:
    plain = properties("water")
    assert (plain["pulses"].datatype, plain["pulses"].unit) == (54, Unit.PULSE)
    assert plain["pulses"].kind is Kind.REGISTER
    assert "pulse" in plain["pulses"].why
    worth = properties("water", Pulse.parse("10 L"))
    assert set(worth) == {"volume", "volume_pulses", "reset"}
    counted = worth["volume_pulses"]
    assert (counted.datatype, counted.unit, counted.medium) == (52, Unit.LITRE, Medium.WATER)
    assert number_of(counted, 1036) == 10360
    assert worth["volume"] == plain["volume"], "the meter's own register stays what it is"
    electric = properties("meter with every scale", Pulse.parse("0.5 Wh"))
    assert number_of(electric["import_pulses"], 3) == Decimal("1.5")
    assert electric["export_pulses"].datatype == 63


def test_a_worth_that_does_not_fit_the_meter_leaves_its_pulses_alone() -> None:
    found = properties("water", Pulse.parse("1 kWh"))
    assert found["pulses"].unit is Unit.PULSE
    assert "does not count" in found["pulses"].why


def test_weight_is_closed_by_its_maximum_with_emptyings() -> None:
    weight = properties("climate")["weight"]
    assert (weight.aggregation, weight.emptyings) == (Aggregation.MAX, True)
    assert not any(target.emptyings for key, target in properties("climate").items() if key != "weight")


def test_a_switch_is_read_from_one_value_and_written_to_another() -> None:
    switch = properties("strip")["switch_2"]
    assert (switch.write_to, switch.write_key, switch.receiving) == ("targetValue", None, True)
    assert [number_of(switch, value) for value in (True, False, 255, 0, None)] == [255, 0, 255, 0, None]
    assert raw_of(switch, Decimal(255)) is True
    assert raw_of(switch, Decimal(0)) is False
    only_state = [value for value in values_of("plug") if value.property != "targetValue"]
    assert not properties_of(only_state)["switch"].receiving


def test_a_dimmer_goes_from_0_to_99() -> None:
    dimmer = properties("dimmer")["dimmer"]
    assert (dimmer.datatype, dimmer.low, dimmer.high) == (8, 0, 99)
    assert [number_of(dimmer, level) for level in (0, 50, 99, 100, 255)] == [0, 50, 99, 99, 99]
    assert number_of(dimmer, 254) is None, "254 is unknown"
    assert raw_of(dimmer, Decimal(100)) == 99
    assert raw_of(dimmer, Decimal(42)) == 42


def test_a_multilevel_switch_that_opens_and_closes_is_a_blind() -> None:
    values = values_of("dimmer")
    up = next(value for value in values if value.property == "Up")
    others = [value for value in values if value.property not in ("Up", "Down")]
    blind = properties_of([*others, replace(up, property="Open"), replace(up, property="Close")])
    assert blind["dimmer"].datatype == 44
    assert raw_of(blind["dimmer"], Decimal(100)) == 99


def test_a_setpoint_has_the_range_of_its_device() -> None:
    heating = properties("thermostat")["setpoint_heating"]
    assert (heating.low, heating.high, heating.parameter) == (5, 30, "1")
    fahrenheit = properties("thermostat in fahrenheit")["setpoint_heating"]
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


def test_a_lock_is_locked_or_not() -> None:
    lock = properties("lock")["lock"]
    assert (lock.datatype, lock.write_to) == (55, "targetMode")
    assert [number_of(lock, mode) for mode in (255, 0, 1, 33, 254)] == [255, 0, 0, 0, None]
    assert raw_of(lock, Decimal(255)) == 255


def test_a_reset_is_an_order_of_its_own() -> None:
    found = properties("meter with every scale")
    assert found["reset"].resets
    assert found["reset_import_total"].resets
    assert found["reset_export_total"].resets
    assert not found["reset"].sending
    assert raw_of(found["reset"], Decimal(255)) is True
    assert [key for key, target in found.items() if target.resets] == [
        key for key, target in found.items() if target.receiving
    ]


def test_two_values_for_one_thing_have_two_keys() -> None:
    shown = readings("contact")
    assert shown["contact"] == 0
    assert shown["contact_sensor"] == 0
    alone = [value for value in values_of("contact") if value.command_class != 113]
    assert "contact" in properties_of(alone)
    assert readings("every notification")["movement"] == 255


def test_consumed_and_unspecified_are_the_same_register_twice() -> None:
    consumed = next(value for value in values_of("meter") if value.property_key == 65537)
    unspecified = replace(
        consumed, property_key=65536, cc_specific={"meterType": 1, "scale": 0, "rateType": 0}
    )
    assert set(properties_of([unspecified])) == {"import_total"}
    both = map_node([unspecified, consumed])
    first, second = both[consumed.id], both[unspecified.id]
    assert isinstance(first, Target)
    assert isinstance(second, Target)
    assert (first.key, second.key) == ("import_total", "import_total_unspecified")


def test_a_changed_unit_keeps_the_key() -> None:
    celsius = properties("thermostat")["temperature"]
    fahrenheit = properties("thermostat in fahrenheit")["temperature"]
    assert (celsius.key, celsius.unit, celsius.datatype) == (
        fahrenheit.key,
        fahrenheit.unit,
        fahrenheit.datatype,
    )
    assert number_of(celsius, 20.5) == Decimal("20.5")
    assert number_of(fahrenheit, 70) == Decimal("21.111")


@pytest.mark.parametrize(
    ("command_class", "why"),
    [(112, "configuration"), (114, "information"), (132, "availability"), (91, "scenes"), (99, "codes")],
)
def test_what_stands_aside_says_why(command_class: int, why: str) -> None:
    value = ZwaveValue(command_class=command_class, endpoint=0, property=1, type="number")
    found = map_value(value)
    assert isinstance(found, Aside)
    assert why in found.why


def test_what_nobody_knows_is_kept_and_says_so() -> None:
    unknown = ZwaveValue(
        command_class=200, endpoint=1, property="Flux", unit="fx", type="number", label="Flux"
    )
    found = map_value(unknown)
    assert isinstance(found, Target)
    assert (found.key_at(1), found.datatype, found.generic) == ("cc200_flux_1", 56, True)
    assert "in fx" in found.why
    assert number_of(found, 1.5) == Decimal("1.5")
    meter = replace(unknown, command_class=50, property="value")
    counted = map_value(replace(meter, cc_specific={"meterType": 9, "scale": 7, "rateType": 2}, unit="m³"))
    assert isinstance(counted, Target)
    assert (counted.key, counted.datatype, counted.unit) == ("meter_9_7_export", 54, Unit.LITRE)
    sensor = map_value(
        replace(unknown, command_class=49, unit="kPa", cc_specific={"sensorType": 99, "scale": 3})
    )
    assert isinstance(sensor, Target)
    assert (sensor.key, sensor.datatype, sensor.unit) == ("sensor_99_3", 56, Unit.PASCAL)
    # Numbers without any of the specification's are kept too; text, and orders, have nothing to keep.
    assert isinstance(map_value(replace(unknown, command_class=49)), Target)
    assert isinstance(map_value(replace(unknown, command_class=50)), Target)
    assert isinstance(map_value(replace(unknown, command_class=113)), Target)
    assert isinstance(map_value(replace(unknown, type="string")), Aside)
    assert isinstance(map_value(replace(unknown, readable=False, writeable=True)), Aside)


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
def test_what_is_no_usable_number(odd: object) -> None:
    for device in ("meter", "climate", "plug", "dimmer", "lock", "contact", "thermostat"):
        for target in properties(device).values():
            assert number_of(target, odd) is None, target.key


def test_a_boolean_is_no_measurement() -> None:
    assert number_of(properties("meter")["import_total"], True) is None
    assert number_of(properties("climate")["co2"], False) is None
    assert number_of(properties("contact")["battery"], 255) is None, "255 says low, and is no level"


@st.composite
def any_value(draw: st.DrawFn) -> ZwaveValue:
    numbers = st.integers(0, 300)
    names = st.sampled_from(
        ["meterType", "scale", "rateType", "sensorType", "notificationType", "setpointType", "parameter"]
    )
    words = st.sampled_from(["value", "reset", "currentValue", "targetValue", "level", "mode", "state"])
    return ZwaveValue(
        command_class=draw(st.integers(0, 255)),
        endpoint=draw(st.integers(0, 3)),
        property=draw(words | st.text(max_size=5) | numbers),
        property_key=draw(st.none() | numbers | st.text(max_size=5)),
        unit=draw(st.sampled_from(["", "kWh", "°F", "bananas", "m³"])),
        type=draw(st.sampled_from(["number", "boolean", "string", "any"])),
        cc_specific=draw(st.dictionaries(names, numbers, max_size=4)),
        readable=draw(st.booleans()),
        writeable=draw(st.booleans()),
        low=draw(st.none() | st.floats()),
        high=draw(st.none() | st.floats()),
    )


@given(st.lists(any_value(), max_size=12, unique_by=lambda value: value.id))
def test_whatever_a_device_shows_is_mapped_with_unique_keys(values: list[ZwaveValue]) -> None:
    properties_of(values)


def properties_of(values: list[ZwaveValue]) -> dict[str, Target]:
    known = {value.id: value for value in values}
    found = map_node(values)
    assert found.keys() == known.keys()
    targets = {i: target for i, target in found.items() if isinstance(target, Target)}
    by_key = {target.key_at(known[i].endpoint): target for i, target in targets.items()}
    assert len(by_key) == len(targets)
    return by_key
