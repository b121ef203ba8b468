"""How fast a month offline is caught up with, in order, and in how much memory."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from meterkast_rig import reset
from meterkast_rig.bench.backlog_run import CHANNELS, MONITORS, PARALLEL
from meterkast_rig.bench.figure import Figure
from meterkast_rig.bench.process import output_of

TITLE = "Backlog: 30 days of 20 channels, with a round trip of 30 ms"
ROUND_TRIP_S = 0.03
DAYS = 30
MOST_IN_A_MESSAGE = 48


async def measure(quick: bool) -> Figure:
    """Fill an outbox, then drain it against each stand-in, which runs as a process of its own.

    Args:
        quick: One day instead of thirty.
    """
    figure = Figure(TITLE)
    days = 1 if quick else DAYS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        await _wattics(figure, folder, days)
        await _reset(figure, folder, days)
    figure.notes.append(
        f"{days} days × 48 half-hours × {CHANNELS} channels, composed by the uplinks and delivered by "
        "the real engine from the real store; the stand-ins answer after 30 ms. *Growth* is the most "
        "resident memory during the drain over that after its first message."
    )
    return figure


async def _wattics(figure: Figure, folder: Path, days: int) -> None:
    parallel = min(PARALLEL, CHANNELS)
    async with _wattics_stand_in() as origin:
        url = f"{origin}/measurements/v2/unifiedjson/"
        round_trip_s = 1 / await _bare_rate(url, 1)
        most = parallel / round_trip_s
        bare = await _bare_rate(url, parallel)
        async with aiohttp.ClientSession() as session:
            await session.post(f"{origin}/reset-state")
            found = await _drained("drain", "wattics", f"{origin}/", folder, days)
            async with session.get(f"{origin}/received.json") as answer:
                received = await answer.json()
            await session.post(f"{origin}/reset-state")
        again = await _drained("restart", "wattics", f"{origin}/", folder, max(1, days // 6))
    rate, after_restart = (one["timed"] / one["wall_s"] for one in (found, again))
    figure.tell("Wattics: round trip, one packet in flight", round_trip_s * 1000, "ms")
    figure.tell("Wattics: packets a second", rate)
    figure.at_least(
        f"Wattics: share of {parallel} meters in parallel / round trip, where {CHANNELS} have a backlog",
        rate / most,
        0.9,
    )
    figure.tell("Wattics: … where the gateway was restarted during the outage", after_restart / most)
    figure.tell(f"Wattics: … of a bare aiohttp loop with {parallel} meters, for comparison", bare / most)
    figure.tell("Wattics: CPU time of the gateway per packet", found["cpu_s"] / found["timed"] * 1000, "ms")
    wrong = len(received["discarded"]) + len(received["conflicts"]) + len(received["refused"])
    figure.at_most("Wattics: packets out of order, doubled or refused", wrong, 0)
    packets = sum(len(packets) for packets in received["meters"].values())
    figure.holds(f"Wattics: all {found['items']:,} packets arrived", packets == found["items"], "every one")
    figure.at_most("Wattics: growth of resident memory", found["grown_kib"] / 1024, 4, "MiB")


async def _reset(figure: Figure, folder: Path, days: int) -> None:
    async with reset.serving(faults=f"slow={ROUND_TRIP_S}") as stand_in:
        found = await _drained("drain", "reset", stand_in.url, folder, days)
        received = await stand_in.received()
    figure.tell("RESET: messages", found["messages"])
    figure.at_most("RESET: half-hours in the largest message", found["largest"], MOST_IN_A_MESSAGE)
    figure.tell("RESET: half-hours a second", found["timed"] / found["wall_s"])
    rate = received["messages"]["readings"] * found["timed"] / found["items"] / found["wall_s"]
    figure.tell("RESET: share of one message in flight / 30 ms", rate * ROUND_TRIP_S)
    wrong = sum(len(received[key]) for key in ("out_of_order", "conflicts", "refused"))
    figure.at_most("RESET: half-hours out of order, in conflict or refused", wrong, 0)
    slots = len({(slot["connection_id"], slot["reading_time"]) for slot in received["readings"]})
    figure.holds(f"RESET: all {found['items']:,} half-hours arrived", slots == found["items"], "every one")
    figure.at_most("RESET: growth of resident memory", found["grown_kib"] / 1024, 4, "MiB")
    figure.notes.append(
        f"RESET: {MONITORS} monitors of {CHANNELS // MONITORS} channels, one message in flight."
    )


async def _drained(how: str, platform: str, url: str, folder: Path, days: int) -> dict[str, Any]:
    (folder / f"{platform}.db").unlink(missing_ok=True)
    out = ""
    for step in ("fill", how):
        out, _ = await output_of(
            sys.executable,
            "-m",
            "meterkast_rig.bench.backlog_run",
            step,
            platform,
            url,
            str(folder),
            str(days),
        )
    result: dict[str, Any] = json.loads(out)
    return result


@asynccontextmanager
async def _wattics_stand_in() -> AsyncIterator[str]:
    """The stand-in's own process, so that its work is not the gateway's; yields its origin."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "meterkast", "rig", "wattics",
        "--port", "0", "--faults", f"delay={ROUND_TRIP_S}",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().split()
        yield said[-1].partition("/measurements")[0].rstrip("/")
    finally:
        process.terminate()
        await process.communicate()


async def _bare_rate(url: str, meters: int, seconds: float = 2.0) -> float:
    """Packets a second of a loop that does nothing but post, with so many meters in parallel."""
    done = 0
    loop = asyncio.get_running_loop()
    end_s = loop.time() + seconds

    async def meter(number: int) -> None:
        nonlocal done
        sent = 0
        while loop.time() < end_s:
            stamp = f"2026-01-{1 + sent // 1440:02d}T{sent // 60 % 24:02d}:{sent % 60:02d}:00.000+01:00"
            body = json.dumps(
                {"id": f"bare-{meters}-{number}", "tsISO8601": stamp, "value": sent}, separators=(",", ":")
            )
            async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
                await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"the stand-in answered {answer.status}: {await answer.text()}")
            sent += 1
            done += 1

    async with aiohttp.ClientSession(auth=aiohttp.BasicAuth("demo", "demo")) as session:
        await asyncio.gather(*(meter(number) for number in range(meters)))
    return done / seconds
