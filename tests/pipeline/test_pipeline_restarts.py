"""A restart changes nothing of what is closed and composed."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterkast.model.datatypes import ENERGY_CONSUMED, Aggregation, DatatypeId
from meterkast.model.delivery import NewItem
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import PropertyId
from meterkast.model.reading import Column, Frames
from meterkast.model.time import DAY_MS, HALF_HOUR_MS, HOUR_MS, MINUTE_MS, UtcMs

from .sites import POWER, START, WEIGHT, Device, Far, Reading, Site, prop, table, until

BATTERY = DatatypeId(10)


def household(seed: int) -> list[tuple[UtcMs, list[Frames]]]:
    """Six hours of a meter cupboard, as it comes in flush by flush."""
    rng = random.Random(seed)
    flushes = []
    register, weight, gas, at = 0, 0, 0, START + 60_000
    captured = START
    while at < until(360):
        rows: list[tuple[int, int, int]] = []
        for _ in range(rng.randint(1, 12)):
            at += rng.choice([1_000, 10_000, 10_000, 70_000, 400_000])
            register += rng.randint(0, 9)
            shown = 0 if rng.random() < 0.02 else register  # now and then an outlier
            rows.append((at, shown, rng.randint(0, 500)))
        frames = [
            Frames(
                (Column(PropertyId(1), 0), Column(PropertyId(2), 1)),
                [UtcMs(one) for one, _, _ in rows],
                [(a, b) for _, a, b in rows],
            )
        ]
        weight = 1 if rng.random() < 0.1 else weight + rng.randint(0, 30)
        frames.append(table(3, [(at, weight)]))
        if at - captured > 65 * MINUTE_MS:
            captured += HOUR_MS
            gas += rng.randint(0, 50)
            frames.append(table(5, [(captured, gas)], decimals=1))
        flushes.append((UtcMs(at), frames))
    return flushes


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.sets(st.integers(0, 120), max_size=6))
def test_restarts_change_nothing_of_what_is_closed_and_composed(seed: int, restarts: set[int]) -> None:
    props = (
        prop(1),
        prop(2, POWER, fresh_ms=5 * MINUTE_MS),
        prop(3, WEIGHT, aggregation=Aggregation.MAX, emptyings=True),
        prop(5, DatatypeId(51), fresh_ms=2 * HOUR_MS, late_ms=75 * MINUTE_MS),
    )
    streams = [("slow", (1, 5), HALF_HOUR_MS), ("quick", (1, 2, 3), 5 * MINUTE_MS)]
    results: list[tuple[list[HalfHour], list[NewItem]]] = []
    for points in (set[int](), restarts):
        far = Far()
        site = Site(*props)
        bound = False
        for number, (now_ms, frames) in enumerate(household(seed)):
            site.feed(*frames)
            if not bound and {1, 2, 3, 5} <= {c.property_id for f in site.kept for t in f for c in t.layout}:
                for name, numbers, length_ms in streams:
                    for one in numbers:
                        site.closing.also(PropertyId(one), length_ms, now_ms)
                    site.bind(far, *numbers, length_ms=length_ms, name=name)
                bound = True
            site.close(now_ms)
            if number in points:
                site.restart(now_ms)
        site.close(until(600))
        results.append((site.out, site.items))
    (rows, items), (rows_again, items_again) = results

    def key(one: HalfHour) -> tuple[int, ...]:
        return one.property_id, one.length_ms, one.end_ms, one.revision

    assert sorted(rows_again, key=key) == sorted(rows, key=key)
    assert items_again == items
    assert len({key(one) for one in rows_again}) == len(rows_again)


@pytest.mark.parametrize("seed", range(6))
def test_restarts_between_spikes_and_resets_invent_nothing(seed: int) -> None:
    rng = random.Random(seed)
    readings, at, height = [], START + 2 * MINUTE_MS, 500_000
    truth: list[Reading] = []
    while at < START + 24 * HOUR_MS:
        height += rng.randint(0, 200)
        if rng.random() < 0.01:
            height = rng.randint(0, 50)
        truth.append((at, height))
        odd = rng.random()
        shown = height + 10 ** rng.randint(6, 12) if odd < 0.04 else 0 if odd > 0.97 else height
        readings.append((at, shown))
        at += rng.randint(2, 12) * MINUTE_MS
    device = Device(ENERGY_CONSUMED, every_min=8)
    device.run(readings, 24 * 60 + 40, frozenset(rng.sample(range(1440), 8)))
    true = set(truth)
    for row in device.out:
        if row.value is not None and row.value.whole:
            assert (row.taken_ms, row.value.whole) in true
    assert sum(row.value is not None for row in device.newest()) >= 44


def test_battery_that_reports_once_a_day_makes_no_start_hold_two_days_of_everything_else() -> None:
    site = Site(prop(1, BATTERY, fresh_ms=2 * DAY_MS), prop(2, POWER, fresh_ms=2 * MINUTE_MS))
    site.read(1, (until(5), 90))
    for minute in range(1, 2 * 24 * 60 + 1):
        site.read(2, (until(minute), minute % 7))
        site.close(until(minute))
    site.restart()
    assert len(site.closing._series[PropertyId(2)].minutes.by_end) < 200
    rows = site.close(until(2 * 24 * 60 + 32)).half_hours
    # The battery's value stands until five minutes into the last half-hour.
    assert [(row.property_id, row.value and round(row.value.decimal())) for row in rows] == [
        (PropertyId(1), 90),
        (PropertyId(1), None),
        (PropertyId(2), 3),
        (PropertyId(2), None),
    ]
