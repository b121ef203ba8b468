"""What the gateway holds in memory over a day with all in use, and whether it grows."""

from __future__ import annotations

import asyncio
import itertools
import re
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import aiohttp

from meterkast.clock import FastClock
from meterkast.model.time import iso_utc
from meterkast_rig import configuration, reset, wattics
from meterkast_rig.bench import load, zwave
from meterkast_rig.bench.figure import Figure
from meterkast_rig.bench.process import GatewayProcess, running
from meterkast_rig.demo_uplinks import uplinks
from meterkast_rig.p1_line import serving as p1_line

TITLE = "Memory: a day with P1, RESET, Wattics and the page in use; with fifty Z-Wave devices besides"
SPEED = 1440
"""A day in a minute; the simulated meter then sends a telegram every 75 s."""
WARM_H = 4.0
"""Minutes are held for three hours, then memory has what it will have."""
ZWAVE_WARM_H = 12.0
"""With fifty devices SQLite's cache, and the tables of a day on the page, take longer to have their size."""
ZWAVE_SPEED = 720
"""A day in two minutes."""
ZWAVE_PERIOD_S = 3600
"""Fifty devices at that speed: some thirty values a second, which the mock's radio can carry."""
PAGES = ("", "half-hours", "api/status", "metrics", "static/page.css")
_LOOK_S = 0.5


async def measure(quick: bool) -> Figure:
    """The real process on a fast clock against the stand-ins.

    Args:
        quick: Four hours instead of a day.
    """
    figure = Figure(TITLE)
    plain = await _day(SPEED, 10.0 if quick else 60.0)
    figure.at_most("Resident memory at the end", plain.samples[-1] / 1024, 54, "MiB")
    figure.tell("… the most there ever was", plain.peak_kib / 1024, "MiB")
    figure.at_most("Growth over the day", plain.growth_kib / 1024, 1, "MiB")
    for library in ("dsmr_parser", "zwave_js_server"):
        figure.holds(
            f"{library} is not imported", not any(one.startswith(library) for one in plain.imported), "yes"
        )
    figure.tell("Modules imported", len(plain.imported))
    _tell_pages(figure, plain, "")
    figure.notes.append("Growth is the median of the last tenth of the samples less that of the first.")
    both = await _day(ZWAVE_SPEED, 20.0 if quick else 120.0, with_zwave=True)
    figure.at_most("With Z-Wave: resident memory at the end", both.samples[-1] / 1024, 76, "MiB")
    figure.tell("With Z-Wave: … the most there ever was", both.peak_kib / 1024, "MiB")
    figure.at_most("With Z-Wave: growth over the day", both.growth_kib / 1024, 1, "MiB")
    figure.tell("With Z-Wave: modules imported", len(both.imported))
    _tell_pages(figure, both, "With Z-Wave: ")
    figure.notes.append(
        f"With Z-Wave: fifty devices behind the real Z-Wave server, each reporting every "
        f"{ZWAVE_PERIOD_S / 60:.0f} minutes: {both.reports:,} values. The server's own process (Node.js) is "
        "not counted."
    )
    return figure


@dataclass(frozen=True, slots=True, kw_only=True)
class _Day:
    """What a day came to.

    Attributes:
        samples: Resident memory, in KiB.
        answers: The page's answers, by status.
        slots, packets: What arrived at the stand-ins of RESET and Wattics.
        reports: Values of Z-Wave devices.
    """

    speed: int
    seconds: float
    samples: list[int]
    peak_kib: int
    answers: Counter[int]
    imported: set[str]
    slots: int
    packets: int
    reports: int

    @property
    def growth_kib(self) -> float:
        tenth = max(1, len(self.samples) // 10)
        return median(self.samples[-tenth:]) - median(self.samples[:tenth])


def _tell_pages(figure: Figure, day: _Day, prefix: str) -> None:
    if day.answers.keys() != {200}:
        figure.notes.append(f"{prefix}Answers of the page by status: {dict(day.answers)}.")
    figure.holds(
        f"{prefix}{'All' if not prefix else 'all'} {day.answers.total()} pages asked for were answered",
        day.answers.keys() == {200},
        "every one",
    )
    figure.notes.append(
        f"{prefix}{day.seconds * day.speed / 3600:.0f} hours at {day.speed} times the speed, after "
        f"{_warm_h(bool(prefix)):.0f} hours to fill what is kept for late readings; "
        f"{day.slots} half-hours at the RESET stand-in, {day.packets} packets at the Wattics stand-in; "
        "the page, its tables and metrics were asked for twice a second, and one browser followed it live."
    )


def _warm_h(with_zwave: bool) -> float:
    return ZWAVE_WARM_H if with_zwave else WARM_H


async def _day(speed: int, seconds: float, *, with_zwave: bool = False) -> _Day:
    with tempfile.TemporaryDirectory(prefix="mk-") as name:
        folder = Path(name)
        log = folder / "imports"
        async with AsyncExitStack() as around:
            enter = around.enter_async_context
            reset_server, wattics_server = await enter(reset.serving()), await enter(wattics.serving())
            clock = FastClock(speed, load.START_MS)
            stick, drivers = None, configuration.NONE
            if with_zwave:
                stick = await enter(
                    zwave.network(folder, period_s=ZWAVE_PERIOD_S, speed=speed, start=clock.now_ms())
                )
                drivers = zwave.driver(stick, folder)
            await enter(p1_line(load.NoisyMeter(), clock, link=folder / "p1"))
            sent = uplinks(reset_server.url, wattics_server.url)
            config = configuration.write(folder, configuration.gateway(folder, drivers=drivers, uplinks=sent))
            fast = ("--speed", str(speed), "--start", iso_utc(clock.now_ms()))
            async with running(config, *fast, interpreter=("-X", "importtime"), log=log) as gateway:
                if stick is not None:
                    await zwave.ready(gateway)
                samples, answers = await _used(gateway, _warm_h(stick is not None) * 3600 / speed, seconds)
                peak_kib = gateway.peak_kib()
            at_reset, at_wattics = await reset_server.received(), await wattics_server.received()
            reports = 0 if stick is None else await zwave.reports(stick)
        imported = re.findall(r"\| +(\S+)$", log.read_text(encoding="utf-8"), re.MULTILINE)
    return _Day(
        speed=speed,
        seconds=seconds,
        samples=samples,
        peak_kib=peak_kib,
        answers=answers,
        imported=set(imported),
        slots=len({slot["reading_time"] for slot in at_reset["readings"]}),
        packets=sum(len(packets) for packets in at_wattics["meters"].values()),
        reports=reports,
    )


async def _used(gateway: GatewayProcess, warm_s: float, seconds: float) -> tuple[list[int], Counter[int]]:
    """Resident memory every half second, while the page is looked at."""
    answers: Counter[int] = Counter()
    async with aiohttp.ClientSession() as browser:
        looking = asyncio.create_task(_look(browser, gateway.page, answers))
        listening = asyncio.create_task(_listen(browser, gateway.page))
        await asyncio.sleep(warm_s)
        samples = []
        for _ in range(round(seconds / _LOOK_S)):
            samples.append(gateway.rss_kib())
            await asyncio.sleep(_LOOK_S)
        for task in (looking, listening):
            task.cancel()
        await asyncio.gather(looking, listening, return_exceptions=True)
    return samples, answers


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
