"""One property's readings: which of them are good, and what any interval comes to.

Of a register only what follows the readings before it is good; see `RegisterGuard`. A break in it begins
another epoch. Pure: no clock, store or network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from meterkast.model.datatypes import Kind
from meterkast.model.epoch import Break
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.limits import LARGEST_PER_HOUR, UNKNOWN_PER_HOUR
from meterkast.model.product import Property
from meterkast.model.quantity import Quantity
from meterkast.model.register import RegisterGuard
from meterkast.model.time import HOUR_MS, UtcMs
from meterkast.pipeline.columns import Weights
from meterkast.pipeline.epochs import Changed, Epochs
from meterkast.pipeline.minutes import Minutes, fitting

REPLAY_MS = 2 * HOUR_MS
"""How far before the oldest open interval readings are taken in again at a start, at least."""


def replay_ms(fresh_ms: int) -> int:
    """How far back a property's readings are taken in again at a start, and a doubtful one is remembered.

    Three readings in a row take as long as one stands.
    """
    return max(REPLAY_MS, fresh_ms + HOUR_MS)


class Series:
    """One property's open minutes, and of a register its guard and its epochs.

    Args:
        prop: The property; its kind and aggregation decide what is gathered.
        changed: Takes epochs that are to be kept.

    Attributes:
        minutes: What was gathered of its good readings.
        guard: Holds back what a register cannot be; None where the property is none.
        complete_from_ms: Minutes that end at or before this are forgotten, or were never read again.
    """

    def __init__(self, prop: Property, changed: Changed) -> None:
        self.prop = prop
        self.minutes = Minutes(prop)
        self.complete_from_ms = UtcMs(-1)
        self.guard = _guard(prop) if prop.kind is Kind.REGISTER else None
        self.epochs = Epochs(prop.id, changed)

    def update(self, prop: Property) -> None:
        """The property's description changed: its device reports at another pace."""
        self.prop = prop
        self.minutes.hold(prop.description.fresh_ms)
        if self.guard is not None:
            self.guard.wait_ms = replay_ms(prop.description.fresh_ms)

    def add(self, weights: Weights, values: Sequence[int], decimals: int) -> set[int]:
        """Take in a column of readings.

        Args:
            weights: The column's times.
            values: As many whole numbers × 10^-`decimals`.

        Returns:
            The minutes (by their end) in which something changed.
        """
        minutes, guard = self.minutes, self.guard
        if decimals != minutes.decimals:
            values = self._aligned(values, decimals)
        steady = weights.ordered and minutes.emptyings is None and weights.times[0] >= minutes.newest_ms
        if steady and (guard is None or guard.steady(values)):
            if guard is not None:
                guard.passed(weights.times[-1], values[-1])
            return minutes.add_runs(weights, values)
        changed: set[int] = set()
        for at_ms, value in zip(weights.times, values, strict=True):
            for good_ms, good in self._good(at_ms, value):
                changed |= minutes.add_one(good_ms, good)
        return changed

    def _good(self, at_ms: UtcMs, value: int) -> Sequence[tuple[UtcMs, int]]:
        """The readings that are good now that this one came."""
        guard = self.guard
        if guard is None:
            return ((at_ms, value),)
        if self.minutes.newest_ms < at_ms < guard.last_ms:
            return ()  # a block that is read again whole: closed long ago, before the reading it goes on from
        if at_ms >= self.minutes.newest_ms:
            if self.epochs.begun_in(guard.last_ms, at_ms):
                # Taken in again after a restart: what was confirmed then needs no confirmation.
                guard.begin(at_ms, value)
                return ((at_ms, value),)
            good = guard.accept(at_ms, value)
            if guard.broke is not None:
                self._break(guard)
            return good
        if self._fits(guard, at_ms, value):
            self.epochs.late(at_ms, Quantity(value, self.minutes.decimals))
            return ((at_ms, value),)
        guard.outliers += 1
        return ()

    def _break(self, guard: RegisterGuard) -> None:
        """The guard found that the register did not go on from its last reading: another epoch."""
        broke, guard.broke = guard.broke, None
        assert broke is not None
        size = self._size()
        kind = Break.JUMP
        if broke.first < broke.last:
            # Rolled over only near the register's end, and only if so much can have been counted meanwhile.
            near = size * 99 < broke.last * 100 < size * 100 and 0 <= broke.first * 100 < size
            rolled = near and guard.follows(broke.last_ms, broke.last, broke.first_ms, broke.first + size)
            kind = Break.ROLLOVER if rolled else Break.RESET
        self.epochs.begin(
            kind,
            last_ms=broke.last_ms,
            last=Quantity(broke.last, self.minutes.decimals),
            first_ms=broke.first_ms,
            first=Quantity(broke.first, self.minutes.decimals),
            size=Quantity(size, self.minutes.decimals),
        )

    def _size(self) -> int:
        """Where the register begins again at 0, in the decimals of its minutes; 0 where that is not known."""
        described = self.prop.description
        if described.rolls_at is None or self.minutes.decimals < described.decimals:
            return 0
        return described.rolls_at * int(10 ** (self.minutes.decimals - described.decimals))

    def seed(self, at_ms: UtcMs, value: Quantity) -> None:
        """What the register was when it was read last, long before a restart."""
        if self.guard is not None and self.guard.last is None:
            if value.decimals > self.minutes.decimals:
                self._aligned((), value.decimals)
            self.guard.passed(at_ms, value.rescaled(self.minutes.decimals))

    @property
    def newest(self) -> tuple[UtcMs, Quantity] | None:
        """A register's newest accepted reading."""
        if self.guard is None or self.guard.last is None:
            return None
        return self.guard.last_ms, Quantity(self.guard.last, self.minutes.decimals)

    def as_of(self, at_ms: UtcMs) -> Quantity | None:
        """A register's newest reading of an instant; None where that is no longer in memory."""
        known = [
            (minute.last_ms, minute.last)
            for minute in self.minutes.by_end.values()
            if minute.count and minute.last_ms <= at_ms
        ]
        if not known or at_ms < self.complete_from_ms:
            return None
        return Quantity(max(known)[1], self.minutes.decimals)

    def plausible(self, since_ms: UtcMs, before: Quantity, until_ms: UtcMs, after: Quantity) -> bool:
        """Whether the register can have gone from one reading to another in that time."""
        decimals = max(before.decimals, after.decimals, self.minutes.decimals)
        if self.guard is None:
            return True
        finer = int(10 ** (decimals - self.minutes.decimals))
        rise = after.rescaled(decimals) - before.rescaled(decimals)
        return self.guard.carries(until_ms - since_ms, -(-rise // finer))

    def set_limit(self, per_hour: int) -> None:
        """A person's word on what the register can grow by in an hour, in its canonical unit."""
        if self.guard is not None:
            self.guard.limit(per_hour * int(10**self.minutes.decimals))

    def _fits(self, guard: RegisterGuard, at_ms: UtcMs, value: int) -> bool:
        """Whether a register's late reading lies between those of its epoch before and after it."""
        number_at = self.epochs.number_at
        number = number_at(at_ms)
        points = [
            (minute.last_ms, minute.last)
            for minute in self.minutes.by_end.values()
            if minute.count and number_at(minute.last_ms) == number
        ]
        following = self.epochs.after(number)
        if following is not None and following.last is not None and following.last_ms is not None:
            points.append((following.last_ms, following.last.rescaled(self.minutes.decimals)))
        before = max((point for point in points if point[0] <= at_ms), default=None)
        after = min((point for point in points if point[0] > at_ms), default=None)
        if after is not None:
            return (before is None or before[1] <= value) and value <= after[1]
        # The epoch's last reading is older: a later one has to follow it.
        return before is None or guard.follows(*before, at_ms, value)

    def _aligned(self, values: Sequence[int], decimals: int) -> Sequence[int]:
        """The values with the decimals of those before; where these have fewer, they get more."""
        if decimals < self.minutes.decimals:
            factor = 10 ** (self.minutes.decimals - decimals)
            return [value * factor for value in values]
        factor = self.minutes.refine(decimals)
        if self.guard is not None:
            self.guard.rescale(factor)
        return values

    def close(self, start_ms: UtcMs, end_ms: UtcMs, length_ms: int, cause: Callable[[], Cause]) -> HalfHour:
        """What (start, end] comes to; nothing changes by asking.

        Args:
            start_ms, end_ms: The interval; whole minutes.
            length_ms: Its nominal length.
            cause: Says why it is missing, if it is.
        """
        interval = self.minutes.over(start_ms, end_ms)
        value, taken_ms, count = interval.value, interval.taken_ms, interval.readings
        state = State.MISSING if value is None else State.MEASURED
        if not count and self.guard is not None and (held := self.guard.doubtful_in(start_ms, end_ms)):
            state, count = State.SUSPECT, len(held)
            value, taken_ms = fitting(held[-1].value, self.minutes.decimals), held[-1].at_ms
        return HalfHour(
            property_id=self.prop.id,
            end_ms=end_ms,
            length_ms=length_ms,
            value=value,
            taken_ms=taken_ms,
            count=count,
            state=state,
            cause=cause() if value is None else None,
            epoch=0 if taken_ms is None or self.guard is None else self.epochs.number_at(taken_ms),
            before_emptyings=interval.emptied,
        )

    def forget(self, until_ms: UtcMs) -> None:
        """Drop the minutes that end at or before an instant; see `Minutes.forget`."""
        self.complete_from_ms = max(self.complete_from_ms, until_ms)
        self.minutes.forget(until_ms)


def _guard(prop: Property) -> RegisterGuard:
    per_hour = LARGEST_PER_HOUR.get(prop.unit, UNKNOWN_PER_HOUR)
    return RegisterGuard(
        most_per_hour=per_hour * int(10**prop.description.decimals),
        wait_ms=replay_ms(prop.description.fresh_ms),
    )
