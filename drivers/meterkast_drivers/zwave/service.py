"""Runs zwave-js and its server as a child process, for a gateway whose setting `stick` asks for it.

The program is `service/server.mjs`; its standard output is one JSON object per line, with a `fact` and a
`detail`. Its standard input ends with this process, and it ends then too, also after a `kill -9`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meterkast.model.errors import ConfigError, LinkLostError
from meterkast.nodejs import find_node, install, installed
from meterkast_drivers.zwave.place import Place

FOLDER = Path(__file__).parent / "service"

START_S = 60.0
"""Starting takes 2 to 8 s; a stick that does not answer is given up by the program itself after 50 s."""

END_S = 1.0
"""From the end of its connections to its own."""

STOP_S = 5.0
"""The program gives itself 4 s to close its files."""

KILL_S = 5.0
"""A process that hangs in the kernel, in the stick's driver, does not even end when it is killed."""

_MEMORY = ("--max-old-space-size=256", "--max-semi-space-size=4")
"""Bounds of the program's heap in MB; without the second Node.js 24 takes 100 MB more and gains nothing."""

_NICENESS = 5
"""Reading meters goes first."""

_LONGEST_LINE = 65_536
_LONGEST_SOCKET_PATH = 100
_NEEDS_A_PERSON = 2
"""The program's exit status for wrong settings and damaged keys."""

_KEPT_VARIABLES = ("HOME", "LANG", "PATH", "TZ")

_log = logging.getLogger(__name__)


class Service:
    """The Z-Wave server of one stick; started again as often as needed."""

    def __init__(
        self, stick: str, folder: Path, socket: Path | None = None, *, start_s: float = START_S
    ) -> None:
        """
        Args:
            stick: A serial port's path, or `tcp://host:port`.
            folder: Network keys and cache; made where it is missing.
            socket: Where to listen; in `folder` if not given.
            start_s: Seconds until a start counts as failed.

        Raises:
            ConfigError: The socket's path is longer than the system takes.
        """
        self._stick = stick
        self._folder = folder.resolve()
        self._socket = (socket or self._folder / "zwave.sock").absolute()
        self._start_s = start_s
        self._child: asyncio.subprocess.Process | None = None
        self._listener: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()
        self._problem = ""
        self._hint = ""
        self._said = ""
        if len(os.fsencode(self._socket)) > _LONGEST_SOCKET_PATH:
            raise ConfigError(
                f"folder {str(folder)!r} of Z-Wave: its path is too long for a socket",
                hint=f"Choose a folder whose path is shorter than {_LONGEST_SOCKET_PATH - 20} characters.",
            )

    async def start(self) -> Place:
        """Start the program unless it runs, and wait until it listens.

        Raises:
            ConfigError: No Node.js, the program is not installed, or a wrong setting or damaged keys.
            LinkLostError: No stick, or the program did not listen in time.
        """
        if self._child is None or self._child.returncode is not None or not self._listening.is_set():
            await self.kill()
            await self._spawn()
            try:
                await self._until_listening()
            except BaseException:  # also a cancellation; it goes on up
                await self.kill()
                raise
        return Place.unix(self._socket)

    def problem(self) -> str:
        """Why it does not run or what went wrong last, in plain words; empty when all is well."""
        return f"{self._problem}. {self._hint}" if self._hint else self._problem

    async def ended(self) -> LinkLostError | None:
        """Why it ended by itself; None where it still runs a moment from now, such as a frozen one."""
        if self._listener is not None:
            await asyncio.wait({self._listener}, timeout=END_S)
        if self._listener is None or not self._listener.done() or not self._problem:
            return None
        return LinkLostError(self._problem, hint=self._hint)

    async def stop(self) -> None:
        """End the program and wait for it: its files are closed in order if it ends within 5 s."""
        if self._child is not None and self._child.returncode is None:
            _send(self._child, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._child.wait(), STOP_S)
        await self.kill()

    async def kill(self) -> None:
        """End the program at once, also a frozen one. Its files survive that."""
        child, self._child = self._child, None
        self._listening.clear()
        if child is None:
            return
        assert self._listener is not None
        _send(child, signal.SIGKILL)
        done, _ = await asyncio.wait({self._listener}, timeout=KILL_S)  # it ends with the child
        if not done:
            self._listener.cancel()
            _log.error("the Z-Wave server cannot be killed", extra={"pid": child.pid})

    async def _spawn(self) -> None:
        node = await asyncio.to_thread(_ready_node)
        self._problem = self._hint = ""
        self._child = await asyncio.create_subprocess_exec(
            "nice",
            f"--adjustment={_NICENESS}",
            node,
            *_MEMORY,
            FOLDER / "server.mjs",
            f"--stick={self._stick}",
            f"--listen={self._socket}",
            f"--folder={self._folder}",
            "--end-with-stdin",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=_environment(),
            limit=_LONGEST_LINE,
            start_new_session=True,  # Ctrl-C is for the gateway, which then ends it in order
        )
        self._listener = asyncio.create_task(self._read(self._child), name="zwave service")

    async def _until_listening(self) -> None:
        assert self._child is not None
        assert self._listener is not None
        listening = asyncio.create_task(self._listening.wait())
        try:
            await asyncio.wait(
                (listening, self._listener), timeout=self._start_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            listening.cancel()
        if self._listening.is_set():
            return
        if not self._listener.done():
            self._problem = f"the Z-Wave server did not listen within {self._start_s:.0f} s"
            self._hint = "Pull the stick out and plug it in again."
        kind = ConfigError if self._child.returncode == _NEEDS_A_PERSON else LinkLostError
        raise kind(self._problem, hint=self._hint)

    async def _read(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None
        while True:
            try:
                line = await child.stdout.readline()
            except ValueError:
                continue  # a line beyond the limit; the reader has dropped it
            if not line:
                break
            self._take(line)
        status = await child.wait()
        self._listening.clear()
        if status != 0 and not self._problem:
            self._problem = f"the Z-Wave server ended with status {status}"
            self._hint = "It is started again by itself."

    def _take(self, line: bytes) -> None:
        try:
            fact: dict[str, Any] = json.loads(line)
            kind, detail, hint = str(fact["fact"]), str(fact["detail"]), str(fact.get("hint", ""))
        except (ValueError, TypeError, KeyError):
            _log.debug("unreadable line of the Z-Wave server", extra={"line": line[:200]})
            return
        if kind == "error":
            self._problem, self._hint = detail, hint
        elif kind == "listening":
            self._listening.set()
        self._tell(kind, detail)

    def _tell(self, kind: str, detail: str) -> None:
        # A stick that is away is the same line at every attempt: said once.
        if kind in ("error", "refused") and detail != self._said:
            self._said = detail
            _log.warning("Z-Wave server", extra={"fact": kind, "detail": detail})
        elif kind in ("listening", "ready"):
            self._said = ""
            _log.info("Z-Wave server", extra={"fact": kind, "detail": detail})
        else:
            _log.debug("Z-Wave server", extra={"fact": kind, "detail": detail})


def _ready_node() -> Path:
    node = find_node()
    if not installed(FOLDER):
        if not os.access(FOLDER, os.W_OK):
            raise ConfigError(
                f"the Z-Wave server is not installed in {FOLDER}",
                hint="Run deploy/zwave/install.sh as root and set `server` instead of `stick`, "
                f"or run `npm ci --omit=dev --ignore-scripts` in {FOLDER}.",
            )
        _log.info("installing the Z-Wave server", extra={"folder": FOLDER})
        install(FOLDER)
    return node


def _environment() -> Mapping[str, str]:
    # Nothing of ours is its business; variables of zwave-js would change what it does.
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {"PATH": os.defpath, **kept}


def _send(child: asyncio.subprocess.Process, number: signal.Signals) -> None:
    # Not send_signal: it takes the status of a child that has just ended away from the event loop's watcher.
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)
