"""Meter (50) and Energy Production (144): registers and what a meter measures besides.

Source: Z-Wave specification, Meter Command Class v6, meter types, scales and rate types, by zwave-js' table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from meterkast.model.datatypes import (
    COOLING,
    CURRENT,
    DATATYPES,
    ENERGY_CONSUMED,
    ENERGY_PRODUCED,
    GAS_VOLUME,
    HEAT,
    METER,
    POWER,
    POWER_PRODUCED,
    SENSOR,
    VOLTAGE,
    WATER_VOLUME,
    DatatypeId,
    Kind,
)
from meterkast.model.product import Medium
from meterkast.model.units import Unit
from meterkast_drivers.zwave.scales import HEAT_KWH, PULSES, SCALES, Pulse, Scale, scale_of
from meterkast_drivers.zwave.target import ON, Aside, Target
from meterkast_drivers.zwave.value import ZwaveValue

CONSUMED, PRODUCED = 1, 2
"""Rate types; 0 is "unspecified", as meters without rate types send it, and means consumed."""

_ELECTRIC, _GAS, _WATER, _HEATING, _COOLING = 1, 2, 3, 4, 5
_PULSE_COUNT = 3

_METERS = {
    _ELECTRIC: ("electric", Medium.SUBMETER),
    _GAS: ("gas", Medium.GAS),
    _WATER: ("water", Medium.WATER),
    _HEATING: ("heating", Medium.HEAT),
    _COOLING: ("cooling", Medium.COOLING),
}
"""Meter type → our word and what it says of the product.

An electric meter on the radio is behind the site's own meter, which talks P1. It never is "electricity": a
plug that is added would take the main meter's place in the configuration.
"""


@dataclass(frozen=True, slots=True)
class _Row:
    """One scale of a meter: what it is when consumed, and when produced."""

    key: str
    name: str
    datatype: DatatypeId
    scale: Scale
    produced_key: str = ""
    produced: DatatypeId | None = None
    kind: Kind | None = None


def _volume(name: str, datatype: DatatypeId, *units: str) -> dict[int, _Row]:
    return {
        number: _Row("volume", name, datatype, SCALES[unit], "volume_export")
        for number, unit in enumerate(units)
    }


# What a meter counts as produced is 63 (and 62, as for P1): it flows out of the circuit that it watches, such
# as an inverter's. 50 is what was fed back into the power grid, which only the grid's own meter can tell.
# There is no datatype for apparent and reactive values: generic Meter and Sensor, with P1's keys.
_TABLE: dict[int, dict[int, _Row]] = {
    _ELECTRIC: {
        0: _Row("import_total", "Energy", ENERGY_CONSUMED, SCALES["kWh"], "export_total", ENERGY_PRODUCED),
        1: _Row("apparent_import_total", "Apparent energy", METER, SCALES["kVAh"], "apparent_export_total"),
        2: _Row("power_import", "Power", POWER, SCALES["W"], "power_export", POWER_PRODUCED),
        4: _Row("voltage", "Voltage", VOLTAGE, SCALES["V"], "voltage_export"),
        5: _Row("current", "Current", CURRENT, SCALES["A"], "current_export"),
        6: _Row("power_factor", "Power factor", SENSOR, SCALES[""], "power_factor_export"),
        7: _Row("reactive_power_import", "Reactive power", SENSOR, SCALES["kVar"], "reactive_power_export"),
        8: _Row("reactive_import_total", "Reactive energy", METER, SCALES["kVarh"], "reactive_export_total"),
    },
    _GAS: _volume("Gas", GAS_VOLUME, "m³", "ft³"),
    _WATER: _volume("Water", WATER_VOLUME, "m³", "ft³", "gal"),
    _HEATING: {0: _Row("energy", "Heat", HEAT, HEAT_KWH, "energy_export")},
    _COOLING: {0: _Row("energy", "Cooling", COOLING, HEAT_KWH, "energy_export")},
}
_PULSES = _Row("pulses", "Pulses", METER, PULSES, "pulses_export")

# A pulse register with a worth has a key of its own: a meter may count m³ besides, and one register must not
# be taken for the other when the worth is set later.
_WORTH: dict[tuple[int, Unit], _Row] = {
    (_ELECTRIC, Unit.WATT_HOUR): _Row(
        "import_pulses", "Energy by pulses", ENERGY_CONSUMED, PULSES, "export_pulses", ENERGY_PRODUCED
    ),
    (_GAS, Unit.LITRE): _Row("volume_pulses", "Gas by pulses", GAS_VOLUME, PULSES, "volume_pulses_export"),
    (_WATER, Unit.LITRE): _Row(
        "volume_pulses", "Water by pulses", WATER_VOLUME, PULSES, "volume_pulses_export"
    ),
}


def meter(value: ZwaveValue, pulse: Pulse | None) -> Target | Aside | None:
    """Meter (50); None where there is nothing to know it by."""
    if value.property == "reset":
        return _reset(value)
    if value.property != "value":
        return None
    kind, number, rate = (value.cc_specific.get(name) for name in ("meterType", "scale", "rateType"))
    if kind is None or number is None:
        return None
    row, worth = _row(kind, number, pulse)
    if row is None:
        return _unknown(value, kind, number, rate)
    produced = rate == PRODUCED
    datatype = row.produced if produced and row.produced is not None else row.datatype
    word, medium = _METERS[kind]
    label = "pulses" if number == _PULSE_COUNT else value.unit
    told = [
        f"Meter: {word}",
        "produced" if produced else "consumed",
        *([label] if label else [row.name.lower()]),
    ]
    return Target(
        key=row.produced_key if produced else row.key,
        name=f"{row.name}, produced" if produced else row.name,
        datatype=datatype,
        unit=row.scale.unit,
        conversion=row.scale.conversion,
        kind=DATATYPES[datatype].kind,
        parameter=str(number),
        medium=medium,
        why=", ".join(told) + worth,
    )


def _row(kind: int, number: int, pulse: Pulse | None) -> tuple[_Row | None, str]:
    """The row, and what is to be said of the pulses' worth."""
    if kind not in _TABLE:
        return None, ""
    if number != _PULSE_COUNT:
        return _TABLE[kind].get(number), ""
    if pulse is None:
        return _PULSES, "; set `pulse` to what one is worth"
    row = _WORTH.get((kind, pulse.unit))
    if row is None:
        return _PULSES, f"; `pulse` is in {pulse.unit}, which this meter does not count"
    return replace(row, scale=pulse.scale), f", one is {pulse.amount:f} {pulse.unit}"


def _unknown(value: ZwaveValue, kind: int, number: int, rate: int | None) -> Target:
    scale = scale_of(value.unit)
    ending = "_export" if rate == PRODUCED else ""
    return Target(
        key=f"meter_{kind}_{number}{ending}",
        name=value.label or f"Meter {kind}",
        datatype=METER,
        unit=scale.unit,
        conversion=scale.conversion,
        kind=Kind.REGISTER,
        parameter=str(number),
        medium=_METERS[kind][1] if kind in _METERS else None,
        why=f"Meter: type {kind}, scale {number} are not in the table; kept as a generic meter",
    )


def _reset(value: ZwaveValue) -> Target:
    """Sets one register back, or all of the endpoint (no property key)."""
    key, name = "reset", "Reset all registers"
    kind, number, rate = (value.cc_specific.get(word) for word in ("meterType", "scale", "rateType"))
    if value.property_key is not None:
        row = _row(kind, number, None)[0] if kind is not None and number is not None else None
        if row is not None:
            key = f"reset_{row.produced_key if rate == PRODUCED else row.key}"
        else:
            key = f"reset_{value.property_key}"
        name = value.label or "Reset one register"
    return Target(
        key=key,
        name=name,
        datatype=SENSOR,
        kind=Kind.STATE,
        parameter=str(number) if number is not None else "",
        sending=False,
        receiving=True,
        resets=True,
        boolean=True,
        states={str(ON): "Reset"},
        why="Meter: sets registers back to 0; asks for an explicit order",
    )


# Parameters of Energy Production: what it is, and whether it only ever grows.
_PRODUCTION = {
    0: ("power_produced", "Power produced", POWER_PRODUCED, Kind.MOMENTARY),
    1: ("production_total", "Energy produced", ENERGY_PRODUCED, Kind.REGISTER),
    2: ("production_today", "Energy produced today", SENSOR, Kind.MOMENTARY),
    3: ("production_time", "Time of production", METER, Kind.REGISTER),
}


def production(value: ZwaveValue) -> Target | None:
    """Energy Production (144): an inverter."""
    parameter = value.cc_specific.get("parameter")
    if value.property != "value" or parameter not in _PRODUCTION:
        return None
    key, name, datatype, kind = _PRODUCTION[parameter]
    scale = scale_of(value.unit)
    own = DATATYPES[datatype]
    if own.unit is not Unit.NONE and own.unit is not scale.unit:
        return None
    return Target(
        key=key,
        name=name,
        datatype=datatype,
        unit=scale.unit,
        conversion=scale.conversion,
        kind=kind,
        parameter=str(parameter),
        medium=Medium.SUBMETER,
        why=f"Energy Production: {name.lower()}",
    )
