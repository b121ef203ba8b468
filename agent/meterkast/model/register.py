"""Rules for running totals, as pure functions and one small state machine.

Source: reliability notes on counters: a difference counts only inside one epoch; one low reading is an
outlier; a register that stays low was replaced or reset; a jump beyond what the connection can carry is
held back until it is confirmed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from meterkast.model.limits import GENEROUS
from meterkast.model.quantity import Quantity
from meterkast.model.time import HOUR_MS, MINUTE_MS, UtcMs

CONFIRMATIONS = 3
"""Readings in a row that agree, but not with the last one, that make a new epoch."""

SLACK_MS = MINUTE_MS
"""How far the time between two readings may be off: a report waits for the radio, a stamp for its clock."""

_LEARNED = 1000
"""A register may grow so many times as fast as was thought at first, where its readings say so steadily."""

_STEADY = 10
"""Rates of growth that lie within this factor are steady: a site's load goes up and down."""


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


class Breakage(NamedTuple):
    """Where a register did not go on from its last reading, and the next ones confirm that.

    Attributes:
        last_ms, last: The last reading before.
        first_ms, first: The first one after.
    """

    last_ms: UtcMs
    last: int
    first_ms: UtcMs
    first: int


class Held(NamedTuple):
    """A reading that waits for others to agree with it, or waited in vain.

    Attributes:
        low: Whether it lies below the last accepted one; it lies too far above it otherwise.
    """

    at_ms: UtcMs
    value: int
    low: bool


@dataclass(slots=True)
class RegisterGuard:
    """Holds back what a register cannot be.

    A reading below the last accepted one, or further above it than the time between them allows, is kept
    aside. If the next readings agree with it, the register was reset, rolled over or jumped: from the first
    of them on they are accepted, and `restarts` or `jumps` counts the new epoch. If a good reading follows
    instead, or nothing confirms it for `wait_ms`, it was an outlier.

    A large site outgrows the limit with every reading. Where three in a row grow steadily, the limit is
    learned from them. So it is where the limit is nobody's word and one rise goes beyond it by less than
    rates of growth differ: that is a busy hour, and to call it a jump would be to lose what was counted.

    Attributes:
        most_per_hour: What it can grow by in an hour, as a whole number of its own.
        wait_ms: How long a reading waits to be confirmed.
        given: The limit is a person's word on what the connection can carry.
        last: The newest accepted value, as a whole number.
        last_ms: When it was measured.
        restarts: New epochs so far that began lower.
        jumps: New epochs so far that began higher.
        outliers: Readings dropped so far.
        broke: The newest break, until somebody takes it.
    """

    most_per_hour: int
    wait_ms: int = 2 * HOUR_MS
    given: bool = False
    last: int | None = None
    last_ms: UtcMs = UtcMs(-1)
    restarts: int = 0
    jumps: int = 0
    outliers: int = 0
    broke: Breakage | None = None
    _held: list[Held] = field(default_factory=list)
    _dropped: list[Held] = field(default_factory=list)  # the newest few
    _learnable: int = field(init=False)  # the limit is not learned from rates beyond this
    _slack: int = field(init=False)  # what a column may rise by, see `steady`

    def __post_init__(self) -> None:
        self._learnable = self.most_per_hour * _LEARNED
        self._set_limit(self.most_per_hour)

    def limit(self, per_hour: int) -> None:
        """A person's word on what it can grow by in an hour."""
        self.given = True
        self._learnable = per_hour * _LEARNED
        self._set_limit(per_hour)

    def _set_limit(self, per_hour: int) -> None:
        self.most_per_hour = per_hour
        self._slack = per_hour * SLACK_MS // HOUR_MS

    def steady(self, values: Sequence[int]) -> bool:
        """Whether a whole column is good at a glance; `passed` then takes it.

        It is where it never falls and rises by less than two readings at one instant may.
        """
        if self._held or not rises(values, self.last):
            return False
        return values[-1] - (values[0] if self.last is None else self.last) <= self._slack

    def passed(self, at_ms: UtcMs, value: int) -> None:
        """The last reading of a steady column."""
        self.last_ms, self.last = at_ms, value

    def accept(self, at_ms: UtcMs, value: int) -> list[tuple[UtcMs, int]]:
        """The readings that are good now: this one, none, or those held back until now."""
        self.expire(UtcMs(at_ms - self.wait_ms))
        if self.last is None or self.follows(self.last_ms, self.last, at_ms, value):
            self._drop(len(self._held))
            self.passed(at_ms, value)
            return [(at_ms, value)]
        if self._held and value < self._held[-1].value:
            self._drop(len(self._held))
        self._held.append(Held(at_ms, value, value < self.last))
        if len(self._held) < CONFIRMATIONS:
            return []
        held = self._held
        agree = all(
            self.follows(one.at_ms, one.value, other.at_ms, other.value) for one, other in pairwise(held)
        )
        if agree and self._breaks(held[0]):
            self.broke = Breakage(self.last_ms, self.last, held[0].at_ms, held[0].value)
            if held[0].low:
                self.restarts += 1
            else:
                self.jumps += 1
        elif not agree and not self._learned(self.last):
            self._drop(1)
            return []
        self._held = []
        self.passed(at_ms, value)
        return [(one.at_ms, one.value) for one in held]

    def begin(self, at_ms: UtcMs, value: int) -> None:
        """A reading that is good whatever came before: it begins an epoch that is known."""
        self._drop(len(self._held))
        self.passed(at_ms, value)

    def expire(self, until_ms: UtcMs) -> None:
        """Drop those held back that were measured until then: nothing confirmed them."""
        self._drop(sum(1 for one in self._held if one.at_ms <= until_ms))

    def _breaks(self, first: Held) -> bool:
        """Whether readings that agree with one another are another epoch; a busy hour is none."""
        assert self.last is not None
        if first.low or self.given:
            return True
        rate = _per_hour(first.value - self.last, first.at_ms - self.last_ms)
        if rate > self.most_per_hour * _STEADY:
            return True
        self._set_limit(GENEROUS * rate)
        return False

    def carries(self, elapsed_ms: int, rise: int) -> bool:
        """Whether so much can be counted in so long."""
        return rise >= 0 and _per_hour(rise, elapsed_ms) <= self.most_per_hour

    def follows(self, before_ms: UtcMs, before: int, at_ms: UtcMs, value: int) -> bool:
        """Whether a reading can follow another one."""
        rise = value - before
        if rise < 0:
            return False
        return self.carries(at_ms - before_ms, rise) or rise <= 2 * _step(before, value)

    def _learned(self, last: int) -> bool:
        """Whether those held back grow steadily, which the limit is then learned from."""
        points = [(self.last_ms, last), *((one.at_ms, one.value) for one in self._held)]
        rates = [_per_hour(later - before, b - a) for (a, before), (b, later) in pairwise(points)]
        # Where they lie below the last one, the first rate is no growth: nothing is learned from a reset.
        if max(rates) > self._learnable or max(rates) > min(rates) * _STEADY:
            return False
        self._set_limit(GENEROUS * max(rates))
        return True

    def _drop(self, count: int) -> None:
        """The oldest of those held back were outliers."""
        if count:
            self.outliers += count
            self._dropped = (self._dropped + self._held[:count])[-CONFIRMATIONS:]
            del self._held[:count]

    def rescale(self, factor: int) -> None:
        """Multiply what is remembered: the register now comes with more decimals."""
        if self.last is not None:
            self.last *= factor
        self._learnable *= factor
        self._set_limit(self.most_per_hour * factor)
        self._held = [one._replace(value=one.value * factor) for one in self._held]

    @property
    def oldest_held_ms(self) -> UtcMs | None:
        """When the oldest of those held back was measured."""
        return self._held[0].at_ms if self._held else None

    def doubtful_in(self, start_ms: UtcMs, end_ms: UtcMs) -> list[Held]:
        """The readings of (start, end] of which it is not known yet whether they are good."""
        return [one for one in self._held if start_ms < one.at_ms <= end_ms]

    def dropped_in(self, start_ms: UtcMs, end_ms: UtcMs) -> Held | None:
        """The newest reading of (start, end] that was an outlier; only the newest few are known."""
        return next((one for one in reversed(self._dropped) if start_ms < one.at_ms <= end_ms), None)


def _per_hour(rise: int, elapsed_ms: int) -> int:
    """The smallest rate, rounded up, at which a register rises so far in so long."""
    return -(-rise * HOUR_MS // (max(0, elapsed_ms) + SLACK_MS))


def _step(before: int, after: int) -> int:
    """The last digit that both readings show: a meter that counts whole m3 rises by 1000 L at once."""
    step = 1
    while before and before % (step * 10) == 0 and after % (step * 10) == 0 and step < after - before:
        step *= 10
    return step
