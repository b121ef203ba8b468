"""A meter is replaced while the gateway runs: the real process, a pty, the command line, both stand-ins."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, MINUTE_MS, iso_utc, parse_iso

LIMIT_S = 60


async def meter(it: Any, *words: str) -> tuple[int | None, str]:
    """`meterkast meter …`: its exit status and what it says."""
    asked = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "meterkast", "meter", words[0],
        "--config", str(it.folder / "meterkast.toml"), *words[1:],
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(asked.communicate(), LIMIT_S)
    return asked.returncode, out.decode()


@pytest.mark.slow
async def test_swapped_meter_is_held_signed_off_and_goes_on_at_every_platform(
    cupboard: Callable[..., Any],
) -> None:
    async with cupboard(speed=600, start="2026-03-10T09:50:00Z", seed=5) as it:
        await it.start()
        await it.until(lambda: len(it.half_hours("electricity/import_total")) >= 2)
        swap_ms = it.clock.now_ms() // HALF_HOUR_MS * HALF_HOUR_MS + HALF_HOUR_MS + 12 * MINUTE_MS
        it.line.faults.set({"swap": iso_utc(swap_ms)})
        await it.until(lambda: it.clock.now_ms() > swap_ms + 3 * HOUR_MS)
        old, new = it.meter.equipment_id(swap_ms - 1), "E0000000000000526"
        status, listed = await meter(it, "list")
        assert (status, f"{new} (electricity): swap not signed off" in listed) == (0, True), listed
        held = await it.reset.received()
        assert max(parse_iso(one["reading_time"]) for one in held["readings"]) < swap_ms
        status, told = await meter(it, "swap", old, new, "--dry-run")
        assert (status, "Nothing was changed." in told) == (0, True), told
        status, told = await meter(it, "swap", old, new, "--old-reading", "import_total=1")
        assert (status, "below the old meter's last reading" in told) == (1, True), told
        await it.kill()
        await it.start()  # a power cut while it waits changes nothing
        status, told = await meter(it, "swap", old, new, "--by", "Jan")
        assert status == 0, told
        await it.until(lambda: it.pending() == 0 and len(it.half_hours("water/volume")) >= 10)
        assert await it.stop() == 0
        assert it.errors == []
        at_reset, at_wattics = await it.reset.received(), await it.wattics.received()
        for name in ("conflicts", "out_of_order", "falls", "refused"):
            assert at_reset[name] == []
        for name in ("conflicts", "discarded"):
            assert at_wattics[name] == []
        sent = {
            parse_iso(one["reading_time"]): round(float(one["value"]) * 1000)
            for one in at_reset["readings"]
            if one["channel"] == "import"
        }
        ends = sorted(sent)
        assert ends == list(range(ends[0], ends[-1] + 1, HALF_HOUR_MS)), "none is missing across the swap"
        steps = [sent[after] - sent[before] for before, after in pairwise(ends)]
        assert min(steps) >= 0
        assert max(steps) < 20_000, "and none is a giant"
        main = {parse_iso(one["tsISO8601"]): one["body"]["pC_1"] for one in at_wattics["meters"]["main"]}
        first = next(end for end in sorted(main) if end > swap_ms)
        assert float(main[first]) < 20_000 < float(main[first - HALF_HOUR_MS]), "as the new meter shows it"
        ((kind, by),) = it.rows("SELECT DISTINCT kind, signed_by FROM epochs WHERE predecessor IS NOT NULL")
        assert (kind, by) == ("meter swap", "Jan")
