"""A month without the platforms: everything waits, and drains in order when they are back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meterkast.model.time import DAY_MS, HALF_HOUR_MS, parse_iso

DAYS = 30


@pytest.mark.slow
async def test_thirty_days_of_outage_drain_in_order_and_complete(cupboard: Callable[..., Any]) -> None:
    # Begins before the spring night on which the clock changes, so the month holds a day of 46 half-hours.
    async with cupboard(speed=20_000, start="2026-03-20T22:10:00Z", seed=3) as it:
        await it.reset.set_faults(refuse="connect")
        await it.wattics.set_faults(error_503=1.0)
        await it.start()
        began_ms = it.clock.now_ms()
        await it.until(lambda: it.clock.now_ms() > began_ms + DAYS * DAY_MS, limit_s=400)
        await it.until(lambda: it.pending() > 3 * DAYS * 46)
        assert (await it.reset.received())["readings"] == []
        await it.reset.set_faults(refuse=None)
        await it.wattics.set_faults(error_503=None)
        await it.until(lambda: it.pending() < 12, limit_s=300)
        assert await it.stop() == 0
        assert it.errors == []
        at_reset, at_wattics = await it.reset.received(), await it.wattics.received()
        for name in ("conflicts", "out_of_order", "falls", "refused"):
            assert at_reset[name] == []
        for name in ("conflicts", "discarded"):
            assert at_wattics[name] == []
        kept = it.half_hours("electricity/import_total")
        ends = sorted(kept)
        assert ends == list(range(ends[0], ends[-1] + 1, HALF_HOUR_MS)), "a half-hour is missing"
        delivered = {
            parse_iso(slot["reading_time"]): slot["value"]
            for slot in at_reset["readings"]
            if slot["channel"] == "import"
        }
        main = [parse_iso(packet["tsISO8601"]) for packet in at_wattics["meters"]["main"]]
        assert main == sorted(set(main))
        # What was composed in the last moments may still wait; everything before it is there.
        assert sorted(delivered) == ends[: len(delivered)]
        assert main == ends[: len(main)]
        assert min(len(delivered), len(main)) >= DAYS * 46
        for end_ms, value in delivered.items():
            whole, taken_ms = kept[end_ms]
            registers = it.meter.registers(taken_ms)
            assert whole == registers["1-0:1.8.1"] + registers["1-0:1.8.2"]
            assert round(float(value) * 1000) == whole
