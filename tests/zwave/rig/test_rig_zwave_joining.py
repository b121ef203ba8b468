"""Simulated devices that join, leave, fail and are replaced."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from meterkast_rig import zwave

# isort: split
from zwave_js_server.const import InclusionStrategy, SecurityClass
from zwave_js_server.model.controller import ProvisioningEntry
from zwave_js_server.model.node import Node


async def test_joining_with_s2_leaving_and_a_stranger(tmp_path: Path, rig: Any) -> None:
    async with rig.network(tmp_path, devices="gas:4,meter:2", period_s=120.0) as (stick, seen):
        await rig.ready(seen, 4, 2)
        node = await rig.include(stick, seen, "s2meter", 21, "S2_Authenticated", "S2_Unauthenticated")
        await rig.ready(seen, 21)
        assert node.highest_security_class == 1
        seen.values.clear()
        await stick.verb("report", id=21)
        await rig.until(lambda: [v for v in seen.values if v[0] == 21], "an S2 report")
        plain = await rig.include(stick, seen, "plug", 22)
        await rig.ready(seen, 22)
        assert plain.is_secure is False
        removed: list[int] = []
        stopped = asyncio.Event()
        seen.controller.on("node removed", lambda data: removed.append(data["node"].node_id))
        seen.controller.on("exclusion stopped", lambda _: stopped.set())
        assert await seen.controller.async_begin_exclusion()
        await stick.verb("leave_stranger")
        await asyncio.wait_for(stopped.wait(), rig.wait_s)
        assert removed == []
        assert await seen.controller.async_begin_exclusion()
        await stick.verb("leave", id=22)
        await rig.until(lambda: removed == [22], "node 22 removed")


async def test_smart_start(tmp_path: Path, rig: Any) -> None:
    async with rig.network(tmp_path, devices="") as (stick, seen):
        device = await stick.verb("smart_make", kind="s2meter", id=30, classes=["S2_Unauthenticated"])
        classes = [SecurityClass.S2_UNAUTHENTICATED]
        await seen.controller.async_provision_smart_start_node(ProvisioningEntry(device["dsk"], classes))
        await stick.verb("smart_on")
        await rig.ready(seen, 30)
        assert seen.node(30).is_secure


async def exclude(stick: Any, seen: Any, rig: Any, number: int) -> None:
    assert await seen.controller.async_begin_exclusion()
    await stick.verb("leave", id=number)
    await rig.until(lambda: number not in seen.controller.nodes, f"node {number} removed")


async def test_one_join_after_another_while_all_others_report(tmp_path: Path, rig: Any) -> None:
    async with rig.network(tmp_path, devices=zwave.NETWORK, speed=1.0, period_s=2.0) as (stick, seen):
        await rig.ready(seen, 2, 3, 4, 5, 6, 7, 8, 9, 11)
        for number, typing_s in enumerate((0.0, 0.2, 1.0, 3.0, 3.1), start=20):
            node = await rig.include(stick, seen, "s2meter", number, "S2_Authenticated", typing_s=typing_s)
            await rig.ready(seen, number)
            assert node.highest_security_class == SecurityClass.S2_AUTHENTICATED
            await exclude(stick, seen, rig, number)


async def test_right_pin_after_wrong_ones(tmp_path: Path, rig: Any) -> None:
    async with rig.network(tmp_path, devices="") as (stick, seen):
        results: list[dict[str, Any]] = []
        seen.controller.on("node added", lambda data: results.append(data["result"]))
        for number, pin, typing_s in ((21, "00000", 0.0), (22, "00000", 0.3), (23, "", 0.0), (24, "", 0.3)):
            node = await rig.include(
                stick, seen, "s2meter", number, "S2_Authenticated", pin=pin, typing_s=typing_s
            )
            assert bool(node.is_secure) is not bool(pin), number
            await exclude(stick, seen, rig, number)
        assert [each.get("lowSecurityReason") for each in results] == [6, 6, None, None]


async def test_device_that_joined_without_keys_does_not_encrypt(tmp_path: Path, rig: Any) -> None:
    async with rig.network(tmp_path, devices="") as (stick, seen):
        await rig.include(stick, seen, "s2meter", 21, strategy=InclusionStrategy.INSECURE)
        await rig.ready(seen, 21)
        seen.values.clear()
        await stick.verb("report", id=21)
        await rig.until(lambda: [v for v in seen.values if v[0] == 21], "a plain report")


async def test_s0_plug(tmp_path: Path, rig: Any) -> None:
    async with rig.network(tmp_path, devices="") as (stick, seen):
        node = await rig.include(stick, seen, "s0plug", 21, strategy=InclusionStrategy.SECURITY_S0)
        await rig.ready(seen, 21)
        assert node.highest_security_class == SecurityClass.S0_LEGACY
        assert await node.async_set_value("21-37-0-targetValue", True)
        await node.async_poll_value("21-37-0-currentValue")
        await rig.until(lambda: node.values["21-37-0-currentValue"].value is True, "switched on")
        assert (await stick.shown())[-1]["value"] == 255


async def test_a_failed_device_is_removed_and_one_is_replaced(tmp_path: Path, rig: Any) -> None:
    async with rig.network(tmp_path, devices="gas:4,plug:8,dimmer:9") as (stick, seen):
        await rig.ready(seen, 4, 8, 9)
        await stick.verb("dead", id=4)
        await asyncio.wait_for(seen.controller.async_remove_failed_node(seen.node(4)), rig.wait_s)
        assert 4 not in seen.controller.nodes
        await stick.verb("dead", id=8)
        added: list[Node] = []
        seen.controller.on("node added", lambda data: added.append(data["node"]))
        assert await seen.controller.async_replace_failed_node(seen.node(8), InclusionStrategy.INSECURE)
        await stick.verb("join", kind="water", id=99)
        await rig.until(lambda: added, "replaced")
        assert added[0].node_id == 8
        await rig.ready(seen, 8)
        assert seen.node(8).values["8-50-0-value-196609"].value > 0
