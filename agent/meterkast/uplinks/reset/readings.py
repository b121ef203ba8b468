"""The `readings` messages: one element per half-hour, frozen when it is closed, put together when it is sent.

Numbers are written with the digits they were measured with and never pass through a float.

Source: RESET API V2.1, "Event - Readings".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from meterkast.model.delivery import Item
from meterkast.model.half_hour import HalfHour, State
from meterkast.model.quantity import Quantity, text
from meterkast.ports.uplink import Binding
from meterkast.uplinks.reset.parameters import AIR, PARAMETERS
from meterkast.uplinks.reset.plan import ChannelPlan, Plan

MOST_ELEMENTS = 48
"""Of a message: "one message maxes out at 48 readings (one days worth)"."""

MOST_BYTES = 256_000
"""Of a message; the document gives no limit. A slow mobile link sends this in half of the ack's time-out."""

_ROOM_BYTES = 512
"""For the event's name, the message_id and the brackets around the elements."""


def compose(plan: Plan, reading_time: str, half_hours: Mapping[Binding, HalfHour]) -> bytes:
    """What one half-hour of a monitor adds to `readings`.

    Args:
        plan: The monitor.
        reading_time: The half-hour's end on the site's clock, `2017-03-15T15:00:00.000+08:00`.
        half_hours: What was measured. Suspect values count as missing.

    Returns:
        One element as compact JSON; an array of several where bins were emptied; empty where nothing is
        known. Emptyings come before the half-hour's maximum: should the platform keep one value per time,
        it is the last.
    """
    values = _air(plan, half_hours) if plan.module == AIR else _by_channel(plan, half_hours)
    if not values:
        return b""
    elements = [*_emptyings(plan, half_hours), values] if plan.emptyings else [values]
    head = f'{{"connection_id":{_string(plan.connection_id)},"reading_time":"{reading_time}",'
    written = [f"{head}{element}}}" for element in elements]
    return (written[0] if len(written) == 1 else f"[{','.join(written)}]").encode()


class Part(NamedTuple):
    """The items that one message carries, and its `readings` as JSON without the brackets."""

    items: tuple[Item, ...]
    elements: str


def parts(items: Sequence[Item]) -> Iterator[Part]:
    """Items as they fit into messages, oldest first; at most 48 elements and 256 kB in each.

    An item is never divided, so one that is larger than that makes a message of its own.
    """
    taken: list[Item] = []
    texts: list[str] = []
    count = size = 0
    for item in items:
        more = _count(item.payload)
        if taken and (
            count + more > MOST_ELEMENTS or size + len(item.payload) + 1 > MOST_BYTES - _ROOM_BYTES
        ):
            yield Part(tuple(taken), ",".join(texts))
            taken, texts, count, size = [], [], 0, 0
        taken.append(item)
        texts.append(_inner(item.payload))
        count += more
        size += len(item.payload) + 1
    if taken:
        yield Part(tuple(taken), ",".join(texts))


def readings_message(connection_id: str, elements: str, message_id: str) -> str:
    """A `readings` message as compact JSON.

    Args:
        connection_id: The monitor's.
        elements: As `Part` gives them.
        message_id: New for every attempt.
    """
    return (
        f'{{"message_id":{_string(message_id)},"data":{{"connection_id":{_string(connection_id)},'
        f'"readings":[{elements}]}}}}'
    )


def _count(payload: bytes) -> int:
    return len(msgspec.json.decode(payload, type=list[msgspec.Raw])) if payload.startswith(b"[") else 1


def _inner(payload: bytes) -> str:
    written = payload.decode()
    return written[1:-1] if written.startswith("[") else written


def _air(plan: Plan, half_hours: Mapping[Binding, HalfHour]) -> str:
    """Every declared parameter, null where missing; empty where all of them are."""
    numbers = {
        name: _number(half_hours.get(binding), plan.units[name])
        for name, binding in plan.channels[0].bindings.items()
    }
    if all(number is None for number in numbers.values()):
        return ""
    return ",".join(f'"{name}":{_json(number)}' for name, number in numbers.items())


def _by_channel(plan: Plan, half_hours: Mapping[Binding, HalfHour]) -> str:
    found, known = [], False
    for name, unit in plan.units.items():
        numbers = [
            (channel, _number(half_hours.get(channel.bindings[name]), unit))
            for channel in plan.channels
            if name in channel.bindings
        ]
        sent = [(channel, number) for channel, number in numbers if plan.missing_null or number is not None]
        known = known or any(number is not None for _, number in numbers)
        # A required parameter without any value is there as an empty array: the document asks for the key.
        if sent or PARAMETERS[plan.module][name].required:
            entries = ",".join(_entry(channel, number) for channel, number in sent)
            found.append(f'"{name}":[{entries}]')
    return ",".join(found) if known else ""


def _emptyings(plan: Plan, half_hours: Mapping[Binding, HalfHour]) -> Iterator[str]:
    """For each emptying, in its order, the largest weight before it: "an additional bin_weight array"."""
    for channel in plan.channels:
        for name, binding in channel.bindings.items():
            half_hour = half_hours.get(binding)
            if half_hour is None or half_hour.value is None or half_hour.state is State.SUSPECT:
                continue
            for whole in half_hour.before_emptyings:
                weight = Quantity(whole, half_hour.value.decimals).in_unit(plan.units[name])
                yield f'"{name}":[{_entry(channel, weight)}]'


def _entry(channel: ChannelPlan, number: Decimal | None) -> str:
    return f'{{"channel_id":{_string(channel.id)},"reading":{_json(number)}}}'


def _number(half_hour: HalfHour | None, unit: str) -> Decimal | None:
    if half_hour is None or half_hour.value is None or half_hour.state is State.SUSPECT:
        return None
    return half_hour.value.in_unit(unit)


def _json(number: Decimal | None) -> str:
    return "null" if number is None else text(number)


def _string(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
