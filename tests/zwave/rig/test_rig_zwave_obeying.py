"""Whether the simulated devices do what they are told, and that the record says so."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

PLUG, DIMMER, THERMOSTAT, LOCK = 8, 7, 9, 11
DEVICES = f"plug:{PLUG},dimmer:{DIMMER},thermostat:{THERMOSTAT},lock:{LOCK}"
SETPOINT = f"{THERMOSTAT}-67-0-setpoint-1"
FAILED, DONE, NOBODY_KNOWS = 2, 255, 254


async def test_orders_are_carried_out_and_in_the_record(tmp_path: Path, rig: Any) -> None:
    orders = (
        (THERMOSTAT, SETPOINT, 67, 1, 22.5),
        (THERMOSTAT, f"{THERMOSTAT}-64-0-mode", 64, 0, 1),
        (LOCK, f"{LOCK}-98-0-targetMode", 98, 0, 255),
        (DIMMER, f"{DIMMER}-38-0-targetValue", 38, 0, 40),
    )
    async with rig.network(tmp_path, devices=DEVICES) as (stick, seen):
        await rig.ready(seen, PLUG, DIMMER, THERMOSTAT, LOCK)
        before = len(await stick.shown())
        for number, name, command_class, key, value in orders:
            assert await seen.node(number).async_set_value(name, value)
            read = name.replace("target", "current")
            await seen.node(number).async_poll_value(read)
            now = partial(value_of, seen, number, read)
            await rig.until(lambda now=now, value=value: now() == value, f"{name} is {value}")
            shown = [
                r
                for r in await stick.shown(before)
                if (r["node"], r["commandClass"]) == (number, command_class)
            ]
            assert (shown[-1]["key"], shown[-1]["value"]) == (key, value)


async def test_setpoint_out_of_range_is_not_taken(tmp_path: Path, rig: Any) -> None:
    async with rig.network(tmp_path, devices=DEVICES) as (stick, seen):
        await rig.ready(seen, THERMOSTAT)
        for value in (4.5, 30.5):
            before = len(await stick.shown())
            await seen.node(THERMOSTAT).async_set_value(SETPOINT, value)
            await seen.node(THERMOSTAT).async_poll_value(SETPOINT)
            shown = [r for r in await stick.shown(before) if r["commandClass"] == 67]
            assert {r["value"] for r in shown if r["key"] == 1} == {21}


@pytest.mark.parametrize(("how", "status"), [("silent", NOBODY_KNOWS), ("refuse", FAILED), ("lie", DONE)])
async def test_device_that_does_not_obey(tmp_path: Path, rig: Any, how: str, status: int) -> None:
    async with rig.network(tmp_path, devices=DEVICES) as (stick, seen):
        await rig.ready(seen, PLUG, DIMMER)
        for number, name, order, expected in (
            (PLUG, "37-0", True, status),
            (DIMMER, "38-0", 50, NOBODY_KNOWS),
        ):
            node, target = seen.node(number), f"{number}-{name}-targetValue"
            current = target.replace("target", "current")
            await stick.verb("disobey", id=number, how=how)
            before = len(await stick.shown())
            assert (await node.async_set_value(target, order)).status == expected
            await node.async_poll_value(current)
            assert {r["value"] for r in await stick.shown(before) if r["node"] == number} == {0}
            await stick.verb("disobey", id=number, on=False)
            await node.async_set_value(target, order)
            await node.async_poll_value(current)
            await rig.until(partial(value_of, seen, number, current), "obeys again")


def value_of(seen: Any, number: int, name: str) -> Any:
    return seen.node(number).values[name].value
