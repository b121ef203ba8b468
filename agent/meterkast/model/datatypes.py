"""The datatypes of the myBeNext API, one table.

Source: myBeNext API documentation, 3.3.1 "Commonly used datatypes" (ids, names and suffixes as given
there). Kind, canonical unit, power and aggregation are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from meterkast.model.units import Unit

DatatypeId = NewType("DatatypeId", int)


class Kind(StrEnum):
    """What a value of the datatype is."""

    REGISTER = "register"  # a running total
    MOMENTARY = "momentary"  # a measurement that holds until the next one
    STATE = "state"  # a setting of a device: on, off, locked, a setpoint
    EVENT = "event"  # something that happened: movement, a door


class Aggregation(StrEnum):
    """What stands for an interval (start, end]."""

    LAST = "last"  # the latest reading in it
    MEAN = "mean"  # the time-weighted mean
    MAX = "max"  # the largest reading in it


class ValueType(StrEnum):
    """How BeNext writes a value (documentation 3.3)."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    FLOAT = "float"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True, kw_only=True)
class Datatype:
    """One row of the table.

    Attributes:
        id: As BeNext numbers it.
        name: As BeNext names it.
        suffix: The unit BeNext shows; empty where the table has a dash.
        kind: Register, momentary, state or event.
        unit: The canonical unit that values of this datatype are kept in.
        power: Power of ten from the canonical unit to the suffix: 3 for Wh shown as kWh.
        aggregation: What stands for an interval.
        value_type: How the value is written.
        low, high: Smallest and largest value in the suffix's unit, where the table gives them.
        low_name, high_name: What a boolean's two values are called.
        description: The table's own words.
    """

    id: DatatypeId
    name: str
    suffix: str
    kind: Kind
    unit: Unit
    power: int = 0
    aggregation: Aggregation
    value_type: ValueType = ValueType.FLOAT
    low: int | None = None
    high: int | None = None
    low_name: str = ""
    high_name: str = ""
    description: str


def _register(number: int, name: str, suffix: str, unit: Unit, power: int, description: str) -> Datatype:
    return Datatype(
        id=DatatypeId(number),
        name=name,
        suffix=suffix,
        kind=Kind.REGISTER,
        unit=unit,
        power=power,
        aggregation=Aggregation.LAST,
        description=description,
    )


def _measured(
    number: int,
    name: str,
    suffix: str,
    unit: Unit,
    description: str,
    *,
    power: int = 0,
    low: int | None = None,
    high: int | None = None,
    value_type: ValueType = ValueType.FLOAT,
) -> Datatype:
    return Datatype(
        id=DatatypeId(number),
        name=name,
        suffix=suffix,
        kind=Kind.MOMENTARY,
        unit=unit,
        power=power,
        aggregation=Aggregation.MEAN,
        value_type=value_type,
        low=low,
        high=high,
        description=description,
    )


def _state(
    number: int,
    name: str,
    suffix: str,
    unit: Unit,
    description: str,
    *,
    value_type: ValueType,
    low: int | None = None,
    high: int | None = None,
    low_name: str = "",
    high_name: str = "",
    kind: Kind = Kind.STATE,
) -> Datatype:
    return Datatype(
        id=DatatypeId(number),
        name=name,
        suffix=suffix,
        kind=kind,
        unit=unit,
        aggregation=Aggregation.MAX if kind is Kind.EVENT else Aggregation.LAST,
        value_type=value_type,
        low=low,
        high=high,
        low_name=low_name,
        high_name=high_name,
        description=description,
    )


_B, _I, _F, _C = ValueType.BOOLEAN, ValueType.INTEGER, ValueType.FLOAT, ValueType.CUSTOM
_U = Unit

_ROWS = (
    # 3.3.1.1 Datatypes usable with `energyentry` resource
    _register(
        39, "Energy_kWh", "kWh", _U.WATT_HOUR, 3, "Total consumed energy, used for mainmeters and products"
    ),
    _register(
        50,
        "EnergyReceived_kWh",
        "kWh",
        _U.WATT_HOUR,
        3,
        "Total returned energy, amount of energy feed back in to the power grid",
    ),
    _register(
        63,
        "EnergyProductionkWh",
        "kWh",
        _U.WATT_HOUR,
        3,
        "Total produced energy, amount of energy produced by e.g. solar panels",
    ),
    _register(51, "GasVolume", "m3", _U.LITRE, 3, "Total volume of natural gas"),
    _register(52, "WaterVolume", "m3", _U.LITRE, 3, "Total volume of water"),
    _register(47, "GigaJouleHeat", "GJ", _U.MEGAJOULE, 3, "Total energy used for heating (either DHW or CH)"),
    _register(103, "GigaJouleCool", "GJ", _U.MEGAJOULE, 3, "Total energy used for cooling"),
    # 3.3.1.2 Datatypes used of measuring and controlling temperature
    _state(
        3,
        "ScheduleOverride",
        "gr C",
        _U.CELSIUS,
        "Setpoint logic for Heating Control, requires custom logic",
        value_type=_C,
    ),
    _state(
        67,
        "Setpoint",
        "gr C",
        _U.CELSIUS,
        "Thermostat setpoint for Z-wave devices (4 – 28 gr C)",
        value_type=_F,
        low=4,
        high=28,
    ),
    _state(
        83,
        "SecureSetpoint",
        "gr C",
        _U.CELSIUS,
        "Setpoint for secure devices, allows only whole steps",
        value_type=_I,
    ),
    _measured(
        12,
        "Temperature",
        "gr C",
        _U.CELSIUS,
        "Measured temperature, small range (0 – 50 gr C)",
        low=0,
        high=50,
    ),
    _measured(
        102,
        "HighTemperature",
        "gr C",
        _U.CELSIUS,
        "Measured temperature, large range (-40 – 200 gr C)",
        low=-40,
        high=200,
    ),
    # 3.3.1.3 Datatypes used for control
    _state(
        1,
        "SwitchOrder1",
        "",
        _U.NONE,
        "Same as Switch, but gets sorted first",
        value_type=_B,
        low=0,
        high=255,
        low_name="Off",
        high_name="On",
    ),
    _state(
        9,
        "Switch",
        "",
        _U.NONE,
        "Has 2 values, On and Off (255 and 0)",
        value_type=_B,
        low=0,
        high=255,
        low_name="Off",
        high_name="On",
    ),
    _state(
        8,
        "Dimmer",
        "%",
        _U.PERCENT,
        "Dimmer, range 0 – 99 (100 gets converted too 99)",
        value_type=_I,
        low=0,
        high=99,
    ),
    _state(
        44,
        "WindowDimmer",
        "%",
        _U.PERCENT,
        "Dimmer, range 0 – 99 (100 gets converted too 99)",
        value_type=_I,
        low=0,
        high=99,
    ),
    _state(
        53,
        "Basic",
        "%",
        _U.PERCENT,
        "Accepts both Switch and dimmer command, 0 – 99, 255",
        value_type=_I,
        low=0,
        high=255,
    ),
    _state(
        55,
        "Door lock",
        "",
        _U.NONE,
        "Has 2 values, Lock and Unlock (255 and 0)",
        value_type=_B,
        low=0,
        high=255,
        low_name="Unlock",
        high_name="Lock",
    ),
    # 3.3.1.4 Datatypes used for measure sensor data
    _measured(4, "LightLux", "lx", _U.LUX, "Measured light level in lux"),
    _measured(10, "Battery", "%", _U.PERCENT, "Measured battery level in percentage", low=0, high=100),
    _measured(11, "Lux", "%", _U.PERCENT, "Measured light level in percentage", low=0, high=100),
    _state(
        13,
        "Movement",
        "",
        _U.NONE,
        "Has 2 values, Detected and Idle (255 and 0)",
        value_type=_B,
        low=0,
        high=255,
        low_name="Idle",
        high_name="Detected",
        kind=Kind.EVENT,
    ),
    _state(
        15,
        "Contact",
        "",
        _U.NONE,
        "Has 2 values, Open and Closed (255 and 0)",
        value_type=_B,
        low=0,
        high=255,
        low_name="Closed",
        high_name="Open",
        kind=Kind.EVENT,
    ),
    _measured(18, "Energy", "Watt", _U.WATT, "Current amount of power used"),
    # A meter of unknown kind counts like any other meter; a sensor of unknown kind is a measurement.
    _register(54, "Meter", "", _U.NONE, 0, "Measured value, displayed as decimal"),
    _measured(56, "Sensor", "", _U.NONE, "Measured value, displayed as decimal"),
    _measured(
        62,
        "EnergyProductionWatt",
        "Watt",
        _U.WATT,
        "Current amount of power produced (e.g. solar panels)",
    ),
    _measured(66, "Flow", "m3/h", _U.LITRE_PER_HOUR, "Measured value, displayed as decimal", power=3),
    _measured(75, "Humidity", "%", _U.PERCENT, "Measured value in percentage", low=0, high=100),
    _measured(
        80,
        "CO2",
        "ppm",
        _U.PARTS_PER_MILLION,
        "Measured value, displayed as whole number",
        value_type=_I,
    ),
    _measured(87, "Ampere", "A", _U.AMPERE, "Measured value, displayed as decimal"),
    _measured(88, "Voltage", "V", _U.VOLT, "Measured value, displayed as decimal"),
    _measured(91, "Velocity", "m/s", _U.METRE_PER_SECOND, "Measured value, displayed as decimal"),
    _measured(92, "AirPressure", "kPa", _U.PASCAL, "Measured value, displayed as decimal", power=3),
    _measured(96, "BarPressure", "bar", _U.PASCAL, "Measured value, displayed as decimal", power=5),
    _measured(97, "RelativePressure", "bar", _U.PASCAL, "Measured value, displayed as decimal", power=5),
    _measured(
        101,
        "PowerWattage",
        "Watt",
        _U.WATT,
        "Current amount of power (DC, only used in 1 product)",
    ),
)

DATATYPES: dict[DatatypeId, Datatype] = {row.id: row for row in _ROWS}

ENERGY_CONSUMED = DatatypeId(39)
ENERGY_RETURNED = DatatypeId(50)
ENERGY_PRODUCED = DatatypeId(63)
GAS_VOLUME = DatatypeId(51)
WATER_VOLUME = DatatypeId(52)
HEAT = DatatypeId(47)
COOLING = DatatypeId(103)
POWER = DatatypeId(18)
POWER_PRODUCED = DatatypeId(62)
VOLTAGE = DatatypeId(88)
CURRENT = DatatypeId(87)
METER = DatatypeId(54)
SENSOR = DatatypeId(56)
SWITCH = DatatypeId(9)
TEMPERATURE = DatatypeId(12)
HIGH_TEMPERATURE = DatatypeId(102)
HUMIDITY = DatatypeId(75)
CO2 = DatatypeId(80)
SETPOINT = DatatypeId(67)
DIMMER = DatatypeId(8)
WINDOW_DIMMER = DatatypeId(44)
BASIC = DatatypeId(53)
LOCK = DatatypeId(55)
LIGHT_LUX = DatatypeId(4)
LIGHT_PERCENT = DatatypeId(11)
BATTERY = DatatypeId(10)
MOVEMENT = DatatypeId(13)
CONTACT = DatatypeId(15)
FLOW = DatatypeId(66)
VELOCITY = DatatypeId(91)
AIR_PRESSURE = DatatypeId(92)
BAR_PRESSURE = DatatypeId(96)
RELATIVE_PRESSURE = DatatypeId(97)
