"""The program of the Z-Wave server by itself: its arguments, backups and watchdog."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from meterkast.nodejs import find_node, installed
from meterkast_drivers.zwave import service as module
from meterkast_drivers.zwave.service import FOLDER, Service
from meterkast_rig.zwave import Stick

LIMIT_S = 60.0


CHATTY = """
console.log("x".repeat(300_000));
for (const line of ["no JSON", "[]", '{"fact": 5}']) console.log(line);
console.log('{"fact": "listening", "detail": "here"}');
process.stdin.resume();
"""


@pytest.fixture
def another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of another program that stands in for the server's; it is not installed yet."""
    part = {"name": "part", "version": "1.0.0"}
    described = {"name": "another", "version": "1.0.0", "dependencies": {"part": "file:part"}}
    linked = {"part": part, "node_modules/part": {"resolved": "part", "link": True}}
    lock = {**described, "lockfileVersion": 3, "packages": {"": described, **linked}}
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "package.json").write_text(json.dumps(part))
    (tmp_path / "package.json").write_text(json.dumps(described))
    (tmp_path / "package-lock.json").write_text(json.dumps(lock))
    (tmp_path / "server.mjs").write_text(CHATTY)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    return tmp_path


async def test_whatever_it_prints_it_is_heard_and_installed_before(folder: Path, another: Path) -> None:
    service = Service("/dev/null", folder)
    try:
        await service.start()
        assert installed(another)
        assert service.problem() == ""
    finally:
        await service.stop()


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:3000", ":3000", "192.168.1.2:3000", "127.0.0.1:0", "[::]:3000", "a.sock"]
)
def test_listens_on_this_machine_only(folder: Path, listen: str, server: Any) -> None:
    done = server.launch("--stick=/dev/null", f"--listen={listen}", f"--folder={folder}")
    assert done.returncode == 2
    [refused, ended] = server.facts(done.stdout)
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
def test_says_what_is_wrong_with_the_arguments(arguments: list[str], message: str, server: Any) -> None:
    done = server.launch(*arguments)
    assert done.returncode == 2
    assert message in server.facts(done.stdout)[0]["detail"]


async def test_saves_a_stick_and_refuses_a_backup_that_does_not_fit_it(
    stick: Stick, folder: Path, server: Any
) -> None:
    os.mkdir(folder)
    backup = folder / "backup.bin"
    backup.write_bytes(bytes(0x3000))
    arguments = (f"--stick={stick.url}", f"--folder={folder}", f"--restore={backup}")
    saved = []
    for _ in range(2):
        done = await asyncio.to_thread(server.launch, *arguments)
        assert done.returncode == 2
        [_, restoring, refused, _] = server.facts(done.stdout)
        assert "cannot be put on the stick" in refused["detail"]
        saved.append(Path(restoring["saved"]))
    assert saved[0].read_bytes()
    assert saved[1].read_bytes() == saved[0].read_bytes(), "nothing was written"
    assert server.mode(saved[0]) == 0o600


@pytest.mark.parametrize("content", [None, b""])
def test_restores_no_backup_that_is_none(folder: Path, content: bytes | None, server: Any) -> None:
    backup = folder.parent / "backup.bin"
    if content is not None:
        backup.write_bytes(content)
    done = server.launch("--stick=/dev/null", f"--folder={folder}", f"--restore={backup}")
    assert done.returncode == 2
    assert f"the backup {backup}" in server.facts(done.stdout)[1]["detail"]


async def test_tells_the_watchdog_that_it_turns(stick: Stick, folder: Path, server: Any) -> None:
    assert shutil.which("systemd-notify"), "systemd-notify is missing: apt-get install systemd"
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
    assert server.facts(printed.decode())[-1]["detail"] == "the gateway ended"
