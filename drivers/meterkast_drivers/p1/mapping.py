"""OBIS reference → what it is: key, name, BeNext datatype and unit. One table, made of rules.

Sources: DSMR P1 companion standard 2.2, 3.0, 4.2.2 and 5.0.2 (chapter 6), e-MUCS P1 1.7.1 and 2.1.1 (5),
Smarty P1 1.1.3 (Luxembourg), Swedish H1 2.0, ESO P1 data model (Lithuania), E.ON P1 (Hungary), IEC 62056-61
for what C and D mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from meterkast.model.datatypes import (
    COOLING,
    CURRENT,
    ENERGY_CONSUMED,
    ENERGY_RETURNED,
    GAS_VOLUME,
    HEAT,
    METER,
    POWER,
    POWER_PRODUCED,
    SENSOR,
    VOLTAGE,
    WATER_VOLUME,
    DatatypeId,
)
from meterkast.model.product import Medium
from meterkast.model.units import Unit


class Role(StrEnum):
    """What an object is to the reader."""

    NUMBER = "number"
    TEXT = "text"  # may change at any time and changes nothing
    STRUCTURE = "structure"  # text on which the meaning of other objects depends
    CLOCK = "clock"
    METER_VALUE = "meter value"  # of a meter on the M-Bus, with its capture time
    HISTORY = "history"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an object means.

    Attributes:
        role: How it is read.
        key: Key of the property; empty where it is none.
        name: For a person.
        datatype: BeNext's; None for text.
        unit: The canonical unit of its values; None where several are possible.
    """

    role: Role
    key: str
    name: str
    datatype: DatatypeId | None = None
    unit: Unit | None = None


def meaning_of(code: str) -> Meaning | None:
    """What the object `A:C.D.E` is; None where it is unknown."""
    return _MEANINGS.get(code)


@dataclass(frozen=True, slots=True)
class MeterKind:
    """What a meter on the M-Bus counts.

    Attributes:
        medium: What flows.
        key: Key of its register.
        name: Of the register.
        datatype: Of the register.
        unit: Canonical.
    """

    medium: Medium
    key: str
    name: str
    datatype: DatatypeId
    unit: Unit


_GAS = MeterKind(Medium.GAS, "volume", "Gas", GAS_VOLUME, Unit.LITRE)
_WATER = MeterKind(Medium.WATER, "volume", "Water", WATER_VOLUME, Unit.LITRE)
_HEAT = MeterKind(Medium.HEAT, "energy", "Heat", HEAT, Unit.MEGAJOULE)
_COOLING = MeterKind(Medium.COOLING, "energy", "Cooling", COOLING, Unit.MEGAJOULE)
_SLAVE = MeterKind(
    Medium.ELECTRICITY, "import_total", "Electricity, sub-meter", ENERGY_CONSUMED, Unit.WATT_HOUR
)

# Device types of EN 13757-3 (table "medium"): 6 and 21 are warm and hot water, 10 and 11 cooling, 12 heat and
# cooling in one, of which P1 gives the heat.
_KINDS = {
    2: _SLAVE,
    3: _GAS,
    4: _HEAT,
    6: _WATER,
    7: _WATER,
    10: _COOLING,
    11: _COOLING,
    12: _HEAT,
    13: _HEAT,
    21: _WATER,
    22: _WATER,
}
_OF_UNIT = {
    Unit.WATT_HOUR: (METER, "energy"),
    Unit.MEGAJOULE: (METER, "energy"),
    Unit.LITRE: (METER, "volume"),
}


def meter_kind(device_type: str, unit: Unit) -> MeterKind:
    """What a meter of this type (0-n:24.1.0) counts, by the unit of its value.

    A heat meter may give m3 and a gas meter of unknown type too: then the value is a generic Meter.
    """
    kind = _KINDS.get(int(device_type)) if device_type.isascii() and device_type.isdigit() else None
    if kind is not None and kind.unit is unit:
        return kind
    if unit is Unit.MEGAJOULE:
        return _HEAT if kind is None else MeterKind(kind.medium, "energy", kind.name, HEAT, unit)
    datatype, key = _OF_UNIT.get(unit, (METER, "value"))
    medium = kind.medium if kind is not None else Medium.OTHER
    return MeterKind(medium, key, kind.name if kind is not None else "Meter", datatype, unit)


def _number(key: str, name: str, datatype: DatatypeId, unit: Unit | None) -> Meaning:
    return Meaning(Role.NUMBER, key, name, datatype, unit)


def _table() -> dict[str, Meaning]:
    table: dict[str, Meaning] = {}
    _energy(table)
    _power(table)
    _phases(table)
    _states(table)
    _texts(table)
    _mbus(table)
    return table


# C of the quantities: the key's stem, its name, datatypes of register and power, canonical units of both.
# Power returned to the grid is 62 "current amount of power produced": the only Watt of the table that flows
# that way; 18 is "power used". There is no datatype for reactive and apparent values: generic Meter and
# Sensor.
_Q = (Unit.VAR_HOUR, Unit.VAR)
_S = (Unit.VOLT_AMPERE_HOUR, Unit.VOLT_AMPERE)
_P = (Unit.WATT_HOUR, Unit.WATT)
_QUANTITIES: tuple[tuple[int, str, str, DatatypeId, DatatypeId, tuple[Unit, Unit]], ...] = (
    (1, "import", "import", ENERGY_CONSUMED, POWER, _P),
    (2, "export", "export", ENERGY_RETURNED, POWER_PRODUCED, _P),
    (3, "reactive_import", "reactive import", METER, SENSOR, _Q),
    (4, "reactive_export", "reactive export", METER, SENSOR, _Q),
    (5, "reactive_q1", "reactive quadrant 1", METER, SENSOR, _Q),
    (6, "reactive_q2", "reactive quadrant 2", METER, SENSOR, _Q),
    (7, "reactive_q3", "reactive quadrant 3", METER, SENSOR, _Q),
    (8, "reactive_q4", "reactive quadrant 4", METER, SENSOR, _Q),
    (9, "apparent_import", "apparent import", METER, SENSOR, _S),
    (10, "apparent_export", "apparent export", METER, SENSOR, _S),
    (15, "combined", "import and export combined", METER, SENSOR, _P),
    (16, "net", "import less export", SENSOR, SENSOR, _P),  # falls while power is returned
)


def power_key(stem: str) -> str:
    """`import` → `power_import`, `reactive_import` → `reactive_power_import`."""
    kind, _, rest = stem.partition("_")
    return f"{kind}_power_{rest}" if kind in ("reactive", "apparent") else f"power_{stem}"


def _energy(table: dict[str, Meaning]) -> None:
    for c, stem, name, register, _, (unit, _) in _QUANTITIES:
        table[f"1:{c}.8.0"] = _number(f"{stem}_total", f"Energy {name}, total", register, unit)
        for tariff in range(1, 7):
            table[f"1:{c}.8.{tariff}"] = _number(
                f"{stem}_t{tariff}", f"Energy {name}, tariff {tariff}", register, unit
            )


def _power(table: dict[str, Meaning]) -> None:
    for c, stem, name, _, momentary, (_, unit) in _QUANTITIES:
        table[f"1:{c}.7.0"] = _number(power_key(stem), f"Power {name}", momentary, unit)
    # Average of the running quarter of an hour, and its highest of the month.
    for c, ending, name in ((1, "", ""), (2, "_export", " export")):
        table[f"1:{c}.4.0"] = _number(f"demand_average{ending}", f"Demand{name}, average", SENSOR, Unit.WATT)
        table[f"1:{c}.6.0"] = _number(f"demand_peak{ending}", f"Demand{name}, peak", SENSOR, Unit.WATT)
    table["1:14.7.0"] = _number("frequency", "Frequency", SENSOR, Unit.HERTZ)
    table["1:13.7.0"] = _number("power_factor", "Power factor", SENSOR, Unit.NONE)
    table["1:12.7.0"] = _number("voltage", "Voltage", VOLTAGE, Unit.VOLT)
    table["1:11.7.0"] = _number("current", "Current", CURRENT, Unit.AMPERE)
    table["1:91.7.0"] = _number("current_n", "Current in the neutral", CURRENT, Unit.AMPERE)


def _phases(table: dict[str, Meaning]) -> None:
    for phase in (1, 2, 3):
        base = 20 * phase
        for c, stem, name, register, momentary, (energy, power) in _QUANTITIES[:10]:
            table[f"1:{base + c}.7.0"] = _number(
                f"{power_key(stem)}_l{phase}", f"Power {name} L{phase}", momentary, power
            )
            table[f"1:{base + c}.8.0"] = _number(
                f"{stem}_l{phase}", f"Energy {name} L{phase}", register, energy
            )
        for c, d, key, name, datatype, unit in (
            (12, 7, "voltage", "Voltage", VOLTAGE, Unit.VOLT),
            (11, 7, "current", "Current", CURRENT, Unit.AMPERE),
            (13, 7, "power_factor", "Power factor", SENSOR, Unit.NONE),
            (14, 7, "frequency", "Frequency", SENSOR, Unit.HERTZ),
            (11, 4, "current_limit", "Current limit", SENSOR, Unit.AMPERE),
            (12, 32, "voltage_sags", "Voltage sags", METER, Unit.NONE),
            (12, 36, "voltage_swells", "Voltage swells", METER, Unit.NONE),
        ):
            table[f"1:{base + c}.{d}.0"] = _number(f"{key}_l{phase}", f"{name} L{phase}", datatype, unit)


def _states(table: dict[str, Meaning]) -> None:
    for code, key, name, datatype in (
        ("0:96.14.0", "tariff", "Tariff in force", SENSOR),
        ("0:96.3.10", "breaker", "Breaker", SENSOR),
        ("0:24.4.0", "valve", "Valve", SENSOR),
        ("0:96.7.21", "power_failures", "Power failures", METER),
        ("0:96.7.9", "long_power_failures", "Long power failures", METER),
        ("0:96.7.19", "power_failure_duration", "Duration of the last power failure", SENSOR),
    ):
        table[code] = _number(key, name, datatype, None if code == "0:96.7.19" else Unit.NONE)
    # kW in most countries, kVA in Luxembourg, A in old Dutch meters.
    table["0:17.0.0"] = _number("power_limit", "Power limit", SENSOR, None)


def _texts(table: dict[str, Meaning]) -> None:
    for code, name in (
        ("0:96.1.1", "Equipment identifier"),
        ("0:96.1.0", "Equipment identifier"),
        ("0:42.0.0", "Logical device name"),
        ("1:0.0.0", "Device identification"),
        ("0:96.1.255", "Serial number"),
        ("1:96.1.0", "Serial number"),
        ("1:96.1.1", "Serial number"),
        ("1:0.2.8", "Version"),
        ("1:0.2.0", "Firmware version"),
        ("0:96.1.4", "Version"),
        ("0:24.1.0", "Device type"),
    ):
        table[code] = Meaning(Role.STRUCTURE, "", name)
    for code, name in (
        ("0:96.1.2", "Connection number (EAN)"),
        ("0:94.32.1", "Kind of grid"),
        ("0:96.13.1", "Message code"),
        ("1:96.5.5", "State of the meter"),
        ("0:96.5.5", "State of the meter"),
        ("0:96.5.0", "State of the meter"),
        ("1:99.97.0", "Power failure log"),
        ("0:99.97.0", "Power failure log"),
        ("0:96.50.68", "Relay"),
        ("0:97.97.0", "Error register"),
        *((f"0:96.13.{n}", "Message" if n == 0 else f"Message {n}") for n in (0, 2, 3, 4, 5)),
    ):
        table[code] = Meaning(Role.TEXT, "", name)
    table["0:1.0.0"] = Meaning(Role.CLOCK, "", "Clock")
    table["0:98.1.0"] = Meaning(Role.HISTORY, "", "History")


def _mbus(table: dict[str, Meaning]) -> None:
    # 24.2.1 in NL (corrected to temperature) and LU, 24.2.3 for Belgian gas (not corrected), 24.3.0 in DSMR
    # 2.2 and 3.0.
    for code in ("0:24.2.0", "0:24.2.1", "0:24.2.2", "0:24.2.3", "0:24.3.0"):
        table[code] = Meaning(Role.METER_VALUE, "", "Meter reading")


_MEANINGS = _table()
