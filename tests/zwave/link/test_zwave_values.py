"""Values of the library as plain data, with odd metadata as well."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterkast_drivers.zwave.value import ZwaveValue
from meterkast_drivers.zwave.values import value_of

# isort: split
# The package imports the library first, in its own way.
from zwave_js_server.model.value import Value

METER = {"commandClass": 50, "endpoint": 2, "property": "value", "propertyKey": 65537}


def value(metadata: dict[str, Any] | None, **data: Any) -> Value:
    """A value of node 7; without metadata there is none at all."""
    node = cast(Any, SimpleNamespace(node_id=7))
    described = {**METER, **data}
    return Value(node, cast(Any, described if metadata is None else {**described, "metadata": metadata}))


def test_a_meter() -> None:
    metadata = {
        "type": "number",
        "readable": True,
        "writeable": False,
        "label": "Electric Consumption [kWh]",
        "ccSpecific": {"meterType": 1, "scale": 0, "rateType": 1},
        "unit": "kWh",
    }
    plain = value_of(value(metadata))
    assert plain == ZwaveValue(
        command_class=50,
        endpoint=2,
        property="value",
        property_key=65537,
        label="Electric Consumption [kWh]",
        unit="kWh",
        type="number",
        cc_specific={"meterType": 1, "scale": 0, "rateType": 1},
    )
    assert plain.id == "50-2-value-65537"


def test_what_can_be_set() -> None:
    states = {"0": "Off", "1": "Heat", "true": "Reset"}
    metadata = {
        "type": "number",
        "writeable": True,
        "readable": False,
        "min": 5,
        "max": 30.5,
        "states": states,
    }
    plain = value_of(value(metadata, property="setpoint", propertyKey=1))
    assert (plain.writeable, plain.readable, plain.low, plain.high) == (True, False, 5.0, 30.5)
    assert plain.states == states


def test_without_metadata() -> None:
    plain = value_of(value(None, endpoint=None, propertyKey=None))
    assert (plain.type, plain.endpoint, plain.label, plain.unit) == ("unknown", 0, "", "")
    assert plain.id == "50-0-value"


@pytest.mark.parametrize(
    ("raw", "low"),
    [
        (None, None),
        ("5", None),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        (-5, -5.0),
    ],
)
def test_odd_limits_are_none(raw: object, low: float | None) -> None:
    assert value_of(value({"type": "number", "min": raw})).low == low


def test_odd_kinds_are_left_out() -> None:
    metadata = {
        "type": 5,
        "label": None,
        "unit": ["kWh"],
        "states": ["Off", None],
        "ccSpecific": {"scale": "x"},
    }
    plain = value_of(value(metadata, propertyKey=1.0, property=112.0))
    assert (plain.type, plain.label, plain.unit) == ("any", "", "")
    assert plain.states == {"0": "Off"}
    assert plain.cc_specific == {}
    assert plain.id == "50-2-112-1"


def test_half_a_pair_can_be_written_as_utf_8() -> None:
    assert value_of(value({"type": "number", "label": "\ud800 °C"})).label.encode() == "? °C".encode()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)
KEYS = ["type", "label", "unit", "states", "ccSpecific", "min", "max", "readable", "writeable"]


@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING), ANYTHING, ANYTHING)
def test_it_never_raises(metadata: dict[str, Any], name: Any, key: Any) -> None:
    odd = value({"type": "number"})
    odd.metadata.data.clear()
    odd.metadata.data.update(cast(Any, metadata))
    odd.data.update(property=name, propertyKey=key, commandClass=key, endpoint=name)
    plain = value_of(odd)
    assert isinstance(plain.id, str)
    hash((plain.command_class, plain.endpoint, plain.property, plain.property_key))
