"""The Z-Wave server as a child process: its keys, and whom it serves with what."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from meterkast.lean import aiohttp
from meterkast.model.errors import ConfigError
from meterkast_drivers.zwave import service as module
from meterkast_drivers.zwave.service import Service
from meterkast_rig.zwave import TEST_KEYS, Stick, write_keys

LIMIT_S = 60.0
REFUSED = (
    "update_log_config",
    "driver.update_log_config",
    "driver.update_options",
    "driver.hard_reset",
    "driver.enable_statistics",
    "driver.install_config_update",
)
LONG_RANGE = ("LongRange_S2_Authenticated", "LongRange_S2_AccessControl")


async def ask(client: Any, command: str, **arguments: object) -> dict[str, Any]:
    await client.send_json({"command": command, "messageId": command, **arguments})
    answer: dict[str, Any] = await client.receive_json(timeout=LIMIT_S)
    return answer


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_starts_makes_keys_once_and_keeps_them_to_itself(
    stick: Stick, folder: Path, server: Any
) -> None:
    async with server.running(stick.url, folder) as (service, place):
        assert service.problem() == ""
        assert place.socket is not None
        assert server.mode(place.socket) == 0o660
        assert await service.start() == place, "starting what runs changes nothing"
    keys = json.loads((folder / "keys.json").read_text())
    assert set(keys) == {*TEST_KEYS, *LONG_RANGE}
    assert len(set(keys.values())) == 6
    assert all(len(bytes.fromhex(key)) == 16 for key in keys.values())
    assert server.mode(folder / "keys.json") == 0o600
    assert server.mode(folder) == 0o700
    async with server.running(stick.url, folder):
        assert json.loads((folder / "keys.json").read_text()) == keys


async def test_adds_long_range_keys_to_older_ones(stick: Stick, folder: Path, server: Any) -> None:
    (write_keys(folder / "keys.json")).chmod(0o644)
    async with server.running(stick.url, folder):
        keys = json.loads((folder / "keys.json").read_text())
    assert {name: keys[name] for name in TEST_KEYS} == TEST_KEYS
    assert set(keys) == {*TEST_KEYS, *LONG_RANGE}
    assert server.mode(folder / "keys.json") == 0o600


@pytest.mark.parametrize(
    "damaged", ["", '{"S0_Legacy": "00', "[]", json.dumps({**TEST_KEYS, "S0_Legacy": "12"})]
)
async def test_never_replaces_damaged_keys(folder: Path, damaged: str) -> None:
    write_keys(folder / "keys.json").write_text(damaged)
    service = Service("tcp://127.0.0.1:1", folder)
    with pytest.raises(ConfigError, match=r"keys\.json") as refused:
        await service.start()
    assert "copy of keys.json" in refused.value.hint
    assert "copy of keys.json" in service.problem()
    assert (folder / "keys.json").read_text() == damaged


async def test_makes_no_new_keys_for_a_known_network(stick: Stick, folder: Path, server: Any) -> None:
    async with server.running(stick.url, folder):
        pass
    (folder / "keys.json").unlink()
    with pytest.raises(ConfigError, match="is missing, but"):
        await Service(stick.url, folder).start()
    assert not (folder / "keys.json").exists()


async def test_serves_one_gateway_and_no_browser(stick: Stick, folder: Path, server: Any) -> None:
    async with server.running(stick.url, folder) as (_, place), server.session_at(place) as session:
        first = await server.greeted(session, place)
        second = await session.ws_connect(place.url)
        closed = await second.receive(timeout=LIMIT_S)
        assert (closed.data, closed.extra) == (4009, "another gateway is connected")
        browser = await session.ws_connect(place.url, origin="http://evil.example")
        assert (await browser.receive(timeout=LIMIT_S)).data == 4003
        assert (await ask(first, "initialize", schemaVersion=35))["success"]
        await first.close()
        await server.greeted(session, place)


@pytest.mark.slow
async def test_a_gateway_that_stopped_answering_gives_its_place_up(
    stick: Stick, folder: Path, server: Any
) -> None:
    async with server.running(stick.url, folder) as (_, place), server.session_at(place) as session:
        frozen = await server.greeted(session, place, autoping=False)
        async with asyncio.timeout(LIMIT_S):
            while (await frozen.receive()).type is aiohttp.WSMsgType.PING:
                pass
        await server.greeted(session, place)


async def test_refuses_commands_beyond_z_wave(stick: Stick, folder: Path, server: Any) -> None:
    config = {"enabled": True, "logToFile": True, "filename": str(folder / "written.log")}
    async with server.running(stick.url, folder) as (_, place), server.session_at(place) as session:
        client = await server.greeted(session, place)
        await ask(client, "initialize", schemaVersion=35)
        for command in REFUSED:
            answer = await ask(client, command, config=config, options={"logConfig": config})
            assert not answer["success"]
            assert answer["messageId"] == command
            assert f"{command} is not allowed here" in answer["zwaveErrorMessage"]
        listening = await ask(client, "start_listening")
        assert not listening["result"]["state"]["driver"]["statisticsEnabled"]
    assert not [name for name in os.listdir(folder) if name.startswith("written")]


async def test_the_child_gets_little_and_goes_last(
    stick: Stick, folder: Path, monkeypatch: pytest.MonkeyPatch, server: Any
) -> None:
    monkeypatch.setenv("METERKAST_SECRET", "hunter2")
    monkeypatch.setenv("ZWAVEJS_DISABLE_SOFT_RESET", "1")
    async with server.running(stick.url, folder) as (service, _):
        pid = server.child_of(service).pid
        environment = environment_of(pid)
        assert b"SECRET" not in environment
        assert b"ZWAVEJS" not in environment
        assert os.getpriority(os.PRIO_PROCESS, pid) == min(os.getpriority(os.PRIO_PROCESS, 0) + 5, 19)


async def test_says_how_to_install_where_it_may_not(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "package-lock.json").touch()
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(module.os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match="is not installed") as missing:
        await Service("/dev/null", folder).start()
    assert "deploy/zwave/install.sh" in missing.value.hint


def test_refuses_a_folder_too_deep_for_a_socket() -> None:
    with pytest.raises(ConfigError, match="too long for a socket"):
        Service("/dev/null", Path("/" + "x" * 100))
