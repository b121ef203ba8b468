"""Energy entries: differences of a register that add up exactly, and nothing where nothing is known."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from meterkast.model.datatypes import DATATYPES, Kind
from meterkast.model.energy_entries import (
    DATATYPES_WITH_ENTRIES,
    MORE_DECIMALS,
    MOST_GAP_MS,
    QUARTER_MS,
    EnergyEntry,
    Point,
    energy_entries,
)
from meterkast.model.quantity import Quantity
from meterkast.model.time import HOUR_MS, MINUTE_MS, UtcMs

START = UtcMs(1_773_154_800_000)

# Steps of (ms since the reading before, rise, how a new epoch begins): seconds, minutes, hours, days.
STEPS = st.lists(
    st.tuples(
        st.one_of(
            st.integers(1, 20_000),
            st.integers(1, 40 * MINUTE_MS),
            st.just(QUARTER_MS),
            st.integers(1, 30 * HOUR_MS),
        ),
        st.integers(0, 5_000),
        st.sampled_from([""] * 12 + ["reset", "jump"]),
    ),
    max_size=60,
)


def points_of(steps: Sequence[tuple[int, int, str]], decimals: int = 0) -> list[Point]:
    at, whole, epoch, found = START, 10_000, 0, [Point(START, Quantity(10_000, decimals), 0)]
    for gap, rise, breaks in steps:
        at = UtcMs(at + gap)
        epoch += bool(breaks)
        whole = rise if breaks == "reset" else whole + rise + (1_000_000 if breaks else 0)
        found.append(Point(at, Quantity(whole, decimals), epoch))
    return found


def level(points: Sequence[Point], at_ms: int) -> tuple[Fraction, int] | None:
    """The register at an instant, by brute force."""
    for point in points:
        if point.at_ms == at_ms:
            return Fraction(point.value.decimal()), point.epoch
    for one, other in pairwise(points):
        if one.at_ms < at_ms < other.at_ms:
            if one.epoch != other.epoch or other.at_ms - one.at_ms > MOST_GAP_MS:
                return None
            low, high = Fraction(one.value.decimal()), Fraction(other.value.decimal())
            return low + (high - low) * (at_ms - one.at_ms) / (other.at_ms - one.at_ms), one.epoch
    return None


@settings(max_examples=300, deadline=None)
@given(STEPS, st.integers(0, 3))
def test_each_entry_is_what_the_register_rose_by_and_none_where_that_is_not_known(
    steps: Sequence[tuple[int, int, str]], decimals: int
) -> None:
    points = points_of(steps, decimals)
    until = UtcMs(min(points[-1].at_ms, START + 40 * HOUR_MS) + 2 * QUARTER_MS)
    entries = list(energy_entries(points, START, until))
    assert [one.start_ms for one in entries] == list(range(START, until, QUARTER_MS))
    finest = Fraction(1, 10 ** (decimals + MORE_DECIMALS))
    exact = {point.at_ms for point in points}
    for entry in entries:
        before, after = level(points, entry.start_ms), level(points, entry.start_ms + QUARTER_MS)
        if before is None or after is None or before[1] != after[1]:
            assert entry.value is None
            continue
        assert entry.value is not None
        assert abs(Fraction(entry.value.decimal()) - (after[0] - before[0])) < finest
        assert entry.value.whole >= 0
        assert entry.interpolated != ({entry.start_ms, entry.start_ms + QUARTER_MS} <= exact)


@settings(max_examples=300, deadline=None)
@given(STEPS, st.integers(0, 3))
def test_their_sum_is_the_registers_difference_exactly(
    steps: Sequence[tuple[int, int, str]], decimals: int
) -> None:
    points = points_of(steps, decimals)
    until = UtcMs(min(points[-1].at_ms, START + 40 * HOUR_MS))
    entries = {one.start_ms: one for one in energy_entries(points, START, until)}
    on_boundaries = [point for point in points if point.at_ms % QUARTER_MS == START % QUARTER_MS]
    for number, one in enumerate(on_boundaries):
        for other in on_boundaries[number + 1 :]:
            between = [entries.get(UtcMs(at)) for at in range(one.at_ms, other.at_ms, QUARTER_MS)]
            if any(entry is None or entry.value is None for entry in between):
                continue
            total = sum(entry.value.decimal() for entry in between if entry and entry.value)
            assert total == other.value.decimal() - one.value.decimal()
            assert one.epoch == other.epoch


def only(points: Sequence[Point], quarters: int = 1, start_ms: int = START) -> list[EnergyEntry]:
    return list(energy_entries(points, UtcMs(start_ms), UtcMs(start_ms + quarters * QUARTER_MS)))


def point(minute: float, whole: int, epoch: int = 0) -> Point:
    return Point(UtcMs(START + int(minute * MINUTE_MS)), Quantity(whole), epoch)


def test_readings_of_the_boundaries_themselves_are_not_interpolated() -> None:
    entries = only([point(0, 100), point(15, 130), point(30, 130)], 2)
    assert [(one.value, one.interpolated) for one in entries] == [
        (Quantity(30_000, 3), False),
        (Quantity(0, 3), False),
    ]


def test_an_hour_between_two_readings_is_shared_out() -> None:
    entries = only([point(0, 100), point(60, 500)], 4)
    assert [one.value for one in entries] == [Quantity(100_000, 3)] * 4
    assert [one.interpolated for one in entries] == [True] * 4


def test_nothing_crosses_an_epoch() -> None:
    first = [point(0, 900), point(15, 1000), point(20, 1010)]
    second = [point(25, 5, epoch=1), point(45, 25, epoch=1), point(60, 40, epoch=1)]
    entries = only([*first, *second], 4)
    # At half past the register lies between two readings of the new epoch: 5 + 20 / 4.
    assert [one.value for one in entries] == [
        Quantity(100_000, 3),
        None,
        Quantity(15_000, 3),
        Quantity(15_000, 3),
    ]


def test_nothing_crosses_a_gap_that_is_too_long() -> None:
    day = MOST_GAP_MS // MINUTE_MS
    assert all(one.value is not None for one in only([point(0, 0), point(day, 960)], 96))
    assert all(one.value is None for one in only([point(0, 0), point(day + 1, 960)], 96))


def test_a_fall_within_an_epoch_gives_nothing_and_never_a_negative_entry() -> None:
    assert [one.value for one in only([point(0, 100), point(20, 90), point(40, 95)], 2)] == [None, None]
    assert [one.value for one in only([point(0, 100), point(15, 90)])] == [None]


def test_without_readings_there_are_entries_without_value() -> None:
    assert [one.value for one in only([], 3)] == [None] * 3
    assert only([], 0) == []


def test_queries_are_rounded_up_to_whole_quarters() -> None:
    entries = list(energy_entries([], UtcMs(START + 1), UtcMs(START + QUARTER_MS + 1)))
    assert [one.start_ms for one in entries] == [START + QUARTER_MS]


def test_the_datatypes_are_those_of_the_documentation() -> None:
    assert set(DATATYPES_WITH_ENTRIES) == {39, 47, 50, 51, 52, 63, 103}
    assert all(DATATYPES[one].kind is Kind.REGISTER for one in DATATYPES_WITH_ENTRIES)
