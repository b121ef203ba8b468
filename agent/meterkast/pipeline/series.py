"""One property's readings, gathered by the minute, from which any interval is closed.

Every interval that is asked for (1, 5, 10, 15, 30, 60 minutes) consists of whole minutes of the site's wall
clock, so each reading is counted once, and a half-hour is put together from thirty minutes when it closes.
Pure: no clock, store or network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import mul

from meterkast.model.datatypes import Aggregation, Kind
from meterkast.model.emptyings import Emptyings
from meterkast.model.epoch import Break
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.limits import LARGEST_PER_HOUR, UNKNOWN_PER_HOUR
from meterkast.model.product import Property
from meterkast.model.quantity import LARGEST_WHOLE, Quantity
from meterkast.model.register import RegisterGuard
from meterkast.model.time import HOUR_MS, MINUTE_MS, UtcMs
from meterkast.pipeline.epochs import Changed, Epochs

MEAN_DECIMALS = 2
"""Digits that a mean has more than its readings."""

REPLAY_MS = 2 * HOUR_MS
"""How far before the oldest open interval readings are taken in again at a start, at least."""


def replay_ms(fresh_ms: int) -> int:
    """How far back a property's readings are taken in again at a start, and a doubtful one is remembered.

    Three readings in a row take as long as one stands.
    """
    return max(REPLAY_MS, fresh_ms + HOUR_MS)


@dataclass(slots=True)
class Minute:
    """What one minute (start, end] of a property comes to; numbers in the series' decimals.

    Attributes:
        last, last_ms: The latest reading and when it was measured.
        count: Readings in it.
        integral, covered_ms: Σ value × time it stood, and that time, in ms.
        high: The largest reading.
        emptied: The largest value before each emptying that was seen in this minute.
    """

    last: int = 0
    last_ms: UtcMs = UtcMs(-1)
    count: int = 0
    integral: int = 0
    covered_ms: int = 0
    high: int = 0
    emptied: tuple[int, ...] = ()


def minute_of(at_ms: int) -> int:
    """The end of the minute (start, end] that holds an instant."""
    return -(-at_ms // MINUTE_MS) * MINUTE_MS


class Weights:
    """How long each row of a table of readings stands, shared by all columns of the table.

    Rows are cut into runs of one minute each: (end of the minute, first row, row after the last).
    """

    def __init__(self, times: Sequence[UtcMs]) -> None:
        self.times = times
        self.runs: list[tuple[int, int, int]] = []
        first = 0
        for number in range(1, len(times) + 1):
            if number == len(times) or minute_of(times[number]) != minute_of(times[first]):
                self.runs.append((minute_of(times[first]), first, number))
                first = number
        self.ordered = list(times) == sorted(times)
        self._steps: dict[int, list[int]] = {}

    def steps(self, hold_ms: int) -> list[int]:
        """For each row but the last: how long it stands until the next, at most `hold_ms`."""
        found = self._steps.get(hold_ms)
        if found is None:
            times = self.times
            found = [min(later - at, hold_ms) for at, later in pairwise(times)]
            self._steps[hold_ms] = found
        return found


class Series:
    """One property's open minutes.

    Args:
        prop: The property; its kind and aggregation decide what is gathered.
        changed: Takes epochs that are to be kept.

    Attributes:
        minutes: By their end.
        newest_ms: When the newest accepted reading was measured; -1 before the first.
        complete_from_ms: Minutes that end at or before this are forgotten, or were never read again.
    """

    def __init__(self, prop: Property, changed: Changed) -> None:
        self.prop = prop
        self.aggregation = prop.aggregation
        self.emptyings = Emptyings(one=10**prop.description.decimals) if prop.description.emptyings else None
        self.hold_ms = prop.description.fresh_ms
        self.decimals = prop.description.decimals
        self.minutes: dict[int, Minute] = {}
        self.newest_ms = UtcMs(-1)
        self.complete_from_ms = UtcMs(-1)
        self.guard = _guard(prop) if prop.kind is Kind.REGISTER else None
        self.epochs = Epochs(prop.id, changed)
        self._standing: tuple[UtcMs, int] | None = None  # up to when the newest value was counted, and it
        self._stands_until_ms = 0

    def update(self, prop: Property) -> None:
        """The property's description changed: its device reports at another pace."""
        self.prop = prop
        self.hold_ms = prop.description.fresh_ms
        if self.guard is not None:
            self.guard.wait_ms = replay_ms(self.hold_ms)
        if self._standing is not None:
            self._stands_until_ms = self.newest_ms + self.hold_ms

    def take_peaks(self, emptied_percent: int) -> None:
        """Close by the maximum from now on, and keep the maximum before each emptying.

        Args:
            emptied_percent: A fall by more than this share of the maximum is an emptying.
        """
        self.aggregation = Aggregation.MAX
        if self.emptyings is None:
            self.emptyings = Emptyings(one=10**self.decimals)
            if self.newest_ms >= 0:
                self.emptyings.take(self.minutes[minute_of(self.newest_ms)].last)
        self.emptyings.percent = emptied_percent

    def add(self, weights: Weights, values: Sequence[int], decimals: int) -> set[int]:
        """Take in a column of readings.

        Args:
            weights: The column's times.
            values: As many whole numbers × 10^-`decimals`.

        Returns:
            The minutes (by their end) in which something changed.
        """
        if decimals != self.decimals:
            values = self._aligned(values, decimals)
        guard = self.guard
        steady = weights.ordered and self.emptyings is None and weights.times[0] >= self.newest_ms
        if steady and (guard is None or guard.steady(values)):
            if guard is not None:
                guard.passed(weights.times[-1], values[-1])
            return self._add_runs(weights, values)
        changed: set[int] = set()
        for at_ms, value in zip(weights.times, values, strict=True):
            for good_ms, good in self._good(at_ms, value):
                changed |= self._add_one(good_ms, good)
        return changed

    def _good(self, at_ms: UtcMs, value: int) -> Sequence[tuple[UtcMs, int]]:
        """The readings that are good now that this one came."""
        guard = self.guard
        if guard is None:
            return ((at_ms, value),)
        if self.newest_ms < at_ms < guard.last_ms:
            return ()  # a block that is read again whole: closed long ago, before the reading it goes on from
        if at_ms >= self.newest_ms:
            if self.epochs.begun_in(guard.last_ms, at_ms):
                # Taken in again after a restart: what was confirmed then needs no confirmation.
                guard.begin(at_ms, value)
                return ((at_ms, value),)
            good = guard.accept(at_ms, value)
            if guard.broke is not None:
                self._break(guard)
            return good
        if self._fits(guard, at_ms, value):
            self.epochs.late(at_ms, Quantity(value, self.decimals))
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
            last=Quantity(broke.last, self.decimals),
            first_ms=broke.first_ms,
            first=Quantity(broke.first, self.decimals),
            size=Quantity(size, self.decimals),
        )

    def _size(self) -> int:
        """Where the register begins again at 0, in the series' decimals; 0 where that is not known."""
        described = self.prop.description
        if described.rolls_at is None or self.decimals < described.decimals:
            return 0
        return described.rolls_at * int(10 ** (self.decimals - described.decimals))

    def seed(self, at_ms: UtcMs, value: Quantity) -> None:
        """What the register was when it was read last, long before a restart."""
        if self.guard is not None and self.guard.last is None:
            if value.decimals > self.decimals:
                self._aligned((), value.decimals)
            self.guard.passed(at_ms, value.rescaled(self.decimals))

    @property
    def newest(self) -> tuple[UtcMs, Quantity] | None:
        """A register's newest accepted reading."""
        if self.guard is None or self.guard.last is None:
            return None
        return self.guard.last_ms, Quantity(self.guard.last, self.decimals)

    def plausible(self, since_ms: UtcMs, before: Quantity, until_ms: UtcMs, after: Quantity) -> bool:
        """Whether the register can have gone from one reading to another in that time."""
        decimals = max(before.decimals, after.decimals, self.decimals)
        if self.guard is None:
            return True
        finer = int(10 ** (decimals - self.decimals))
        rise = after.rescaled(decimals) - before.rescaled(decimals)
        return self.guard.carries(until_ms - since_ms, -(-rise // finer))

    def set_limit(self, per_hour: int) -> None:
        """A person's word on what the register can grow by in an hour, in its canonical unit."""
        if self.guard is not None:
            self.guard.limit(per_hour * int(10**self.decimals))

    def _fits(self, guard: RegisterGuard, at_ms: UtcMs, value: int) -> bool:
        """Whether a register's late reading lies between those of its epoch before and after it."""
        number_at = self.epochs.number_at
        number = number_at(at_ms)
        points = [
            (minute.last_ms, minute.last)
            for minute in self.minutes.values()
            if minute.count and number_at(minute.last_ms) == number
        ]
        following = self.epochs.after(number)
        if following is not None and following.last is not None and following.last_ms is not None:
            points.append((following.last_ms, following.last.rescaled(self.decimals)))
        before = max((point for point in points if point[0] <= at_ms), default=None)
        after = min((point for point in points if point[0] > at_ms), default=None)
        if after is not None:
            return (before is None or before[1] <= value) and value <= after[1]
        # The epoch's last reading is older: a later one has to follow it.
        return before is None or guard.follows(*before, at_ms, value)

    def _aligned(self, values: Sequence[int], decimals: int) -> Sequence[int]:
        if decimals < self.decimals:
            factor = 10 ** (self.decimals - decimals)
            return [value * factor for value in values]
        factor = 10 ** (decimals - self.decimals)
        for minute in self.minutes.values():
            minute.last *= factor
            minute.integral *= factor
            minute.high *= factor
            minute.emptied = tuple(peak * factor for peak in minute.emptied)
        if self._standing is not None:
            self._standing = self._standing[0], self._standing[1] * factor
        if self.emptyings is not None:
            self.emptyings.rescale(factor)
        if self.guard is not None:
            self.guard.rescale(factor)
        self.decimals = decimals
        return values

    def _minute(self, end_ms: int) -> Minute:
        found = self.minutes.get(end_ms)
        if found is None:
            found = self.minutes[end_ms] = Minute()
        return found

    def _add_runs(self, weights: Weights, values: Sequence[int]) -> set[int]:
        times = weights.times
        means = self.aggregation is Aggregation.MEAN
        changed = set()
        for end_ms, first, after in weights.runs:
            if means:
                changed |= self._stand_until(times[first])
            minute = self._minute(end_ms)
            changed.add(end_ms)
            minute.count += after - first
            minute.last, minute.last_ms = values[after - 1], times[after - 1]
            high = max(values[first:after])  # of a mean too: it may be asked for by its peaks later
            minute.high = high if minute.count == after - first else max(minute.high, high)
            if means:
                steps = weights.steps(self.hold_ms)[first : after - 1]
                minute.integral += sum(map(mul, values[first : after - 1], steps))
                minute.covered_ms += sum(steps)
                self._stand(times[after - 1], values[after - 1])
        self.newest_ms = times[-1]
        return changed

    def _add_one(self, at_ms: UtcMs, value: int) -> set[int]:
        changed = {minute_of(at_ms)}
        in_order = at_ms >= self.newest_ms
        if self.aggregation is Aggregation.MEAN:
            if not in_order:
                return set()  # what stood then was weighed already, up to the newer value
            changed |= self._stand_until(at_ms)
        minute = self._minute(minute_of(at_ms))
        if at_ms >= minute.last_ms:
            minute.last, minute.last_ms = value, at_ms
        minute.high = value if not minute.count else max(minute.high, value)
        minute.count += 1
        if in_order:
            self.newest_ms = at_ms
            if self.aggregation is Aggregation.MEAN:
                self._stand(at_ms, value)
            if self.emptyings is not None and (peak := self.emptyings.take(value)) is not None:
                minute.emptied = (*minute.emptied, peak)
        return changed

    def _stand(self, at_ms: UtcMs, value: int) -> None:
        self._standing = at_ms, value
        self._stands_until_ms = at_ms + self.hold_ms

    def _stand_until(self, at_ms: int) -> set[int]:
        """Count the newest value up to an instant, or to where it no longer stands, minute by minute."""
        if self._standing is None:
            return set()
        since_ms, value = self._standing
        until_ms = min(at_ms, self._stands_until_ms)
        changed = set()
        now_ms: int = since_ms
        while now_ms < until_ms:
            end_ms = (now_ms // MINUTE_MS + 1) * MINUTE_MS
            step_ms = min(end_ms, until_ms) - now_ms
            minute = self._minute(end_ms)
            minute.integral += value * step_ms
            minute.covered_ms += step_ms
            changed.add(end_ms)
            now_ms += step_ms
        self._standing = UtcMs(max(since_ms, until_ms)), value
        return changed

    def close(self, start_ms: UtcMs, end_ms: UtcMs, length_ms: int, cause: Callable[[], Cause]) -> HalfHour:
        """What (start, end] comes to; nothing changes by asking.

        Args:
            start_ms, end_ms: The interval; whole minutes.
            length_ms: Its nominal length.
            cause: Says why it is missing, if it is.
        """
        found = [
            minute
            for at in range(start_ms + MINUTE_MS, end_ms + 1, MINUTE_MS)
            if (minute := self.minutes.get(at)) is not None
        ]
        counted = [minute for minute in found if minute.count]
        count = sum(minute.count for minute in counted)
        value: Quantity | None = None
        taken_ms: UtcMs | None = None
        emptied: tuple[int, ...] = ()
        if self.aggregation is Aggregation.MEAN:
            value = self._mean(found, counted, start_ms, end_ms)
        elif counted:
            latest = max(counted, key=_when)
            value, taken_ms = _fitting(latest.last, self.decimals), latest.last_ms
            if self.aggregation is Aggregation.MAX:
                value, taken_ms = Quantity(max(minute.high for minute in counted), self.decimals), None
                emptied = tuple(peak for minute in counted for peak in minute.emptied)
        state = State.MISSING if value is None else State.MEASURED
        if not counted and self.guard is not None and (held := self.guard.doubtful_in(start_ms, end_ms)):
            state, value, taken_ms = State.SUSPECT, _fitting(held[-1].value, self.decimals), held[-1].at_ms
            count = len(held)
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
            before_emptyings=emptied,
        )

    def _mean(
        self, found: Sequence[Minute], counted: Sequence[Minute], start_ms: UtcMs, end_ms: UtcMs
    ) -> Quantity | None:
        covered_ms = sum(minute.covered_ms for minute in found)
        integral = sum(minute.integral for minute in found)
        if self._standing is not None:
            since_ms, value = self._standing
            stood_ms = max(0, min(end_ms, self._stands_until_ms) - max(start_ms, since_ms))
            covered_ms += stood_ms
            integral += value * stood_ms
        if not counted and covered_ms < end_ms - start_ms:
            # Only a value that stands for all of it can speak for an interval in which nothing was read.
            return None
        if covered_ms:
            return _fitting(_rounded(integral * 10**MEAN_DECIMALS, covered_ms), self.decimals + MEAN_DECIMALS)
        # One reading exactly at the end: it stood for no time, but it belongs here.
        return _fitting(counted[-1].last, self.decimals)

    def reported(self, after_ms: int, until_ms: int) -> bool:
        """Whether anything was read in (after, until]; of what is forgotten, only the newest is known."""
        return any(after_ms < end_ms <= until_ms and minute.count for end_ms, minute in self.minutes.items())

    def forget(self, until_ms: UtcMs) -> None:
        """Drop the minutes that end at or before an instant, but for the newest in which something was read.

        That one tells a meter that reports once a day from one that fell silent.
        """
        self.complete_from_ms = max(self.complete_from_ms, until_ms)
        old = [end_ms for end_ms in self.minutes if end_ms <= until_ms]
        newest = max((end_ms for end_ms in old if self.minutes[end_ms].count), default=None)
        for end_ms in old:
            if end_ms != newest:
                del self.minutes[end_ms]


def _guard(prop: Property) -> RegisterGuard:
    per_hour = LARGEST_PER_HOUR.get(prop.unit, UNKNOWN_PER_HOUR)
    return RegisterGuard(
        most_per_hour=per_hour * int(10**prop.description.decimals),
        wait_ms=replay_ms(prop.description.fresh_ms),
    )


def _when(minute: Minute) -> UtcMs:
    return minute.last_ms


def _fitting(whole: int, decimals: int) -> Quantity:
    """The quantity, with as many decimals as 63 bits have room for: what cannot be kept would block all."""
    while abs(whole) >= LARGEST_WHOLE:
        whole, decimals = _rounded(whole, 10), decimals - 1
    return Quantity(whole, decimals)


def _rounded(numerator: int, denominator: int) -> int:
    """Integer division, half to even."""
    whole, rest = divmod(numerator, denominator)
    if rest * 2 > denominator or (rest * 2 == denominator and whole % 2):
        whole += 1
    return whole
