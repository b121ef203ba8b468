"""Thermostats and humidity control (64, 66 to 69, 100, 109, 110).

Source: Z-Wave specification, the command classes named at each function, by zwave-js' values.
"""

from __future__ import annotations

from decimal import Decimal

from meterkast.model.datatypes import SENSOR, SETPOINT, Aggregation, DatatypeId, Kind
from meterkast.model.units import Unit
from meterkast_drivers.zwave.controls import INFORMATION, degrees, state
from meterkast_drivers.zwave.scales import Scale, decimal_of, scale_of
from meterkast_drivers.zwave.target import Aside, Target
from meterkast_drivers.zwave.value import ZwaveValue

_MODES: dict[int, tuple[str, str, str, str]] = {
    # Command class: property, key, name, why.
    64: ("mode", "mode", "Thermostat mode", "Thermostat Mode"),
    66: ("state", "operating_state", "Operating state", "Thermostat Operating State"),
    68: ("mode", "fan_mode", "Fan mode", "Thermostat Fan Mode"),
    69: ("state", "fan_state", "Fan state", "Thermostat Fan State"),
    109: ("mode", "humidity_mode", "Humidity control mode", "Humidity Control Mode"),
    110: ("state", "humidity_state", "Humidity control state", "Humidity Control Operating State"),
}


def mode(value: ZwaveValue) -> Target | Aside | None:
    """Modes and states that are numbers with meanings (64, 66, 68, 69, 109, 110)."""
    name, key, title, why = _MODES[value.command_class]
    if value.property == name:
        return state(key, title, f"{why}: a number with its meanings", value)
    if value.command_class == 68 and value.property == "off":
        return state("fan_off", "Fan turned off", f"{why}: fan turned off", value)
    return Aside(INFORMATION) if value.property == "manufacturerData" else None


_SETPOINTS = {
    1: "heating",
    2: "cooling",
    7: "furnace",
    8: "dry_air",
    9: "moist_air",
    10: "auto_changeover",
    11: "energy_save_heating",
    12: "energy_save_cooling",
    13: "away_heating",
    14: "away_cooling",
    15: "full_power",
}
_HUMIDITY_SETPOINTS = {1: "humidifier", 2: "dehumidifier", 3: "auto"}
# BeNext's datatype says 4–28 °C; a device that tells its own range knows better.
_SETPOINT_LOW, _SETPOINT_HIGH = Decimal(4), Decimal(28)


def _bound(limit: float | None, scale: Scale, otherwise: Decimal | None) -> Decimal | None:
    """A limit of the device in the canonical unit."""
    known = decimal_of(limit) if limit is not None else None
    return scale.conversion.to_canonical(known) if known is not None else otherwise


def _setpoint(
    value: ZwaveValue,
    scale: Scale,
    *,
    key: str,
    name: str,
    why: str,
    datatype: DatatypeId = SENSOR,
    low: Decimal | None = None,
    high: Decimal | None = None,
) -> Target:
    """A setpoint is written as it is read; `low` and `high` hold where the device gives no range."""
    return Target(
        key=key,
        name=name,
        datatype=datatype,
        unit=scale.unit,
        conversion=scale.conversion,
        kind=Kind.STATE,
        aggregation=Aggregation.LAST if datatype == SENSOR else None,
        parameter=str(value.cc_specific["setpointType"]),
        receiving=value.writeable,
        low=_bound(value.low, scale, low),
        high=_bound(value.high, scale, high),
        why=why,
    )


def setpoint(value: ZwaveValue) -> Target | None:
    """Thermostat Setpoint (67)."""
    kind = value.cc_specific.get("setpointType")
    if value.property != "setpoint" or kind is None:
        return None
    word = _SETPOINTS.get(kind, str(kind))
    plain = word.replace("_", " ")
    return _setpoint(
        value,
        degrees(value),
        key=f"setpoint_{word}",
        name=f"Setpoint, {plain}",
        why=f"Thermostat Setpoint: {plain}, {value.unit or '°C'}",
        datatype=SETPOINT,
        low=_SETPOINT_LOW,
        high=_SETPOINT_HIGH,
    )


def humidity_setpoint(value: ZwaveValue) -> Target | Aside | None:
    """Humidity Control Setpoint (100)."""
    kind = value.cc_specific.get("setpointType")
    if value.property != "setpoint" or kind is None:
        return Aside(INFORMATION) if value.property == "setpointScale" else None
    word = _HUMIDITY_SETPOINTS.get(kind, str(kind))
    scale = scale_of(value.unit)
    return _setpoint(
        value,
        scale,
        key=f"humidity_setpoint_{word}" if scale.unit is Unit.PERCENT else f"absolute_setpoint_{word}",
        name=value.label or f"Humidity setpoint, {word}",
        why=f"Humidity Control Setpoint: {word}",
    )
