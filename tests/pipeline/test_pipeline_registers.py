"""Running totals: the latest reading and its time, every digit, and what began again."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterkast.model.datatypes import ENERGY_CONSUMED, METER, WATER_VOLUME, Aggregation, DatatypeId
from meterkast.model.half_hour import Cause, State
from meterkast.model.product import PropertyId
from meterkast.model.quantity import LARGEST_WHOLE, Quantity
from meterkast.model.register import difference, total
from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, MINUTE_MS
from meterkast.model.units import Unit

from .sites import CUTS, POWER, START, WEIGHT, Device, Site, expected_last, pieces, prop, rising, timed, until


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(1, 20 * MINUTE_MS), st.integers(0, 10**6)), min_size=2, max_size=80), CUTS
)
def test_sum_of_half_hour_differences_is_the_registers_difference_exactly(
    steps: list[tuple[int, int]], cuts: list[int]
) -> None:
    register = rising(timed(steps))
    site = Site(prop(1))
    for piece in pieces(register, cuts):
        site.read(1, *piece, decimals=3)
        site.close(piece[-1][0])
    site.close(register[-1][0] + HOUR_MS)
    values = [one.value for one in site.rows(1) if one.value is not None]
    parts = [difference(later, earlier) for earlier, later in pairwise(values)]
    assert all(part.whole >= 0 for part in parts)
    first = expected_last(register, START, site.rows(1)[0].end_ms)
    assert first is not None
    assert values[0] == Quantity(first[1], 3)
    assert total([Quantity(0, 3), *parts]) == Quantity(register[-1][1] - first[1], 3)


def test_one_low_reading_is_held_back_and_the_half_hour_says_so_where_it_is_all_there_is() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 1000))
    site.read(1, (until(40), 7))
    site.close(until(62))
    assert [(one.state, one.value) for one in site.rows(1)] == [
        (State.MEASURED, Quantity(1000)),
        (State.SUSPECT, Quantity(7)),
    ]
    site.read(1, (until(70), 1010))
    site.close(until(92))
    assert site.values(1)[2:] == [Cause.COUNTER_RESET, 1010]
    assert site.closing.registers.restarts() == {}


def test_register_that_stays_low_began_again_and_what_was_held_back_comes_late() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 1000))
    site.read(1, (until(40), 7))
    site.close(until(62))
    site.read(1, (until(63), 8), (until(64), 9))
    site.close(until(92))
    assert [(one.end_ms, one.revision, one.value and one.value.whole) for one in site.rows(1)] == [
        (until(30), 0, 1000),
        (until(60), 0, 7),
        (until(60), 1, 7),
        (until(90), 0, 9),
    ]
    assert site.closing.registers.restarts() == {PropertyId(1): 1}


def test_register_that_comes_with_more_decimals_keeps_its_digits() -> None:
    site = Site(prop(1), prop(2, POWER), prop(3, WEIGHT, aggregation=Aggregation.MAX, emptyings=True))
    for number in (1, 2, 3):
        site.read(number, (until(29), 100), (until(29.5), 110))
        site.read(number, (until(29.75), 112345), decimals=3)
        site.read(number, (until(29.9), 113))
        site.read(number, (until(45), 12000), decimals=3)
    site.close(until(62))
    assert site.rows(1)[0].value == Quantity(113000, 3)
    weighed = Fraction(100 * 30 * 1000 + 110 * 15 * 1000 + 112345 * 9 + 113 * 6 * 1000, 60_000)
    assert site.rows(2)[0].value == Quantity(round(weighed * 100_000), 5)
    assert site.rows(3)[0].value == Quantity(113000, 3)
    assert site.rows(3)[1].before_emptyings == (113000,)


def test_register_rescales_what_it_holds_back_with_everything_else() -> None:
    site = Site(prop(3, WEIGHT, aggregation=Aggregation.MAX))
    site.read(3, (until(1), 4))
    site.read(3, (until(2), 35), decimals=1)
    site.close(until(32))
    assert site.values(3) == [4]


def test_decimals_that_leave_no_room_are_cut_and_block_nothing() -> None:
    site = Site(prop(1), prop(2, POWER))
    site.read(1, (until(10), 9_000_000_000_000))
    site.read(2, (until(10), 9_000_000_000_000))
    site.read(1, (until(11), 9_000_000_000_000 * 10**5), decimals=5)
    site.read(2, (until(11), 10**12), decimals=12)
    site.read(1, *[(until(minute), 10**18) for minute in (12, 13, 14)], decimals=0)
    site.close(until(32))
    for one in site.out:
        assert one.value is not None
        assert abs(one.value.whole) < LARGEST_WHOLE
    assert site.values(1) == [10**18]


@pytest.mark.parametrize(("every_min", "seed"), [(10, 1), (45, 2), (45, 3), (100, 4)])
def test_register_that_reports_now_and_then_gives_its_latest_reading_and_its_time(
    every_min: int, seed: int
) -> None:
    rng = random.Random(seed)
    readings, at, height = [], START + 3 * MINUTE_MS, 84_276
    while at < START + 20 * HOUR_MS:
        readings.append((at, height))
        at += int(every_min * MINUTE_MS * rng.uniform(0.8, 1.2))
        height += rng.randint(0, 900)
    device = Device(ENERGY_CONSUMED, every_min=every_min)
    device.run(readings, 20 * 60, frozenset(rng.sample(range(1200), 5)))
    for row in device.out:
        inside = [one for one in readings if row.end_ms - HALF_HOUR_MS < one[0] <= row.end_ms]
        assert (row.taken_ms, row.value and row.value.whole) == (inside[-1] if inside else (None, None))
        # Twice the interval is longer than a half-hour wherever one can pass without a report.
        assert row.cause is (None if inside else Cause.NOT_DUE)


def test_meter_that_reports_once_a_day_is_called_silent_after_two() -> None:
    device = Device(WATER_VOLUME, every_min=24 * 60)
    device.run([(until(5), 1000), (until(24 * 60 + 5), 1400)], 75 * 60, frozenset({700, 2000, 4000}))
    assert device.values()[:49] == [1000, *[Cause.NOT_DUE] * 47, 1400]
    causes = device.values()[49:]
    assert causes[:95] == [Cause.NOT_DUE] * 95
    assert set(causes[97:]) == {Cause.METER_SILENT}


def test_two_reports_that_the_radio_delivers_at_once_are_both_good() -> None:
    device = Device(WATER_VOLUME)
    device.read((1, 5_000), (16, 5_120), (16.001, 5_240), (16.002, 5_333))
    device.close(32)
    assert device.values() == [5_333]
    assert device.out[0].count == 4


@pytest.mark.parametrize(
    ("datatype", "unit", "step"),
    [
        (WATER_VOLUME, Unit.LITRE, 1000),
        (ENERGY_CONSUMED, Unit.WATT_HOUR, 10_000),
        (METER, Unit.MEGAJOULE, 1000),
    ],
)
def test_coarse_register_is_not_held_back_at_each_of_its_steps(
    datatype: DatatypeId, unit: Unit, step: int
) -> None:
    device = Device(datatype, every_min=1, unit=unit)
    device.run([(until(minute), (7 + minute // 20) * step) for minute in range(1, 181)], 182)
    assert device.values() == [(7 + minute // 20) * step for minute in range(30, 181, 30)]
    assert [row.count for row in device.out] == [30] * 6
    assert device.closing.registers.jumps() == {}
