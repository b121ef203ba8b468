"""Killed a thousand times while it reads, closes and uploads: nothing lost, doubled, out of order or wrong.

The platforms lose answers, fail, answer as a captive portal and refuse one instant for good each. A quarter
of the kills come at a chosen system call; `make campaign-kill` makes all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC
from pathlib import Path
from typing import NamedTuple

import pytest

from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, UtcMs, iso_local
from meterkast_rig.site import Operation, Site, opened
from meterkast_rig.truth import FAULTS, judge

from .ratchet import Ratchet

SIZE = int(os.environ.get("METERKAST_CAMPAIGN_SIZE", "50"))
SEED = int(os.environ.get("METERKAST_CAMPAIGN_SEED", "20260328"))
SPEED = 600  # a half-hour takes three seconds, about as long as a start and a kill

# SQLite writes and flushes with the first two, the uplinks speak with the others. So many of each are made
# by one thread within a start, a closing and an upload.
CALLS = {"pwrite64": 150, "fdatasync": 60, "sendto": 40, "recvfrom": 40}
FIRST_WRITES = 70
"""So many are made from nothing until it runs, and a few more."""

LONGEST_S = 6.0
"""For one that does not get as far as its operation."""

RESET_FAULTS = {
    "lost_acks": 0.1, "error_10500": 0.1, "disconnect": 0.05, "stray_errors": 0.05, "portal": 0.05,
}  # fmt: skip
WATTICS_FAULTS = {"lost_answers": 0.1, "cut": 0.05, "error_500": 0.1, "error_503": 0.03, "portal": 0.05}


class Kill(NamedTuple):
    """When to kill: so long after the start or after it runs, or at an operation."""

    how: str
    after_s: float = 0.0
    operation: Operation | None = None


def planned(chance: random.Random) -> Iterator[Kill]:
    """As many kills as the campaign has, in a seeded order."""
    every = [Operation(call, number) for call, most in CALLS.items() for number in range(1, most + 1)]
    kills = [
        Kill("past its operation", operation=one) for one in chance.sample(every, min(len(every), SIZE // 4))
    ]
    while len(kills) < SIZE:
        starting = chance.random() < 0.25
        kills.append(
            Kill("starting", chance.uniform(0.0, 1.5))
            if starting
            else Kill("running", chance.uniform(0.05, 1.2))
        )
    chance.shuffle(kills)
    yield from kills


async def die(site: Site, kill: Kill) -> str:
    """Start the gateway and kill it; how it died in the end."""
    how = kill.how
    await site.spawn(kill.operation)
    assert site.process is not None
    if kill.operation is not None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(site.process.wait(), LONGEST_S)
            how = f"at {kill.operation.call}"
    elif how == "running":
        await site.ready()
    await asyncio.sleep(kill.after_s)
    await site.kill()
    assert site.process.returncode == -9, f"it ended by itself: {site.errors}"
    return how


class Poison:
    """One instant for each platform that it refuses for good, in the middle of all that is delivered.

    Attributes:
        at: Which, by uplink.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self.at: dict[str, UtcMs] = {}

    async def choose(self) -> None:
        """The end of the next half-hour but one; another where nothing was measured in the one chosen."""
        site, now_ms = self._site, self._site.clock.now_ms()
        for uplink, stand_in in (("reset", site.reset), ("wattics", site.wattics)):
            had_ms = self.at.get(uplink)
            if had_ms is None or (had_ms < now_ms - HOUR_MS and not self.items(uplink)):
                self.at[uplink] = end_ms = UtcMs((now_ms // HALF_HOUR_MS + 2) * HALF_HOUR_MS)
                await stand_in.set_faults(poison=iso_local(end_ms, UTC))

    def items(self, *uplinks: str) -> set[tuple[str, str, UtcMs]]:
        """All items of those instants."""
        rows = self._site.rows(
            "SELECT uplink, name, at_ms FROM outbox JOIN streams ON streams.id = stream_id"
        )
        return {row for row in rows if row[0] in uplinks and self.at.get(row[0]) == row[2]}


def off(faults: Mapping[str, float]) -> dict[str, None]:
    """Every one of these switches off."""
    return dict.fromkeys(faults)


@pytest.mark.slow
async def test_killed_at_random_instants_and_operations_it_delivers_every_half_hour_once(
    tmp_path: Path,
) -> None:
    chance, began_s = random.Random(SEED), time.monotonic()
    hit: Counter[str] = Counter()
    async with opened(tmp_path, speed=SPEED, start="2026-03-20T22:10:00Z", seed=SEED % 1000) as site:
        await site.reset.set_faults(**RESET_FAULTS)
        await site.wattics.set_faults(**WATTICS_FAULTS)
        ratchet, poison = Ratchet(site), Poison(site)
        for number, kill in enumerate(planned(chance)):
            hit[await die(site, kill)] += 1
            ratchet.look()
            if number % 100 == 99:
                print(f"{number + 1} kills, {time.monotonic() - began_s:.0f} s", flush=True)
            if number > SIZE // 3:
                await poison.choose()
        await site.reset.set_faults(**off(RESET_FAULTS))
        await site.wattics.set_faults(**off(WATTICS_FAULTS))
        await drain(site)
        ratchet.look()
        at_reset, at_wattics = await site.reset.received(), await site.wattics.received()
        refused = poison.items("reset", "wattics")
        verdict = await judge(site.database, site.meter, at_reset, at_wattics, refused=refused)
        hows = ", ".join(f"{count} {how}" for how, count in hit.items())
        print(
            f"\ncampaign kill, seed {SEED}: {SIZE} kills ({hows}) in {time.monotonic() - began_s:.0f} s; "
            f"{verdict.text()}; answers lost: {at_reset['lost']['answers']} at RESET; "
            f"refused {sorted(refused)}"
        )
        assert site.errors == []
        assert ratchet.broken == []
        assert verdict.findings == []
        assert not any(verdict.counts[fault] for fault in FAULTS)
        assert verdict.counts["measured"] > SIZE // 5
        assert {uplink for uplink, _, _ in refused} == {"reset", "wattics"}
        assert verdict.counts["items set aside"] == len(refused)
        assert hit["at pwrite64"]


@pytest.mark.slow
async def test_killed_while_the_database_is_made_it_starts_the_next_time(tmp_path: Path) -> None:
    chance, hit = random.Random(SEED), 0
    async with opened(tmp_path, speed=SPEED, start="2026-03-20T22:10:00Z", seed=SEED % 1000) as site:
        for number in chance.sample(range(1, FIRST_WRITES + 1), min(FIRST_WRITES, SIZE // 10)):
            for path in site.folder.glob("meterkast.db*"):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            await site.spawn(Operation("pwrite64", number))
            began = await site.ready()
            hit += not began
            await site.kill()
            await site.start()
            assert site.rows("PRAGMA integrity_check") == [("ok",)]
            assert await site.stop() == 0
        print(f"\ncampaign kill, seed {SEED}: {hit} kills before it ran for the first time")
        assert hit
        assert site.errors == []


async def drain(site: Site) -> None:
    """Let it run in peace until everything is at the platforms, and stop it."""
    await site.start()
    closed_ms = -(-site.clock.now_ms() // HALF_HOUR_MS) * HALF_HOUR_MS
    await site.until(lambda: closed_ms in site.half_hours("electricity/import_total"))
    await site.until(lambda: site.pending() == 0)
    assert await site.stop() == 0
