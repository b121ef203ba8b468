"""The RESET stand-in as a command and a page; and what it needs."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from meterkast.model.errors import ConfigError
from meterkast.nodejs import find_node
from meterkast_rig import reset

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEARCH = os.pathsep.join(sys.path)  # for a child process, installed or not
LIMIT_S = 60  # only against hanging


async def test_page_and_faults_over_http(client: Any, draft: Any) -> None:
    await client.send("monitors", draft.create(connection_id="<E1>"))
    async with aiohttp.ClientSession() as session:
        async with session.get(client.server.origin + "/") as response:
            text = await response.text()
        async with session.post(client.server.origin + "/faults", data="[") as response:
            assert response.status == 400
    assert "&lt;E1&gt;" in text
    assert "<E1>" not in text
    with pytest.raises(ConfigError):
        await client.server.set_faults(lost_ack=0.1)
    with pytest.raises(ConfigError):
        await client.server.set_faults(lost_acks=2)


async def test_wrong_switch_is_refused_before_anything_starts() -> None:
    with pytest.raises(ConfigError) as caught:
        async with reset.serving(faults="lost_ack=0.1"):
            pass
    assert "'lost_acks'" in caught.value.hint


COMMAND = """
import argparse, sys
from meterkast_rig import reset
parser = argparse.ArgumentParser()
reset.configure(parser)
sys.exit(reset.run(parser.parse_args(["--port", "0"])))
"""


async def started() -> tuple[asyncio.subprocess.Process, str]:
    """The command, and what it says when it listens."""
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": SEARCH},
    )
    assert command.stdout is not None
    return command, (await asyncio.wait_for(command.stdout.readline(), LIMIT_S)).decode()


async def test_command_ends_cleanly_on_sigterm_and_takes_its_server_along() -> None:
    command, line = await started()
    assert line.startswith("listening on http://127.0.0.1:")
    command.terminate()
    assert await asyncio.wait_for(command.wait(), LIMIT_S) == 0
    await command.communicate()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(line.split()[2])


def child_of(pid: int) -> int:
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


async def test_command_ends_with_its_server() -> None:
    command, _ = await started()
    os.kill(child_of(command.pid), signal.SIGKILL)
    assert await asyncio.wait_for(command.wait(), LIMIT_S) == 256 - signal.SIGKILL
    await command.communicate()


async def test_ctrl_c_at_a_terminal_leaves_the_server_to_its_command(server: reset.ResetStandIn) -> None:
    # It goes to all processes of a group; what was received is still to be asked for.
    assert os.getpgid(server.process.pid) != os.getpgrp()


async def test_old_node_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v18.20.4\n")
    node.chmod(0o755)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)  # as without the wheel
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        find_node()
    assert "v18.20.4" in str(caught.value)
    assert "Node.js 20 or newer" in caught.value.hint
    node.unlink()
    with pytest.raises(ConfigError, match="not found"):
        find_node()
