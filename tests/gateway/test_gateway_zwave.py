"""A day with twenty Z-Wave devices and the P1 meter, and everything that can go wrong on the radio.

The real gateway process runs the real Z-Wave server on the simulated stick, 360 times as fast. At the end
every half-hour is right at the platforms, or is missing and the gateway says why. METERKAST_HOURS=24 makes it
a whole day.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from meterkast.clock import FastClock
from meterkast.model.time import iso_utc, parse_iso
from meterkast_rig import configuration, demo_gateway, demo_zwave
from meterkast_rig.compare import Findings, compare
from meterkast_rig.compare_sources import Place, Spell, Wire, unwanted
from meterkast_rig.configuration import channel, monitor, single
from meterkast_rig.cupboard import Cupboard, opened
from meterkast_rig.demo_zwave import DEGREES, FAHRENHEIT, ONE, THOUSAND, meter, sensor

HOURS = float(os.environ.get("METERKAST_HOURS", "6"))
SEED = int(os.environ.get("METERKAST_SEED", "20260415"))
SPEED = 360.0
PERIOD_S, REPORT_S = 600, 900
TOLERANCE_S = 1.2
PAUSE_S = 8 if HOURS < 12 else 16
"""Between two faults that take the whole network away, in real time: a half-hour is 5 s."""

LIMIT_S = 240.0

MORE = {
    12: ("meter", "Workshop"),
    13: ("air", "Canteen air"),
    14: ("water", "Garden water"),
    15: ("fahrenheit", "Roof"),
    16: ("heat", "District heat"),
    17: ("strip", "Office sockets"),
    18: ("climate", "Hall climate"),
    19: ("scale", "Glass bin"),
    20: ("dimmer", "Hall light"),
    21: ("meter", "Oven"),
}
DEVICES = {**demo_zwave.DEVICES, **MORE}
AWAKE = len(DEVICES) - 1  # the door contact sleeps, and is interviewed when it wakes up

MONITORS = (
    monitor(
        "kitchen",
        "energy",
        "Meters",
        channels=[
            channel("workshop", "Workshop", power_consumption="Workshop/import_total"),
            channel("oven", "Oven", power_consumption="Oven/import_total"),
        ],
    ),
    monitor(
        "canteen",
        "air",
        "Air",
        readings={
            "co2": "Canteen air/co2",
            "temp": "Canteen air/temperature",
            "pm2p5": "Canteen air/pm2p5",
        },
    ),
)
METERS = (
    single("roof", "Roof/temperature", "°C"),
    single("garden", "Garden water/volume", "L"),
)

KWH = demo_zwave.meter_type(1, 0)


def wires() -> Iterator[Wire]:
    yield from demo_zwave.zwave_wires()
    for node, name, product in ((12, "workshop", "Workshop"), (21, "oven", "Oven")):
        place = Place("RESET", "kitchen", "power_consumption", name)
        yield meter(place, node, "import_total", 0, product=product)
    air = "Canteen air"
    yield sensor(Place("RESET", "canteen", "co2"), 13, "co2", 17, product=air)
    yield sensor(Place("RESET", "canteen", "pm2p5"), 13, "pm2p5", 35, {1: ONE}, product=air)
    yield sensor(Place("RESET", "canteen", "temp"), 13, "temperature", 1, DEGREES, product=air)
    yield sensor(Place("Wattics", "roof", "value"), 15, "temperature", 1, {1: FAHRENHEIT}, product="Roof")
    garden = Place("Wattics", "garden", "value")
    yield meter(garden, 14, "volume", 0, kind=3, scale=THOUSAND, product="Garden water")


class Day:
    """The cupboard, the gateway in it, and what was done to them."""

    def __init__(self, cupboard: Cupboard) -> None:
        self.cupboard, self.stick = cupboard, cupboard.stick
        self.watch = demo_gateway.Watch(SPEED)
        self.done: Counter[str] = Counter()
        self.deaf: list[Spell] = []
        self.off: list[Spell] = []
        self.process: asyncio.subprocess.Process | None = None
        self._running = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Start the gateway; returns when it runs."""
        self.process = await self._running.enter_async_context(
            demo_gateway.running(
                self.cupboard.folder / "meterkast.toml", SPEED, iso_utc(self.cupboard.clock.now_ms())
            )
        )
        assert self.process.stdout is not None
        said = (await asyncio.wait_for(self.process.stdout.readline(), LIMIT_S)).decode().strip()
        assert said.startswith("Meterkast runs."), said
        self.watch.status = {}
        self.watch.page = said.rpartition(" ")[2]

    async def stop(self) -> None:
        """SIGTERM to the gateway, and wait for it."""
        self.watch.page = ""
        await self._running.aclose()

    def ready(self) -> int:
        """How many devices the gateway has values of."""
        details = [driver["detail"] for driver in self.watch.status.get("drivers", ())]
        found = [match for detail in details if (match := re.search(r"devices?, (\d+) ready", detail))]
        return int(found[0][1]) if found else 0

    def server(self) -> int:
        """The process id of the Z-Wave server that the gateway runs."""
        assert self.process is not None
        for path in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            for pid in path.read_text().split():
                if b"server.mjs" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return int(pid)
        raise AssertionError("the gateway runs no server")

    async def until(self, true: Callable[[], Any], what: str) -> None:
        """Wait for something that happens by itself."""
        end_s = time.monotonic() + LIMIT_S
        while not true():
            assert time.monotonic() < end_s, f"still not: {what}; {self.watch.status.get('drivers')}"
            await asyncio.sleep(0.2)

    @contextlib.asynccontextmanager
    async def deafened(self) -> AsyncIterator[None]:
        """From now until every device is heard again, reports may be lost."""
        began_ms = time.time() * 1000
        yield
        # What it said of its devices before does not count.
        self.watch.status = {}
        await self.until(lambda: self.ready() >= AWAKE, "all devices are heard again")
        self.deaf.append((began_ms - 1000, time.time() * 1000 + 1500))

    def pending(self) -> int:
        path = self.cupboard.folder / "meterkast.db"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return int(database.execute("SELECT count(*) FROM outbox WHERE state = 0").fetchone()[0])

    # Faults that take the whole network away, one after the other.

    async def server_killed(self, chance: random.Random) -> None:
        async with self.deafened():
            os.kill(self.server(), signal.SIGKILL)
            await asyncio.sleep(1)

    async def server_frozen(self, chance: random.Random) -> None:
        async with self.deafened():
            frozen = self.server()
            os.kill(frozen, signal.SIGSTOP)
            await self.until(lambda: not Path(f"/proc/{frozen}").exists(), "the frozen server is ended")

    async def stick_unplugged(self, chance: random.Random) -> None:
        async with self.deafened():
            await self.stick.verb("unplug")
            await asyncio.sleep(chance.uniform(2, 8))
            await self.stick.verb("plug")
            await asyncio.sleep(2)

    async def gateway_killed(self, chance: random.Random) -> None:
        async with self.deafened():
            began_ms = time.time() * 1000
            assert self.process is not None
            self.watch.page = ""
            self.process.kill()
            await self._running.aclose()
            await self.start()
            await self.until(lambda: self.watch.status, "the page answers")
            self.off.append((began_ms - 500, time.time() * 1000 + 500))

    # Faults of one device or of the platforms, beside the others.

    async def device_dead(self, chance: random.Random) -> None:
        node = chance.choice([6, 12, 14])
        await self.stick.verb("dead", id=node)
        await asyncio.sleep(chance.uniform(3, 12))
        await self.stick.verb("alive", id=node)

    async def flood(self, chance: random.Random) -> None:
        await self.stick.verb("flood", id=21, count=500, per_s=500)

    async def spike(self, chance: random.Random) -> None:
        await self.stick.verb("spike", id=12, key=KWH, value=1_000_000_000, decimals=0)

    async def other_unit(self, chance: random.Random) -> None:
        await self.stick.verb("unit", id=13, type=1, scale=1)
        await asyncio.sleep(chance.uniform(5, 10))
        await self.stick.verb("unit", id=13, type=1, scale=0)

    async def meter_reset(self, chance: random.Random) -> None:
        await self.stick.verb("reset", id=21)

    async def strange(self, chance: random.Random) -> None:
        await self.stick.verb("nif", id=8)
        await self.stick.verb("unknown_cc", id=9)

    async def platforms_fail(self, chance: random.Random) -> None:
        await self.cupboard.reset.set_faults(lost_acks=0.2, error_10500=0.2, disconnect=0.1)
        await self.cupboard.wattics.set_faults(lost_answers=0.2, error_500=0.2, cut=0.1)
        await asyncio.sleep(chance.uniform(5, 10))
        await self.cupboard.reset.set_faults(lost_acks=None, error_10500=None, disconnect=None)
        await self.cupboard.wattics.set_faults(lost_answers=None, error_500=None, cut=None)

    async def bin_emptied(self, chance: random.Random) -> None:
        await self.stick.verb("empty", id=demo_zwave.BIN)

    async def happen(
        self, faults: list[Callable[[random.Random], Awaitable[None]]], seed: int, pause_s: float
    ) -> None:
        """All of these faults in a random order, each at least once, until the day is over."""
        chance = random.Random(seed)
        end_s = time.monotonic() + HOURS * 3600 / SPEED
        while True:
            for fault in chance.sample(faults, len(faults)):
                if time.monotonic() > end_s and self.done[fault.__name__]:
                    return
                await asyncio.sleep(chance.uniform(0.5, 1.5) * pause_s)
                await fault(chance)
                self.done[fault.__name__] += 1

    async def compared(self, ended_ms: float) -> tuple[Findings, Findings, list[str], int]:
        """P1's half-hours and Z-Wave's, what the platforms should not have got, and how many reports."""
        sides = await self.cupboard.sides(
            self.watch.clocks, ended_ms, tolerance_s=TOLERANCE_S, deaf=self.deaf, off=self.off
        )
        p1 = compare(sides.series(list(demo_zwave.p1_wires())))
        radio = compare(sides.series(list(wires())))
        return p1, radio, unwanted(sides.at_reset, sides.at_wattics), len(sides.records)


@contextlib.asynccontextmanager
async def begun() -> AsyncIterator[Day]:
    clock = FastClock(SPEED, parse_iso("2026-04-15T03:40:00Z"))
    async with contextlib.AsyncExitStack() as stack:
        # Not pytest's folder: the path of a Unix socket must be short.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mk-")))
        cupboard = await stack.enter_async_context(
            opened(
                folder,
                clock,
                seed=3,
                period_s=PERIOD_S,
                report_s=REPORT_S,
                devices=DEVICES,
                monitors=MONITORS,
                meters=METERS,
            )
        )
        configuration.write(folder, cupboard.configuration(ack_timeout_s=1, auth_timeout_s=2))
        day = Day(cupboard)
        watching = asyncio.create_task(day.watch.run())
        try:
            yield day
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await day.stop()


@pytest.mark.slow
async def test_a_day_of_faults_leaves_every_half_hour_right_or_missing_with_a_cause() -> None:
    async with begun() as day:
        await day.start()
        await day.until(lambda: day.ready() >= AWAKE, "all devices are interviewed")
        all_at_once = [day.server_killed, day.server_frozen, day.stick_unplugged, day.gateway_killed]
        single = [
            day.device_dead, day.flood, day.spike, day.other_unit, day.meter_reset, day.strange,
            day.platforms_fail, day.bin_emptied,
        ]  # fmt: skip
        await asyncio.gather(
            day.happen(all_at_once, SEED, pause_s=PAUSE_S), day.happen(single, SEED + 1, pause_s=3)
        )
        await asyncio.sleep(4 * 1800 / SPEED)
        await day.until(lambda: day.pending() == 0, "everything is delivered")
        ended_ms = time.time() * 1000
        await day.stop()
        p1, radio, not_wanted, reports = await day.compared(ended_ms)
    print(f"\nfaults: {dict(day.done)}; reports: {reports}")
    for name, found in (("P1", p1), ("Z-Wave", radio)):
        print(f"{name}: right {dict(found.right)}, bounded {found.bounded}, missing {dict(found.missing)}")
    assert not_wanted == []
    assert p1.wrong == []
    assert radio.wrong == []
    assert set(p1.missing) <= {"gateway off"}
    assert set(p1.right) == {"register"}
    assert set(radio.right) == {"register", "mean", "peak"}
    assert radio.bounded < radio.right["mean"], "some means were held against their half-hour's reports"
    assert radio.right.total() > radio.missing.total(), "most half-hours are there in spite of it all"
