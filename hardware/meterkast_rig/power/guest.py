"""The guest's first process: mounts the disk, starts the gateway, and tells the host what it has kept.

    python -m meterkast_rig.power.guest CONFIG DATABASE SPEED START SINCE PORT,PORT

What it prints: `KEPT <row>` for each half-hour and each block of samples that is committed (those that end
after SINCE, ms; a block's first number is BLOCK), `LOOKED` when the first of these were told, `LISTENS` when
the gateway has opened the meter's line, `PENDING <items>`, and what is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import sys
import traceback
import tty
import zlib
from collections.abc import Callable
from typing import Any

PLATFORMS, METER = "/dev/ttyS0", "/dev/ttyS1"
DISK = "/mnt"

_LOOK_S = 0.1
_LISTEN_S = 0.02
BLOCK = -1
_ROWS = (
    "SELECT property_id, length_ms, end_ms, revision, whole, decimals, taken_before_ms, state, cause, crc"
    " FROM half_hours WHERE end_ms > ?"
)
_BLOCKS = f"SELECT {BLOCK}, 0, last_ms, id, first_ms, crc32(data) FROM blocks WHERE last_ms > ?"


def say(*words: object) -> None:
    """One line on the console; it is with the host when this returns."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def set_up() -> None:
    """What an init does."""
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    os.system("mount -t proc proc /proc")
    if os.system(f"mount -t ext4 /dev/ubda {DISK}"):
        say("NO DISK")
    os.system("ip link set lo up")


class Look:
    """Tells the rows that are new on the disk, again and again."""

    def __init__(self, path: str, since_ms: int) -> None:
        self._path = path
        self._since_ms = since_ms
        self._told: set[tuple[Any, ...]] = set()
        self._pending = -1

    def all(self) -> None:
        """The first time, also whether SQLite finds the file whole."""
        for (said,) in self._rows("PRAGMA quick_check"):
            if said != "ok":
                say("DAMAGED", said)
        self.new()
        say("LOOKED")

    def new(self) -> None:
        """Those that were not told."""
        rows = {row for query in (_ROWS, _BLOCKS) for row in self._rows(query, self._since_ms)}
        for row in sorted(rows - self._told, key=lambda row: row[2]):
            say("KEPT", json.dumps(row))
        self._told |= rows
        [(pending,)] = self._rows("SELECT count(*) FROM outbox WHERE state = 0")
        if pending != self._pending:
            self._pending = pending
            say("PENDING", pending)

    def _rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as database:
            database.create_function("crc32", 1, zlib.crc32, deterministic=True)
            return database.execute(query, arguments).fetchall()


async def main(config: str, database: str, speed: str, start: str, since: str, ports: str) -> None:
    """Run until told to stop on the console, then power off."""
    from meterkast_rig.power.lines import Line

    line = Line(*await _opened(PLATFORMS))
    await line.listen([int(port) for port in ports.split(",")])
    carrying = asyncio.create_task(line.run())
    gateway = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "meterkast_rig.patient", "run",
        "--config", config, "--speed", speed, "--start", start,
        "--log-level", "error", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, _told(stopping))
    assert gateway.stdout is not None
    listening = asyncio.create_task(_listens(gateway.pid))
    if b"Meterkast runs" in await gateway.stdout.readline():
        look = Look(database, int(since))
        look.all()
        while not stopping.is_set() and gateway.returncode is None:
            await asyncio.sleep(_LOOK_S)
            look.new()
    if gateway.returncode is None and stopping.is_set():
        gateway.send_signal(signal.SIGTERM)
    say("ENDED", await gateway.wait())
    carrying.cancel()
    listening.cancel()


async def _listens(gateway: int) -> None:
    """Tell when the gateway has opened the meter's line."""
    folder = f"/proc/{gateway}/fd"
    while METER not in [_target(f"{folder}/{number}") for number in os.listdir(folder)]:  # noqa: ASYNC110
        await asyncio.sleep(_LISTEN_S)
    say("LISTENS")


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""  # closed meanwhile


def _told(stopping: asyncio.Event) -> Callable[[], None]:
    def read() -> None:
        if b"stop" in os.read(0, 100):
            stopping.set()

    return read


async def _opened(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A serial line as streams."""
    loop = asyncio.get_running_loop()
    number = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(number)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(number), "rb", 0)
    )
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(number, "wb", 0)
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


if __name__ == "__main__":
    set_up()
    try:
        asyncio.run(main(*sys.argv[1:7]))  # user-mode-linux adds one of its own
    except BaseException:
        say(traceback.format_exc())  # before the console goes
        raise
    finally:
        os.system(f"umount {DISK}")
        os.system("poweroff -f")
