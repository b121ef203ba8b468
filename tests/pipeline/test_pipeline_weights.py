"""Weights: the largest, and what a bin weighed before each emptying."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from meterkast.model.datatypes import SENSOR, Aggregation
from meterkast.model.product import PropertyId
from meterkast.model.time import HOUR_MS
from meterkast.model.units import Unit

from .sites import WEIGHT, Device, Site, prop, until


def test_maximum_and_the_weights_before_each_emptying() -> None:
    site = Site(prop(3, WEIGHT, aggregation=Aggregation.MAX, emptyings=True, fresh_ms=HOUR_MS))
    weights = [10, 50, 49, 90, 30, 8, 2, 2, 20, 60, 1]
    for number, weight in enumerate(weights):
        site.read(3, (until(1 + 2 * number), weight))
    site.close(until(32))
    assert site.values(3) == [90]
    assert site.rows(3)[0].before_emptyings == (90, 60), "an emptying that takes a while is one"
    assert site.rows(3)[0].taken_ms is None


def test_weight_that_falls_by_thirty_percent_or_less_was_not_emptied() -> None:
    site = Site(prop(3, WEIGHT, aggregation=Aggregation.MAX, emptyings=True))
    site.read(
        3, (until(1), 100), (until(2), 70), (until(3), 71), (until(4), 0), (until(5), -1), (until(6), -5)
    )
    site.close(until(32))
    assert site.rows(3)[0].before_emptyings == (100,)


def test_peaks_asked_for_after_the_first_readings_count_those_too() -> None:
    site = Site(prop(3, WEIGHT))
    site.read(3, (until(29), 50), (until(29.5), 40))
    site.closing.peaks(PropertyId(3))
    site.closing.peaks(PropertyId(3))
    site.read(3, (until(31), 3))
    site.close(until(32))
    assert site.values(3) == [50]
    site.close(until(62))
    assert site.rows(3)[1].before_emptyings == (40,)
    fresh = Site(prop(3, WEIGHT))
    fresh.closing.peaks(PropertyId(3))
    fresh.read(3, (until(1), 5), (until(2), 6))
    fresh.close(until(32))
    assert fresh.values(3) == [6]


def bin_of(*, every_min: float = 2) -> Device:
    device = Device(
        SENSOR,
        every_min=every_min,
        unit=Unit.KILOGRAM,
        decimals=1,
        aggregation=Aggregation.MAX,
        emptyings=True,
    )
    device.peaks()
    return device


def emptied(device: Device) -> list[list[Decimal]]:
    return [
        [
            Decimal(whole).scaleb(-row.value.decimals) if row.value else Decimal(0)
            for whole in row.before_emptyings
        ]
        for row in device.newest()
    ]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("restart", [False, True])
def test_noisy_bin_is_emptied_as_often_as_it_was(seed: int, restart: bool) -> None:
    rng = random.Random(seed)
    readings, weight, peaks, full = [], 0.0, [], 60.0
    falls: list[float] = []
    for minute in range(1, 16 * 60, 2):
        if falls:
            weight = falls.pop(0)
        elif weight >= full:
            peaks.append(weight)
            falls = [*[weight * share for share in (0.8, 0.55, 0.3, 0.02)][: rng.randint(1, 4)], 0.0]
            full = rng.uniform(20, 90)
        elif rng.random() < 0.5:
            weight += rng.uniform(0, 3)
        readings.append((until(minute), round((weight + rng.gauss(0, 0.12)) * 10)))
    device = bin_of()
    device.run(readings, 16 * 60, frozenset(rng.sample(range(30, 960), 8)) if restart else frozenset(), 1)
    found = [float(one) for row in emptied(device) for one in row]
    assert len(peaks) > 2
    assert len(found) == len(peaks)
    for one, other in zip(found, peaks, strict=True):
        assert one == pytest.approx(other, abs=1)


def test_slow_emptying_with_a_tremble_on_the_way_is_one() -> None:
    device = bin_of()
    weights = [100, 85, 71, 60, 62, 40, 41, 12, 14, 3, 1, 2]
    device.run(
        [(until(2 * number + 1), 10 * weight) for number, weight in enumerate(weights)], 32, decimals=1
    )
    assert emptied(device) == [[100]]


def test_bin_that_is_emptied_twice_in_a_half_hour_and_grows_heavier_than_before() -> None:
    device = bin_of()
    weights = [40, 52, 50, 1, 0, 20, 30, 2, 30, 61]
    device.run(
        [(until(2 * number + 1), 10 * weight) for number, weight in enumerate(weights)], 32, decimals=1
    )
    assert device.values() == [61]
    assert emptied(device) == [[52, 30]]


@pytest.mark.parametrize("stop", [9, 10, 12, 15, 21])
def test_restart_in_the_middle_of_an_emptying_counts_it_once(stop: int) -> None:
    device = bin_of()
    weights = [40, 52, 50, 51, 30, 15, 1, 0, 1, 20, 30]
    device.run(
        [(until(2 * number + 1), 10 * weight) for number, weight in enumerate(weights)],
        32,
        frozenset({stop}),
        decimals=1,
    )
    assert emptied(device) == [[52]]


def test_empty_bin_that_trembles_is_not_emptied() -> None:
    device = bin_of()
    rng = random.Random(5)
    device.run([(until(minute), rng.randint(-2, 2)) for minute in range(1, 120)], 122, decimals=1)
    assert emptied(device) == [[], [], [], []]


@pytest.mark.parametrize(("percent", "found"), [(5, [100, 90]), (30, [100]), (60, [100]), (95, [])])
def test_share_that_counts_as_an_emptying_is_a_setting(percent: int, found: list[int]) -> None:
    device = bin_of()
    device.peaks(percent)
    weights = [80, 100, 20, 90, 82]
    device.run(
        [(until(5 * number + 1), 10 * weight) for number, weight in enumerate(weights)], 32, decimals=1
    )
    assert emptied(device) == [found]
