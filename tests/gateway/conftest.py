"""The real process between a pty and both stand-ins, on a fast clock."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from meterkast.clock import FastClock
from meterkast.model.time import UtcMs, iso_utc, parse_iso
from meterkast_rig import configuration, reset, wattics
from meterkast_rig.p1_line import P1Line
from meterkast_rig.p1_line import serving as p1_line
from meterkast_rig.p1_meter import SimulatedMeter

MONITORS = [
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
METERS = [
    configuration.electricity("main", readings={"pC_1": "electricity/import_total"}),
    configuration.single("water", "water/volume", "L"),
]


@dataclass
class Cupboard:
    """A simulated cupboard, both stand-ins, and the gateway's process that is started and killed."""

    folder: Path
    clock: FastClock
    meter: SimulatedMeter
    line: P1Line
    reset: reset.ResetStandIn
    wattics: wattics.WatticsStandIn
    process: asyncio.subprocess.Process | None = None
    errors: list[str] = field(default_factory=list)

    @property
    def database(self) -> Path:
        return self.folder / "meterkast.db"

    def configure(self, **page: Any) -> Path:
        """Write the gateway's configuration; the file."""
        sent = {
            "reset": configuration.reset(self.reset.url, MONITORS, ack_timeout_s=1, auth_timeout_s=2),
            "wattics": configuration.wattics(self.wattics.url, METERS, timeout_s=5),
        }
        tree = configuration.gateway(self.folder, uplinks=sent)
        return configuration.write(self.folder, {**tree, "page": page})

    async def start(self) -> str:
        """Start the gateway; returns when it runs, with what it said then."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "meterkast", "run", "--config", str(self.folder / "meterkast.toml"),
            "--speed", f"{self.clock.speed:g}", "--start", iso_utc(self.clock.now_ms()),
            "--log-level", "error",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = (await asyncio.wait_for(self.process.stdout.readline(), 60)).decode()
        if "Meterkast runs" not in line:
            raise AssertionError((await self.process.communicate())[1].decode())
        return line

    async def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        assert self.process is not None
        self.process.kill()
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
        _, errors = await self.process.communicate()
        self.errors += [line for line in errors.decode().splitlines() if "Traceback" in line]

    async def until(self, done: Callable[[], Any], limit_s: float = 120) -> None:
        """Wait for something to become true; `done` may be a coroutine function."""
        end_s = time.monotonic() + limit_s
        while True:
            found = done()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            if time.monotonic() > end_s:
                raise AssertionError(f"not within {limit_s} s")
            await asyncio.sleep(0.1)

    def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Look into the database, also while the gateway runs."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as database:
            return database.execute(query, arguments).fetchall()

    def pending(self) -> int:
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


@pytest.fixture
def cupboard(tmp_path: Path) -> Callable[..., contextlib.AbstractAsyncContextManager[Cupboard]]:
    """Opens a cupboard: `async with cupboard(speed=…, start=…) as it`."""

    @contextlib.asynccontextmanager
    async def opened(
        speed: float, start: str = "2026-03-28T20:05:00Z", seed: int = 1
    ) -> AsyncIterator[Cupboard]:
        clock = FastClock(speed, parse_iso(start))
        meter = SimulatedMeter(seed=seed)
        async with (
            reset.serving(seed=seed) as reset_server,
            wattics.serving(meters=("main", "water"), seed=seed) as wattics_server,
            p1_line(meter, clock, link=tmp_path / "p1") as line,
        ):
            it = Cupboard(tmp_path, clock, meter, line, reset_server, wattics_server)
            it.configure(enabled=False)
            try:
                yield it
            finally:
                if it.process is not None and it.process.returncode is None:
                    it.process.kill()
                    await it.process.communicate()

    return opened
