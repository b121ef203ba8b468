"""Exact numbers: a whole number and how many of its digits stand behind the point."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple, Self

from meterkast.model.units import POWERS

# Values are kept in 64-bit integers; a quarter of the range leaves room for every difference.
LARGEST_WHOLE = 1 << 62
_DIGITS = len(str(LARGEST_WHOLE))
_MOST_DECIMALS = 60  # no device means more; a power of ten without a bound could fill the memory


class Quantity(NamedTuple):
    """`whole` × 10^-`decimals`, in some property's canonical unit.

    A meter's `000084.276*kWh` is Quantity(84276, 0) in Wh; `234.7*V` is Quantity(2347, 1) in V.
    `decimals` is never negative.
    """

    whole: int
    decimals: int = 0

    @classmethod
    def of(cls, value: Decimal | int, power: int = 0) -> Self:
        """The exact quantity of `value` × 10^`power`.

        Raises:
            ValueError: The value is not finite, does not fit 63 bits, or has more than 60 decimals.
        """
        number = Decimal(value)
        if not number.is_finite():
            raise ValueError(f"{value} is not a number")
        if number and number.adjusted() + power >= _DIGITS:
            raise ValueError(f"{value} is too large")
        sign, digits, exponent = number.as_tuple()
        assert isinstance(exponent, int)
        whole = int("".join(map(str, digits)))
        exponent += power
        if exponent > 0:
            whole, exponent = whole and whole * 10**exponent, 0
        if whole >= LARGEST_WHOLE or -exponent > _MOST_DECIMALS:
            raise ValueError(f"{value} has too many digits")
        return cls(-whole if sign else whole, -exponent)

    def decimal(self, power: int = 0) -> Decimal:
        """The value × 10^-`power`, every digit kept: Quantity(84276, 0).decimal(3) is 84.276."""
        return Decimal(self.whole).scaleb(-self.decimals - power)

    def in_unit(self, unit: str) -> Decimal:
        """The value in another unit of the same kind, such as kWh for a value in Wh.

        Raises:
            KeyError: The unit is not in `units.POWERS`.
        """
        return self.decimal(POWERS[unit][1])

    def rescaled(self, decimals: int) -> int:
        """The whole number at another number of decimals.

        Raises:
            ValueError: Digits would be lost.
        """
        if decimals >= self.decimals:
            return self.whole * int(10 ** (decimals - self.decimals))
        whole, rest = divmod(self.whole, 10 ** (self.decimals - decimals))
        if rest:
            raise ValueError(f"{self.decimal()} does not fit {decimals} decimals")
        return int(whole)


def text(value: Decimal) -> str:
    """Plain decimal text, never an exponent: 0.000 stays 0.000."""
    return f"{value:f}"
