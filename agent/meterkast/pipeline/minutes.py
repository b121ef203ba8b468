"""One property's readings, gathered by the minute.

Every interval that is asked for (1, 5, 10, 15, 30, 60 minutes) consists of whole minutes of the site's wall
clock, so each reading is counted once, and a half-hour is put together from thirty minutes when it closes.
Pure: no clock, store or network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import NamedTuple

from meterkast.model.datatypes import Aggregation
from meterkast.model.emptyings import Emptyings
from meterkast.model.product import Property
from meterkast.model.quantity import LARGEST_WHOLE, Quantity
from meterkast.model.time import MINUTE_MS, UtcMs
from meterkast.pipeline.columns import Weights, minute_of

MEAN_DECIMALS = 2
"""Digits that a mean has more than its readings."""


@dataclass(slots=True)
class Minute:
    """What one minute (start, end] of a property comes to; numbers in the decimals of `Minutes`.

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


class Interval(NamedTuple):
    """What the minutes of an interval come to together.

    Attributes:
        value: Its last, mean or largest; None where nothing can be said.
        taken_ms: When that was measured; None of a mean or a maximum.
        readings: How many were in it.
        emptied: The largest value before each emptying.
    """

    value: Quantity | None
    taken_ms: UtcMs | None
    readings: int
    emptied: tuple[int, ...]


class Minutes:
    """A property's open minutes, and what stands after the newest reading.

    Args:
        prop: Its aggregation decides what is gathered.

    Attributes:
        by_end: The minutes, by their end.
        newest_ms: When the newest reading was measured; -1 before the first.
        decimals: Of all numbers in it.
        emptyings: Sees emptyings where the property has some.
    """

    def __init__(self, prop: Property) -> None:
        self.by_end: dict[int, Minute] = {}
        self.newest_ms = UtcMs(-1)
        self.decimals = prop.description.decimals
        self.emptyings = Emptyings(one=10**prop.description.decimals) if prop.description.emptyings else None
        self._aggregation = prop.aggregation
        self._hold_ms = prop.description.fresh_ms
        self._standing: tuple[UtcMs, int] | None = None  # up to when the newest value was counted, and it
        self._stands_until_ms = 0

    def hold(self, hold_ms: int) -> None:
        """A value stands for so long from now on, the newest one too."""
        self._hold_ms = hold_ms
        if self._standing is not None:
            self._stands_until_ms = self.newest_ms + hold_ms

    def take_peaks(self, emptied_percent: int) -> None:
        """Close by the maximum from now on, and keep the maximum before each emptying.

        Args:
            emptied_percent: A fall by more than this share of the maximum is an emptying.
        """
        self._aggregation = Aggregation.MAX
        if self.emptyings is None:
            self.emptyings = Emptyings(one=10**self.decimals)
            if self.newest_ms >= 0:
                self.emptyings.take(self.by_end[minute_of(self.newest_ms)].last)
        self.emptyings.percent = emptied_percent

    def refine(self, decimals: int) -> int:
        """Hold all numbers with more decimals from now on.

        Returns:
            What each was multiplied by.
        """
        factor = int(10 ** (decimals - self.decimals))
        for minute in self.by_end.values():
            minute.last *= factor
            minute.integral *= factor
            minute.high *= factor
            minute.emptied = tuple(peak * factor for peak in minute.emptied)
        if self._standing is not None:
            self._standing = self._standing[0], self._standing[1] * factor
        if self.emptyings is not None:
            self.emptyings.rescale(factor)
        self.decimals = decimals
        return factor

    def _minute(self, end_ms: int) -> Minute:
        found = self.by_end.get(end_ms)
        if found is None:
            found = self.by_end[end_ms] = Minute()
        return found

    def add_runs(self, weights: Weights, values: Sequence[int]) -> set[int]:
        """Take in a column in order of time, none of it older than the newest reading.

        Returns:
            The minutes (by their end) in which something changed.
        """
        times = weights.times
        means = self._aggregation is Aggregation.MEAN
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
                steps = weights.steps(self._hold_ms)[first : after - 1]
                minute.integral += sum(map(mul, values[first : after - 1], steps))
                minute.covered_ms += sum(steps)
                self._stand(times[after - 1], values[after - 1])
        self.newest_ms = times[-1]
        return changed

    def add_one(self, at_ms: UtcMs, value: int) -> set[int]:
        """Take in one reading, maybe a late one; returns as `add_runs`."""
        changed = {minute_of(at_ms)}
        in_order = at_ms >= self.newest_ms
        if self._aggregation is Aggregation.MEAN:
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
            if self._aggregation is Aggregation.MEAN:
                self._stand(at_ms, value)
            if self.emptyings is not None and (peak := self.emptyings.take(value)) is not None:
                minute.emptied = (*minute.emptied, peak)
        return changed

    def _stand(self, at_ms: UtcMs, value: int) -> None:
        self._standing = at_ms, value
        self._stands_until_ms = at_ms + self._hold_ms

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

    def over(self, start_ms: UtcMs, end_ms: UtcMs) -> Interval:
        """What (start, end] comes to, from whole minutes; nothing changes by asking."""
        found = [
            minute
            for at in range(start_ms + MINUTE_MS, end_ms + 1, MINUTE_MS)
            if (minute := self.by_end.get(at)) is not None
        ]
        counted = [minute for minute in found if minute.count]
        count = sum(minute.count for minute in counted)
        if self._aggregation is Aggregation.MEAN:
            return Interval(self._mean(found, counted, start_ms, end_ms), None, count, ())
        if not counted:
            return Interval(None, None, 0, ())
        if self._aggregation is Aggregation.MAX:
            emptied = tuple(peak for minute in counted for peak in minute.emptied)
            return Interval(
                Quantity(max(minute.high for minute in counted), self.decimals), None, count, emptied
            )
        latest = max(counted, key=_when)
        return Interval(fitting(latest.last, self.decimals), latest.last_ms, count, ())

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
            return fitting(_rounded(integral * 10**MEAN_DECIMALS, covered_ms), self.decimals + MEAN_DECIMALS)
        # One reading exactly at the end: it stood for no time, but it belongs here.
        return fitting(counted[-1].last, self.decimals)

    def reported(self, after_ms: int, until_ms: int) -> bool:
        """Whether anything was read in (after, until]; of what is forgotten, only the newest is known."""
        return any(after_ms < end_ms <= until_ms and minute.count for end_ms, minute in self.by_end.items())

    def forget(self, until_ms: UtcMs) -> None:
        """Drop the minutes that end at or before an instant, but for the newest in which something was read.

        That one tells a meter that reports once a day from one that fell silent.
        """
        old = [end_ms for end_ms in self.by_end if end_ms <= until_ms]
        newest = max((end_ms for end_ms in old if self.by_end[end_ms].count), default=None)
        for end_ms in old:
            if end_ms != newest:
                del self.by_end[end_ms]


def fitting(whole: int, decimals: int) -> Quantity:
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


def _when(minute: Minute) -> UtcMs:
    return minute.last_ms
