"""Half-hours are what the readings say, however the readings came in; missing ones have their cause."""

from __future__ import annotations

import random
from datetime import date
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterkast.model.datatypes import Aggregation, DatatypeId
from meterkast.model.half_hour import Cause, State
from meterkast.model.product import Property, PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.reading import Column, Frames
from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, MINUTE_MS, UtcMs

from .sites import (
    CUTS,
    GRACE_MS,
    GRID,
    POWER,
    READINGS,
    START,
    SWITCH,
    Site,
    expected_last,
    expected_mean,
    pieces,
    prop,
    rising,
    table,
    timed,
    until,
)

LENGTHS = tuple(minutes * MINUTE_MS for minutes in (1, 5, 10, 15, 30, 60))


@settings(max_examples=120, deadline=None, derandomize=True)
@given(READINGS, CUTS, st.sampled_from([1_000, MINUTE_MS, 10 * MINUTE_MS, 2 * HOUR_MS]))
def test_any_cutting_of_the_readings_gives_the_half_hours_of_the_oracle(
    steps: list[tuple[int, int]], cuts: list[int], hold_ms: int
) -> None:
    readings = timed(steps)
    register = rising(readings)
    site = Site(
        prop(1),
        prop(2, POWER, fresh_ms=hold_ms),
        prop(3, POWER, fresh_ms=hold_ms, aggregation=Aggregation.MAX),
        prop(4, SWITCH),
    )
    layout = tuple(Column(PropertyId(number), 0) for number in (1, 2, 3, 4))
    begun = False
    for piece in pieces(list(zip(readings, register, strict=True)), cuts):
        times = [UtcMs(at) for (at, _), _ in piece]
        site.feed(Frames(layout, times, [(total_, value, value, value) for (_, value), (_, total_) in piece]))
        if not begun:
            for number in (1, 2, 3, 4):
                for length_ms in LENGTHS:
                    site.closing.also(PropertyId(number), length_ms, UtcMs(times[0]))
            begun = True
        site.close(times[-1])
    site.close(readings[-1][0] + 4 * HOUR_MS)
    for number in (1, 2, 3, 4):
        for length_ms in LENGTHS:
            found = site.rows(number, length_ms)
            assert found, (number, length_ms)
            assert [one.revision for one in found] == [0] * len(found)
            assert all(GRID.next_end(a.end_ms, length_ms) == b.end_ms for a, b in pairwise(found)), (
                "none left out"
            )
            for one in found:
                start_ms = GRID.start_of(one.end_ms, length_ms)
                count = sum(start_ms < at <= one.end_ms for at, _ in readings)
                assert one.count == count
                if number in (1, 4):
                    latest = expected_last(register if number == 1 else readings, start_ms, one.end_ms)
                    assert (one.taken_ms, one.value) == (
                        (latest[0], Quantity(latest[1])) if latest else (None, None)
                    )
                elif number == 2:
                    mean = expected_mean(readings, start_ms, one.end_ms, hold_ms)
                    if mean is None:
                        assert one.value is None
                    else:
                        assert one.value is not None
                        digits = one.value.decimals
                        assert one.value.whole == round(mean * 10**digits)  # half to even, as ours
                else:
                    inside = [value for at, value in readings if start_ms < at <= one.end_ms]
                    assert one.value == (Quantity(max(inside)) if inside else None)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(READINGS, CUTS, st.integers(0, 3))
def test_telegrams_of_changing_layouts_give_the_same_half_hours(
    steps: list[tuple[int, int]], cuts: list[int], seed: int
) -> None:
    rng = random.Random(seed)
    readings = timed(steps)
    rows = [(at, height, value) for (at, value), (_, height) in zip(readings, rising(readings), strict=True)]
    whole, mixed = Site(prop(1), prop(2, POWER)), Site(prop(1), prop(2, POWER))
    both = (Column(PropertyId(1), 0), Column(PropertyId(2), 0))
    turned = (Column(PropertyId(2), 1), Column(PropertyId(1), 0))
    for piece in pieces(rows, cuts):
        whole.feed(Frames(both, [UtcMs(at) for at, _, _ in piece], [(a, b) for _, a, b in piece]))
        tables = Frames(both), Frames(turned)
        for at, register, power in piece:
            chosen = rng.randrange(2)
            tables[chosen].times.append(UtcMs(at))
            tables[chosen].rows.append(((register, power), (power * 10, register))[chosen])
        mixed.feed(*(one for one in tables if one.times))
        assert len(whole.close(piece[-1][0]).half_hours) == len(mixed.close(piece[-1][0]).half_hours)
    whole.close(readings[-1][0] + HOUR_MS)
    mixed.close(readings[-1][0] + HOUR_MS)
    assert mixed.values(1) == whole.values(1)
    assert [one.count for one in mixed.out] == [one.count for one in whole.out]
    for mine, theirs in zip(mixed.rows(2), whole.rows(2), strict=True):
        assert (mine.value is None) == (theirs.value is None)
        if mine.value and theirs.value:
            assert abs(mine.value.decimal() - theirs.value.decimal()) <= Fraction(1, 100)
    assert mixed.closing.registers.restarts() == {}


def test_reading_at_exactly_the_end_belongs_to_the_half_hour_that_ends() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 100), (until(30), 130), (until(30) + 1, 131))
    site.close(until(32))
    assert site.values(1) == [130]
    assert site.rows(1)[0].taken_ms == until(30)
    assert site.rows(1)[0].state is State.MEASURED


def test_nothing_closes_before_its_grace_is_over() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 100), (until(31), 110))
    assert site.close(until(30) + GRACE_MS - 1).half_hours == []
    assert len(site.close(until(30) + GRACE_MS).half_hours) == 1
    assert site.close(until(30) + GRACE_MS).half_hours == []
    assert site.closed == {(1, HALF_HOUR_MS): until(30)}


def test_where_closing_begins_is_given_out_to_be_kept_before_anything_is_closed() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 100))
    site.closing.also(PropertyId(1), 5 * MINUTE_MS, until(11))
    assert site.close(until(11)).closed == {(1, HALF_HOUR_MS): START, (1, 5 * MINUTE_MS): until(10)}
    assert site.close(until(12)).closed == {}


def test_property_without_a_reading_is_not_closed_at_all() -> None:
    site = Site(prop(1))
    site.feed(table(9, [(until(1), 5)]), Frames((Column(PropertyId(1), 0),)))
    assert site.close(until(200)).half_hours == []
    assert site.closing.recent.newest(PropertyId(1)) is None


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause is not Cause.NOT_DUE])
def test_missing_half_hour_has_the_cause_that_is_known(cause: Cause) -> None:
    asked: list[tuple[int, int]] = []

    def why(one: Property, start_ms: UtcMs, end_ms: UtcMs) -> Cause:
        asked.append((start_ms, end_ms))
        return cause

    site = Site(prop(1), why=why)
    site.read(1, (until(10), 100))
    site.close(until(62))
    assert site.values(1) == [100, cause]
    assert asked == [(until(30), until(60))], "only what is missing is asked for"
    assert site.rows(1)[1].state is State.MISSING


def test_hourly_gas_says_that_the_meter_reports_less_often_in_between() -> None:
    gas = prop(5, DatatypeId(51), fresh_ms=2 * HOUR_MS, late_ms=75 * MINUTE_MS)
    site = Site(gas)
    for hour in range(1, 5):
        site.read(5, (until(60 * hour), 1000 + hour))
        site.close(until(60 * hour + 5))
    assert site.values(5) == [1001, Cause.NOT_DUE, 1002, Cause.NOT_DUE, 1003, Cause.NOT_DUE, 1004]
    assert [one.revision for one in site.out] == [0] * 7


def test_hourly_gas_is_waited_for_until_its_reading_or_its_time_is_over() -> None:
    site = Site(prop(5, DatatypeId(51), fresh_ms=2 * HOUR_MS, late_ms=75 * MINUTE_MS))
    site.read(5, (until(60), 1))
    site.close(until(90) + GRACE_MS + 75 * MINUTE_MS - 1)
    assert site.values(5) == [1]
    site.close(until(90) + GRACE_MS + 75 * MINUTE_MS)
    assert site.values(5) == [1, Cause.NOT_DUE]
    site.read(5, (until(120), 2))
    site.close(until(166))
    assert site.values(5) == [1, Cause.NOT_DUE, 2]
    site.close(until(60 * 12))
    assert site.values(5)[3:6] == [Cause.NOT_DUE, Cause.NOT_DUE, Cause.NOT_DUE]
    assert site.values(5)[6:] == [Cause.METER_SILENT] * len(site.values(5)[6:])


def test_meter_that_reports_once_a_day_is_not_called_silent() -> None:
    site = Site(prop(5, DatatypeId(52), fresh_ms=48 * HOUR_MS))
    site.read(5, (until(10), 1))
    for hour in range(1, 30):
        site.close(until(60 * hour + 2))
    assert set(site.values(5)[1:]) == {Cause.NOT_DUE}


def test_gateway_that_was_off_is_not_blamed_on_a_slow_meter() -> None:
    site = Site(prop(5, fresh_ms=2 * HOUR_MS), why=lambda *_: Cause.GATEWAY_OFF)
    site.read(5, (until(10), 1))
    site.close(until(62))
    assert site.values(5) == [1, Cause.GATEWAY_OFF]


def test_property_that_is_known_already_goes_on_from_where_it_is() -> None:
    site = Site(prop(1))
    site.read(1, (until(1), 5))
    site.closing.know(prop(1), {HALF_HOUR_MS: until(600)})
    site.close(until(32))
    assert site.values(1) == [5], "known already: how far it is closed stays"


def test_day_on_which_the_clock_goes_back_has_fifty_rows() -> None:
    first, last = GRID.day(date(2026, 10, 25))
    site = Site(prop(1))
    for number, at in enumerate(range(first + 60_000, last + 1, 5 * MINUTE_MS)):
        site.read(1, (at, number))
    site.close(last + HOUR_MS)
    rows = [one for one in site.rows(1) if one.end_ms <= last]
    assert len(rows) == 50
    assert all(one.state is State.MEASURED and one.count == 6 for one in rows)
