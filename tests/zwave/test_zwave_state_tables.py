"""The mapping against zwave-js' own tables: notifications, binary sensors, modes and all command classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meterkast.model.datatypes import Kind
from meterkast_drivers.zwave.mapping import Aside, Target, map_value, number_of
from meterkast_drivers.zwave.value import ZwaveValue

# Notifications that are either there or not (0 and 255), and those kept as numbers with meanings. A new
# zwave-js that knows more shows up here.
EXPECTED = json.loads(Path(__file__).parents[1].joinpath("data", "zwave", "expected.json").read_text())


def mapped(value: ZwaveValue) -> Target:
    found = map_value(value)
    assert isinstance(found, Target), value
    return found


def test_every_state_of_every_notification_is_kept(tables: Any) -> None:
    keys = set[str]()
    numbers = set[str]()
    for notification in tables["notifications"]:
        for variable in notification["variables"]:
            where = (notification["type"], variable["name"])
            states = {state["key"] for state in variable["states"]} | ({0} if variable["idle"] else set())
            positions = {s["key"] << 8 | p for s in variable["states"] for p in s["positions"]}
            target = mapped(
                ZwaveValue(
                    command_class=113,
                    endpoint=0,
                    property=notification["name"],
                    property_key=variable["name"],
                    label=variable["name"],
                    type="number",
                    states={str(state): "meaning" for state in states},
                    cc_specific={"notificationType": notification["type"]},
                )
            )
            assert target.key not in keys, where
            keys.add(target.key)
            if target.codes is None:
                numbers.add(target.key)
                assert target.kind is Kind.STATE
                for state in states:
                    assert number_of(target, state) == state, where
            else:
                assert set(target.codes) == states | positions, where
                assert set(target.codes.values()) == {0, 255}, where
                assert target.kind is Kind.EVENT
    assert sorted(keys - numbers) == EXPECTED["detected or not"]
    assert sorted(numbers) == EXPECTED["numbers with meanings"]


@pytest.mark.parametrize(
    ("kind", "variable", "state", "key", "kept"),
    [
        (6, "Door state", 0x16, "contact", 255),
        (6, "Door state", 0x17, "contact", 0),
        (6, "Door state", 0x1601, "contact", 255),
        (7, "Motion sensor status", 8, "movement", 255),
        (7, "Motion sensor status", 0, "movement", 0),
        (5, "Sensor status", 1, "leak", 255),
        (1, "Sensor status", 2, "smoke", 255),
        (1, "Sensor status", 254, "smoke", None),
        (8, "Mains status", 2, "mains", 0),
        (13, "VOC level status", 4, "health_voc_level_status", 4),
    ],
)
def test_notifications_as_numbers(kind: int, variable: str, state: int, key: str, kept: int | None) -> None:
    target = mapped(
        ZwaveValue(
            command_class=113,
            endpoint=0,
            property="Notification",
            property_key=variable,
            type="number",
            cc_specific={"notificationType": kind},
        )
    )
    assert target.key == key
    assert number_of(target, state) == kept


def test_every_binary_sensor_setpoint_and_production_has_a_key_of_its_own(tables: Any) -> None:
    def keys(command_class: int, name: str, numbers: dict[str, int], **more: str) -> list[str]:
        return [
            mapped(
                ZwaveValue(
                    command_class=command_class,
                    endpoint=0,
                    property=more.get("property", text),
                    unit=more.get("unit", ""),
                    type=more.get("type", "number"),
                    cc_specific={name: number},
                )
            ).key
            for text, number in numbers.items()
        ]

    binary = keys(48, "sensorType", tables["binarySensors"], type="boolean")
    assert len(set(binary)) == len(binary)
    assert not any(key.startswith("binary_") for key in binary)
    setpoints = {name: number for name, number in tables["setpoints"].items() if number}  # 0 is "none"
    found = keys(67, "setpointType", setpoints, property="setpoint", unit="°C")
    assert len(set(found)) == len(found)
    assert not any(key[-1].isdigit() for key in found)
    production = keys(144, "parameter", tables["energyProduction"], property="value", unit="W")
    assert "power_produced" in production


def test_every_mode_of_a_lock_is_locked_or_not_or_unknown(tables: Any) -> None:
    value = ZwaveValue(command_class=98, endpoint=0, property="currentMode", type="number")
    target = mapped(value)
    for name, number in tables["lockModes"].items():
        expected = None if name == "Unknown" else 255 if name == "Secured" else 0
        assert number_of(target, number) == expected, name


def test_a_blind_is_told_by_its_orders(tables: Any) -> None:
    # Of a type "Close/Open" the upward order is called "Open".
    assert "Close/Open" in tables["switchTypes"]
    order = ZwaveValue(command_class=38, endpoint=0, property="Open", readable=False, writeable=True)
    assert isinstance(map_value(order), Aside)


def test_no_command_class_that_zwave_js_knows_is_generic_by_surprise(tables: Any) -> None:
    generic = set[int]()
    for defined in tables["values"]:
        metadata = defined["metadata"]
        found = map_value(
            ZwaveValue(
                command_class=defined["commandClass"],
                endpoint=0,
                property=defined["property"],
                property_key=defined.get("propertyKey"),
                label=metadata.get("label", ""),
                unit=metadata.get("unit", ""),
                type=metadata["type"],
                cc_specific=metadata.get("ccSpecific", {}),
                readable=metadata["readable"],
                writeable=metadata["writeable"],
            )
        )
        if isinstance(found, Target) and found.key.startswith("cc"):
            generic.add(defined["commandClass"])
    assert len(tables["values"]) > 100
    assert generic == {107}, "107 is Irrigation: whatever it shows is kept, under names of zwave-js"
