"""The Z-Wave server as a child process: what keeps it from starting, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from meterkast.model.errors import ConfigError, LinkLostError
from meterkast_drivers.zwave import service as module
from meterkast_drivers.zwave.place import Place
from meterkast_drivers.zwave.service import Service
from meterkast_rig import zwave
from meterkast_rig.zwave import Stick

LIMIT_S = 60.0


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


async def test_ends_when_the_stick_is_lost_and_comes_back_with_it(folder: Path, server: Any) -> None:
    async with contextlib.AsyncExitStack() as stack:
        stick = await stack.enter_async_context(zwave.serving(devices="plug:8"))
        async with server.running(stick.url, folder) as (service, place):
            child = server.child_of(service)
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


async def test_a_frozen_server_is_killed_and_started_again(stick: Stick, folder: Path, server: Any) -> None:
    async with server.running(stick.url, folder) as (service, place):
        child = server.child_of(service)
        child.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(LIMIT_S):
            await service.kill()
        assert child.returncode == -signal.SIGKILL
        assert place.socket is not None
        assert place.socket.exists(), "the killed one could not tidy up"
        assert await started(service) == place
        async with server.session_at(place) as session:
            await server.greeted(session, place)


async def test_stopping_a_frozen_server_does_not_wait_for_ever(
    stick: Stick, folder: Path, monkeypatch: pytest.MonkeyPatch, server: Any
) -> None:
    monkeypatch.setattr(module, "STOP_S", 0.2)
    async with server.running(stick.url, folder) as (service, _):
        child = server.child_of(service)
        child.send_signal(signal.SIGSTOP)
        await service.stop()
        assert child.returncode == -signal.SIGKILL


async def test_one_that_cannot_be_killed_holds_nobody_up(
    stick: Stick, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, server: Any
) -> None:
    monkeypatch.setattr(module, "STOP_S", 0.1)
    monkeypatch.setattr(module, "KILL_S", 0.2)
    async with server.running(stick.url, folder) as (service, _):
        child = server.child_of(service)
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


async def test_why_it_ended_by_itself(stick: Stick, folder: Path, server: Any) -> None:
    assert await Service(stick.url, folder).ended() is None, "it was never started"
    async with server.running(stick.url, folder) as (service, _):
        assert await service.ended() is None, "it still runs"
        child = server.child_of(service)
        child.kill()
        await child.wait()
        lost = await service.ended()
    assert "ended with status -9" in str(lost)
    assert lost.hint == "It is started again by itself."


async def test_takes_no_socket_from_a_server_that_listens(stick: Stick, folder: Path, server: Any) -> None:
    os.mkdir(folder)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(folder / "zwave.sock"))
        other.listen()
        with pytest.raises(ConfigError, match="another Z-Wave server listens"):
            await Service(stick.url, folder).start()
    # Nobody listens on it any more.
    async with server.running(stick.url, folder):
        pass
