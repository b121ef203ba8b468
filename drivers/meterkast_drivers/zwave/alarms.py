"""Notification (113), Binary Sensor (48), Alarm Sensor (156): doors, movement, leaks, smoke and the like.

Source: Z-Wave specification, Notification Command Class, list of assigned notifications, and Binary Sensor
types, by zwave-js' tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from meterkast.model.datatypes import CONTACT, MOVEMENT, SENSOR, Aggregation, DatatypeId, Kind
from meterkast.model.product import Medium
from meterkast_drivers.zwave.target import OFF, ON, Aside, Target
from meterkast_drivers.zwave.value import ZwaveValue

IDLE = 0


@dataclass(frozen=True, slots=True)
class _Detector:
    """What is either detected or not.

    Attributes:
        states: What the two values are called: nothing, detected.
    """

    key: str
    name: str
    datatype: DatatypeId = SENSOR
    states: tuple[str, str] = ("Idle", "Detected")


_SMOKE = _Detector("smoke", "Smoke")
_CO = _Detector("co_alarm", "Carbon monoxide")
_CO2 = _Detector("co2_alarm", "Carbon dioxide alarm")
_HEAT = _Detector("heat_alarm", "Heat alarm")
_LEAK = _Detector("leak", "Water leak")
_TAMPER = _Detector("tamper", "Tampering")
_CONTACT = _Detector("contact", "Door or window", CONTACT, ("Closed", "Open"))
_MOVEMENT = _Detector("movement", "Movement", MOVEMENT)

_DETECTED = {IDLE: OFF, 1: ON, 2: ON}
_NOTIFIED: dict[tuple[int, str], tuple[_Detector, Mapping[int, int]]] = {
    # (notification type, variable) → what it is, and each event as one of its two values.
    (1, "Sensor status"): (_SMOKE, _DETECTED),
    (2, "Sensor status"): (_CO, _DETECTED),
    (3, "Sensor status"): (_CO2, _DETECTED),
    (4, "Heat sensor status"): (_HEAT, {IDLE: OFF, 1: ON, 2: ON, 5: ON, 6: ON}),  # 5, 6: underheat
    (5, "Sensor status"): (_LEAK, _DETECTED),
    (6, "Lock state"): (_Detector("lock_jammed", "Lock jammed"), {IDLE: OFF, 0x0B: ON}),
    # Open in regular or in tilt position comes as event × 256 + position.
    (6, "Door state"): (_CONTACT, {0x16: ON, 0x17: OFF, 0x1600: ON, 0x1601: ON}),
    (6, "Door handle state"): (
        _Detector("handle", "Door or window handle", CONTACT, ("Closed", "Open")),
        {0x18: ON, 0x19: OFF},
    ),
    (7, "Sensor status"): (_Detector("intrusion", "Intrusion"), _DETECTED),
    (7, "Cover status"): (_TAMPER, {IDLE: OFF, 3: ON}),
    (7, "Motion sensor status"): (_MOVEMENT, {IDLE: OFF, 7: ON, 8: ON}),
    (7, "Magnetic interference status"): (
        _Detector("magnetic_interference", "Magnetic interference"),
        {IDLE: OFF, 0x0B: ON},
    ),
    (8, "Power status"): (_Detector("power_applied", "Power applied"), {IDLE: OFF, 1: ON}),
    (8, "Mains status"): (
        _Detector("mains", "Mains", SENSOR, ("Disconnected", "Connected")),
        {2: OFF, 3: ON},
    ),
    (8, "Over-current status"): (_Detector("over_current", "Over-current"), {IDLE: OFF, 6: ON}),
    (8, "Over-voltage status"): (_Detector("over_voltage", "Over-voltage"), {IDLE: OFF, 7: ON}),
    (8, "Over-load status"): (_Detector("over_load", "Over-load"), {IDLE: OFF, 8: ON}),
    (14, "Siren status"): (_Detector("siren", "Siren"), {IDLE: OFF, 1: ON}),
    (16, "Rain alarm status"): (_Detector("rain", "Rain"), {IDLE: OFF, 1: ON}),
    (16, "Moisture alarm status"): (_Detector("moisture_alarm", "Moisture alarm"), {IDLE: OFF, 2: ON}),
    (16, "Freeze alarm status"): (_Detector("freeze", "Freeze"), {IDLE: OFF, 3: ON}),
    (18, "Combustible gas status"): (_Detector("gas_alarm", "Combustible gas"), _DETECTED),
    (18, "Toxic gas status"): (_Detector("toxic_gas", "Toxic gas"), {IDLE: OFF, 3: ON, 4: ON}),
    (20, "Light detection status"): (_Detector("light_detected", "Light detected"), {IDLE: OFF, 1: ON}),
    (22, "Home occupancy status"): (_Detector("occupancy", "Home occupied"), _DETECTED),
}

# The first word of a state's key, for what has no row of its own.
_TYPES = {
    1: "smoke",
    2: "co",
    3: "co2",
    4: "heat",
    5: "water",
    6: "access",
    7: "security",
    8: "power",
    9: "system",
    10: "emergency",
    11: "clock",
    12: "appliance",
    13: "health",
    14: "siren",
    15: "valve",
    16: "weather",
    17: "irrigation",
    18: "gas",
    19: "pest",
    20: "light",
    21: "water_quality",
    22: "home",
}
# zwave-js gives the door's state three times over; the first says most.
_REPEATED = {"Door state (simple)", "Opening state"}


def notification(value: ZwaveValue) -> Target | Aside | None:
    """Notification (113); None where there is nothing to know it by."""
    if value.property in ("alarmType", "alarmLevel"):
        return Aside("every notification sets it, and to nothing that means something")
    number = value.cc_specific.get("notificationType")
    if number is None:
        return None
    variable = value.property_key
    if number == 6 and variable in _REPEATED:
        return Aside('the same as "Door state"')
    known = _NOTIFIED.get((number, variable)) if isinstance(variable, str) else None
    if known is not None:
        detector, codes = known
        return _detected(detector, str(number), f"Notification: {detector.name.lower()}", codes=codes)
    prefix = _TYPES.get(number, f"notification_{number}")
    ending = slug(str(variable)) if variable is not None else ""
    key = ending if ending.startswith(f"{prefix}_") else f"{prefix}_{ending}".rstrip("_")
    return Target(
        key=key,
        name=f"{value.property}: {value.label}" if value.label else str(value.property),
        datatype=SENSOR,
        kind=Kind.STATE,
        aggregation=Aggregation.LAST,
        parameter=str(number),
        medium=Medium.SENSOR,
        states=value.states,
        why=f"Notification: type {number}, kept as a number with its meanings",
    )


_BINARY = {
    # Binary Sensor types; 255 is "any", for devices that give no type.
    1: _Detector("general_alarm", "General purpose"),
    2: _SMOKE,
    3: _CO,
    4: _CO2,
    5: _HEAT,
    6: _LEAK,
    7: _Detector("freeze", "Freeze"),
    8: _TAMPER,
    9: _Detector("auxiliary", "Auxiliary"),
    10: _CONTACT,
    11: _Detector("tilt", "Tilt"),
    12: _MOVEMENT,
    13: _Detector("glass_break", "Glass break"),
    255: _Detector("detected", "Detected"),
}


def binary_sensor(value: ZwaveValue) -> Target | None:
    """Binary Sensor (48); None where there is nothing to know it by."""
    kind = value.cc_specific.get("sensorType")
    if kind is None:
        return None
    detector = _BINARY.get(kind) or _Detector(f"binary_{kind}", f"Binary sensor {kind}")
    return _detected(detector, str(kind), f"Binary Sensor: {detector.name.lower()}")


# Alarm Sensor is the oldest of the three.
_ALARMS = {
    0: _Detector("general_alarm", "General alarm"),
    1: _SMOKE,
    2: _CO,
    3: _CO2,
    4: _HEAT,
    5: _LEAK,
}


def alarm_sensor(value: ZwaveValue) -> Target | None:
    """Alarm Sensor (156): its state; None for the rest."""
    kind = value.cc_specific.get("sensorType")
    if value.property != "state" or kind is None:
        return None
    detector = _ALARMS.get(kind) or _Detector(f"alarm_{kind}", f"Alarm {kind}")
    return _detected(detector, str(kind), f"Alarm Sensor: {detector.name.lower()}")


def _detected(
    detector: _Detector, parameter: str, why: str, *, codes: Mapping[int, int] | None = None
) -> Target:
    # A detection is an event: an interval holds its largest value, so that one is never lost in it.
    return Target(
        key=detector.key,
        name=detector.name,
        datatype=detector.datatype,
        kind=Kind.EVENT,
        aggregation=Aggregation.MAX,
        parameter=parameter,
        medium=Medium.SENSOR,
        codes=codes,
        boolean=codes is None,
        states={str(OFF): detector.states[0], str(ON): detector.states[1]},
        why=why,
    )


def slug(text: str) -> str:
    """A key of a text: lower case, words joined by underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
