"""The household behind the simulated P1 meter: what it used and made up to any instant from 2020 to 2040.

Everything follows from the seed and the instant, so two processes, or one before and after a restart, agree
to the watt-second. To be quick at any date, a day is one of a few kinds (month, weekend, weather, clock
change), made of quarter-hours of constant mean power; sums of whole days are kept in one table. Within a
quarter-hour the power swings in steps of 10 s whose mean is exact, so the sums stay exact too.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Europe/Amsterdam")
FIRST_DAY = date(2020, 1, 1)
LAST_DAY = date(2041, 1, 1)

QUARTER_S = 900
_STEP_S = 10
_STEPS = QUARTER_S // _STEP_S
_WEATHERS = 6

# Amsterdam, by month: half the length of the day in hours, the most the panels give in W, and how much gas
# heating takes in a quarter-hour of a cold morning in dm3.
_HALF_DAY_H = (4.1, 5.0, 5.95, 7.0, 7.9, 8.35, 8.15, 7.3, 6.3, 5.3, 4.4, 3.9)
_PANELS_W = (900, 1500, 2200, 2800, 3100, 3200, 3100, 2800, 2300, 1600, 1000, 700)
_HEATING_DM3 = (210, 190, 140, 80, 30, 0, 0, 0, 20, 70, 140, 190)
_SKY_PERCENT = (100, 85, 70, 50, 30, 15)
_NOON_UTC_H = 11.67


class Totals(NamedTuple):
    """Running totals: energy in W·s by tariff, volume in dm3 × 900 (so that a second's share is whole)."""

    import_low: int
    import_high: int
    export_low: int
    export_high: int
    gas: int
    water: int

    def plus(self, other: Totals) -> Totals:
        return Totals(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class Moment(NamedTuple):
    """The household at one second.

    Attributes:
        totals: Since always.
        low: Whether the low tariff is in force.
        net_w: Power of the three phases together; negative is export.
        phases_w: Power of each phase; negative is export.
        demand_w: Import of the running quarter-hour so far, as mean power over the whole quarter-hour.
    """

    totals: Totals
    low: bool
    net_w: int
    phases_w: tuple[int, int, int]
    demand_w: int


class Peak(NamedTuple):
    """The highest quarter-hour import and when that quarter-hour ended."""

    power_w: int
    end_s: int


@dataclass(frozen=True, slots=True)
class _DayKind:
    """One kind of day, by quarter-hours in the order they happen (92, 96 or 100 of them)."""

    phases_w: list[tuple[int, int, int]]
    low: list[bool]
    gas_dm3: list[int]
    water_dm3: list[int]
    before: list[Totals]  # sums before each quarter-hour, and at last the whole day's
    peak: Peak  # counted from midnight


@lru_cache(maxsize=8)
def household(seed: int) -> Household:
    """The household of a seed; its table is made once per process."""
    return Household(seed)


class Household:
    """Use `household(seed)`: making one takes a good tenth of a second."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._kinds: dict[tuple[int, bool, int, int, int], _DayKind] = {}
        self._swings = [_swing(mix(seed, 900 + number)) for number in range(16)]
        self._sums = [tuple(accumulate(swing, initial=0)) for swing in self._swings]
        self._dates = [FIRST_DAY + timedelta(days=n) for n in range((LAST_DAY - FIRST_DAY).days + 1)]
        midnights = [datetime(day.year, day.month, day.day, tzinfo=ZONE) for day in self._dates]
        self._starts = [int(midnight.timestamp()) for midnight in midnights]
        hours = [round(midnight.utcoffset().total_seconds()) // 3600 for midnight in midnights]  # type: ignore[union-attr]
        self._days = [self._kind_of(n, hours[n], hours[n + 1]) for n in range(len(hours) - 1)]
        self._before = list(
            accumulate((day.before[-1] for day in self._days), Totals.plus, initial=self._initial())
        )
        self._months: dict[int, Peak] = {}  # by the day after their last

    def at(self, second: int) -> Moment:
        """The household at a UTC second.

        Raises:
            ValueError: Before 2020 or after 2040.
        """
        number = self.day_of(second)
        day = self._days[number]
        slot, into = divmod(second - self._starts[number], QUARTER_S)
        pattern = mix(self._seed, second // QUARTER_S) % len(self._swings)
        step, rest = divmod(into, _STEP_S)
        percent = self._swings[pattern][step]
        # Hundredths of a second at mean power that have passed in this quarter-hour.
        passed = self._sums[pattern][step] * _STEP_S + percent * rest
        phases = day.phases_w[slot]
        net = sum(phases)
        moved = abs(net) * passed // 100
        share = _booked(net, moved, day.low[slot], day.gas_dm3[slot] * into, day.water_dm3[slot] * into)
        return Moment(
            totals=self._before[number].plus(day.before[slot]).plus(share),
            low=day.low[slot],
            net_w=_scaled(net, percent),
            phases_w=(_scaled(phases[0], percent), _scaled(phases[1], percent), _scaled(phases[2], percent)),
            demand_w=moved // QUARTER_S if net > 0 else 0,
        )

    def day_of(self, second: int) -> int:
        """The number of the local day since FIRST_DAY.

        Raises:
            ValueError: Before 2020 or after 2040.
        """
        if not self._starts[0] <= second < self._starts[-1]:
            raise ValueError("the simulated household lives from 2020 to 2040")
        return bisect_right(self._starts, second) - 1

    def midnight_s(self, number: int) -> int:
        """When the local day of that number began, UTC."""
        return self._starts[number]

    def month_peak(self, second: int) -> Peak:
        """The highest import of a whole quarter-hour in the local month so far."""
        number = self.day_of(second)
        first = number - self._dates[number].day + 1
        done = (second - self._starts[number]) // QUARTER_S
        today = _highest(self._days[number].phases_w[:done], self._starts[number])
        return max([Peak(0, self._starts[first]), *self._peaks(first, number), today], key=_power)

    def past_months(self, second: int, count: int) -> list[tuple[int, Peak]]:
        """Of the months before this one, newest first: when each ended, and its peak."""
        months: list[tuple[int, Peak]] = []
        number = self.day_of(second)
        while len(months) < count and (after := number - self._dates[number].day + 1) > 0:
            number = after - 1
            if after not in self._months:
                first = after - self._dates[number].day
                self._months[after] = max(self._peaks(first, after), key=_power)
            months.append((self._starts[after], self._months[after]))
        return months

    def _peaks(self, first: int, after: int) -> list[Peak]:
        return [
            Peak(self._days[number].peak.power_w, self._starts[number] + self._days[number].peak.end_s)
            for number in range(first, after)
        ]

    def _kind_of(self, number: int, hours: int, hours_after: int) -> _DayKind:
        day = self._dates[number]
        weather = mix(self._seed, number) % _WEATHERS
        key = (day.month, day.weekday() >= 5, weather, hours, hours_after)
        if key not in self._kinds:
            self._kinds[key] = self._make_kind(*key)
        return self._kinds[key]

    def _make_kind(self, month: int, weekend: bool, weather: int, hours: int, hours_after: int) -> _DayKind:
        kind = _DayKind([], [], [], [], [Totals(0, 0, 0, 0, 0, 0)], Peak(0, 0))
        chance = mix(self._seed, (month * 2 + weekend) * _WEATHERS + weather)
        for slot in range(96 + 4 * (hours - hours_after)):
            # The clock changes at 01:00 UTC, which is slot 8 or 12 of the local day.
            offset = hours if slot < (1 + hours) * 4 else hours_after
            wall = slot + (offset - hours) * 4
            chance = mix(chance, slot)
            sun = _sun_w(month, weather, (slot / 4 - hours) % 24, chance)
            phases = (
                _load_w(90, wall, weekend, chance),
                _load_w(50, wall, weekend, chance >> 12) + _cooking_w(wall, chance >> 24),
                _load_w(70, wall, weekend, chance >> 36) - sun,
            )
            low = weekend or not 28 <= wall < 92
            net = sum(phases)
            gas = _gas_dm3(month, wall, chance >> 8)
            water = _water_dm3(wall, weekend, chance >> 20)
            kind.phases_w.append(phases)
            kind.low.append(low)
            kind.gas_dm3.append(gas)
            kind.water_dm3.append(water)
            booked = _booked(net, abs(net) * QUARTER_S, low, gas * QUARTER_S, water * QUARTER_S)
            kind.before.append(kind.before[-1].plus(booked))
        return replace(kind, peak=_highest(kind.phases_w, 0))

    def _initial(self) -> Totals:
        # A meter that had been there for a while: up to 3 MWh and 3000 m3.
        numbers = [mix(self._seed, 700 + number) % 3_000_000 for number in range(6)]
        energy, volume = numbers[:4], numbers[4:]
        return Totals(*(wh * 3600 for wh in energy), *(dm3 * QUARTER_S for dm3 in volume))


def mix(seed: int, number: int) -> int:
    """A well-mixed 64-bit number out of two, the same everywhere, unlike hash().

    Source: the finaliser of splitmix64.
    """
    value = (seed * 0x9E3779B97F4A7C15 + number * 0xD1B54A32D192ED03 + 1) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return value ^ (value >> 31)


def _swing(chance: int) -> tuple[int, ...]:
    # Percentages of the mean; the second half mirrors the first, so that they average exactly 100.
    half = [60 + mix(chance, step) % 81 for step in range(_STEPS // 2)]
    return (*half, *(200 - percent for percent in half))


def _highest(phases_w: list[tuple[int, int, int]], start_s: int) -> Peak:
    powers = [max(0, sum(phases)) for phases in phases_w] or [0]
    slot = powers.index(max(powers))
    return Peak(powers[slot], start_s + (slot + 1) * QUARTER_S)


def _power(peak: Peak) -> int:
    return peak.power_w


def _scaled(power_w: int, percent: int) -> int:
    scaled = abs(power_w) * percent // 100
    return scaled if power_w > 0 else -scaled


def _booked(net_w: int, moved_ws: int, low: bool, gas: int, water: int) -> Totals:
    into, out = (moved_ws, 0) if net_w > 0 else (0, moved_ws)
    return Totals(into, 0, out, 0, gas, water) if low else Totals(0, into, 0, out, gas, water)


def _load_w(base_w: int, wall: int, weekend: bool, chance: int) -> int:
    morning = 120 if 28 <= wall < 36 else 0
    noon = 150 if weekend and 44 <= wall < 56 else 0
    evening = 220 if 68 <= wall < 92 else 0
    return base_w + (morning + noon + evening) * (50 + chance % 101) // 100 + chance % 37


def _cooking_w(wall: int, chance: int) -> int:
    busy = 26 <= wall < 36 or 46 <= wall < 52 or 68 <= wall < 78
    return 600 + chance % 1700 if busy and chance % 4 == 0 else 0


def _sun_w(month: int, weather: int, utc_h: float, chance: int) -> int:
    # A parabola from sunrise to sunset: only the four operations, so it is the same on every machine.
    height = 1 - ((utc_h - _NOON_UTC_H) / _HALF_DAY_H[month - 1]) ** 2
    cloud = 100 - chance % 25 if weather else 100
    return max(0, int(_PANELS_W[month - 1] * height)) * _SKY_PERCENT[weather] * cloud // 10_000


def _gas_dm3(month: int, wall: int, chance: int) -> int:
    heating = _HEATING_DM3[month - 1] * (100 if 24 <= wall < 36 else 60 if 64 <= wall < 88 else 15) // 100
    shower = 120 if 26 <= wall < 34 and chance % 5 == 0 else 0
    return heating * (80 + chance % 41) // 100 + shower


def _water_dm3(wall: int, weekend: bool, chance: int) -> int:
    awake = (32 if weekend else 26) <= wall < 92
    return chance % 60 if awake and chance % 5 == 0 else 0
