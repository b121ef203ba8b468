"""Numbers keep every digit; registers and half-hours keep their rules."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterkast.model.datatypes import ENERGY_CONSUMED, VOLTAGE, Aggregation, Kind
from meterkast.model.errors import NotDeliveredError, RejectedError
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.product import (
    Medium,
    Product,
    ProductDescription,
    ProductId,
    Property,
    PropertyDescription,
    PropertyId,
)
from meterkast.model.quantity import LARGEST_WHOLE, Quantity, text
from meterkast.model.reading import Batch, Column
from meterkast.model.register import RegisterGuard, difference, rises, total
from meterkast.model.time import HALF_HOUR_MS, UtcMs
from meterkast.model.units import POWERS, Unit

QUANTITIES = st.builds(Quantity, st.integers(-(10**15), 10**15), st.integers(0, 6))
METER_TEXTS = st.from_regex(r"[0-9]{1,9}(\.[0-9]{1,6})?", fullmatch=True)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(METER_TEXTS, st.sampled_from(sorted(POWERS)))
def test_decimal_text_of_a_meter_comes_out_digit_for_digit(written: str, unit: str) -> None:
    power = POWERS[unit][1]
    kept = Quantity.of(Decimal(written), power)
    assert kept.decimals >= 0
    shown = kept.in_unit(unit)
    assert shown == Decimal(written)
    digits = len(written.partition(".")[2])
    assert text(shown.quantize(Decimal(1).scaleb(-digits))) == text(Decimal(written))


def test_kilowatt_hours_become_whole_watt_hours() -> None:
    assert Quantity.of(Decimal("000084.276"), 3) == Quantity(84276, 0)
    assert Quantity.of(Decimal("234.7")) == Quantity(2347, 1)
    assert text(Quantity(84276).decimal(3)) == "84.276"
    assert text(Quantity(0, 3).decimal()) == "0.000"
    assert Quantity.of(-5) == Quantity(-5, 0)
    assert Quantity.of(Decimal("-0.5"), 3) == Quantity(-500, 0)


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "-Infinity", "1E+20", "-1E+20", "1E+999999999", "1E-999"]
)
def test_what_is_no_number_or_does_not_fit_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"number|large|digits"):
        Quantity.of(Decimal(value))


def test_largest_number_is_the_last_that_fits() -> None:
    assert Quantity.of(LARGEST_WHOLE - 1).whole == LARGEST_WHOLE - 1
    with pytest.raises(ValueError, match="digits"):
        Quantity.of(LARGEST_WHOLE)
    assert Quantity.of(Decimal("0E+999999")) == Quantity(0, 0)


@settings(derandomize=True, deadline=None)
@given(QUANTITIES, st.integers(0, 8))
def test_rescaling_loses_no_digit_or_refuses(value: Quantity, decimals: int) -> None:
    try:
        scaled = Quantity(value.rescaled(decimals), decimals)
    except ValueError:
        assert value.whole % 10 ** (value.decimals - decimals)
    else:
        assert scaled.decimal() == value.decimal()


@settings(derandomize=True, deadline=None)
@given(QUANTITIES, QUANTITIES)
def test_difference_and_total_are_exact(one: Quantity, other: Quantity) -> None:
    apart = difference(one, other)
    assert apart.decimal() == one.decimal() - other.decimal()
    assert apart.decimals == max(one.decimals, other.decimals)
    together = total([one, other])
    assert together.decimal() == one.decimal() + other.decimal()
    assert total([one]) == one


def test_total_of_nothing_is_no_number() -> None:
    with pytest.raises(ValueError, match="at least one"):
        total([])


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
    guard = RegisterGuard()
    assert fed(guard, [100, 101, 3, 102, 103]) == [100, 101, 102, 103]
    assert (guard.outliers, guard.restarts) == (1, 0)


def test_two_low_readings_are_outliers_too() -> None:
    guard = RegisterGuard()
    assert fed(guard, [100, 3, 4, 102]) == [100, 102]
    assert (guard.outliers, guard.restarts) == (2, 0)


def test_three_low_readings_that_agree_are_a_new_epoch_from_the_first_on() -> None:
    guard = RegisterGuard()
    assert guard.accept(UtcMs(1), 100) == [(1, 100)]
    assert guard.accept(UtcMs(2), 3) == []
    assert guard.held_in(UtcMs(1), UtcMs(2))
    assert guard.held_in(UtcMs(2), UtcMs(9)) is None
    assert guard.accept(UtcMs(3), 4) == []
    assert guard.accept(UtcMs(4), 4) == [(2, 3), (3, 4), (4, 4)]
    assert (guard.outliers, guard.restarts, guard._held) == (0, 1, [])
    assert guard.accept(UtcMs(5), 50) == [(5, 50)]


def test_low_readings_that_contradict_one_another_are_no_epoch() -> None:
    guard = RegisterGuard()
    assert fed(guard, [100, 5, 4, 3, 101]) == [100, 101]
    assert (guard.outliers, guard.restarts) == (3, 0)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.integers(0, 200), max_size=40))
def test_accepted_readings_fall_only_where_a_new_epoch_begins(values: list[int]) -> None:
    guard = RegisterGuard()
    good = fed(guard, values)
    falls = sum(later < earlier for earlier, later in pairwise(good))
    assert falls == guard.restarts
    assert len(good) + guard.outliers + len(guard._held) == len(values)


def test_more_decimals_rescale_what_a_guard_remembers() -> None:
    guard = RegisterGuard()
    fed(guard, [100, 90])
    guard.rescale(10)
    assert guard.last == 1000
    assert guard._held == [(1, 900, True)]
    fresh = RegisterGuard()
    fresh.rescale(10)
    assert fresh.last is None


MEASURED = HalfHour(
    property_id=PropertyId(7),
    end_ms=UtcMs(1_800_000),
    value=Quantity(1234, 2),
    taken_ms=UtcMs(1_799_000),
    count=5,
    before_emptyings=(9, 11),
)
MISSING = HalfHour(
    property_id=PropertyId(7),
    end_ms=UtcMs(1_800_000),
    value=None,
    state=State.MISSING,
    cause=Cause.METER_SILENT,
)


@pytest.mark.parametrize(
    "changes",
    [
        {"value": None},
        {"state": State.MISSING},
        {"cause": Cause.DISK},
        {"value": None, "state": State.MISSING},
        {"value": None, "cause": Cause.DISK},
        {"state": State.MISSING, "cause": Cause.DISK},
    ],
)
def test_half_hour_has_a_value_or_is_missing_with_a_cause(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="missing with a cause"):
        replace(MEASURED, **changes)  # type: ignore[arg-type]  # each case is wrong on purpose


def test_crc_notices_a_change_of_any_field() -> None:
    changed = [
        replace(MEASURED, property_id=PropertyId(8)),
        replace(MEASURED, end_ms=UtcMs(3_600_000)),
        replace(MEASURED, length_ms=HALF_HOUR_MS // 2),
        replace(MEASURED, value=Quantity(1235, 2)),
        replace(MEASURED, value=Quantity(1234, 1)),
        replace(MEASURED, taken_ms=UtcMs(1_798_000)),
        replace(MEASURED, taken_ms=None),
        replace(MEASURED, count=6),
        replace(MEASURED, state=State.LATE),
        replace(MEASURED, state=State.SUSPECT),
        replace(MEASURED, revision=1),
        replace(MEASURED, before_emptyings=(9, 12)),
        replace(MEASURED, before_emptyings=(911,)),
        replace(MEASURED, before_emptyings=()),
        MISSING,
        *(replace(MISSING, cause=cause) for cause in Cause if cause is not MISSING.cause),
    ]
    assert len({one.crc() for one in [MEASURED, *changed]}) == len(changed) + 1
    assert replace(MEASURED).crc() == MEASURED.crc()


def test_crc_tells_nothing_from_zero() -> None:
    zero = replace(MEASURED, value=Quantity(0), taken_ms=UtcMs(0), before_emptyings=())
    assert zero.crc() != replace(zero, taken_ms=None).crc()


def test_revision_counts_on_and_says_that_it_came_late() -> None:
    revised = MISSING.revised(MEASURED)
    assert (revised.revision, revised.state, revised.cause) == (1, State.LATE, None)
    assert MISSING.revision == 0
    assert revised.revised(replace(MEASURED, state=State.SUSPECT)).revision == 2
    assert revised.revised(replace(MEASURED, state=State.SUSPECT)).state is State.SUSPECT


def test_same_value_looks_at_what_is_said_and_not_at_how() -> None:
    assert MEASURED.same_value(replace(MEASURED, revision=3, state=State.LATE, count=9))
    assert MEASURED.same_value(replace(MEASURED, value=Quantity(12340, 3), before_emptyings=(90, 110)))
    assert not MEASURED.same_value(replace(MEASURED, value=Quantity(1235, 2)))
    assert not MEASURED.same_value(replace(MEASURED, taken_ms=UtcMs(1)))
    assert not MEASURED.same_value(replace(MEASURED, before_emptyings=(9,)))
    assert not MEASURED.same_value(MISSING)
    assert not MISSING.same_value(replace(MISSING, cause=Cause.DISK))
    assert not replace(MEASURED, value=Quantity(0)).same_value(MISSING)


def test_property_takes_its_kind_from_the_datatype_and_its_aggregation_from_the_description() -> None:
    description = PropertyDescription(key="u", name="U", datatype=VOLTAGE, unit=Unit.VOLT)
    prop = Property(id=PropertyId(1), product_id=ProductId(1), description=description)
    assert (prop.key, prop.kind, prop.unit) == ("u", Kind.MOMENTARY, Unit.VOLT)
    assert prop.aggregation is Aggregation.MEAN
    peaked = replace(prop, description=replace(description, aggregation=Aggregation.MAX))
    assert peaked.aggregation is Aggregation.MAX
    register = replace(prop, description=replace(description, datatype=ENERGY_CONSUMED))
    assert (register.kind, register.aggregation) == (Kind.REGISTER, Aggregation.LAST)


def test_product_is_called_as_described() -> None:
    described = ProductDescription(identity="p1:1", name="Meter", medium=Medium.ELECTRICITY)
    assert Product(id=ProductId(1), description=described).name == "Meter"


def test_batch_that_does_not_fit_its_layout_is_the_drivers_fault() -> None:
    layout = (Column(PropertyId(1), 0), Column(PropertyId(2), 0))
    assert Batch(layout, (1, 2), 0).values == (1, 2)
    with pytest.raises(ValueError, match="1 values for 2 columns"):
        Batch(layout, (1,), 0)


def test_errors_carry_what_the_caller_needs_next() -> None:
    later = NotDeliveredError("down", hint="wait", retry_after_s=7.0, in_doubt=True)
    assert (str(later), later.hint, later.retry_after_s, later.in_doubt) == ("down", "wait", 7.0, True)
    refused = RejectedError("no", hint="look", words="bad stamp")
    assert refused.words == "bad stamp"


def test_seeded_sums_of_differences_equal_the_registers_difference() -> None:
    rng = random.Random(1)
    register = [Quantity(0, 3)]
    for _ in range(500):
        decimals = rng.randint(0, 3)
        step = Quantity(rng.randint(0, 5000), decimals)
        register.append(total([register[-1], step]))
    parts = [difference(b, a) for a, b in pairwise(register)]
    assert total(parts).decimal() == difference(register[-1], register[0]).decimal()
