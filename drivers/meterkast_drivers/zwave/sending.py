"""One value to one device: sent, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from meterkast_drivers.zwave import library  # noqa: F401

# isort: split
# `library` has to be imported before this.
from zwave_js_server.const import NodeStatus, SetValueStatus

from meterkast.model.errors import RefusedError
from meterkast.model.product import PendingStatus
from meterkast_drivers.zwave.confirming import meter_fell, read_back, registers, shown
from meterkast_drivers.zwave.device import Device, Mapped
from meterkast_drivers.zwave.devices import Devices
from meterkast_drivers.zwave.job import Patience
from meterkast_drivers.zwave.link import Link
from meterkast_drivers.zwave.value import ZwaveValue
from meterkast_drivers.zwave.values import value_of
from meterkast_drivers.zwave.writing import raw_from

WAITS = "The device sleeps: the value is sent when it wakes up."

Outcome = tuple[PendingStatus, str]


async def send(
    link: Link,
    devices: Devices,
    device: Device,
    mapped: Mapped,
    number: Decimal,
    patience: Patience,
    *,
    overtaken: Callable[[], bool],
) -> Outcome:
    """Send a number in the canonical unit; where it is then, and why.

    Raises:
        RefusedError: The device does not take it, or did not answer.
        LinkLostError: The connection was lost; whether it was done is not known.
    """
    live, target = device.live, mapped.target
    if live is None:
        raise RefusedError("the device is not in the network now", hint="Try again when it is.")
    taker = written(device, mapped)
    raw = raw_from(number, target, taker)
    before = registers(device, mapped.value) if target.resets else {}
    was = None if target.resets else shown(device, mapped)
    # What the server tells before it answers is its own guess.
    echo = devices.expect_echo(device.node, mapped.value.id)
    confirmed = False
    try:
        result = await link.ask(
            live.async_set_value(f"{device.node}-{taker.id}", raw),
            what=f"{target.name} of node {device.node} was not taken",
            within_s=patience.send_s,
        )
        confirmed = result is not None and result.status == SetValueStatus.SUCCESS
    finally:
        echo.end(confirmed=confirmed)
    if confirmed:
        return PendingStatus.DONE, ""
    if result is None:
        return _queued(device, mapped)
    if result.status not in (SetValueStatus.SUCCESS_UNSUPERVISED, SetValueStatus.WORKING):
        words = result.message or result.status.name.lower().replace("_", " ")
        return PendingStatus.FAILED, f"The device refused it ({words})."
    if target.resets:
        answer = await meter_fell(link, device, before, within_s=patience.confirm_s)
    else:
        answer = await read_back(
            link, device, mapped, number, before=was, within_s=patience.confirm_s, overtaken=overtaken
        )
    if answer.replaced:
        return PendingStatus.REPLACED, "A newer value took its place."
    return PendingStatus.DONE if answer.done else PendingStatus.FAILED, answer.detail


def written(device: Device, mapped: Mapped) -> ZwaveValue:
    """The value that takes what is written to a property.

    Raises:
        RefusedError: The device does not have it.
    """
    value, target = mapped.value, mapped.target
    if target.write_to is not None:
        value = replace(value, property=target.write_to, property_key=target.write_key)
    found = device.live.values.get(f"{device.node}-{value.id}") if device.live is not None else None
    if found is None:
        raise RefusedError(
            f"{target.name} of {device.name} cannot be written: the device has not told enough of itself",
            hint=f"Ask it again: `meterkast zwave interview {device.node}`.",
        )
    return value_of(found)


def sleeps(device: Device) -> bool:
    """Whether the device can only be reached when it wakes up by itself."""
    live = device.live
    return (
        live is not None and not device.listening and live.status in (NodeStatus.ASLEEP, NodeStatus.UNKNOWN)
    )


def _queued(device: Device, mapped: Mapped) -> Outcome:
    """The device fell asleep or died between question and answer: the server only queued it."""
    if sleeps(device) and not mapped.target.resets:
        return PendingStatus.WAKEUP, WAITS
    return (
        PendingStatus.FAILED,
        "The device stopped answering while it was being sent. It may still be carried out when the "
        "device is back: look at the device.",
    )
