"""The host's side: boots the guest, hears what it says, cuts its power."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Callable, Sequence
from pathlib import Path

from meterkast.model.errors import ConfigError
from meterkast_rig.power.lines import Line

KERNEL = "linux.uml"
_MEMORY = "192M"
_DISK_MB = 64
_LISTEN_S = 120.0


def disk(path: Path) -> None:
    """A fresh ext4 image.

    Raises:
        ConfigError: No mkfs.ext4.
    """
    with path.open("wb") as image:
        image.truncate(_DISK_MB << 20)
    subprocess.run([tool("mkfs.ext4", "e2fsprogs"), "-q", "-F", str(path)], check=True)


def taken_out(image: Path, name: str, to: Path) -> None:
    """Copy a file out of an image that is not mounted."""
    command = [tool("debugfs", "e2fsprogs"), "-R", f"dump /{name} {to}", str(image)]
    subprocess.run(command, check=True, capture_output=True)


def tool(name: str, package: str) -> str:
    """Where a program of the system is.

    Raises:
        ConfigError: It is not installed.
    """
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise ConfigError(f"{name} is not installed", hint=f"sudo apt-get install {package}")
    return found


class Guest:
    """One boot.

    Attributes:
        heard: What it printed, line by line.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, line: socket.socket, meter: str, wire: socket.socket
    ) -> None:
        self.heard: list[str] = []
        self._process = process
        self._news = asyncio.Condition()
        self._over = False
        self._hearing = asyncio.create_task(self._hear())
        self._tasks = [asyncio.create_task(_carry(line)), asyncio.create_task(self._play(meter, wire))]

    @classmethod
    async def boot(cls, image: Path, meter: str, arguments: Sequence[str]) -> Guest:
        """Switch it on.

        Args:
            image: Its disk.
            meter: The pty of the P1 line; at the guest it is a serial port.
            arguments: See `guest`.

        Raises:
            ConfigError: No user-mode-linux.
        """
        line, guest_line = socket.socketpair()
        wire, guest_wire = socket.socketpair()
        paths = f"PYTHONPATH={os.environ.get('PYTHONPATH', '')}"
        numbers = guest_line.fileno(), guest_wire.fileno()
        process = await asyncio.create_subprocess_exec(
            tool(KERNEL, "user-mode-linux"), f"mem={_MEMORY}", "rootfstype=hostfs", "rootflags=/", "ro",
            "init=/usr/bin/env", f"ubd0={image}", "con0=fd:0,fd:1", "con=null",
            f"ssl0=fd:{numbers[0]}", f"ssl1=fd:{numbers[1]}", "quiet", "--",
            paths, "PYTHONDONTWRITEBYTECODE=1", sys.executable, "-m", "meterkast_rig.power.guest", *arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            pass_fds=numbers, start_new_session=True, limit=1 << 20,
        )  # fmt: skip
        guest_line.close()
        guest_wire.close()
        return cls(process, line, meter, wire)

    async def until(self, done: Callable[[Sequence[str]], bool], limit_s: float) -> bool:
        """Wait until what was heard says so; False where the guest ended, or not in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s), self._news:
                await self._news.wait_for(lambda: self._over or done(self.heard))
        return done(self.heard)

    async def cut(self) -> None:
        """Its power is gone: kernel, page cache and all; what it printed before is heard."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._gone()

    async def stop(self) -> None:
        """Have it stop the gateway and power off."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"stop\n")
        async with asyncio.timeout(60):
            await self._gone()

    async def _gone(self) -> None:
        await self._process.wait()
        await self._hearing
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _hear(self) -> None:
        assert self._process.stdout is not None
        while data := await self._process.stdout.readline():
            if not data.endswith(b"\n"):
                break  # cut off in the middle of a line
            async with self._news:
                self.heard.append(data.decode(errors="replace").rstrip())
                self._news.notify_all()
        async with self._news:
            self._over = True
            self._news.notify_all()

    async def _play(self, meter: str, wire: socket.socket) -> None:
        """What the meter says, from when somebody listens: a serial port holds nothing back for later."""
        with wire:
            wire.setblocking(False)
            if await self.until(lambda heard: "LISTENS" in heard, _LISTEN_S):
                line = os.open(meter, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
                try:
                    termios.tcflush(line, termios.TCIFLUSH)
                    await self._copy(line, wire)
                finally:
                    os.close(line)

    async def _copy(self, line: int, wire: socket.socket) -> None:
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(line, news.set)
        try:
            while not self._over:
                await news.wait()
                news.clear()
                with contextlib.suppress(OSError):  # full, or the guest is gone
                    wire.send(os.read(line, 4096))
        finally:
            loop.remove_reader(line)


async def _carry(line: socket.socket) -> None:
    with line:
        reader, writer = await asyncio.open_connection(sock=line)
        try:
            await Line(reader, writer).run()
        finally:
            writer.close()
