"""Conversions: digit for digit, there and back, and what one pulse is worth."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterkast.model.errors import ConfigError
from meterkast.model.quantity import Quantity, text
from meterkast.model.units import Unit
from meterkast_drivers.zwave.scales import SCALES, WIRE_DECIMALS, Conversion, Pulse, decimal_of

POWERS_OF_TEN = [
    unit
    for unit, scale in SCALES.items()
    if not scale.conversion.shift and scale.conversion.factor in {Fraction(10) ** p for p in range(-6, 7)}
]

# As a meter sends a number: 32 bits and a precision of 0 to 7.
wire = st.integers(-(2**31), 2**31 - 1)
precision = st.integers(0, WIRE_DECIMALS)


def as_zwave_js(whole: int, decimals: int) -> float:
    return whole / 10**decimals


@given(wire, precision)
def test_every_number_that_a_device_can_send_is_read_digit_for_digit(whole: int, decimals: int) -> None:
    assert decimal_of(as_zwave_js(whole, decimals)) == Decimal(whole).scaleb(-decimals)


@given(wire, precision, st.sampled_from(POWERS_OF_TEN))
def test_powers_of_ten_keep_every_digit_both_ways(whole: int, decimals: int, unit: str) -> None:
    shown = Decimal(whole).scaleb(-decimals)
    conversion = SCALES[unit].conversion
    kept = conversion.to_canonical(shown)
    assert Fraction(kept) == Fraction(shown) * conversion.factor
    assert conversion.from_canonical(kept) == shown
    # It fits the 63 bits of a register at its most decimals.
    assert Quantity.of(kept).rescaled(conversion.decimals) < 2**62


@given(wire, precision, st.sampled_from(sorted(SCALES)))
def test_a_conversion_is_rounded_once_and_never_more_than_half_a_digit(
    whole: int, decimals: int, unit: str
) -> None:
    shown = Decimal(whole).scaleb(-decimals)
    conversion = SCALES[unit].conversion
    kept = conversion.to_canonical(shown)
    exact = (Fraction(shown) + conversion.shift) * conversion.factor
    assert abs(Fraction(kept) - exact) <= Fraction(1, 2 * 10**conversion.decimals)
    assert -kept.as_tuple().exponent <= conversion.decimals  # type: ignore[operator]
    assert "E" not in text(kept)


@given(wire, precision, st.sampled_from(sorted(SCALES)))
def test_a_conversion_is_what_fractions_give(whole: int, decimals: int, unit: str) -> None:
    shown = Decimal(whole).scaleb(-decimals)
    conversion = SCALES[unit].conversion
    exact = (Fraction(shown) + conversion.shift) * conversion.factor
    steps = round(exact * 10**conversion.decimals)  # half to even
    assert Fraction(conversion.to_canonical(shown)) == Fraction(steps, 10**conversion.decimals)


@pytest.mark.parametrize(
    ("shown", "kept"), [("0.5", "0"), ("1.5", "2"), ("2.5", "2"), ("-0.5", "0"), ("-1.5", "-2")]
)
def test_halves_are_rounded_to_even(shown: str, kept: str) -> None:
    assert Conversion(decimals=0).to_canonical(Decimal(shown)) == Decimal(kept)


@given(st.integers(-400, 2000))
def test_tenths_of_a_degree_fahrenheit_come_back(tenths: int) -> None:
    shown = Decimal(tenths).scaleb(-1)
    conversion = SCALES["°F"].conversion
    assert conversion.from_canonical(conversion.to_canonical(shown)) == shown


@pytest.mark.parametrize(
    ("number", "unit", "kept"),
    [
        (1234.577, "kWh", "1234577"),
        (10.19, "m³", "10190"),
        (0.1, "kWh", "100"),
        (214748.3647, "kWh", "214748364.7"),
        (0.0000001, "kWh", "0.0001"),
        (1, "ft³", "28.317"),
        (1000, "gal", "3785.412"),
        (212, "°F", "100"),
        (-40, "°F", "-40"),
        (70, "°F", "21.111"),
        (29.92, "inHg", "101320.76"),
        (100, "lb", "45.35924"),
        (1, "psi", "6894.8"),
        (3.4121416331, "Btu/h", "1"),
        (100, "kWh", "100000"),
    ],
)
def test_known_conversions(number: float, unit: str, kept: str) -> None:
    exact = decimal_of(number)
    assert exact is not None
    assert text(SCALES[unit].conversion.to_canonical(exact)) == kept


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_none(number: float) -> None:
    assert decimal_of(number) is None


@pytest.mark.parametrize(
    ("written", "amount", "unit"),
    [
        ("10 L", "10", Unit.LITRE),
        ("0.01 m3", "10", Unit.LITRE),
        ("0.01 m³", "10", Unit.LITRE),
        (" 1l ", "1", Unit.LITRE),
        ("1 dm3", "1", Unit.LITRE),
        ("1 kWh", "1000", Unit.WATT_HOUR),
        ("0.5 Wh", "0.5", Unit.WATT_HOUR),
        ("0.001 GJ", "1", Unit.MEGAJOULE),
        ("0.1 ft3", "2.8316846592", Unit.LITRE),
        ("1 gal", "3.785411784", Unit.LITRE),
    ],
)
def test_what_a_pulse_is_worth(written: str, amount: str, unit: Unit) -> None:
    assert Pulse.parse(written) == Pulse(Decimal(amount), unit)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("", "not an amount and a unit"),
        ("10", "not an amount and a unit"),
        ("L", "not an amount and a unit"),
        ("ten L", "not an amount and a unit"),
        ("0,01 m3", "not an amount and a unit"),
        ("-1 L", "not an amount and a unit"),
        ("1e3 L", "not an amount and a unit"),
        ("0 L", "more than nothing"),
        ("0.000 m3", "more than nothing"),
        ("1 bucket", "'bucket' is not known"),
        ("1 °C", "no meter counts °C"),
        ("1 V", "no meter counts V"),
    ],
)
def test_what_no_pulse_is_worth(written: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        Pulse.parse(written)
    assert repr(written) in str(refused.value)
    assert "10 L" in refused.value.hint


@given(st.integers(0, 2**31 - 1))
def test_whole_pulses_are_exact(pulses: int) -> None:
    for written, each in (("10 L", 10), ("0.1 ft3", Fraction("2.831684659")), ("0.25 Wh", Fraction(1, 4))):
        pulse = Pulse.parse(written)
        kept = Fraction(pulse.scale.conversion.to_canonical(Decimal(pulses)))
        assert abs(kept - pulses * Fraction(pulse.amount)) <= Fraction(1, 2 * 10**9)
        assert abs(Fraction(pulse.amount) - each) < Fraction(1, 10**9)
