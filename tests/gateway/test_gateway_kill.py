"""Killed at random instants, with platforms that drop answers: every half-hour once, in order, as shown."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from meterkast.model.time import HALF_HOUR_MS, UtcMs, parse_iso

KILLS = 30
SEED = 20260328


def checked(cupboard: Any, at_reset: dict[str, Any], at_wattics: dict[str, Any]) -> int:
    """Compare what both stand-ins have with the database, and the database with the meter.

    Returns:
        How many half-hours were compared.
    """
    for name in ("conflicts", "out_of_order", "falls"):
        assert at_reset[name] == []
    for name in ("conflicts", "discarded"):
        assert at_wattics[name] == []
    reset_slots = {
        channel: {
            parse_iso(slot["reading_time"]): slot["value"]
            for slot in at_reset["readings"]
            if slot["channel"] == channel
        }
        for channel in ("import", "export")
    }
    packets = {name: at_wattics["meters"][name] for name in ("main", "water")}
    stamps = {name: [parse_iso(packet["tsISO8601"]) for packet in found] for name, found in packets.items()}
    for found in stamps.values():
        assert found == sorted(set(found))
    compared = 0
    for key, shown_as, delivered, per in (
        ("electricity/import_total", None, reset_slots["import"], 1000),
        ("electricity/export_t2", "1-0:2.8.2", reset_slots["export"], 1000),
        ("electricity/import_total", None, _by_end(packets["main"], "pC_1"), 1),
        ("water/volume", "water", _by_end(packets["water"], "value"), 1),
    ):
        kept = cupboard.half_hours(key)
        assert kept, key
        assert sorted(kept) == sorted(delivered), key
        for end_ms, (whole, taken_ms) in kept.items():
            assert end_ms - HALF_HOUR_MS < taken_ms <= end_ms
            assert whole == _shown(cupboard.meter, shown_as, taken_ms), (key, end_ms)
            assert round(float(delivered[end_ms]) * per) == whole, (key, end_ms)
            compared += 1
    return compared


def _by_end(packets: list[dict[str, Any]], name: str) -> dict[UtcMs, Any]:
    return {parse_iso(packet["tsISO8601"]): packet["body"][name] for packet in packets}


def _shown(meter: Any, reference: str | None, at_ms: UtcMs) -> int:
    """What the meter's registers were at that instant: it is a pure function of its seed."""
    registers = meter.registers(at_ms)
    if reference is None:
        return int(registers["1-0:1.8.1"] + registers["1-0:1.8.2"])
    if reference == "water":
        (found,) = [value for name, value in registers.items() if name.startswith("0-2:24.2")]
        return int(found)
    return int(registers[reference])


@pytest.mark.slow
async def test_killed_at_random_instants_it_delivers_every_half_hour_once_in_order_as_shown(
    cupboard: Callable[..., Any],
) -> None:
    chance = random.Random(SEED)
    async with cupboard(speed=300, seed=7) as it:
        await it.reset.set_faults(lost_acks=0.1, error_10500=0.1, disconnect=0.05, stray_errors=0.05)
        await it.wattics.set_faults(lost_answers=0.1, cut=0.05, error_500=0.1, portal=0.05)
        for _ in range(KILLS):
            await it.start()
            await asyncio.sleep(chance.uniform(0.05, 4.0))
            await it.kill()
        await it.reset.set_faults(lost_acks=None, error_10500=None, disconnect=None, stray_errors=None)
        await it.wattics.set_faults(lost_answers=None, cut=None, error_500=None, portal=None)
        await it.start()
        closed = it.clock.now_ms()
        await it.until(lambda: it.half_hours("electricity/import_total").keys() >= {_end_after(closed)})
        await it.until(lambda: it.pending() == 0)
        assert await it.stop() == 0
        assert it.errors == []
        ends = sorted(it.half_hours("electricity/import_total"))
        assert ends == list(range(ends[0], ends[-1] + 1, HALF_HOUR_MS)), "a half-hour is missing"
        compared = checked(it, await it.reset.received(), await it.wattics.received())
        assert compared >= 4 * 10


def _end_after(at_ms: UtcMs) -> int:
    return -(-at_ms // HALF_HOUR_MS) * HALF_HOUR_MS
