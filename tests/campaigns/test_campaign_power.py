"""The power is cut under a real kernel while the gateway reads, closes and uploads.

Meter and platforms are outside the guest and stay. After each cut the same disk is booted again: everything
that was kept or acknowledged is there, and it goes on. `make campaign-power` makes a thousand cuts.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, iso_utc
from meterkast_rig import configuration
from meterkast_rig.power.guest import BLOCK, DISK, METER
from meterkast_rig.power.host import Guest, disk, taken_out
from meterkast_rig.site import METERS, MONITORS, Site, opened
from meterkast_rig.truth import FAULTS, judge

SIZE = int(os.environ.get("METERKAST_CAMPAIGN_SIZE", "10"))
SEED = int(os.environ.get("METERKAST_CAMPAIGN_SEED", "20260328"))
SPEED = 300  # a half-hour takes six seconds: about as long as a boot, a start and a cut

LONGEST_S = 120.0
_BACK_MS = 12 * HOUR_MS

RESET_FAULTS = {"lost_acks": 0.1, "error_10500": 0.05}
WATTICS_FAULTS = {"lost_answers": 0.1, "error_500": 0.05}

Row = tuple[Any, ...]


class Cut(NamedTuple):
    """When: so long after the switch is thrown, or after it runs, or the moment something was kept."""

    how: str
    after_s: float


def planned(chance: random.Random) -> list[Cut]:
    """As many cuts as the campaign has."""
    cuts = []
    for _ in range(SIZE):
        kind = chance.random()
        if kind < 0.15:
            cuts.append(Cut("starting", chance.uniform(1.0, 5.0)))
        elif kind < 0.4:
            cuts.append(Cut("when something was kept", 0.0))
        else:
            cuts.append(Cut("running", chance.uniform(0.0, 4.0)))
    return cuts


class Disk:
    """The guest's disk, and what it is known to hold.

    Attributes:
        lost: What was kept and is not there any more, or otherwise.
        booted: Boots after which the gateway ran.
    """

    def __init__(self, site: Site) -> None:
        self.image = site.folder / "disk"
        self.kept: dict[Row, Row] = {}
        self.lost: list[str] = []
        self.booted = 0
        self._site = site
        self._config = site.folder / "meterkast.toml"
        sent = {
            "reset": configuration.reset(site.reset.url, MONITORS, ack_timeout_s=2, auth_timeout_s=5),
            "wattics": configuration.wattics(site.wattics.url, METERS, timeout_s=5),
        }
        tree = configuration.gateway(Path(DISK), drivers={"p1": {"port": METER}}, uplinks=sent)
        configuration.write(site.folder, {**tree, "page": {"enabled": False}})
        disk(self.image)

    async def boot(self) -> Guest:
        """Switch it on."""
        site = self._site
        ports = [str(urlsplit(url).port) for url in (site.reset.url, site.wattics.url)]
        self._since_ms = max((key[2] for key in self.kept), default=0) - _BACK_MS
        start, since = iso_utc(site.clock.now_ms()), str(self._since_ms)
        arguments = [str(self._config), f"{DISK}/meterkast.db", f"{SPEED}", start, since, ",".join(ports)]
        return await Guest.boot(self.image, site.line.port, arguments)

    def heard(self, lines: Sequence[str]) -> None:
        """What one boot told: all of the last half day that was kept before has to be among it."""
        rows = {row[:4]: row[4:] for row in told(lines)}
        if "LOOKED" in lines:
            self.booted += 1
            first = {row[:4]: row[4:] for row in told(lines[: lines.index("LOOKED")])}
            for key, row in self.kept.items():
                if key[2] > self._since_ms and first.get(key) != row:
                    self.lost.append(f"{key} was {row}, is {first.get(key)}")
        self.lost += [line for line in lines if line.startswith(("DAMAGED", "NO DISK", "ENDED", "Traceback"))]
        self.kept |= rows


def told(lines: Sequence[str]) -> list[Row]:
    """The rows that were told."""
    return [tuple(json.loads(line[5:])) for line in lines if line.startswith("KEPT ")]


async def cut(guest: Guest, how: Cut) -> None:
    """Let it run as long as that, and cut its power."""
    if how.how != "starting":
        assert await guest.until(lambda lines: "LOOKED" in lines, LONGEST_S), "\n".join(guest.heard)
    if how.how == "when something was kept":
        before = len(guest.heard)
        await guest.until(lambda lines: any(line.startswith("KEPT") for line in lines[before:]), LONGEST_S)
    await asyncio.sleep(how.after_s)
    await guest.cut()


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="user-mode-linux is for x86 alone")
async def test_power_cut_under_a_real_kernel_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    chance, began_s = random.Random(SEED), time.monotonic()
    cuts = planned(chance)
    async with opened(tmp_path, speed=SPEED, start="2026-03-20T22:10:00Z", seed=SEED % 1000) as site:
        await site.reset.set_faults(**RESET_FAULTS)
        await site.wattics.set_faults(**WATTICS_FAULTS)
        card = Disk(site)
        for number, how in enumerate(cuts):
            guest = await card.boot()
            await cut(guest, how)
            card.heard(guest.heard)
            if number % 100 == 99:
                print(f"{number + 1} cuts, {time.monotonic() - began_s:.0f} s", flush=True)
        await site.reset.set_faults(**dict.fromkeys(RESET_FAULTS))
        await site.wattics.set_faults(**dict.fromkeys(WATTICS_FAULTS))
        await drain(site, card)
        taken_out(card.image, "meterkast.db", site.database)
        verdict = await judge(
            site.database, site.meter, await site.reset.received(), await site.wattics.received()
        )
        hows = ", ".join(f"{count} {how}" for how, count in Counter(one.how for one in cuts).items())
        print(
            f"\ncampaign power, seed {SEED}: {SIZE} cuts ({hows}) in {time.monotonic() - began_s:.0f} s; "
            f"{card.booted} boots until it ran, {len(card.kept):,} rows kept, {len(card.lost)} of them "
            f"lost or changed; {verdict.text()}"
        )
        assert card.lost == []
        assert verdict.findings == []
        assert not any(verdict.counts[fault] for fault in FAULTS)
        assert verdict.counts["measured"] > SIZE // 2


async def drain(site: Site, card: Disk) -> None:
    """The last boot: until all that was closed is at the platforms; then an orderly end."""
    guest = await card.boot()
    closed_ms = -(-site.clock.now_ms() // HALF_HOUR_MS) * HALF_HOUR_MS
    assert await guest.until(
        lambda lines: any(row[0] != BLOCK and row[2] > closed_ms for row in told(lines)), LONGEST_S
    )
    assert await guest.until(lambda lines: pending(lines) == "0", LONGEST_S)
    await guest.stop()
    assert "ENDED 0" in guest.heard
    card.heard([line for line in guest.heard if line != "ENDED 0"])


def pending(lines: Sequence[str]) -> str:
    """How many items wait, as was told last."""
    return next((line.split()[1] for line in reversed(lines) if line.startswith("PENDING")), "")
