"""Command class and numbers → property: the one table of what a value of a node is.

Pure: the same values give the same keys, in whichever order they came. What can be read as a number and has
no row is kept as a generic sensor (56) or meter (54), never dropped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import count

from meterkast.model.datatypes import (
    DIMMER,
    METER,
    SENSOR,
    WINDOW_DIMMER,
    Aggregation,
    Kind,
)
from meterkast_drivers.zwave import alarms, climate, controls, meters, sensors
from meterkast_drivers.zwave.asides import ASIDES
from meterkast_drivers.zwave.scales import Pulse, decimal_of, scale_of
from meterkast_drivers.zwave.target import OFF, ON, Aside, Target, key_at
from meterkast_drivers.zwave.value import ZwaveValue

__all__ = ["LARGEST", "Aside", "Target", "key_at", "map_node", "map_value", "number_of", "raw_of", "resolve"]

LARGEST = 10**12
"""A Z-Wave number has 32 bits; beyond this it is damaged, and arithmetic on it would be slow."""

METER_CLASS, MULTILEVEL_SWITCH, BINARY_SENSOR, ALARM_SENSOR = 50, 38, 48, 156

_CLASSES: dict[int, Callable[[ZwaveValue], Target | Aside | None]] = {
    32: controls.basic,
    37: controls.binary_switch,
    MULTILEVEL_SWITCH: controls.multilevel_switch,
    BINARY_SENSOR: alarms.binary_sensor,
    49: sensors.sensor,
    64: climate.mode,
    66: climate.mode,
    67: climate.setpoint,
    68: climate.mode,
    69: climate.mode,
    98: controls.door_lock,
    100: climate.humidity_setpoint,
    102: controls.barrier,
    106: controls.window_covering,
    109: climate.mode,
    110: climate.mode,
    113: alarms.notification,
    118: controls.lock,
    128: controls.battery,
    144: meters.production,
    ALARM_SENSOR: alarms.alarm_sensor,
}


def map_value(value: ZwaveValue, pulse: Pulse | None = None) -> Target | Aside:
    """What one value is by itself.

    Args:
        value: As zwave-js describes it.
        pulse: What one pulse of the node's meters is worth; None: pulses are kept as pulses.
    """
    if value.command_class in ASIDES:
        return Aside(ASIDES[value.command_class])
    if value.command_class == METER_CLASS:
        found = meters.meter(value, pulse)
    else:
        mapper = _CLASSES.get(value.command_class)
        found = mapper(value) if mapper is not None else None
    return found if found is not None else _generic(value)


def _generic(value: ZwaveValue) -> Target | Aside:
    """What is in no table: a number or boolean that can be read is kept, visibly."""
    if not value.readable:
        return Aside("an order that is in no table")
    if value.type not in ("number", "boolean"):
        return Aside(f"no number: {value.type}")
    parts = (f"cc{value.command_class}", str(value.property), str(value.property_key or ""))
    meter = value.command_class == METER_CLASS
    state = value.type == "boolean" or bool(value.states)
    scale = scale_of(value.unit)
    kind = Kind.STATE if state else Kind.REGISTER if meter else Kind.MOMENTARY
    return Target(
        key="_".join(filter(None, map(alarms.slug, parts))),
        name=value.label or str(value.property),
        datatype=METER if kind is Kind.REGISTER else SENSOR,
        unit=scale.unit,
        conversion=scale.conversion,
        kind=kind,
        aggregation=Aggregation.LAST if state else None,
        parameter=str(value.property_key) if isinstance(value.property_key, int) else "",
        states={str(OFF): "Off", str(ON): "On"} if value.type == "boolean" else value.states,
        boolean=value.type == "boolean",
        why=f"command class {value.command_class} has no row for it; kept as a generic "
        + ("meter" if kind is Kind.REGISTER else "sensor")
        + (f" in {value.unit}" if value.unit else ""),
    )


def map_node(values: Sequence[ZwaveValue], pulse: Pulse | None = None) -> dict[str, Target | Aside]:
    """What all values of a node are, by value id; what belongs together is resolved, keys are unique.

    Args:
        values: All that the node has, in any order.
        pulse: What one pulse of its meters is worth.
    """
    return resolve(values, {value.id: map_value(value, pulse) for value in values})


def resolve(values: Sequence[ZwaveValue], alone: Mapping[str, Target | Aside]) -> dict[str, Target | Aside]:
    """The same, of values that were mapped one by one.

    Args:
        values: All that the node has, in any order.
        alone: What each is by itself, by value id.
    """
    known = {value.id: value for value in values}
    found = {id_: alone[id_] for id_ in sorted(known)}
    claims: dict[str, list[ZwaveValue]] = defaultdict(list)
    for id_, target in found.items():
        if isinstance(target, Target):
            value = known[id_]
            found[id_] = target = _paired(value, target, known)
            claims[target.key_at(value.endpoint)].append(value)
    for claimants in claims.values():
        for value in sorted(claimants, key=_rank)[1:]:
            target = found[value.id]
            assert isinstance(target, Target)
            found[value.id] = _second(value, target, found, known)
    return found


def _paired(value: ZwaveValue, target: Target, known: dict[str, ZwaveValue]) -> Target:
    """With what the rest of the node tells of it: where it is written, and what kind of dimmer it is."""
    if target.write_to is not None:
        goal = known.get(replace(value, property=target.write_to, property_key=target.write_key).id)
        if goal is None or not goal.writeable:
            return replace(target, receiving=False, write_to=None, write_key=None)
    if value.command_class == MULTILEVEL_SWITCH and replace(value, property="Open").id in known:
        return replace(target, datatype=WINDOW_DIMMER, name="Blind", why=f"{target.why}, opens and closes")
    return target


def _rank(value: ZwaveValue) -> tuple[int, str]:
    """Who keeps the key: Notification before older sensors, a meter's "consumed" before "unspecified"."""
    later = value.command_class in (BINARY_SENSOR, ALARM_SENSOR)
    unspecified = value.command_class == METER_CLASS and value.cc_specific.get("rateType") == 0
    return (2 if value.command_class == ALARM_SENSOR else 1 if later or unspecified else 0, value.id)


def _endings(value: ZwaveValue) -> Iterator[str]:
    """What a second value of a key is told by, best first; without end, as ids may differ by case alone."""
    number = value.command_class
    if number == METER_CLASS:
        unspecified = value.cc_specific.get("rateType") == 0
        best = "unspecified" if unspecified else f"scale_{value.cc_specific.get('scale')}"
    else:
        best = {BINARY_SENSOR: "sensor", ALARM_SENSOR: "alarm_sensor"}.get(number, f"cc{number}")
    yield best
    yield (own := alarms.slug(value.id))
    yield from (f"{own}_{another}" for another in count(2))


def _second(
    value: ZwaveValue, target: Target, found: dict[str, Target | Aside], known: dict[str, ZwaveValue]
) -> Target:
    """The same with another key, for another value of the endpoint has this one."""
    taken = {other.key_at(known[id_].endpoint) for id_, other in found.items() if isinstance(other, Target)}
    free = (one for one in _endings(value) if key_at(f"{target.key}_{one}", value.endpoint) not in taken)
    ending = next(free)
    return replace(
        target,
        key=f"{target.key}_{ending}",
        name=f"{target.name} ({ending.replace('_', ' ')})",
        why=f"{target.why}; a second value for {target.key}",
    )


def number_of(target: Target, value: object) -> Decimal | None:
    """A value as zwave-js gave it, as a number in the canonical unit, of at most `target.decimals` decimals.

    Returns:
        None where it is no usable number: nothing, text, NaN, infinity, an object, a code for "unknown".
    """
    if isinstance(value, bool):
        return Decimal(ON if value else OFF) if target.switching else None
    if not isinstance(value, int | float) or abs(value) > LARGEST:
        return None
    exact = decimal_of(value)
    if exact is None:
        return None
    if target.boolean:
        return Decimal(ON if exact else OFF)
    if target.codes is not None:
        code = target.codes.get(int(exact)) if exact == exact.to_integral_value() else None
        return Decimal(code) if code is not None else None
    return target.conversion.to_canonical(exact)


def raw_of(target: Target, number: Decimal) -> bool | int | float:
    """What to write to the device for a number in the canonical unit; the range was checked before.

    A dimmer's 100 becomes 99, as BeNext has it.
    """
    if target.boolean:
        return bool(number)
    if target.datatype in (DIMMER, WINDOW_DIMMER):
        number = min(number, Decimal(99))
    raw = target.conversion.from_canonical(number)
    return int(raw) if raw == raw.to_integral_value() else float(raw)
