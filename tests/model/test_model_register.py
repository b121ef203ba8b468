"""A register's readings are believed where they follow one another, and held back where they cannot."""

from __future__ import annotations

import copy
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from meterkast.model.register import RegisterGuard, rises
from meterkast.model.time import HOUR_MS, MINUTE_MS, UtcMs

NO_LIMIT = 10**9
"""More than any of these registers grows by."""


def test_column_rises_where_it_never_falls() -> None:
    assert rises([], None)
    assert rises([], 5)
    assert rises([5, 5, 6], 5)
    assert not rises([4, 5], 5)
    assert not rises([5, 7, 6], 5)
    assert rises([1], None)


def fed(guard: RegisterGuard, values: list[int]) -> list[int]:
    return [good for at, value in enumerate(values) for _, good in guard.accept(UtcMs(at), value)]


def test_one_low_reading_is_an_outlier() -> None:
    guard = RegisterGuard(most_per_hour=NO_LIMIT)
    assert fed(guard, [100, 101, 3, 102, 103]) == [100, 101, 102, 103]
    assert (guard.outliers, guard.restarts) == (1, 0)


def test_two_low_readings_are_outliers_too() -> None:
    guard = RegisterGuard(most_per_hour=NO_LIMIT)
    assert fed(guard, [100, 3, 4, 102]) == [100, 102]
    assert (guard.outliers, guard.restarts) == (2, 0)


def test_three_low_readings_that_agree_are_a_new_epoch_from_the_first_on() -> None:
    guard = RegisterGuard(most_per_hour=NO_LIMIT)
    assert guard.accept(UtcMs(1), 100) == [(1, 100)]
    assert guard.accept(UtcMs(2), 3) == []
    assert guard.doubtful_in(UtcMs(1), UtcMs(2))
    assert guard.doubtful_in(UtcMs(2), UtcMs(9)) == []
    assert guard.accept(UtcMs(3), 4) == []
    assert guard.accept(UtcMs(4), 4) == [(2, 3), (3, 4), (4, 4)]
    assert (guard.outliers, guard.restarts, guard._held) == (0, 1, [])
    assert guard.accept(UtcMs(5), 50) == [(5, 50)]


def test_low_readings_that_contradict_one_another_are_no_epoch() -> None:
    guard = RegisterGuard(most_per_hour=NO_LIMIT)
    assert fed(guard, [100, 5, 4, 3, 101]) == [100, 101]
    assert (guard.outliers, guard.restarts) == (3, 0)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.integers(0, 200), max_size=40))
def test_accepted_readings_fall_only_where_a_new_epoch_begins(values: list[int]) -> None:
    guard = RegisterGuard(most_per_hour=NO_LIMIT)
    good = fed(guard, values)
    falls = sum(later < earlier for earlier, later in pairwise(good))
    assert falls == guard.restarts
    assert len(good) + guard.outliers + len(guard._held) == len(values)


def test_more_decimals_rescale_what_a_guard_remembers() -> None:
    guard = RegisterGuard(most_per_hour=NO_LIMIT)
    fed(guard, [100, 90])
    guard.rescale(10)
    assert guard.last == 1000
    assert guard._held == [(1, 900, True)]
    fresh = RegisterGuard(most_per_hour=NO_LIMIT)
    fresh.rescale(10)
    assert fresh.last is None


def test_low_readings_that_rise_too_steeply_among_themselves_are_no_epoch_and_teach_nothing() -> None:
    guard = RegisterGuard(most_per_hour=1000)
    assert fed(guard, [100_000_001, 5, 1_000_003, 2_000_009, 100_000_002]) == [100_000_001, 100_000_002]
    assert (guard.outliers, guard.restarts, guard.most_per_hour) == (3, 0, 1000)


def test_limit_is_learned_from_a_site_whose_decimals_came_later() -> None:
    guard = RegisterGuard(most_per_hour=1000)
    assert guard.accept(UtcMs(0), 1) == [(0, 1)]
    guard.rescale(1000)
    # 500 times the limit, every half-hour
    rising = [(UtcMs(number * HOUR_MS // 2), 1000 + number * 250_000_001) for number in (1, 2, 3)]
    assert [good for at, value in rising for good in guard.accept(at, value)] == rising
    assert (guard.jumps, guard.broke) == (0, None), "a large site is no jump"
    assert guard.accept(UtcMs(2 * HOUR_MS), 1_000_001_004) == [(2 * HOUR_MS, 1_000_001_004)]


STEPS = st.lists(st.tuples(st.integers(1, 10 * MINUTE_MS), st.integers(-3000, 3000)), max_size=40)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(STEPS, st.integers(0, 40), st.integers(1, 3))
def test_decimals_that_come_later_change_nothing_of_what_is_believed(
    steps: list[tuple[int, int]], place: int, decimals: int
) -> None:
    plain, later = RegisterGuard(most_per_hour=60_000), RegisterGuard(most_per_hour=60_000)
    at_ms, value, factor = 0, 50_001, 1
    for number, (gap_ms, step) in enumerate(steps):
        at_ms, value = at_ms + gap_ms, abs(value + step) | 1  # odd: a coarse register's steps are judged anew
        if number == place:
            factor = 10**decimals
            later.rescale(factor)
        good = later.accept(UtcMs(at_ms), value * factor + factor // 2)
        # Those that were held back since before came without the new digits.
        assert [(at, one // factor) for at, one in good] == plain.accept(UtcMs(at_ms), value)
    assert (later.outliers, later.restarts, later.jumps) == (plain.outliers, plain.restarts, plain.jumps)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.lists(
        st.tuples(st.integers(0, MINUTE_MS), st.integers(-20, 80) | st.integers(-3000, 3000)),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 11),
)
def test_a_column_that_is_good_at_a_glance_is_good_reading_by_reading(
    steps: list[tuple[int, int]], first: int
) -> None:
    readings, at_ms, value = [], 0, 1001
    for gap_ms, step in steps:
        at_ms, value = at_ms + gap_ms, value + step
        readings.append((UtcMs(at_ms), value))
    guard = RegisterGuard(most_per_hour=60_000)
    for at, one in readings[:first]:
        guard.accept(at, one)
    column = readings[first:]
    if column and guard.steady([one for _, one in column]):
        glanced = copy.deepcopy(guard)
        glanced.passed(*column[-1])
        assert [good for at, one in column for good in guard.accept(at, one)] == column
        assert glanced == guard
