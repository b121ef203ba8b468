"""Devices and their values as they are shown. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from meterkast.model.datatypes import DATATYPES
from meterkast.model.product import Availability, NodeStatus
from meterkast.model.quantity import text
from meterkast.network import NodeView, ValueView
from meterkast_drivers.zwave import describing
from meterkast_drivers.zwave.device import Device, Mapped
from meterkast_drivers.zwave.mapping import Aside, Target, number_of

AVAILABILITY = {
    NodeStatus.AVAILABLE: Availability.AVAILABLE,
    NodeStatus.UNSTABLE: Availability.RETRYING,
    NodeStatus.NO_CONNECTION: Availability.UNREACHABLE,
}
"""BeNext's two words for the same: of a node (5.3) and of its product (4.1)."""

_STATES = {0: "unknown", 1: "asleep", 2: "awake", 3: "dead", 4: "alive"}
# NodeStatus of zwave-js.

_NOT_DBM = 120
# Above it zwave-js' numbers are no dBm but RssiError: not available, saturated, no signal.

BATTERY_VALUE = "128-0-level"
GOOD_BATTERY = 50
"""In %; a device that warned of its battery and now tells more than this has a new one."""


def state_of(device: Device) -> str:
    """What the server says of it: alive, asleep, awake, dead or unknown."""
    return "unknown" if device.live is None else _STATES.get(device.live.data.get("status", 0), "unknown")


def node_view(device: Device) -> NodeView:
    """A device as it is now."""
    live, product = device.live, device.product
    told = product.description if product is not None else None
    row = device.record.description if device.record is not None else None
    statistics = _statistics(device)
    return NodeView(
        node=device.node,
        product_id=product.id if product is not None else None,
        name=told.name if told is not None else "",
        maker=told.maker if told is not None else "",
        model=told.model if told is not None else "",
        type=told.type if told is not None else "",
        status=int(device.status),
        availability=AVAILABILITY[device.status].value,
        state=state_of(device),
        ready=device.ready,
        detail=detail_of(device),
        security=(describing.security(live) if live is not None else "") or (row.security if row else ""),
        firmware=(describing.firmware(live) if live is not None else "") or (row.version if row else ""),
        battery_percent=_battery(device),
        last_seen_ms=device.last_seen_ms,
        wake_up_s=device.wake_up_s,
        report_s=device.report_ms // 1000,
        values=len(device.properties),
        **statistics,
    )


def detail_of(device: Device) -> str:
    """One plain sentence where something is to be said."""
    live, state = device.live, state_of(device)
    if device.status is NodeStatus.NO_CONNECTION:
        what = (
            "It does not wake up any more" if device.wake_up_s or state == "asleep" else "It does not answer"
        )
        return f"{what}. Check its power or battery, and its distance to the next device."
    if live is None:
        return device.problem or "The Z-Wave server does not show it now."
    if device.status is NodeStatus.UNSTABLE:
        if not device.listening:
            return "It should have woken up by now; its battery may be empty."
        return "It did not answer and is asked again."
    if not live.ready:
        if live.interview_stage == "Failed":
            return "Its interview failed: interview it again with the device close to the stick."
        if state == "asleep":
            return "It was not interviewed to the end: wake it up by its button."
        return "It is being interviewed."
    if device.low_battery_ns is not None and not _battery_since(device):
        return "It warns that its battery is nearly empty: replace it."
    if device.misunderstood:
        return "Its values could not be understood; please report this, with the log."
    return device.problem


def value_views(device: Device) -> list[ValueView]:
    """Each value of a device: first those that are kept, then those that are not."""
    kept = [_kept(mapped) for mapped in device.properties.values()]
    aside = [_aside(device, place, found) for place, found in device.asides.items()]
    return sorted(kept, key=_place) + sorted(aside, key=_place)


def decimals_of(target: Target, value: Any) -> int:
    """How many decimals the value has that the server remembers; 0 where it is none."""
    number = number_of(target, value.value) if value is not None else None
    return 0 if number is None else digits(number)


def digits(number: Decimal) -> int:
    """How many decimals a number really has: 1.50 has one."""
    exponent = number.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0


def _place(view: ValueView) -> tuple[int, int, str]:
    return view.channel, view.command_class, view.value


def _kept(mapped: Mapped) -> ValueView:
    value, target, prop = mapped.value, mapped.target, mapped.property
    return ValueView(
        value=value.id,
        label=value.label or str(value.property),
        command_class=value.command_class,
        channel=value.endpoint,
        parameter=target.parameter,
        property_id=prop.id,
        key=prop.key,
        datatype=DATATYPES[target.datatype].name,
        unit=target.unit.value,
        sending=target.sending,
        receiving=target.receiving,
        generic=target.generic,
        why=f"{target.why}; newest report not kept: {mapped.problem}" if mapped.problem else target.why,
        newest=None if mapped.newest is None else text(mapped.newest),
        at_ms=mapped.at_ms,
        names=names_of(target),
    )


def names_of(target: Target) -> dict[str, str]:
    """What its numbers are called: by the device, else by the datatype."""
    datatype = DATATYPES[target.datatype]
    ends = ((datatype.low, datatype.low_name), (datatype.high, datatype.high_name))
    named = {text(Decimal(number)): name for number, name in ends if number is not None and name}
    return {**named, **target.states}


def _aside(device: Device, place: str, found: Aside) -> ValueView:
    command_class, channel, name = place.split("-", 2)
    live = device.live
    value = live.values.get(f"{device.node}-{place}") if live is not None else None
    return ValueView(
        value=place,
        label=(value.metadata.label if value is not None else None) or name,
        command_class=int(command_class),
        channel=int(channel),
        why=found.why,
    )


def _battery(device: Device) -> int | None:
    mapped = device.properties.get(BATTERY_VALUE)
    if mapped is not None and mapped.newest is not None:
        return int(mapped.newest)
    if device.live is None:
        return None
    # What the server remembers is shown, though its age is not known.
    value = device.live.values.get(f"{device.node}-{BATTERY_VALUE}")
    found = value.value if value is not None else None
    return int(found) if isinstance(found, int | float) and 0 <= found <= 100 else None


def _battery_since(device: Device) -> bool:
    """Whether it told a good level after its warning: it has a new battery."""
    mapped = device.properties.get(BATTERY_VALUE)
    if mapped is None or mapped.newest is None or mapped.seen_ns is None:
        return False
    return mapped.seen_ns > (device.low_battery_ns or 0) and mapped.newest >= GOOD_BATTERY


def _statistics(device: Device) -> dict[str, Any]:
    """Of the newest transmission and since the server began; nothing where the server gives none."""
    if device.live is None:
        return {}
    data = device.live.statistics.data
    route = data.get("lwr") or {}
    rssi = _dbm(data.get("rssi"))
    repeaters = route.get("repeaters")
    return {
        "route": tuple(int(one) for one in repeaters) if repeaters is not None else None,
        "rssi_dbm": rssi if rssi is not None else _dbm(route.get("rssi")),
        "round_trip_ms": round(data["rtt"]) if data.get("rtt") is not None else None,
        "commands_dropped": data.get("commandsDroppedTX", 0) + data.get("commandsDroppedRX", 0),
        "timeouts": data.get("timeoutResponse", 0),
    }


def _dbm(number: int | None) -> int | None:
    return None if number is None or number >= _NOT_DBM else round(number)
