"""The Z-Wave server as a child process: the real zwave-js on the simulated stick."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from meterkast.lean import aiohttp
from meterkast.model.errors import ConfigError, LinkLostError
from meterkast.nodejs import find_node, install
from meterkast_drivers.zwave import service as module
from meterkast_drivers.zwave.place import Place
from meterkast_drivers.zwave.service import FOLDER, Service
from meterkast_rig import zwave
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


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    install(FOLDER)


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not tmp_path: a socket's path has to be short.
    with tempfile.TemporaryDirectory(prefix="mk-") as name:
        yield Path(name) / "zwave"


@pytest.fixture
async def stick() -> AsyncIterator[Stick]:
    async with zwave.serving(devices="plug:8") as stick:
        yield stick


@contextlib.asynccontextmanager
async def running(stick: str, folder: Path) -> AsyncIterator[tuple[Service, Place]]:
    service = Service(stick, folder)
    try:
        yield service, await service.start()
    finally:
        await service.stop()


@contextlib.asynccontextmanager
async def session_at(place: Place) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(place.socket))) as session:
        yield session


async def greeted(session: aiohttp.ClientSession, place: Place, **options: Any) -> Any:
    client = await session.ws_connect(place.url, **options)
    assert (await client.receive_json(timeout=LIMIT_S))["type"] == "version"
    return client


async def ask(client: Any, command: str, **arguments: object) -> dict[str, Any]:
    await client.send_json({"command": command, "messageId": command, **arguments})
    answer: dict[str, Any] = await client.receive_json(timeout=LIMIT_S)
    return answer


def child_of(service: Service) -> asyncio.subprocess.Process:
    assert service._child is not None
    return service._child


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def launch(*arguments: str, timeout: float = LIMIT_S) -> subprocess.CompletedProcess[str]:
    command = [str(find_node()), str(FOLDER / "server.mjs"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def facts(said: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.splitlines()]


async def test_starts_makes_keys_once_and_keeps_them_to_itself(stick: Stick, folder: Path) -> None:
    async with running(stick.url, folder) as (service, place):
        assert service.problem() == ""
        assert place.socket is not None
        assert mode(place.socket) == 0o660
        assert await service.start() == place, "starting what runs changes nothing"
    keys = json.loads((folder / "keys.json").read_text())
    assert set(keys) == {*TEST_KEYS, *LONG_RANGE}
    assert len(set(keys.values())) == 6
    assert all(len(bytes.fromhex(key)) == 16 for key in keys.values())
    assert mode(folder / "keys.json") == 0o600
    assert mode(folder) == 0o700
    async with running(stick.url, folder):
        assert json.loads((folder / "keys.json").read_text()) == keys


async def test_adds_long_range_keys_to_older_ones(stick: Stick, folder: Path) -> None:
    (write_keys(folder / "keys.json")).chmod(0o644)
    async with running(stick.url, folder):
        keys = json.loads((folder / "keys.json").read_text())
    assert {name: keys[name] for name in TEST_KEYS} == TEST_KEYS
    assert set(keys) == {*TEST_KEYS, *LONG_RANGE}
    assert mode(folder / "keys.json") == 0o600


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


async def test_makes_no_new_keys_for_a_known_network(stick: Stick, folder: Path) -> None:
    async with running(stick.url, folder):
        pass
    (folder / "keys.json").unlink()
    with pytest.raises(ConfigError, match="is missing, but"):
        await Service(stick.url, folder).start()
    assert not (folder / "keys.json").exists()


async def test_serves_one_gateway_and_no_browser(stick: Stick, folder: Path) -> None:
    async with running(stick.url, folder) as (_, place), session_at(place) as session:
        first = await greeted(session, place)
        second = await session.ws_connect(place.url)
        closed = await second.receive(timeout=LIMIT_S)
        assert (closed.data, closed.extra) == (4009, "another gateway is connected")
        browser = await session.ws_connect(place.url, origin="http://evil.example")
        assert (await browser.receive(timeout=LIMIT_S)).data == 4003
        assert (await ask(first, "initialize", schemaVersion=35))["success"]
        await first.close()
        await greeted(session, place)


@pytest.mark.slow
async def test_a_gateway_that_stopped_answering_gives_its_place_up(stick: Stick, folder: Path) -> None:
    async with running(stick.url, folder) as (_, place), session_at(place) as session:
        frozen = await greeted(session, place, autoping=False)
        async with asyncio.timeout(LIMIT_S):
            while (await frozen.receive()).type is aiohttp.WSMsgType.PING:
                pass
        await greeted(session, place)


async def test_refuses_commands_beyond_z_wave(stick: Stick, folder: Path) -> None:
    config = {"enabled": True, "logToFile": True, "filename": str(folder / "written.log")}
    async with running(stick.url, folder) as (_, place), session_at(place) as session:
        client = await greeted(session, place)
        await ask(client, "initialize", schemaVersion=35)
        for command in REFUSED:
            answer = await ask(client, command, config=config, options={"logConfig": config})
            assert not answer["success"]
            assert answer["messageId"] == command
            assert f"{command} is not allowed here" in answer["zwaveErrorMessage"]
        listening = await ask(client, "start_listening")
        assert not listening["result"]["state"]["driver"]["statisticsEnabled"]
    assert not [name for name in os.listdir(folder) if name.startswith("written")]


async def test_ends_with_a_gateway_that_is_killed(stick: Stick, folder: Path) -> None:
    program = f"""
import asyncio, pathlib
from meterkast_drivers.zwave.service import Service
async def main():
    service = Service({stick.url!r}, pathlib.Path({str(folder)!r}))
    await service.start()
    print(service._child.pid, flush=True)
    await asyncio.sleep({LIMIT_S})
asyncio.run(main())
"""
    gateway = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    assert gateway.stdout is not None
    async with asyncio.timeout(LIMIT_S):
        child = os.pidfd_open(int(await gateway.stdout.readline()))
        gateway.kill()
        await gateway.communicate()
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(child, ended.set)
        await ended.wait()
    asyncio.get_running_loop().remove_reader(child)
    os.close(child)


async def test_says_that_there_is_no_stick(folder: Path) -> None:
    service = Service(str(folder / "ttyNone"), folder)
    with pytest.raises(LinkLostError, match=f"no stick at {folder}/ttyNone") as lost:
        await service.start()
    assert "Plug it in" in lost.value.hint
    assert "no stick at" in service.problem()
    (folder / "ttyNone").touch()
    with pytest.raises(ConfigError, match="is not a serial port"):
        await service.start()


async def test_says_that_something_else_is_plugged_in(folder: Path) -> None:
    ours, theirs = os.openpty()
    try:
        with pytest.raises(LinkLostError, match="does not answer as a Z-Wave stick"):
            await Service(os.ttyname(theirs), folder).start()
    finally:
        os.close(ours)
        os.close(theirs)


async def test_ends_when_the_stick_is_lost_and_comes_back_with_it(folder: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        stick = await stack.enter_async_context(zwave.serving(devices="plug:8"))
        async with running(stick.url, folder) as (service, place):
            child = child_of(service)
            await stack.aclose()
            async with asyncio.timeout(LIMIT_S):
                assert await child.wait() == 1
            with pytest.raises(LinkLostError, match="no stick at"):
                await service.start()
            async with zwave.serving(port=int(stick.url.rpartition(":")[2]), devices="plug:8"):
                assert await service.start() == place
                assert service.problem() == ""


async def started(service: Service) -> Place:
    """Start it, as often as it takes: what a killed one locked is let go within 10 s."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                return await service.start()
            except LinkLostError as error:
                if "the cache is locked" not in str(error):
                    raise
            await asyncio.sleep(1)


async def test_a_frozen_server_is_killed_and_started_again(stick: Stick, folder: Path) -> None:
    async with running(stick.url, folder) as (service, place):
        child = child_of(service)
        child.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(LIMIT_S):
            await service.kill()
        assert child.returncode == -signal.SIGKILL
        assert place.socket is not None
        assert place.socket.exists(), "the killed one could not tidy up"
        assert await started(service) == place
        async with session_at(place) as session:
            await greeted(session, place)


async def test_stopping_a_frozen_server_does_not_wait_for_ever(
    stick: Stick, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_S", 0.2)
    async with running(stick.url, folder) as (service, _):
        child = child_of(service)
        child.send_signal(signal.SIGSTOP)
        await service.stop()
        assert child.returncode == -signal.SIGKILL


async def test_one_that_cannot_be_killed_holds_nobody_up(
    stick: Stick, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "STOP_S", 0.1)
    monkeypatch.setattr(module, "KILL_S", 0.2)
    async with running(stick.url, folder) as (service, _):
        child = child_of(service)
        monkeypatch.setattr(module, "_send", lambda *_: None)
        async with asyncio.timeout(LIMIT_S):
            await service.stop()
        assert "cannot be killed" in caplog.text
        child.kill()
        await child.wait()


async def test_a_start_that_takes_too_long_leaves_nothing_behind(stick: Stick, folder: Path) -> None:
    service = Service(stick.url, folder, start_s=0.01)
    with pytest.raises(LinkLostError, match="did not listen within"):
        await service.start()
    assert service._child is None


async def test_takes_no_socket_from_a_server_that_listens(stick: Stick, folder: Path) -> None:
    os.mkdir(folder)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(folder / "zwave.sock"))
        other.listen()
        with pytest.raises(ConfigError, match="another Z-Wave server listens"):
            await Service(stick.url, folder).start()
    # Nobody listens on it any more.
    async with running(stick.url, folder):
        pass


async def test_the_child_gets_little_and_goes_last(
    stick: Stick, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METERKAST_SECRET", "hunter2")
    monkeypatch.setenv("ZWAVEJS_DISABLE_SOFT_RESET", "1")
    async with running(stick.url, folder) as (service, _):
        pid = child_of(service).pid
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


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:3000", ":3000", "192.168.1.2:3000", "127.0.0.1:0", "[::]:3000", "a.sock"]
)
def test_listens_on_this_machine_only(folder: Path, listen: str) -> None:
    done = launch("--stick=/dev/null", f"--listen={listen}", f"--folder={folder}")
    assert done.returncode == 2
    [refused, ended] = facts(done.stdout)
    assert "is not a place on this machine" in refused["detail"]
    assert (ended["fact"], ended["status"]) == ("ended", 2)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--stick is missing"),
        (["--stick=/dev/null", "--listen=/tmp/x.sock"], "--folder is missing"),
        (["--bogus"], "--bogus"),
        (["--stick=s", "--listen=/l", "--folder=f", "--log-level=loud"], "--log-level loud is not known"),
        (["--stick=s", f"--listen=/{'x' * 107}", "--folder=f"], "is too long"),
    ],
)
def test_says_what_is_wrong_with_the_arguments(arguments: list[str], message: str) -> None:
    done = launch(*arguments)
    assert done.returncode == 2
    assert message in facts(done.stdout)[0]["detail"]


async def test_saves_a_stick_and_refuses_a_backup_that_does_not_fit_it(stick: Stick, folder: Path) -> None:
    os.mkdir(folder)
    backup = folder / "backup.bin"
    backup.write_bytes(bytes(0x3000))
    arguments = (f"--stick={stick.url}", f"--folder={folder}", f"--restore={backup}")
    saved = []
    for _ in range(2):
        done = await asyncio.to_thread(launch, *arguments)
        assert done.returncode == 2
        [_, restoring, refused, _] = facts(done.stdout)
        assert "cannot be put on the stick" in refused["detail"]
        saved.append(Path(restoring["saved"]))
    assert saved[0].read_bytes()
    assert saved[1].read_bytes() == saved[0].read_bytes(), "nothing was written"
    assert mode(saved[0]) == 0o600


@pytest.mark.parametrize("content", [None, b""])
def test_restores_no_backup_that_is_none(folder: Path, content: bytes | None) -> None:
    backup = folder.parent / "backup.bin"
    if content is not None:
        backup.write_bytes(content)
    done = launch("--stick=/dev/null", f"--folder={folder}", f"--restore={backup}")
    assert done.returncode == 2
    assert f"the backup {backup}" in facts(done.stdout)[1]["detail"]


@pytest.mark.skipif(shutil.which("systemd-notify") is None, reason="needs systemd-notify")
async def test_tells_the_watchdog_that_it_turns(stick: Stick, folder: Path) -> None:
    os.mkdir(folder)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(folder / "notify"))
        systemd.setblocking(False)
        child = await asyncio.create_subprocess_exec(
            str(find_node()),
            str(FOLDER / "server.mjs"),
            f"--stick={stick.url}",
            f"--listen={folder}/zwave.sock",
            f"--folder={folder}",
            "--end-with-stdin",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "3000000"},
        )
        try:
            async with asyncio.timeout(LIMIT_S):
                said = await asyncio.get_running_loop().sock_recv(systemd, 4096)
            assert b"WATCHDOG=1" in said
        finally:
            assert child.stdin is not None
            child.stdin.close()
            printed, _ = await child.communicate()
    assert child.returncode == 0
    assert facts(printed.decode())[-1]["detail"] == "the gateway ended"
