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
from meterkast.model.half_hour import Cause, HalfHour, RowKey, State
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
from meterkast.model.register import difference, total
from meterkast.model.time import HALF_HOUR_MS, UtcMs, parse_iso
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


def test_a_kept_row_is_named_so_that_a_person_finds_it() -> None:
    key = RowKey(HALF_HOUR_MS, parse_iso("2026-03-10T12:30:00Z"), 7, 2)
    assert str(key) == "property 7, 30 minutes until 2026-03-10T12:30:00Z, revision 2"


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
