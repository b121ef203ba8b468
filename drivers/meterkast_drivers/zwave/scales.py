"""What the units of zwave-js are in canonical units: exact conversions, both ways.

Sources of the factors: the international yard and pound of 1959 (ft, in, lb, mile: exact), the US gallon of
231 cubic inches (exact), NIST SP 811 appendix B (Btu of the International Table, psi, inch of mercury).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction

from meterkast.model.errors import ConfigError
from meterkast.model.units import POWERS, Unit

# A Z-Wave number is a whole number of 32 bits and a precision of 3 bits: seven decimals at most.
WIRE_DECIMALS = 7
_EXACT = Context(prec=100)


@dataclass(frozen=True, slots=True)
class Conversion:
    """From the unit of a device to a canonical one: canonical = (device + `shift`) × `factor`.

    Attributes:
        factor, shift: Exact.
        decimals: Most decimals of the canonical value. What goes beyond is rounded, half to even, from the
            device's own number each time, so that nothing adds up. Where the factor is a power of ten every
            digit that a device can send is kept.
        back: Most decimals of a value that is written, in the device's unit.
    """

    factor: Fraction = Fraction(1)
    shift: Fraction = Fraction(0)
    decimals: int = WIRE_DECIMALS
    back: int = WIRE_DECIMALS

    def to_canonical(self, value: Decimal) -> Decimal:
        """The device's number in the canonical unit, without trailing zeros."""
        # Each report comes here: whole numbers give what fractions would, at a quarter of their time.
        above, below = value.as_integer_ratio()
        shift, factor = self.shift, self.factor
        shifted = above * shift.denominator + shift.numerator * below
        return _rounded(
            shifted * factor.numerator, below * shift.denominator * factor.denominator, self.decimals
        )

    def from_canonical(self, value: Decimal) -> Decimal:
        """A canonical number in the device's unit, without trailing zeros."""
        return _rounded(*(Fraction(value) / self.factor - self.shift).as_integer_ratio(), self.back)


UNCHANGED = Conversion()


def _rounded(above: int, below: int, decimals: int) -> Decimal:
    """A quotient, rounded half to even; `below` is more than 0."""
    whole, rest = divmod(above * 10**decimals, below)
    if 2 * rest > below or (2 * rest == below and whole % 2):
        whole += 1
    while decimals and whole % 10 == 0:
        whole, decimals = whole // 10, decimals - 1
    return Decimal(whole).scaleb(-decimals, _EXACT)


@dataclass(frozen=True, slots=True)
class Scale:
    """A unit of a device: the canonical unit it goes to, and how."""

    unit: Unit
    conversion: Conversion = UNCHANGED


def _power(unit: Unit, power: int = 0) -> Scale:
    return Scale(unit, Conversion(Fraction(10) ** power, decimals=max(0, WIRE_DECIMALS - power)))


def _times(unit: Unit, factor: Fraction | str, decimals: int) -> Scale:
    return Scale(unit, Conversion(Fraction(factor), decimals=decimals))


_CUBIC_FOOT = Fraction("28.316846592")
_GALLON = Fraction("3.785411784")

SCALES: dict[str, Scale] = {
    # As zwave-js writes them. Where the factor is no power of ten, the decimals are finer than such devices
    # resolve: a millilitre, half a gram, a thousandth of a degree.
    "": _power(Unit.NONE),
    "kWh": _power(Unit.WATT_HOUR, 3),
    "Wh": _power(Unit.WATT_HOUR),
    "kVAh": _power(Unit.VOLT_AMPERE_HOUR, 3),
    "kVarh": _power(Unit.VAR_HOUR, 3),
    "kVar": _power(Unit.VAR, 3),
    "W": _power(Unit.WATT),
    "Btu/h": _times(Unit.WATT, Fraction("1055.05585262") / 3600, 3),
    "V": _power(Unit.VOLT),
    "mV": _power(Unit.VOLT, -3),
    "A": _power(Unit.AMPERE),
    "mA": _power(Unit.AMPERE, -3),
    "Hz": _power(Unit.HERTZ),
    "kHz": _power(Unit.HERTZ, 3),
    "m³": _power(Unit.LITRE, 3),
    "l": _power(Unit.LITRE),
    "ft³": _times(Unit.LITRE, _CUBIC_FOOT, 3),
    "gal": _times(Unit.LITRE, _GALLON, 3),
    "gallon": _times(Unit.LITRE, _GALLON, 3),
    "m³/h": _power(Unit.LITRE_PER_HOUR, 3),
    "l/h": _power(Unit.LITRE_PER_HOUR),
    "cfm": _times(Unit.LITRE_PER_HOUR, _CUBIC_FOOT * 60, 3),
    "°C": _power(Unit.CELSIUS),
    # A thermostat takes tenths of a degree Fahrenheit at best: 21.111 °C goes back as 70 °F.
    "°F": Scale(Unit.CELSIUS, Conversion(Fraction(5, 9), shift=Fraction(-32), decimals=3, back=1)),
    "%": _power(Unit.PERCENT),
    "Lux": _power(Unit.LUX),
    "W/m²": _power(Unit.WATT_PER_SQUARE_METRE),
    "ppm": _power(Unit.PARTS_PER_MILLION),
    "mol/m³": _power(Unit.MOLE_PER_CUBIC_METRE),
    "µg/m³": _power(Unit.MICROGRAM_PER_CUBIC_METRE),
    "g/m³": _power(Unit.GRAM_PER_CUBIC_METRE),
    "mg/l": _power(Unit.MILLIGRAM_PER_LITRE),
    "m³/m³": _power(Unit.CUBIC_METRE_PER_CUBIC_METRE),
    "bq/m³": _power(Unit.BECQUEREL_PER_CUBIC_METRE),
    "pCi/l": _times(Unit.BECQUEREL_PER_CUBIC_METRE, "37", WIRE_DECIMALS),
    "pH": _power(Unit.PH),
    "aw": _power(Unit.NONE),  # water activity is a ratio
    "kPa": _power(Unit.PASCAL, 3),
    "inHg": _times(Unit.PASCAL, "3386.389", 2),
    "psi": _times(Unit.PASCAL, Fraction("4448.2216152605") / Fraction("0.64516"), 1),
    "mmHg": _power(Unit.MILLIMETRE_OF_MERCURY),
    "m/s": _power(Unit.METRE_PER_SECOND),
    "Mph": _times(Unit.METRE_PER_SECOND, "0.44704", 5),
    "m/s²": _power(Unit.METRE_PER_SQUARE_SECOND),
    "mm/h": _power(Unit.MILLIMETRE_PER_HOUR),
    "in/h": _times(Unit.MILLIMETRE_PER_HOUR, "25.4", 4),
    "m": _power(Unit.METRE),
    "cm": _power(Unit.METRE, -2),
    "ft": _times(Unit.METRE, "0.3048", 5),
    "°": _power(Unit.DEGREE),
    "°N": _power(Unit.DEGREE),
    "°S": _power(Unit.DEGREE),
    "rpm": _power(Unit.REVOLUTION_PER_MINUTE),
    "kg": _power(Unit.KILOGRAM),
    "lb": _times(Unit.KILOGRAM, "0.45359237", 5),
    "N": _power(Unit.NEWTON),
    "J": _power(Unit.JOULE),
    "bpm": _power(Unit.PER_MINUTE),
    "Ωm": _power(Unit.OHM_METRE),
    "kΩ": _power(Unit.OHM, 3),
    "S/m": _power(Unit.SIEMENS_PER_METRE),
    "dB": _power(Unit.DECIBEL),
    "dBA": _power(Unit.DECIBEL_A),
    "dBm": _power(Unit.DECIBEL_MILLIWATT),
    "s": _power(Unit.SECOND),
    "seconds": _power(Unit.SECOND),
    "hours": _times(Unit.SECOND, "3600", 5),
}
"""Unit as zwave-js writes it → canonical unit and conversion, where the unit alone says it."""

# What depends on the quantity, too.
PULSES = _power(Unit.PULSE)
HEAT_KWH = _times(Unit.MEGAJOULE, "3.6", 8)
VOC_PPM = _power(Unit.PARTS_PER_BILLION, 3)
MILLIVOLT = _power(Unit.MILLIVOLT)
TURNS_HZ = _times(Unit.REVOLUTION_PER_MINUTE, "60", WIRE_DECIMALS)


def scale_of(unit: str) -> Scale:
    """What a unit's text means by itself; one that is not known has no unit here and keeps its numbers."""
    return SCALES.get(unit, SCALES[""])


def decimal_of(number: float) -> Decimal | None:
    """A number of zwave-js, digit for digit as the device showed it; None for NaN and infinity.

    zwave-js divides a whole number by a power of ten; the shortest text of that float is the device's own.
    """
    found = Decimal(repr(number))
    return found if found.is_finite() else None


_PULSE = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([^\s\d.,]\S*)\s*")
_PULSE_UNITS = {
    "l": (Unit.LITRE, Fraction(1)),
    "m³": (Unit.LITRE, Fraction(1000)),
    "ft3": (Unit.LITRE, _CUBIC_FOOT),
    "ft³": (Unit.LITRE, _CUBIC_FOOT),
    "gal": (Unit.LITRE, _GALLON),
}
_COUNTED = (Unit.LITRE, Unit.WATT_HOUR, Unit.MEGAJOULE)


@dataclass(frozen=True, slots=True)
class Pulse:
    """What one pulse of a meter is worth.

    Attributes:
        amount: More than 0, in `unit`.
        unit: Canonical: L, Wh or MJ.
    """

    amount: Decimal
    unit: Unit

    @classmethod
    def parse(cls, text: str) -> Pulse:
        """The worth that a person writes: "10 L", "0.01 m3", "1 kWh".

        Raises:
            ConfigError: It is no such text, or nothing that a meter counts.
        """
        hint = 'Write an amount and a unit, such as "10 L", "0.01 m3", "0.1 ft3" or "0.001 kWh".'
        match = _PULSE.fullmatch(text)
        if match is None:
            raise ConfigError(f"pulse = {text!r} is not an amount and a unit", hint=hint)
        written, name = match.groups()
        if name in POWERS:
            unit, power = POWERS[name]
            factor = Fraction(10) ** power
        elif name in _PULSE_UNITS:
            unit, factor = _PULSE_UNITS[name]
        else:
            raise ConfigError(f"pulse = {text!r}: the unit {name!r} is not known", hint=hint)
        if unit not in _COUNTED:
            raise ConfigError(f"pulse = {text!r}: no meter counts {name}", hint=hint)
        amount = _rounded(*(Fraction(written) * factor).as_integer_ratio(), 18)
        if not amount:
            raise ConfigError(f"pulse = {text!r}: a pulse is worth more than nothing", hint=hint)
        return cls(amount, unit)

    @property
    def scale(self) -> Scale:
        """From pulses to the unit they are worth; whole pulses are exact."""
        exponent = self.amount.as_tuple().exponent
        assert isinstance(exponent, int)
        return Scale(self.unit, Conversion(Fraction(self.amount), decimals=min(9, max(0, -exponent))))
