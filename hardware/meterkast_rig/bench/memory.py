"""What the gateway holds in memory over a day with all in use, and whether it grows."""

from __future__ import annotations

import asyncio
import itertools
import re
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

import aiohttp

from meterkast.clock import FastClock
from meterkast.model.time import iso_utc
from meterkast_rig import reset, wattics
from meterkast_rig.bench import load
from meterkast_rig.bench.figure import Figure
from meterkast_rig.bench.process import BASIC, running
from meterkast_rig.demo_uplinks import UPLINKS
from meterkast_rig.p1_line import serving as p1_line

TITLE = "Memory: a day with P1, RESET, Wattics and the page in use"
SPEED = 1440
"""A day in a minute; the simulated meter then sends a telegram every 75 s."""
WARM_S = 10.0
"""Four hours: minutes are held for three of them, then memory has what it will have."""
PAGES = ("", "half-hours", "api/status", "metrics", "static/page.css")
_LOOK_S = 0.5


async def measure(quick: bool) -> Figure:
    """The real process on a fast clock against the stand-ins.

    Args:
        quick: Four hours instead of a day.
    """
    figure = Figure(TITLE)
    seconds = 10.0 if quick else 60.0
    clock = FastClock(SPEED, load.START_MS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config, log = folder / "meterkast.toml", folder / "imports"
        async with (
            reset.serving() as reset_server,
            wattics.serving() as wattics_server,
            p1_line(load.NoisyMeter(), clock, link=folder / "p1"),
        ):
            text = BASIC.substitute(folder=folder)
            uplinks = UPLINKS.substitute(reset_url=reset_server.url, wattics_url=wattics_server.url)
            config.write_text(text + uplinks, encoding="utf-8")
            fast = ("--speed", str(SPEED), "--start", iso_utc(clock.now_ms()))
            async with (
                running(config, *fast, interpreter=("-X", "importtime"), log=log) as gateway,
                aiohttp.ClientSession() as browser,
            ):
                answers: Counter[int] = Counter()
                looking = asyncio.create_task(_look(browser, gateway.page, answers))
                listening = asyncio.create_task(_listen(browser, gateway.page))
                await asyncio.sleep(WARM_S)
                samples = []
                for _ in range(round(seconds / _LOOK_S)):
                    samples.append(gateway.rss_kib())
                    await asyncio.sleep(_LOOK_S)
                peak_kib = gateway.peak_kib()
                for task in (looking, listening):
                    task.cancel()
                await asyncio.gather(looking, listening, return_exceptions=True)
            at_reset, at_wattics = await reset_server.received(), await wattics_server.received()
        imported = re.findall(r"\| +(\S+)$", log.read_text(encoding="utf-8"), re.MULTILINE)
    tenth = max(1, len(samples) // 10)
    figure.at_most("Resident memory at the end", samples[-1] / 1024, 52, "MiB")
    figure.tell("… the most there ever was", peak_kib / 1024, "MiB")
    figure.at_most(
        "Growth over the day", (median(samples[-tenth:]) - median(samples[:tenth])) / 1024, 1, "MiB"
    )
    figure.holds(
        "dsmr_parser is not imported", not any(one.startswith("dsmr_parser") for one in imported), "yes"
    )
    figure.tell("Modules imported", len(set(imported)))
    if answers.keys() != {200}:
        figure.notes.append(f"Answers of the page by status: {dict(answers)}.")
    figure.holds(f"All {answers.total()} pages asked for were answered", answers.keys() == {200}, "every one")
    packets = sum(len(packets) for packets in at_wattics["meters"].values())
    slots = len({slot["reading_time"] for slot in at_reset["readings"]})
    figure.notes += [
        f"{seconds * SPEED / 3600:.0f} hours at {SPEED} times the speed, after "
        f"{WARM_S * SPEED / 3600:.0f} hours to fill what is kept for late readings; {slots} half-hours at "
        f"the RESET stand-in, {packets} packets at the Wattics stand-in; the page, its tables and metrics "
        "were asked for twice a second, and one browser followed it live.",
        "Growth is the median of the last tenth of the samples less that of the first.",
    ]
    return figure


async def _look(browser: aiohttp.ClientSession, page: str, answers: Counter[int]) -> None:
    for path in itertools.cycle(PAGES):
        async with browser.get(page + path) as answer:
            await answer.read()
            answers[answer.status] += 1
        await asyncio.sleep(_LOOK_S)


async def _listen(browser: aiohttp.ClientSession, page: str) -> None:
    while True:
        async with browser.get(page + "events", timeout=aiohttp.ClientTimeout(total=None)) as answer:
            async for _ in answer.content:
                pass
        await asyncio.sleep(1)
