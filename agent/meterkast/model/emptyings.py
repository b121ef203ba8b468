"""A bin on a scale: when it was emptied, and what it weighed before, as a small state machine.

A scale is noisy, and an emptying takes a while: several reports on the way down are one emptying, and an
empty bin whose weight trembles is not emptied again and again.

Source: RESET API V2.1, readings of module circularity: "an additional bin_weight array for the max weight
before every emptying of the bins". What counts as an emptying is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

EMPTIED_PERCENT = 30
"""A weight that falls by more than this share of the peak before it: the bin was emptied."""

_NOISE_PERCENT = 5
"""An emptying is over when the weight has risen by more than this share of the peak before it."""

_NOISE = Fraction(1, 2)
"""What a scale's noise comes to at most, in the unit of the weight (kg); smaller changes are none."""


@dataclass(slots=True)
class Emptyings:
    """Follows a weight, reading by reading.

    Attributes:
        percent: A fall by more than this share of the peak is an emptying.
        one: The whole number that stands for 1 kg.
    """

    percent: int = EMPTIED_PERCENT
    one: int = 1
    _peak: int | None = None  # the largest weight since the last emptying; while one lasts, that before it
    _low: int | None = None  # the smallest weight of the emptying that lasts

    def take(self, weight: int) -> int | None:
        """Take the next weight in.

        Returns:
            The largest weight before the emptying that begins with this reading; None where none does.
        """
        peak = self._peak
        if peak is None:
            self._peak = weight
            return None
        if self._low is not None:
            if self._differs(weight - self._low, peak, _NOISE_PERCENT):
                self._peak, self._low = weight, None
            else:
                self._low = min(self._low, weight)
            return None
        # A scale that shows less than nothing was set to zero with something on it: no bin was emptied.
        if peak > 0 and self._differs(peak - weight, peak, self.percent):
            self._low = weight
            return peak
        self._peak = max(peak, weight)
        return None

    def _differs(self, by: int, peak: int, percent: int) -> bool:
        return by * 100 > peak * percent and by >= _NOISE * self.one

    def rescale(self, factor: int) -> None:
        """Multiply what is remembered: the weight now comes with more decimals."""
        self.one *= factor
        if self._peak is not None:
            self._peak *= factor
        if self._low is not None:
            self._low *= factor
