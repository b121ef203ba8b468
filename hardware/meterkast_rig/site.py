"""A site around the real gateway: a P1 line, both stand-ins, and the process that is started and killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from meterkast.clock import FastClock
from meterkast.model.errors import LinkLostError
from meterkast.model.time import UtcMs, iso_utc, parse_iso
from meterkast_rig import configuration, reset, wattics
from meterkast_rig.configuration import Section
from meterkast_rig.p1_line import P1Line
from meterkast_rig.p1_line import serving as p1_line
from meterkast_rig.p1_meter import SimulatedMeter

MONITORS: Sequence[Section] = [
    configuration.monitor(
        "energy",
        "energy",
        "P1",
        channels=[
            configuration.channel("import", "Import", power_consumption="electricity/import_total"),
            configuration.channel("export", "Export", power_consumption="electricity/export_t2"),
        ],
    )
]
METERS: Sequence[Section] = [
    configuration.electricity("main", readings={"pC_1": "electricity/import_total"}),
    configuration.single("water", "water/volume", "L"),
]

_START_S = 120.0
_LOOK_S = 0.1


class Operation(NamedTuple):
    """A system call of one thread of the gateway, before which it is killed; by strace.

    Attributes:
        call: Its name.
        number: The how manieth of one thread, from 1.
    """

    call: str
    number: int

    def command(self, trace: Path) -> list[str]:
        """What comes before the gateway's own command."""
        return [
            "strace", "-f", "-qq", "-y", "-s", "0", "-o", str(trace),
            "-e", f"trace={self.call}", "-e", f"inject={self.call}:signal=KILL:when={self.number}",
        ]  # fmt: skip


@dataclass
class Site:
    """The outside, running, and the gateway's process.

    Attributes:
        errors: Tracebacks that the gateway printed.
    """

    folder: Path
    clock: FastClock
    meter: SimulatedMeter
    line: P1Line
    reset: reset.ResetStandIn
    wattics: wattics.WatticsStandIn
    monitors: Sequence[Section] = field(default_factory=lambda: MONITORS)
    meters: Sequence[Section] = field(default_factory=lambda: METERS)
    process: asyncio.subprocess.Process | None = None
    errors: list[str] = field(default_factory=list)

    @property
    def database(self) -> Path:
        return self.folder / "meterkast.db"

    @property
    def trace(self) -> Path:
        """Where strace writes which call was the last."""
        return self.folder / "strace"

    def configure(self, **page: Any) -> Path:
        """Write the gateway's configuration; the file."""
        sent = {
            "reset": configuration.reset(self.reset.url, self.monitors, ack_timeout_s=1, auth_timeout_s=2),
            "wattics": configuration.wattics(self.wattics.url, self.meters, timeout_s=5),
        }
        tree = configuration.gateway(self.folder, uplinks=sent)
        return configuration.write(self.folder, {**tree, "page": page})

    async def spawn(self, die_at: Operation | None = None) -> None:
        """Start the gateway, without waiting until it runs.

        Args:
            die_at: Where it is killed, if it gets there.
        """
        command = die_at.command(self.trace) if die_at else []
        self.process = await asyncio.create_subprocess_exec(
            *command, sys.executable, "-m", "meterkast_rig.patient", "run",
            "--config", str(self.folder / "meterkast.toml"), "--log-level", "error",
            "--speed", f"{self.clock.speed:g}", "--start", iso_utc(self.clock.now_ms()),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    async def ready(self) -> str:
        """Wait until it runs; what it said then, empty where it ended before."""
        assert self.process is not None
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), _START_S)).decode()

    async def start(self) -> str:
        """Start the gateway; what it said when it ran.

        Raises:
            LinkLostError: It ended instead.
        """
        await self.spawn()
        line = await self.ready()
        if "Meterkast runs" not in line:
            assert self.process is not None
            said = (await self.process.communicate())[1].decode()
            raise LinkLostError(f"the gateway did not start: {said}", hint="Its own words say why.")
        return line

    async def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does; nothing where it is dead already."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            # Its group: where strace watches it, both.
            os.killpg(self.process.pid, signal.SIGKILL)
        await self._ended()

    async def stop(self) -> int:
        """SIGTERM; its exit status."""
        assert self.process is not None
        self.process.terminate()
        await asyncio.wait_for(self._ended(), 60)
        assert self.process.returncode is not None
        return self.process.returncode

    async def _ended(self) -> None:
        assert self.process is not None
        _, said = await self.process.communicate()
        self.errors += [line for line in said.decode().splitlines() if "Traceback" in line]

    async def until(self, done: Callable[[], Any], limit_s: float = 120) -> None:
        """Wait for something to become true; `done` may be a coroutine function.

        Raises:
            TimeoutError: It did not.
        """
        end_s = time.monotonic() + limit_s
        while True:
            found = done()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            if time.monotonic() > end_s:
                raise TimeoutError(f"not within {limit_s} s")
            await asyncio.sleep(_LOOK_S)

    def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Look into the database, also while the gateway runs."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as database:
            return database.execute(query, arguments).fetchall()

    def pending(self) -> int:
        """How many items wait, of all uplinks."""
        return int(self.rows("SELECT count(*) FROM outbox WHERE state = 0")[0][0])

    def half_hours(self, key: str) -> dict[UtcMs, tuple[int, UtcMs]]:
        """End of each measured half-hour of a property: (whole number, when it was read)."""
        return {
            UtcMs(end): (whole, UtcMs(end - before))
            for end, whole, before in self.rows(
                "SELECT end_ms, whole, taken_before_ms FROM half_hours h JOIN properties p"
                " ON p.id = h.property_id JOIN products d ON d.id = p.product_id"
                " WHERE h.length_ms = 1800000 AND h.revision = 0 AND whole IS NOT NULL"
                " AND d.medium || '/' || p.key = ? ORDER BY end_ms",
                key,
            )
        }


@contextlib.asynccontextmanager
async def opened(
    folder: Path,
    *,
    speed: float,
    start: str = "2026-03-28T20:05:00Z",
    seed: int = 1,
    monitors: Sequence[Section] = MONITORS,
    meters: Sequence[Section] = METERS,
) -> AsyncIterator[Site]:
    """A site while the block lasts; the gateway is configured without its page, and not yet started.

    Args:
        start: Where the clock begins.
        seed: Of the household and of the stand-ins' chances.

    Raises:
        ConfigError: No Node.js, or its packages cannot be installed.
    """
    clock = FastClock(speed, parse_iso(start))
    meter = SimulatedMeter(seed=seed)
    async with (
        reset.serving(seed=seed) as at_reset,
        wattics.serving(meters=[one["id"] for one in meters], seed=seed) as at_wattics,
        p1_line(meter, clock, link=folder / "p1") as line,
    ):
        it = Site(folder, clock, meter, line, at_reset, at_wattics, monitors, meters)
        it.configure(enabled=False)
        try:
            yield it
        finally:
            if it.process is not None and it.process.returncode is None:
                await it.kill()
