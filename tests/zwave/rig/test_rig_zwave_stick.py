"""The simulated stick itself: its port, its memory, its verbs."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from meterkast.model.errors import ConfigError, LinkLostError
from meterkast.nodejs import find_node
from meterkast_rig import zwave


async def test_the_stick_is_pulled_out_and_put_back(tmp_path: Path, rig: Any) -> None:
    async with zwave.serving(devices="gas:4") as stick:
        async with rig.server(stick, tmp_path) as socket, rig.connected(socket) as seen:
            await rig.ready(seen, 4)
            await stick.verb("garbage", hex="0120")
            await seen.node(4).async_ping()  # the noise takes its answer
            assert await seen.node(4).async_ping()
            await stick.verb("unplug")
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", int(stick.url.rsplit(":", 1)[1]))
        await stick.verb("plug")
        async with rig.server(stick, tmp_path) as socket, rig.connected(socket) as seen:
            await rig.ready(seen, 4)
            assert await seen.node(4).async_ping()


async def test_the_stick_reboots(tmp_path: Path, rig: Any) -> None:
    async with zwave.serving(devices="gas:4") as stick:
        async with rig.server(stick, tmp_path) as socket, rig.connected(socket) as seen:
            await rig.ready(seen, 4)
            await stick.verb("reboot", ms=100)
        async with rig.server(stick, tmp_path) as socket, rig.connected(socket) as seen:
            await rig.ready(seen, 4)
            assert await seen.node(4).async_ping()


async def test_what_is_reported_after_noise_on_the_line_arrives(tmp_path: Path, rig: Any) -> None:
    async with rig.network(tmp_path, devices="water_pulses:6", speed=1e-6) as (stick, seen):
        await rig.ready(seen, 6)
        # The beginning of a frame that does not go on: zwave-js takes what comes next for its rest.
        await stick.verb("garbage", hex="0120")
        seen.values.clear()
        before = len(await stick.shown())
        await stick.verb("pulse", id=6, count=1)
        await rig.until(lambda: seen.values, "the report")
        assert [v[4] for v in seen.values[:1]] == [r["value"] for r in await stick.shown(before)][:1]


async def test_healing(tmp_path: Path, rig: Any) -> None:
    async with rig.network(tmp_path, devices="gas:4,plug:8") as (_, seen):
        await rig.ready(seen, 4, 8)
        assert await seen.controller.async_rebuild_node_routes(seen.node(4))


async def test_backup_is_restored_on_another_stick(tmp_path: Path, rig: Any) -> None:
    backup = tmp_path / "backup.bin"
    async with rig.network(tmp_path, devices="gas:4,contact:10,strip:3", home_id=0xC0FFEE01) as (_, seen):
        await rig.ready(seen, 4, 3)
        backup.write_bytes(await asyncio.wait_for(seen.controller.async_backup_nvm_raw(), rig.wait_s))
        assert await seen.node(4).async_ping()
    async with zwave.serving(devices="meter:2", home_id=0x7E570002) as other:
        folder = tmp_path / "other"
        zwave.write_keys(folder / "keys.json")
        command = ("--stick", other.url, "--restore", str(backup), "--folder", str(folder))
        child = await asyncio.create_subprocess_exec(
            str(find_node()), str(rig.service / "server.mjs"), *command, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await asyncio.wait_for(child.communicate(), rig.wait_s)
        assert [json.loads(line)["fact"] for line in said.splitlines()] == ["starting", "restoring", "ended"]
        assert child.returncode == 0
        async with rig.server(other, folder) as socket, rig.connected(socket) as seen:
            await rig.ready(seen, 4, 3)
            assert seen.controller.home_id == 0xC0FFEE01
            assert set(seen.controller.nodes) == {1, 3, 4, 10}
            assert await seen.node(4).async_ping()


async def test_what_cannot_be_done_says_what_can() -> None:
    async with zwave.serving(devices="gas:4") as stick:
        with pytest.raises(ConfigError, match="no node 5; there are: 4"):
            await stick.verb("dead", id=5)
        with pytest.raises(ConfigError, match='no verb "deed"; there are: list, shown'):
            await stick.verb("deed", id=5)
        with pytest.raises(ConfigError, match="cannot fill"):
            await stick.verb("fill", id=4)
        with pytest.raises(ConfigError, match="exclusion mode"):
            await stick.verb("leave", id=4)
        with pytest.raises(ConfigError, match='no kind "hoover"; there are: meter, strip'):
            await stick.verb("smart_make", kind="hoover", id=9)
    with pytest.raises(LinkLostError, match="status 2"):
        async with zwave.serving(devices="hoover:4"):
            pass


def test_keys_are_for_their_owner_only(tmp_path: Path, rig: Any) -> None:
    path = zwave.write_keys(tmp_path / "new" / "keys.json")
    assert json.loads(path.read_text()) == dict(zwave.TEST_KEYS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
