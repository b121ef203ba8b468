"""Simulated devices that are dead, slow, quiet or asleep."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

# isort: split
from zwave_js_server.const import NodeStatus


async def test_dead_and_alive_slow_and_quiet(tmp_path: Path, rig: Any) -> None:
    async with rig.network(tmp_path, devices="plug:8,gas:4") as (stick, seen):
        await rig.ready(seen, 8, 4)
        plug = seen.node(8)
        await stick.verb("dead", id=8)
        assert not await plug.async_ping()
        await rig.until(lambda: plug.status == NodeStatus.DEAD, "dead")
        await stick.verb("alive", id=8)
        assert await plug.async_ping()
        await rig.until(lambda: plug.status == NodeStatus.ALIVE, "alive")
        await stick.verb("quiet", id=4)
        before = len(await stick.shown())
        await stick.verb("report", id=4)
        await stick.verb("slow", id=4, ms=700)
        began = asyncio.get_running_loop().time()
        await seen.node(4).async_poll_value("4-50-0-value-131073")
        assert asyncio.get_running_loop().time() - began > 0.6
        # All goes to the host in its order: what it had reported would stand before the answer.
        records = await rig.recorded(stick, before, lambda records: records)
        assert [r["asked"] for r in records] == [True]


async def test_a_sleeping_device_wakes_up_takes_what_waits_and_reports(tmp_path: Path, rig: Any) -> None:
    async with rig.network(tmp_path, devices="contact:10,sleeper:11", speed=1.0) as (stick, seen):
        assert not seen.node(10).ready
        await stick.verb("wake", id=10)
        await stick.verb("wake", id=11)
        await rig.ready(seen, 10, 11)
        assert seen.node(11).values["11-49-0-Air temperature"].value > 10
        await stick.verb("sleep", id=11)
        assert not await seen.node(11).async_ping()
        await seen.node(11).async_set_value("11-132-0-wakeUpInterval", 900)
        await stick.verb("wake", id=11)
        async with asyncio.timeout(rig.wait_s):
            while await wake_up_s(stick, 11) != 900:  # noqa: ASYNC110 - the queued order tells nobody
                await asyncio.sleep(0.1)


async def wake_up_s(stick: Any, number: int) -> float:
    return {each["id"]: each["wake_up_s"] for each in await stick.verb("list")}[number]
