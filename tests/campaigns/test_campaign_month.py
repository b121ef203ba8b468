"""A month without the platforms, with power cuts in it: it drains in order, once, and says how long it takes.

The month passes on a fast clock. What follows runs on a clock of the usual speed, as it would on a site;
`make campaign-month` does it with more channels.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from meterkast.clock import FastClock
from meterkast.lean import aiohttp
from meterkast.model.time import DAY_MS, HALF_HOUR_MS, MINUTE_MS, Grid, UtcMs, zone
from meterkast_rig import configuration
from meterkast_rig.p1_line import serving as p1_line
from meterkast_rig.site import Site, opened
from meterkast_rig.truth import EXPORT, FAULTS, IMPORT, WATER, Channel, judge

CHANNELS = int(os.environ.get("METERKAST_CAMPAIGN_SIZE", "8"))
SEED = int(os.environ.get("METERKAST_CAMPAIGN_SEED", "20260320"))
DAYS = 31
CUTS = 3
SPEED = 36_000  # a telegram each half-hour, every 0.05 s
LIMIT_S = 3600.0
PER_MONITOR = 4
GRID = Grid(zone("Europe/Amsterdam"))

ENERGY = (
    ("electricity/import_total", IMPORT),
    ("electricity/import_t1", IMPORT[:1]),
    ("electricity/import_t2", IMPORT[1:]),
    ("electricity/export_t1", ("1-0:2.8.1",)),
    ("electricity/export_t2", EXPORT),
)


def registers(count: int) -> list[tuple[str, tuple[str, ...]]]:
    """What so many channels send: the last is water, the others electricity over and over."""
    return [ENERGY[number % len(ENERGY)] for number in range(count - 1)] + [("water/volume", WATER)]


def channels(count: int) -> list[Channel]:
    """All of them, at both platforms."""
    found = []
    for number, (key, shown) in enumerate(registers(count)):
        water = key.startswith("water")
        monitor = "water" if water else f"energy-{number // PER_MONITOR}"
        found.append(Channel("reset", monitor, f"c{number}", key, shown, 1 if water else 1000))
        found.append(Channel("wattics", f"m{number}", "value", key, shown, 1 if water else 1000))
    return found


def monitors(of: Sequence[Channel]) -> list[configuration.Section]:
    """RESET's part of the configuration."""
    found = []
    for name in dict.fromkeys(one.stream for one in of if one.uplink == "reset"):
        module, parameter = ("water", "water_flow") if name == "water" else ("energy", "power_consumption")
        found.append(
            configuration.monitor(
                name,
                module,
                "P1",
                channels=[
                    configuration.channel(one.name, one.name, **{parameter: one.key})
                    for one in of
                    if one.stream == name
                ],
            )
        )
    return found


def meters(of: Sequence[Channel]) -> list[configuration.Section]:
    """Wattics' part."""
    return [
        configuration.single(one.stream, one.key, "L" if one.per == 1 else "kWh")
        for one in of
        if one.uplink == "wattics"
    ]


class Shown:
    """What the gateway's page says while it drains.

    Attributes:
        seen: When (s since the platforms are back), uplink, half-hours waiting, estimate in s.
    """

    def __init__(self, page: str, browser: aiohttp.ClientSession) -> None:
        self._page = page
        self._browser = browser
        self.seen: list[tuple[float, str, int, float | None]] = []
        self.began_s = time.monotonic()

    async def look(self) -> dict[str, Any]:
        """Once; the uplinks by name."""
        async with self._browser.get(f"{self._page}api/status") as answer:
            status = await answer.json()
        found = {uplink["name"]: uplink for uplink in status["uplinks"]}
        at_s = time.monotonic() - self.began_s
        self.seen += [(at_s, name, one["half_hours"], one["left_s"]) for name, one in found.items()]
        return found

    async def drained(self) -> bool:
        """Whether nothing waits."""
        return not any(one["backlog"] for one in (await self.look()).values())

    def took_s(self, uplink: str) -> float:
        """Until it had nothing to wait for."""
        return next(at_s for at_s, name, waiting, _ in self.seen if name == uplink and not waiting)

    def half_way(self, uplink: str) -> tuple[float, float] | None:
        """The estimate when half was done, and what it took from there, s."""
        of = [one for one in self.seen if one[1] == uplink]
        for at_s, _, waiting, left_s in of:
            if waiting <= of[0][2] // 2 and left_s is not None:
                return left_s, self.took_s(uplink) - at_s
        return None


@contextlib.asynccontextmanager
async def at_usual_speed(site: Site) -> AsyncIterator[Shown]:
    """From here on the site's clock runs as others do; the gateway is started, with its page."""
    # Just after a half-hour, so that none ends between the last look and the stop.
    site.clock = FastClock(1.0, UtcMs(GRID.end_of(site.clock.now_ms()) + MINUTE_MS))
    site.configure()
    async with p1_line(site.meter, site.clock, link=site.folder / "p1"), aiohttp.ClientSession() as browser:
        page = (await site.start()).split()[-1]
        yield Shown(page, browser)


def composed(site: Site) -> bool:
    """Whether all that is closed by now is in the outbox: the last minute's transaction was the month's."""
    end_ms = GRID.start_of(site.clock.now_ms(), HALF_HOUR_MS)
    return not site.rows("SELECT 1 FROM streams WHERE composed_ms < ?", end_ms)


async def outage(site: Site, chance: random.Random) -> list[float]:
    """The month; the days on which the power was cut."""
    await site.start()
    began_ms = site.clock.now_ms()
    each = DAYS / CUTS
    cuts = [each * number + chance.uniform(0.1, 0.9) * each for number in range(CUTS)]
    for day in cuts:
        await site.until(lambda day=day: site.clock.now_ms() > began_ms + day * DAY_MS, limit_s=600)
        await site.kill()
        await site.start()
    await site.until(lambda: site.clock.now_ms() > began_ms + DAYS * DAY_MS, limit_s=600)
    await site.kill()
    return cuts


@pytest.mark.slow
async def test_month_of_outage_with_power_cuts_drains_in_order_and_says_how_long_it_takes(
    tmp_path: Path,
) -> None:
    every = channels(CHANNELS)
    # Before the spring night on which the clock changes, so that the month holds a day of 46 half-hours.
    async with opened(
        tmp_path,
        speed=SPEED,
        start="2026-03-20T22:10:00Z",
        seed=SEED % 1000,
        monitors=monitors(every),
        meters=meters(every),
    ) as site:
        await site.reset.set_faults(refuse="connect")
        await site.wattics.set_faults(error_503=1.0)
        cuts = await outage(site, random.Random(SEED))
        async with at_usual_speed(site) as shown:
            await site.until(lambda: composed(site))
            items = site.pending()
            waits = await shown.look()
            assert all(one["backlog"] and one["left_s"] is None for one in waits.values()), (
                "nothing is invented"
            )
            posts = (await site.wattics.received())["posts"]
            await site.reset.set_faults(refuse=None)
            await site.wattics.set_faults(error_503=None)
            shown.began_s = time.monotonic()
            await site.until(shown.drained, limit_s=LIMIT_S)
            assert await site.stop() == 0
        at_reset, at_wattics = await site.reset.received(), await site.wattics.received()
        verdict = await judge(site.database, site.meter, at_reset, at_wattics, channels=every)
        print(
            f"\ncampaign month, seed {SEED}: {CHANNELS} channels, {DAYS} days, power cuts on days "
            f"{', '.join(f'{day:.1f}' for day in cuts)}: {items:,} items; {verdict.text()}"
        )
        for name, count in (
            ("reset", at_reset["messages"]["readings"]),
            ("wattics", at_wattics["posts"] - posts),
        ):
            begun = waits[name]["backlog"]
            took_s, half_way = shown.took_s(name), shown.half_way(name)
            print(
                f"  {name}: {begun:,} items in {count:,} requests and {took_s:.1f} s, "
                f"{begun / took_s:.0f} items/s; estimate at half and what it took, s: {half_way}"
            )
        assert site.errors == []
        assert verdict.findings == []
        assert not any(verdict.counts[fault] for fault in FAULTS)
        assert verdict.counts["sent again"] == 0
        assert verdict.counts["measured"] > len(set(registers(CHANNELS))) * DAYS * 46 * 0.7
        assert any(left_s for _, name, _, left_s in shown.seen if name == "wattics"), "the estimate is shown"
        assert all(left_s is None for _, _, waiting, left_s in shown.seen if not waiting)
