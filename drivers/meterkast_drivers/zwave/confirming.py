"""Whether a device did what it was told: only its own answer counts.

An acknowledgement of the radio says that a message arrived, not that it was obeyed. Without Supervision
the value is read back, again and again while a dimmer is on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from meterkast.model.datatypes import Kind
from meterkast.model.errors import RefusedError
from meterkast.model.quantity import text as plain
from meterkast.model.units import Unit
from meterkast_drivers.zwave.device import Device, Mapped
from meterkast_drivers.zwave.link import Link
from meterkast_drivers.zwave.mapping import number_of
from meterkast_drivers.zwave.value import ZwaveValue

FIRST_S, LONGEST_S = 0.3, 3.0
"""From one reading to the next: longer each time."""

POLL_S = 15.0

_ROUNDING = Decimal("0.5")
# Thermostats set what they can: whole or half degrees.

METER = 50


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The device's own answer.

    Attributes:
        done: It did it.
        detail: What it did instead, or why nobody knows; empty where all is well.
        replaced: A newer order came meanwhile.
    """

    done: bool
    detail: str = ""
    replaced: bool = False


async def read_back(
    link: Link,
    device: Device,
    mapped: Mapped,
    wanted: Decimal,
    *,
    before: Decimal | None,
    within_s: float,
    overtaken: Callable[[], bool],
) -> Confirmed:
    """Ask the device for its value until it is the one wanted, or time is over.

    Args:
        before: What it said before the order, where that is known: saying it still is no answer.

    Raises:
        LinkLostError: The connection was lost; whether it was done is not known.
    """
    loop = asyncio.get_running_loop()
    until_s, wait_s = loop.time() + within_s, FIRST_S
    seen: Decimal | None = None
    while True:
        await asyncio.sleep(wait_s)
        if overtaken():
            return Confirmed(False, replaced=True)
        raw = await poll(link, device, mapped.value)
        number = number_of(mapped.target, raw)
        seen = number if number is not None else seen
        if number is not None and _same(number, wanted, before, mapped):
            unit = f" {mapped.target.unit.value}" if mapped.target.unit.value else ""
            rounded = "" if number == wanted else f"The device made it {plain(number)}{unit}."
            return Confirmed(True, rounded)
        if loop.time() + wait_s > until_s:
            return Confirmed(False, _missed(seen, mapped))
        wait_s = min(LONGEST_S, wait_s * 2)


async def meter_fell(link: Link, device: Device, before: dict[str, Decimal], *, within_s: float) -> Confirmed:
    """Ask a meter's registers whether they were set back.

    Args:
        before: What they showed before the order, by value id.

    Raises:
        LinkLostError: The connection was lost; whether it was done is not known.
    """
    loop = asyncio.get_running_loop()
    until_s, wait_s = loop.time() + within_s, FIRST_S
    left = dict(before)
    while left:
        await asyncio.sleep(wait_s)
        for place, old in list(left.items()):
            mapped = device.properties.get(place)
            number = number_of(mapped.target, await poll(link, device, mapped.value)) if mapped else None
            if number is not None and (number == 0 or number < old):
                del left[place]
        if left and loop.time() + wait_s > until_s:
            return Confirmed(False, "The meter was told to start at 0 again, but its registers did not fall.")
        wait_s = min(LONGEST_S, wait_s * 2)
    if not before:
        return Confirmed(False, "The meter was told to start at 0 again, but shows no register to tell by.")
    return Confirmed(True)


def registers(device: Device, reset: ZwaveValue) -> dict[str, Decimal]:
    """What the registers show that an order sets back, by value id, as known before it."""
    found = {}
    for place, mapped in device.properties.items():
        value = mapped.value
        if value.command_class != METER or value.endpoint != reset.endpoint:
            continue
        if mapped.target.kind is not Kind.REGISTER or mapped.target.resets:
            continue
        if reset.property_key is not None and value.property_key != reset.property_key:
            continue
        number = shown(device, mapped)
        found[place] = number if number is not None else Decimal(0)
    return found


def shown(device: Device, mapped: Mapped) -> Decimal | None:
    """What a device said last; None where it said nothing."""
    live = device.live.values.get(f"{device.node}-{mapped.value.id}") if device.live is not None else None
    return number_of(mapped.target, live.value) if live is not None else mapped.newest


async def poll(link: Link, device: Device, value: ZwaveValue) -> Any:
    """What the device says its value is; None where it does not answer.

    Raises:
        LinkLostError: The connection was lost.
    """
    if device.live is None:
        return None
    place: dict[str, Any] = {
        "commandClass": value.command_class,
        "endpoint": value.endpoint,
        "property": value.property,
    }
    if value.property_key is not None:
        place["propertyKey"] = value.property_key
    try:
        answer = await link.ask(
            device.live.async_send_command("poll_value", valueId=place, wait_for_result=True),
            what=f"read node {device.node}",
            within_s=POLL_S,
        )
    except RefusedError:
        return None
    return (answer or {}).get("value")


def _same(number: Decimal, wanted: Decimal, before: Decimal | None, mapped: Mapped) -> bool:
    if number == wanted:
        return True
    moved = before is not None and number != before
    return moved and mapped.target.unit is Unit.CELSIUS and abs(number - wanted) <= _ROUNDING


def _missed(seen: Decimal | None, mapped: Mapped) -> str:
    if seen is None:
        return "It was sent, but the device did not tell its value afterwards: look at the device."
    unit = f" {mapped.target.unit.value}" if mapped.target.unit.value else ""
    return f"The device did not take the value: it still says {_named(seen, mapped)}{unit}."


def _named(number: Decimal, mapped: Mapped) -> str:
    return mapped.target.states.get(plain(number), plain(number))
