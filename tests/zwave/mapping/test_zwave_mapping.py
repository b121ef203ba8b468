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
from meterkast.ports.uplink import Binding
from meterkast_drivers.zwave.mapping import Aside, Target, map_node, map_value, number_of, raw_of
from meterkast_drivers.zwave.scales import Pulse
from meterkast_drivers.zwave.value import ZwaveValue

DATA = Path(__file__).parents[2] / "data" / "zwave"
NODES = list(json.loads((DATA / "nodes.json").read_text(encoding="utf-8"))["nodes"])
DEVICES: dict[str, list[str]] = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))["devices"]


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_is_these_properties(device: str, recorded: Any) -> None:
    assert sorted(recorded.properties(device)) == DEVICES[device]


@pytest.mark.parametrize("device", NODES)
def test_the_order_of_values_changes_nothing(device: str, recorded: Any) -> None:
    values = recorded.values(device)
    expected = map_node(values)
    shuffled = random.Random(1)
    for _ in range(5):
        shuffled.shuffle(values)
        assert map_node(values) == expected


@pytest.mark.parametrize("device", NODES)
def test_every_target_tells_why_and_every_number_fits(device: str, recorded: Any) -> None:
    values = {value.id: value for value in recorded.values(device)}
    found = map_node(list(values.values()))
    for one in recorded.nodes[device]:
        target = found[recorded.value(one).id]
        assert target.why
        if isinstance(target, Aside):
            continue
        assert target.sending or target.receiving
        shown = one.get("value")
        number = number_of(target, shown)
        if shown is not None:
            assert number is not None, one
            assert -number.as_tuple().exponent <= target.decimals  # type: ignore[operator]


def test_what_a_product_measures_is_told_by_its_registers(recorded: Any) -> None:
    assert recorded.properties("meter")["import_total"].medium is Medium.SUBMETER
    assert recorded.properties("gas")["volume"].medium is Medium.GAS
    assert recorded.properties("water")["volume"].medium is Medium.WATER
    assert recorded.properties("heat")["energy"].medium is Medium.HEAT
    assert recorded.properties("cooling")["energy"].medium is Medium.COOLING
    assert recorded.properties("climate")["co2"].medium is Medium.SENSOR
    assert recorded.properties("plug")["switch"].medium is None


def test_an_added_plug_never_becomes_the_electricity_meter(recorded: Any) -> None:
    p1 = product_of(1, "p1:E001", Medium.ELECTRICITY)
    medium = recorded.properties("strip")["import_total_1"].medium
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
    assert resolve(asked, [p1, plug], [total], ()) == (total, "")
    assert resolve(asked, [plug], [], ())[0] is None, "not even before the main meter was read"


def product_of(number: int, identity: str, medium: Medium) -> Product:
    described = ProductDescription(identity=identity, name=identity, medium=medium)
    return Product(id=ProductId(number), description=described)


def test_pulses_are_pulses_until_somebody_says_what_they_are_worth(recorded: Any) -> None:
    plain = recorded.properties("water")
    assert (plain["pulses"].datatype, plain["pulses"].unit) == (54, Unit.PULSE)
    assert plain["pulses"].kind is Kind.REGISTER
    assert "pulse" in plain["pulses"].why
    worth = recorded.properties("water", Pulse.parse("10 L"))
    assert set(worth) == {"volume", "volume_pulses", "reset"}
    counted = worth["volume_pulses"]
    assert (counted.datatype, counted.unit, counted.medium) == (52, Unit.LITRE, Medium.WATER)
    assert number_of(counted, 1036) == 10360
    assert worth["volume"] == plain["volume"], "the meter's own register stays what it is"
    electric = recorded.properties("meter with every scale", Pulse.parse("0.5 Wh"))
    assert number_of(electric["import_pulses"], 3) == Decimal("1.5")
    assert electric["export_pulses"].datatype == 63


def test_a_worth_that_does_not_fit_the_meter_leaves_its_pulses_alone(recorded: Any) -> None:
    found = recorded.properties("water", Pulse.parse("1 kWh"))
    assert found["pulses"].unit is Unit.PULSE
    assert "does not count" in found["pulses"].why


def test_weight_is_closed_by_its_maximum_with_emptyings(recorded: Any) -> None:
    weight = recorded.properties("climate")["weight"]
    assert (weight.aggregation, weight.emptyings) == (Aggregation.MAX, True)
    assert not any(
        target.emptyings for key, target in recorded.properties("climate").items() if key != "weight"
    )


def test_a_reset_is_an_order_of_its_own(recorded: Any) -> None:
    found = recorded.properties("meter with every scale")
    assert found["reset"].resets
    assert found["reset_import_total"].resets
    assert found["reset_export_total"].resets
    assert not found["reset"].sending
    assert raw_of(found["reset"], Decimal(255)) is True
    assert [key for key, target in found.items() if target.resets] == [
        key for key, target in found.items() if target.receiving
    ]


def test_two_values_for_one_thing_have_two_keys(recorded: Any) -> None:
    shown = recorded.readings("contact")
    assert shown["contact"] == 0
    assert shown["contact_sensor"] == 0
    alone = [value for value in recorded.values("contact") if value.command_class != 113]
    assert "contact" in recorded.keyed(alone)
    assert recorded.readings("every notification")["movement"] == 255


def sensed(command_class: int, name: str, **numbers: int) -> ZwaveValue:
    return ZwaveValue(
        command_class=command_class, endpoint=0, property=name, type="boolean", cc_specific=numbers
    )


def test_the_oldest_sensors_stand_behind_the_newer_ones(recorded: Any) -> None:
    alarm, binary = sensed(156, "state", sensorType=5), sensed(48, "Water", sensorType=6)
    assert list(recorded.keyed([alarm])) == ["leak"]
    found = recorded.keyed([alarm, binary])
    assert found["leak"].why.startswith("Binary Sensor")
    assert found["leak_alarm_sensor"].why.startswith("Alarm Sensor")
    assert number_of(found["leak_alarm_sensor"], True) == 255


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (sensed(156, "state", sensorType=9), "alarm_9"),
        (sensed(156, "severity", sensorType=5), "cc156_severity"),
        (sensed(156, "state"), "cc156_state"),
        (sensed(48, "Any", sensorType=77), "binary_77"),
        (sensed(48, "Any"), "cc48_any"),
        (replace(sensed(50, "reset"), property_key=99), "reset_99"),
        (replace(sensed(50, "reset", meterType=9, scale=1), property_key=5), "reset_5"),
    ],
)
def test_what_the_tables_do_not_know_has_a_key_by_its_numbers(
    recorded: Any, value: ZwaveValue, key: str
) -> None:
    assert list(recorded.keyed([value])) == [key]


def test_values_whose_ids_differ_by_case_alone_have_keys_of_their_own(recorded: Any) -> None:
    names = ("flux", "Flux", "FLUX", "flUX", "fLux")
    values = [ZwaveValue(command_class=200, endpoint=0, property=name, type="number") for name in names]
    assert len(recorded.keyed(values)) == len(names)


def test_consumed_and_unspecified_are_the_same_register_twice(recorded: Any) -> None:
    consumed = next(value for value in recorded.values("meter") if value.property_key == 65537)
    unspecified = replace(
        consumed, property_key=65536, cc_specific={"meterType": 1, "scale": 0, "rateType": 0}
    )
    assert set(recorded.keyed([unspecified])) == {"import_total"}
    both = map_node([unspecified, consumed])
    first, second = both[consumed.id], both[unspecified.id]
    assert isinstance(first, Target)
    assert isinstance(second, Target)
    assert (first.key, second.key) == ("import_total", "import_total_unspecified")


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


@given(values=st.lists(any_value(), max_size=12, unique_by=lambda value: value.id))
def test_whatever_a_device_shows_is_mapped_with_unique_keys(values: list[ZwaveValue], recorded: Any) -> None:
    recorded.keyed(values)
