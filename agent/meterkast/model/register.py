"""Rules for running totals, as pure functions and one small state machine.

Source: reliability notes on counters: a difference counts only inside one epoch; one low reading is an
outlier; a register that stays low was replaced or reset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from meterkast.model.quantity import Quantity
from meterkast.model.time import UtcMs

CONFIRMATIONS = 3
"""Good readings in a row below the last one that make a new epoch."""


def difference(later: Quantity, earlier: Quantity) -> Quantity:
    """What was counted between two readings of one register, exactly.

    Args:
        later, earlier: Readings in the same unit, any decimals.

    Returns:
        later − earlier, with the finer of the two decimals. Negative where the register fell.
    """
    decimals = max(later.decimals, earlier.decimals)
    return Quantity(later.rescaled(decimals) - earlier.rescaled(decimals), decimals)


def total(parts: Sequence[Quantity]) -> Quantity:
    """The sum of registers, such as T1 + T2 where a meter gives no total.

    Args:
        parts: At least one, in the same unit.

    Raises:
        ValueError: There are none.
    """
    if not parts:
        raise ValueError("a total needs at least one part")
    decimals = max(part.decimals for part in parts)
    return Quantity(sum(part.rescaled(decimals) for part in parts), decimals)


def rises(values: Sequence[int], last: int | None) -> bool:
    """Whether a column of one register never falls, from the last value before it on."""
    if not values:
        return True
    return (last is None or values[0] >= last) and list(values) == sorted(values)


@dataclass(slots=True)
class RegisterGuard:
    """Holds back what a register cannot be.

    A reading below the last accepted one is kept aside. If the next readings agree with it, never falling
    again, the register was reset or the meter replaced: from the first of them on they are accepted, and
    `restarts` counts the new epoch. If a good reading follows instead, it was an outlier.

    Attributes:
        last: The newest accepted value, as a whole number.
        restarts: New epochs so far.
        outliers: Readings dropped so far.
    """

    last: int | None = None
    restarts: int = 0
    outliers: int = 0
    _low: list[tuple[UtcMs, int]] = field(default_factory=list)

    def accept(self, at_ms: UtcMs, value: int) -> list[tuple[UtcMs, int]]:
        """The readings that are good now: this one, none, or those held back until now."""
        if self.last is None or value >= self.last:
            self.outliers += len(self._low)
            self._low.clear()
            self.last = value
            return [(at_ms, value)]
        if self._low and value < self._low[-1][1]:
            self.outliers += len(self._low)
            self._low.clear()
        self._low.append((at_ms, value))
        if len(self._low) < CONFIRMATIONS:
            return []
        good = list(self._low)
        self._low.clear()
        self.restarts += 1
        self.last = value
        return good

    def rescale(self, factor: int) -> None:
        """Multiply what is remembered: the register now comes with more decimals."""
        if self.last is not None:
            self.last *= factor
        self._low = [(at_ms, value * factor) for at_ms, value in self._low]

    @property
    def waiting(self) -> bool:
        """Whether readings are held back."""
        return bool(self._low)

    def held_in(self, start_ms: UtcMs, end_ms: UtcMs) -> bool:
        """Whether a reading of (start, end] is held back."""
        return any(start_ms < at_ms <= end_ms for at_ms, _ in self._low)
