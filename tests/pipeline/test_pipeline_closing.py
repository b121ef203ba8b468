"""Half-hours are what the readings say, however the readings came in; missing ones have their cause."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterkast.model.datatypes import DATATYPES, Aggregation, DatatypeId
from meterkast.model.delivery import NewItem, Stream
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.product import ProductId, Property, PropertyDescription, PropertyId
from meterkast.model.quantity import LARGEST_WHOLE, Quantity
from meterkast.model.reading import Column, Frames
from meterkast.model.register import difference, total
from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Grid, UtcMs, parse_iso
from meterkast.pipeline.closing import KEPT_MS, Closed, Closing
from meterkast.ports import Binding

GRID = Grid(ZoneInfo("Europe/Amsterdam"))
START = parse_iso("2026-03-10T12:00:00Z")
GRACE_MS = 90 * SECOND_MS
REGISTER, POWER, SWITCH, WEIGHT = DatatypeId(39), DatatypeId(18), DatatypeId(9), DatatypeId(56)
LENGTHS = tuple(minutes * MINUTE_MS for minutes in (1, 5, 10, 15, 30, 60))

Reading = tuple[int, int]


def prop(number: int, datatype: DatatypeId = REGISTER, **more: object) -> Property:
    description = PropertyDescription(
        key=f"p{number}", name=f"P{number}", datatype=datatype, unit=DATATYPES[datatype].unit
    )
    return Property(
        id=PropertyId(number),
        product_id=ProductId(1),
        description=replace(description, **more),  # type: ignore[arg-type]  # the fields of a description
    )


def table(number: int, readings: Sequence[Reading], decimals: int = 0) -> Frames:
    return Frames(
        (Column(PropertyId(number), decimals),),
        [UtcMs(at) for at, _ in readings],
        [(value,) for _, value in readings],
    )


class Far:
    """An uplink that composes text of what it is given."""

    def __init__(self) -> None:
        self.broken = False
        self.silent = False
        self.seen: list[UtcMs] = []

    def compose(self, stream: Stream, half_hours: dict[Binding, HalfHour], end_ms: UtcMs) -> list[bytes]:
        if self.broken:
            raise RuntimeError("a fault in the uplink's code")
        self.seen.append(end_ms)
        texts = [
            f"{binding.key}={one.value.decimal() if one.value else one.cause}"
            for binding, one in half_hours.items()
        ]
        return [] if self.silent else [" ".join(texts).encode()]


class Site:
    """A closing, and all that it ever gave out."""

    def __init__(
        self,
        *props: Property,
        grace_ms: int = GRACE_MS,
        why: Callable[[Property, UtcMs, UtcMs], Cause] = lambda *_: Cause.METER_SILENT,
    ) -> None:
        self.props = props
        self.closing = Closing(GRID, grace_ms, why)
        for one in props:
            self.closing.know(one)
        self.out: list[HalfHour] = []
        self.items: list[NewItem] = []
        self.closed: dict[tuple[PropertyId, int], UtcMs] = {}
        self.composed: dict[tuple[str, str], UtcMs] = {}
        self.kept: list[Sequence[Frames]] = []

    def feed(self, *frames: Frames) -> None:
        self.kept.append(frames)
        self.closing.feed(frames)

    def read(self, number: int, *readings: Reading, decimals: int = 0) -> None:
        self.feed(table(number, readings, decimals))

    def close(self, now_ms: int) -> Closed:
        done = self.closing.close(UtcMs(now_ms))
        self.out += done.half_hours
        self.items += done.items
        self.closed.update(done.closed)
        self.composed.update(done.composed)
        return done

    def rows(self, number: int, length_ms: int = HALF_HOUR_MS) -> list[HalfHour]:
        return [one for one in self.out if one.property_id == number and one.length_ms == length_ms]

    def values(self, number: int, length_ms: int = HALF_HOUR_MS) -> list[object]:
        return [one.value.decimal() if one.value else one.cause for one in self.rows(number, length_ms)]


def until(minutes: float) -> UtcMs:
    return UtcMs(START + int(minutes * MINUTE_MS))


def bind(site: Site, far: Far, *numbers: int, length_ms: int = HALF_HOUR_MS, name: str = "m") -> bool:
    bindings = {Binding(product="x", key=f"p{number}"): PropertyId(number) for number in numbers}
    stream = Stream(
        uplink="far", name=name, properties=tuple(dict.fromkeys(bindings.values())), length_ms=length_ms
    )
    return site.closing.bind(stream, far, bindings, None)  # type: ignore[arg-type]  # composes, no more


# What the readings of one property come to, by brute force.


def expected_last(readings: Sequence[Reading], start_ms: int, end_ms: int) -> Reading | None:
    inside = [one for one in readings if start_ms < one[0] <= end_ms]
    return inside[-1] if inside else None


def expected_mean(readings: Sequence[Reading], start_ms: int, end_ms: int, hold_ms: int) -> Fraction | None:
    covered = weighed = 0
    for number, (at, value) in enumerate(readings):
        later = readings[number + 1][0] if number + 1 < len(readings) else at + hold_ms
        stood = min(later, at + hold_ms, end_ms) - max(at, start_ms)
        if stood > 0:
            covered += stood
            weighed += value * stood
    inside = [value for at, value in readings if start_ms < at <= end_ms]
    if not inside and covered < end_ms - start_ms:
        return None
    return Fraction(weighed, covered) if covered else Fraction(inside[-1])


READINGS = st.lists(
    st.tuples(
        st.one_of(
            st.integers(1, 2_000), st.integers(1, 5 * MINUTE_MS), st.sampled_from([MINUTE_MS, 50 * MINUTE_MS])
        ),
        st.integers(-1000, 2500),  # a register of Wh may rise by so much at any time
    ),
    min_size=1,
    max_size=60,
)
CUTS = st.lists(st.integers(0, 60), max_size=12)


def timed(steps: Sequence[tuple[int, int]]) -> list[Reading]:
    at, found = START + 7 * MINUTE_MS, []
    for gap, value in steps:
        at += gap
        found.append((at, value))
    return found


def pieces(readings: Sequence[Reading], cuts: Sequence[int]) -> list[Sequence[Reading]]:
    edges = sorted({0, len(readings), *(cut for cut in cuts if cut < len(readings))})
    return [readings[a:b] for a, b in pairwise(edges)]


@settings(max_examples=120, deadline=None, derandomize=True)
@given(READINGS, CUTS, st.sampled_from([1_000, MINUTE_MS, 10 * MINUTE_MS, 2 * HOUR_MS]))
def test_any_cutting_of_the_readings_gives_the_half_hours_of_the_oracle(
    steps: list[tuple[int, int]], cuts: list[int], hold_ms: int
) -> None:
    readings = timed(steps)
    rising, height = [], 0
    for at, value in readings:
        height += abs(value)
        rising.append((at, height))
    site = Site(
        prop(1),
        prop(2, POWER, fresh_ms=hold_ms),
        prop(3, POWER, fresh_ms=hold_ms, aggregation=Aggregation.MAX),
        prop(4, SWITCH),
    )
    layout = tuple(Column(PropertyId(number), 0) for number in (1, 2, 3, 4))
    begun = False
    for piece in pieces(list(zip(readings, rising, strict=True)), cuts):
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
                    latest = expected_last(rising if number == 1 else readings, start_ms, one.end_ms)
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
    height, rows = 0, []
    for at, value in readings:
        height += abs(value)
        rows.append((at, height, value))
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
    assert mixed.closing.restarts() == {}


def test_reading_at_exactly_the_end_belongs_to_the_half_hour_that_ends() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 100), (until(30), 130), (until(30) + 1, 131))
    site.close(until(32))
    assert site.values(1) == [130]
    assert site.rows(1)[0].taken_ms == until(30)
    assert site.rows(1)[0].state is State.MEASURED


def test_mean_is_weighted_by_how_long_each_value_stood() -> None:
    site = Site(prop(2, POWER, fresh_ms=60_000))
    site.read(2, (until(0), 1), (until(1), 100), (until(1.5), 1000), (until(5), 40), (until(5) + 1000, 70))
    site.close(until(32))
    # 1 for 60 s, 100 for 30 s, 1000 for its 60 s, 40 for 1 s, 70 for its 60 s
    weighed = Fraction(1 * 60 + 100 * 30 + 1000 * 60 + 40 + 70 * 60, 60 + 30 + 60 + 1 + 60)
    value = site.rows(2)[-1].value
    assert value == Quantity(round(weighed * 100), 2)
    assert site.rows(2)[-1].count == 4


def test_value_that_stands_for_all_of_a_half_hour_speaks_for_it() -> None:
    site = Site(prop(2, POWER, fresh_ms=HOUR_MS))
    site.read(2, (until(20), 7))
    site.close(until(125))
    assert site.values(2) == [7, 7, Cause.METER_SILENT, Cause.METER_SILENT]
    assert [one.count for one in site.rows(2)] == [1, 0, 0, 0]


def test_one_reading_exactly_at_the_end_is_the_mean() -> None:
    site = Site(prop(2, POWER))
    site.read(2, (until(30), 9))
    site.close(until(32))
    assert site.rows(2)[0].value == Quantity(9, 0)


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
    assert site.closing.newest(PropertyId(1)) is None


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


def test_late_reading_makes_a_revision_and_leaves_the_first_as_it_was() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 100))
    site.close(until(62))
    first = list(site.rows(1))
    site.read(1, (until(40), 140))
    site.close(until(63))
    assert site.rows(1)[:2] == first
    revised = site.rows(1)[2]
    assert (revised.end_ms, revised.revision, revised.state) == (until(60), 1, State.LATE)
    assert (revised.value, revised.taken_ms, revised.cause) == (Quantity(140), until(40), None)
    assert site.closing.newest(PropertyId(1)) == revised
    site.read(1, (until(50), 150))
    site.close(until(64))
    assert [(one.revision, one.value) for one in site.rows(1)[3:]] == [(2, Quantity(150))]


def test_late_reading_that_changes_nothing_makes_no_revision() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 100), (until(20), 120), (until(40), 130))
    site.close(until(63))
    site.read(1, (until(15), 110))
    assert site.close(until(64)).half_hours == []


def test_late_reading_of_a_register_lies_between_its_neighbours_or_is_held_back() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 100), (until(70), 170))
    site.close(until(92))
    assert site.values(1) == [100, Cause.METER_SILENT, 170]
    site.read(1, (until(55), 99))
    site.read(1, (until(55), 171))
    assert site.close(until(93)).half_hours == []
    site.read(1, (until(50), 150))
    site.close(until(94))
    assert site.values(1)[3:] == [150]
    assert site.rows(1)[3].state is State.LATE
    assert site.closing.restarts() == {}


def test_late_reading_before_all_others_only_has_to_be_lower() -> None:
    site = Site(prop(1))
    site.read(1, (until(40), 100))
    site.close(until(62))
    site.read(1, (until(35), 101), (until(34), 90))
    site.close(until(63))
    assert site.values(1) == [100]
    assert site.closing._series[PropertyId(1)].minutes[until(34)].last == 90
    assert until(35) not in site.closing._series[PropertyId(1)].minutes


def test_late_reading_of_before_a_reset_is_taken() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 500), (until(70), 3), (until(71), 4), (until(72), 5))
    site.close(until(92))
    site.read(1, (until(40), 510))
    site.close(until(93))
    assert site.values(1) == [500, Cause.METER_SILENT, 5, 510]


def test_late_mean_is_weighed_once() -> None:
    site = Site(prop(2, POWER, fresh_ms=10 * MINUTE_MS))
    site.read(2, (until(25), 10))
    site.close(until(32))
    assert site.values(2) == [10]
    site.read(2, (until(29), 100))
    site.close(until(33))
    assert site.rows(2)[1].value == Quantity(round(Fraction(10 * 4 + 100 * 1, 5) * 100), 2)
    assert (site.rows(2)[1].revision, site.rows(2)[1].state) == (1, State.LATE)


def test_momentary_value_behind_a_newer_one_changes_no_mean() -> None:
    site = Site(prop(2, POWER, fresh_ms=10 * MINUTE_MS))
    site.read(2, (until(25), 10), (until(40), 20))
    site.close(until(62))
    site.read(2, (until(27), 5000))
    assert site.close(until(63)).half_hours == []
    gap = Site(prop(2, POWER))
    gap.read(2, (until(25), 10), (until(70), 20))
    gap.close(until(92))
    gap.read(2, (until(40), 5000))
    assert gap.close(until(93)).half_hours == [], "one value is no mean of a half-hour that is over"
    assert gap.values(2) == [10, Cause.METER_SILENT, 20]


@pytest.mark.parametrize(("value", "mean"), [(1, 0), (3, 2), (5, 2), (-1, 0), (-3, -2)])
def test_mean_in_the_middle_of_two_digits_is_rounded_to_the_even_one(value: int, mean: int) -> None:
    site = Site(prop(2, POWER, fresh_ms=199_000))
    site.read(2, (until(1), value), (until(1) + 1000, 0))  # one second of two hundred
    site.close(until(32))
    assert site.rows(2)[0].value == Quantity(mean, 2)


def test_reading_too_late_to_know_the_rest_of_its_interval_changes_nothing() -> None:
    slow = prop(5, fresh_ms=2 * HOUR_MS, late_ms=24 * HOUR_MS)
    site, far = Site(prop(3, WEIGHT, aggregation=Aggregation.MAX), slow), Far()
    site.read(5, (until(1), 1))
    for minute in range(10, 700, 10):
        site.read(3, (until(minute), 100 if minute == 40 else 10))
        if minute == 10:
            assert bind(site, far, 3, 5)  # it waits for the slow one, so what it needs is kept for long
        site.close(until(minute + 1))
    before = len(site.out)
    for minute in range(31, 700, 30):  # whatever is half forgotten must not become a lower maximum
        site.read(3, (until(minute), 11))
    site.close(until(701))
    revised = [one for one in site.out[before:] if one.revision]
    assert revised
    assert {one.value for one in revised} == {Quantity(11)}
    assert min(one.end_ms for one in revised) > until(660) - KEPT_MS
    assert site.values(3)[1] == 100


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


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(1, 20 * MINUTE_MS), st.integers(0, 10**6)), min_size=2, max_size=80), CUTS
)
def test_sum_of_half_hour_differences_is_the_registers_difference_exactly(
    steps: list[tuple[int, int]], cuts: list[int]
) -> None:
    readings = timed(steps)
    height, register = 0, []
    for at, value in readings:
        height += value
        register.append((at, height))
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
    assert site.values(1) == [1000, Cause.COUNTER_RESET]
    site.read(1, (until(70), 1010))
    site.close(until(92))
    assert site.values(1) == [1000, Cause.COUNTER_RESET, 1010]
    assert site.closing.restarts() == {}


def test_register_that_stays_low_began_again_and_what_was_held_back_comes_late() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 1000))
    site.read(1, (until(40), 7))
    site.close(until(62))
    site.read(1, (until(63), 8), (until(64), 9))
    site.close(until(92))
    assert [(one.end_ms, one.revision, one.value and one.value.whole) for one in site.rows(1)] == [
        (until(30), 0, 1000),
        (until(60), 0, None),
        (until(60), 1, 7),
        (until(90), 0, 9),
    ]
    assert site.closing.restarts() == {PropertyId(1): 1}


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


def test_description_may_change_how_long_a_value_stands() -> None:
    first = prop(2, POWER, fresh_ms=1000)
    site = Site(first)
    site.closing.update(replace(first, description=replace(first.description, fresh_ms=HOUR_MS)))
    site.closing.update(prop(77))
    site.read(2, (until(15), 7))
    site.close(until(62))
    assert site.values(2) == [7, 7]


def test_register_rescales_what_it_holds_back_with_everything_else() -> None:
    site = Site(prop(3, WEIGHT, aggregation=Aggregation.MAX))
    site.read(3, (until(1), 4))
    site.read(3, (until(2), 35), decimals=1)
    site.close(until(32))
    assert site.values(3) == [4]


# Streams


def test_stream_is_composed_once_per_interval_in_order_when_all_its_properties_are_closed() -> None:
    gas = prop(5, DatatypeId(51), fresh_ms=2 * HOUR_MS, late_ms=75 * MINUTE_MS)
    site, far = Site(prop(1), gas), Far()
    site.read(1, (until(1), 1))
    assert not bind(site, far, 1, 5), "a property without a reading holds the stream back"
    site.read(5, (until(0), 50))
    assert bind(site, far, 1, 5)
    for minute in range(1, 190):
        site.read(1, (until(minute), minute))
        if minute in (65, 125, 185):
            site.read(5, (until(minute - 5), 50 + minute))
        site.close(until(minute))
    assert [item.at_ms for item in site.items] == [until(30 * number) for number in range(1, 7)]
    assert far.seen == [item.at_ms for item in site.items]
    assert site.items[0].payload == b"p1=30 p5=meter reports less often"
    assert site.items[1].payload == b"p1=60 p5=115"
    assert site.composed == {("far", "m"): until(180)}


def test_new_stream_begins_with_the_interval_that_is_open_and_not_weeks_ago() -> None:
    site, far = Site(prop(1), prop(5)), Far()
    site.read(1, (until(1), 1))
    site.read(5, (until(-39 * 24 * 60), 50))
    assert bind(site, far, 1, 5)
    site.close(until(32))
    assert [item.at_ms for item in site.items] == [until(30)]
    assert len(site.rows(5)) == 39 * 48 + 2


def test_interval_with_nothing_to_send_is_passed_over_and_remembered() -> None:
    site, far = Site(prop(1)), Far()
    far.silent = True
    site.read(1, (until(1), 1))
    bind(site, far, 1)
    assert site.close(until(2)).composed == {("far", "m"): START}, "where a stream begins is kept at once"
    done = site.close(until(62))
    assert done.items == []
    assert done.composed == {("far", "m"): until(60)}


def test_fault_in_an_uplinks_code_stops_neither_closing_nor_other_streams() -> None:
    site, broken, sound = Site(prop(1)), Far(), Far()
    site.read(1, (until(1), 1))
    bind(site, broken, 1, name="broken")
    bind(site, sound, 1, name="sound")
    broken.broken = True
    for minute in range(31, 400, 5):
        site.read(1, (until(minute), minute))
        site.close(until(minute))
    assert sound.seen
    assert len(site.values(1)) == len(sound.seen)
    broken.broken = False
    site.close(until(400))
    assert broken.seen == sound.seen, "nothing was lost meanwhile"
    assert b"clock" not in b"".join(item.payload for item in site.items)
    assert {item.payload for item in site.items if item.stream == "broken"} == {
        item.payload for item in site.items if item.stream == "sound"
    }


def test_other_lengths_begin_with_the_interval_that_is_open() -> None:
    site, far = Site(prop(1)), Far()
    site.read(1, (until(7), 7))
    site.closing.also(PropertyId(1), 5 * MINUTE_MS, until(7.5))
    site.closing.also(PropertyId(1), HOUR_MS, until(7.5))
    site.closing.also(PropertyId(1), HOUR_MS, until(99))
    assert bind(site, far, 1, length_ms=5 * MINUTE_MS)
    for minute in range(8, 80):
        site.read(1, (until(minute), minute))
        site.close(until(minute))
    assert [item.at_ms for item in site.items][:3] == [until(10), until(15), until(20)]
    assert site.values(1, 5 * MINUTE_MS)[0] == 10
    assert site.values(1, HOUR_MS) == [60]
    assert site.values(1) == [30, 60]


def test_length_of_a_property_that_was_never_read_begins_later() -> None:
    site, far = Site(prop(1)), Far()
    site.closing.also(PropertyId(1), 5 * MINUTE_MS, until(7))
    assert not bind(site, far, 1, length_ms=5 * MINUTE_MS)


def test_property_that_was_not_known_in_an_interval_is_missing_there() -> None:
    site, far = Site(prop(1), prop(2)), Far()
    site.read(1, (until(1), 1))
    site.close(until(62))
    site.read(2, (until(61), 5))
    stream = Stream(uplink="far", name="m", properties=(PropertyId(1), PropertyId(2)))
    bindings = {Binding(product="x", key=f"p{number}"): PropertyId(number) for number in (1, 2)}
    assert site.closing.bind(stream, far, bindings, until(30))  # type: ignore[arg-type]  # composes, no more
    site.close(until(63))
    assert [item.payload for item in site.items] == [b"p1=meter silent p2=meter silent"]


# Restarts


def restarted(
    site: Site, far: Far, now_ms: UtcMs = START, *, streams: Sequence[tuple[str, tuple[int, ...], int]] = ()
) -> Site:
    """A new closing as the keeper makes it at a start: from what was kept."""
    fresh = Site(*())
    fresh.props, fresh.out, fresh.items = site.props, site.out, site.items
    fresh.closed, fresh.composed, fresh.kept = site.closed, site.composed, site.kept
    by_property: dict[PropertyId, dict[int, UtcMs]] = {}
    for (property_id, length_ms), end_ms in site.closed.items():
        by_property.setdefault(property_id, {})[length_ms] = end_ms
    for one in site.props:
        fresh.closing.know(one, by_property.get(one.id))
    since_ms = min(site.closed.values(), default=START) - 2 * HOUR_MS
    for frames in site.kept:
        if any(at > since_ms for one in frames for at in one.times):
            fresh.closing.feed(frames, replay=True)
    newest: dict[tuple[PropertyId, int, UtcMs], HalfHour] = {}
    for row in site.out:
        newest[row.property_id, row.length_ms, row.end_ms] = row
    fresh.closing.remember(list(newest.values()), UtcMs(since_ms + HOUR_MS))
    for name, numbers, length_ms in streams:
        bindings = {Binding(product="x", key=f"p{number}"): PropertyId(number) for number in numbers}
        stream = Stream(
            uplink="far", name=name, properties=tuple(map(PropertyId, numbers)), length_ms=length_ms
        )
        for number in numbers:
            fresh.closing.also(PropertyId(number), length_ms, now_ms)
        fresh.closing.bind(stream, far, bindings, site.composed.get(("far", name)))  # type: ignore[arg-type]
    return fresh


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
                    bind(site, far, *numbers, length_ms=length_ms, name=name)
                bound = True
            site.close(now_ms)
            if number in points:
                site = restarted(site, far, now_ms, streams=streams if bound else [])
        site.close(until(600))
        results.append((site.out, site.items))
    (rows, items), (rows_again, items_again) = results

    def key(one: HalfHour) -> tuple[int, ...]:
        return one.property_id, one.length_ms, one.end_ms, one.revision

    assert sorted(rows_again, key=key) == sorted(rows, key=key)
    assert items_again == items
    assert len({key(one) for one in rows_again}) == len(rows_again)
