"""Switches, dimmers, locks, batteries: what is set, and what tells how it is.

Source: Z-Wave specification, the command classes named at each function, by zwave-js' values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from meterkast.model.datatypes import (
    BASIC,
    BATTERY,
    DIMMER,
    HIGH_TEMPERATURE,
    LOCK,
    SENSOR,
    SWITCH,
    WINDOW_DIMMER,
    Aggregation,
    DatatypeId,
    Kind,
)
from meterkast.model.units import Unit
from meterkast_drivers.zwave.scales import SCALES, Scale
from meterkast_drivers.zwave.target import OFF, ON, Aside, Target
from meterkast_drivers.zwave.value import ZwaveValue

_HELPER = "an order without a state: the property itself is written"
_TARGET = "what was asked for: written through the property of the state itself"
_DURATION = "how long a change takes"
_SETTING = "configuration of the device"
INFORMATION = "information about the device"

# 100 and 255 stand for "fully on" (BeNext: 100 becomes 99); 254 is "unknown".
_LEVELS = {**{level: level for level in range(100)}, 100: 99, 255: 99}
_BASIC_LEVELS = {**{level: level for level in range(100)}, 100: 99, 255: 255}
_PERCENT = {level: level for level in range(101)}
_HIGHEST_LEVEL = Decimal(99)
_BOTH = {str(OFF): "Off", str(ON): "On"}
_LOCK = {str(OFF): "Unlocked", str(ON): "Locked"}

_BESIDE: Mapping[str | int, str] = {
    "targetValue": _TARGET,
    "targetMode": _TARGET,
    "targetState": _TARGET,
    "duration": _DURATION,
}


def _beside(value: ZwaveValue) -> Aside | None:
    """What stands beside a state, so that it can be set."""
    why = _BESIDE.get(value.property)
    return Aside(why) if why is not None else None


def _beside_level(value: ZwaveValue) -> Aside | None:
    """The same of a level, which takes orders such as "up" and "on" too."""
    order = value.writeable and not value.readable
    return Aside(_HELPER) if order else _beside(value)


def _level(
    key: str,
    name: str,
    why: str,
    datatype: DatatypeId,
    *,
    high: Decimal = _HIGHEST_LEVEL,
    codes: Mapping[int, int] = _LEVELS,
) -> Target:
    """A level that is set."""
    return Target(
        key=key,
        name=name,
        datatype=datatype,
        unit=Unit.PERCENT,
        kind=Kind.STATE,
        receiving=True,
        write_to="targetValue",
        low=Decimal(0),
        high=high,
        codes=codes,
        why=why,
    )


def degrees(value: ZwaveValue) -> Scale:
    """Of a temperature; without a unit it is in °C."""
    return SCALES["°F" if value.unit == "°F" else "°C"]


def state(
    key: str,
    name: str,
    why: str,
    value: ZwaveValue,
    *,
    datatype: DatatypeId = SENSOR,
    states: Mapping[str, str] | None = None,
    parameter: str = "",
) -> Target:
    """A state that is kept as the device gives it: a boolean as 0 and 255, else its number."""
    boolean = value.type == "boolean"
    return Target(
        key=key,
        name=name,
        datatype=datatype,
        kind=Kind.STATE,
        aggregation=Aggregation.LAST,
        parameter=parameter,
        receiving=value.writeable,
        states=states if states is not None else (_BOTH if boolean else value.states),
        boolean=boolean,
        why=why,
    )


def binary_switch(value: ZwaveValue) -> Target | Aside | None:
    """Binary Switch (37)."""
    if value.property != "currentValue":
        return _beside(value)
    return Target(
        key="switch",
        name="Switch",
        datatype=SWITCH,
        kind=Kind.STATE,
        receiving=True,
        write_to="targetValue",
        boolean=True,
        states=_BOTH,
        why="Binary Switch: on or off",
    )


def multilevel_switch(value: ZwaveValue) -> Target | Aside | None:
    """Multilevel Switch (38)."""
    if value.property == "event":
        return state("dimmer_event", "Dimmer order received", "Multilevel Switch: sent to others", value)
    if value.property != "currentValue":
        return _beside_level(value)
    return _level("dimmer", "Dimmer", "Multilevel Switch: level from 0 to 99", DIMMER)


def window_covering(value: ZwaveValue) -> Target | Aside | None:
    """Window Covering (106): each part has a number."""
    part = value.property_key
    if value.property != "currentValue" or part is None:
        return _beside_level(value)
    name = value.label.removeprefix("Current value - ") or "Window covering"
    why = "Window Covering: position from 0 (closed) to 99 (open)"
    level = _level(f"window_{part}", name, why, WINDOW_DIMMER)
    return replace(level, parameter=str(part), write_key=part, states=value.states)


def basic(value: ZwaveValue) -> Target | Aside | None:
    """Basic (32)."""
    if value.property == "event":
        return state("basic_event", "Basic order received", "Basic: sent to others", value)
    if value.property != "currentValue":
        return _beside_level(value)
    why = "Basic: 0 to 99, or 255 for on"
    return _level("basic", "Basic", why, BASIC, high=Decimal(255), codes=_BASIC_LEVELS)


_LOCKED = {255: ON, 0: OFF, 1: OFF, 16: OFF, 17: OFF, 32: OFF, 33: OFF}  # 254 is "unknown"


def door_lock(value: ZwaveValue) -> Target | Aside | None:
    """Door Lock (98)."""
    if value.property == "currentMode":
        return Target(
            key="lock",
            name="Lock",
            datatype=LOCK,
            kind=Kind.STATE,
            receiving=True,
            write_to="targetMode",
            codes=_LOCKED,
            states=_LOCK,
            why="Door Lock: locked or not",
        )
    if value.property in ("doorStatus", "boltStatus", "latchStatus"):
        return Aside("told as text; the lock's own state is kept")
    return _beside(value) or Aside(_SETTING)


def lock(value: ZwaveValue) -> Target | None:
    """Lock (118), the older one."""
    if value.property != "locked":
        return None
    return state("lock", "Lock", "Lock: locked or not", value, datatype=LOCK, states=_LOCK)


def battery(value: ZwaveValue) -> Target | Aside | None:
    """Battery (128). 255 says "low" and is no level."""
    name = value.label or f"Battery {value.property}"
    if value.property == "level":
        return Target(
            key="battery",
            name="Battery",
            datatype=BATTERY,
            unit=Unit.PERCENT,
            kind=Kind.MOMENTARY,
            codes=_PERCENT,
            why="Battery: level",
        )
    if value.property == "temperature":
        scale = degrees(value)
        return Target(
            key="battery_temperature",
            name=name,
            datatype=HIGH_TEMPERATURE,
            unit=scale.unit,
            conversion=scale.conversion,
            kind=Kind.MOMENTARY,
            why="Battery: temperature",
        )
    if value.property == "maximumCapacity":
        return Target(
            key="battery_capacity",
            name=name,
            datatype=SENSOR,
            unit=Unit.PERCENT,
            kind=Kind.MOMENTARY,
            why="Battery: what is left of its capacity",
        )
    key = _BATTERY_STATES.get(str(value.property))
    if key is None:
        return Aside(INFORMATION)
    return state(key, name, f"Battery: {name[0].lower()}{name[1:]}", value)


_BATTERY_STATES = {
    "isLow": "battery_low",
    "chargingStatus": "battery_charging",
    "overheating": "battery_overheating",
    "lowFluid": "battery_low_fluid",
    "disconnected": "battery_disconnected",
    "lowTemperatureStatus": "battery_cold",
    "rechargeOrReplace": "battery_replace",
}


def barrier(value: ZwaveValue) -> Target | Aside | None:
    """Barrier Operator (102): a garage door."""
    if value.property == "currentState":
        return Target(
            key="barrier",
            name="Barrier",
            datatype=SENSOR,
            kind=Kind.STATE,
            aggregation=Aggregation.LAST,
            receiving=True,
            write_to="targetState",
            states=value.states,
            codes={number: number for number in (*range(101), 252, 253, 254, 255)},
            why="Barrier Operator: 0 closed, 255 open, 252 to 254 on its way",
        )
    if value.property == "position":
        return Target(
            key="barrier_position",
            name="Barrier position",
            datatype=SENSOR,
            unit=Unit.PERCENT,
            kind=Kind.STATE,
            aggregation=Aggregation.LAST,
            codes=_PERCENT,
            why="Barrier Operator: position",
        )
    return _beside(value) or Aside(_SETTING)
