"""Slow, irregular and odd reports, as radio devices send them: half-hours are right or missing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from meterkast.model.datatypes import (
    CO2,
    DATATYPES,
    ENERGY_CONSUMED,
    METER,
    POWER,
    SENSOR,
    WATER_VOLUME,
    Aggregation,
    DatatypeId,
)
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.product import ProductId, Property, PropertyDescription, PropertyId
from meterkast.model.reading import Column, Frames
from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, MINUTE_MS, Grid, UtcMs, parse_iso
from meterkast.model.units import Unit
from meterkast.pipeline.closing import Closing

GRID = Grid(ZoneInfo("Europe/Amsterdam"))
START = parse_iso("2026-03-10T12:00:00Z")
ONE = PropertyId(1)
BATTERY = DatatypeId(10)

Reading = tuple[int, int]


def until(minutes: float) -> UtcMs:
    return UtcMs(START + int(minutes * MINUTE_MS))


class Device:
    """One value of a device, flushed minute by minute as the keeper does it, and all that came of it."""

    def __init__(self, datatype: DatatypeId, *, every_min: float = 15, **more: object) -> None:
        description = PropertyDescription(
            key="value",
            name="Value",
            datatype=datatype,
            unit=DATATYPES[datatype].unit,
            fresh_ms=int(2 * every_min * MINUTE_MS),
        )
        self.prop = Property(
            id=ONE,
            product_id=ProductId(1),
            description=replace(description, **more),  # type: ignore[arg-type]  # the fields of a description
        )
        self.emptied_percent: int | None = None
        self.out: list[HalfHour] = []
        self.closed: dict[int, UtcMs] = {}
        self.kept: list[Frames] = []
        self.closing = self._started()

    def _started(self) -> Closing:
        closing = Closing(GRID, 90_000, lambda *_: Cause.METER_SILENT)
        closing.know(self.prop, self.closed)
        if self.emptied_percent is not None:
            closing.peaks(ONE, self.emptied_percent)
        return closing

    def peaks(self, emptied_percent: int = 30) -> None:
        self.emptied_percent = emptied_percent
        self.closing.peaks(ONE, emptied_percent)

    def paced(self, every_min: float) -> None:
        """It was told to report at another pace."""
        self.prop = replace(
            self.prop,
            description=replace(self.prop.description, fresh_ms=int(2 * every_min * MINUTE_MS)),
        )
        self.closing.update(self.prop)

    def restart(self) -> None:
        """As the keeper does it: samples since two hours before what is open are read again."""
        self.closing = self._started()
        since_ms = min(self.closed.values(), default=START) - max(
            2 * HOUR_MS, self.prop.description.fresh_ms + HOUR_MS
        )
        for frames in self.kept:
            if frames.times[-1] > since_ms:
                self.closing.feed([frames], replay=True)
        newest = {row.end_ms: row for row in self.out}
        self.closing.remember(list(newest.values()), UtcMs(since_ms + HOUR_MS))

    def read(self, *readings: tuple[float, int], decimals: int = 0) -> None:
        """Reports at those minutes, in one flush."""
        frames = Frames(
            (Column(ONE, decimals),),
            [until(minute) for minute, _ in readings],
            [(value,) for _, value in readings],
        )
        self.kept.append(frames)
        self.closing.feed([frames])

    def close(self, minute: float) -> None:
        done = self.closing.close(until(minute))
        self.out += done.half_hours
        self.closed |= {length_ms: end_ms for (_, length_ms), end_ms in done.closed.items()}

    def run(
        self,
        readings: Sequence[Reading],
        minutes: int,
        restarts: frozenset[int] = frozenset(),
        decimals: int = 0,
    ) -> None:
        """Take readings in, minute by minute."""
        left = list(readings)
        for minute in range(1, minutes + 1):
            now: list[tuple[float, int]] = []
            while left and left[0][0] <= until(minute):
                at_ms, value = left.pop(0)
                now.append(((at_ms - START) / MINUTE_MS, value))
            if now:
                self.read(*now, decimals=decimals)
            self.close(minute)
            if minute in restarts:
                self.restart()

    def values(self) -> list[Decimal | Cause | None]:
        """The newest revision of each half-hour."""
        newest = {row.end_ms: row for row in self.out}
        return [row.value.decimal() if row.value else row.cause for row in newest.values()]


def mean(readings: Sequence[Reading], start_ms: int, end_ms: int, hold_ms: int) -> Fraction | None:
    """The time-weighted mean over (start, end], by brute force; None where nothing can be said."""
    covered = weighed = 0
    for number, (at, value) in enumerate(readings):
        later = readings[number + 1][0] if number + 1 < len(readings) else end_ms
        stood = min(later, at + hold_ms, end_ms) - max(at, start_ms)
        if stood > 0:
            covered += stood
            weighed += value * stood
    inside = [value for at, value in readings if start_ms < at <= end_ms]
    if not inside and covered < end_ms - start_ms:
        return None
    return Fraction(weighed, covered) if covered else Fraction(inside[-1])


def reports(every_min: float, hours: int, seed: int) -> list[Reading]:
    """Irregular reports of a room's air: some fail to come, and for hours none comes."""
    rng = random.Random(seed)
    at, value, found = float(START + rng.randint(1, 5 * MINUTE_MS)), 600, []
    silent = START + rng.randint(4, 8) * HOUR_MS
    while at < START + hours * HOUR_MS:
        if not silent < at < silent + 3 * HOUR_MS and rng.random() > 0.1:
            found.append((int(at), value))
        value += rng.randint(-90, 90)
        at += every_min * MINUTE_MS * rng.uniform(0.3, 1.5)
    return found


# Momentary values


@pytest.mark.parametrize("every_min", [1, 5, 15, 20, 40, 60])
@pytest.mark.parametrize("seed", range(3))
def test_mean_of_slow_reports_is_that_of_what_stood(every_min: int, seed: int) -> None:
    rng = random.Random(seed)
    hours = 16
    readings = reports(every_min, hours, seed)
    for restarts in (frozenset[int](), frozenset(rng.sample(range(1, hours * 60), 7))):
        device = Device(CO2, every_min=every_min)
        device.run(readings, hours * 60 + 32, restarts)
        assert len(device.out) >= 2 * hours - 1
        for row in device.out:
            known = [one for one in readings if one[0] <= row.end_ms]
            wanted = mean(known, row.end_ms - HALF_HOUR_MS, row.end_ms, 2 * every_min * MINUTE_MS)
            assert (row.value is None) == (wanted is None), row
            assert row.revision == 0
            if row.value is not None and wanted is not None:
                assert row.value.whole == round(wanted * 10**row.value.decimals)
        assert {row.state for row in device.out} == {State.MEASURED, State.MISSING}


def test_half_hour_that_is_known_in_part_and_has_no_report_of_its_own_is_missing() -> None:
    device = Device(CO2, every_min=20)
    device.run([(until(25), 500)], 130)
    # 500 stands until minute 65: all of the second half-hour, five minutes of the third.
    assert device.values() == [500, 500, Cause.METER_SILENT, Cause.METER_SILENT]
    assert [row.count for row in device.out] == [1, 0, 0, 0]


def test_one_report_speaks_for_the_part_of_its_half_hour_that_is_known() -> None:
    device = Device(CO2, every_min=20)
    device.run([(until(1), 400), (until(148), 900), (until(168), 901)], 182)
    assert device.values()[4] == 900
    assert device.out[4].count == 1


def test_value_of_a_device_told_to_report_more_often_is_not_carried_for_as_long_as_before() -> None:
    device = Device(CO2, every_min=60)
    device.read((10, 500))
    device.close(11)
    device.paced(5)
    device.close(62)
    assert device.values() == [500, Cause.METER_SILENT]
    assert mean([(until(10), 500)], START, until(30), 10 * MINUTE_MS) == 500
    device.read((70, 900), (75, 500))
    device.close(92)
    wanted = mean([(until(70), 900), (until(75), 500)], until(60), until(90), 10 * MINUTE_MS)
    assert wanted is not None
    assert device.values()[2] == round(Decimal(wanted.numerator) / wanted.denominator, 2)


def test_value_of_a_device_told_to_report_less_often_stands_for_longer() -> None:
    device = Device(CO2, every_min=5)
    device.read((25, 500))
    device.paced(60)
    device.close(122)
    assert device.values() == [500, 500, 500, 500]
    device.close(152)
    assert device.values()[4] is Cause.METER_SILENT, "it stood for 25 minutes of it, and nothing was read"
    device.restart()
    device.read((155, 700))
    device.close(182)
    assert device.values()[5] == 700


def test_pace_that_changes_and_a_restart_give_the_mean_of_the_newest_pace() -> None:
    for again in (False, True):
        device = Device(CO2, every_min=5)
        device.read((32, 500))
        device.paced(15)
        if again:
            device.restart()
        device.read((47, 800))
        device.close(62)
        assert device.values() == [round(Decimal(500 * 15 + 800 * 13) / 28, 2)]


def test_report_that_comes_behind_a_newer_one_changes_no_mean() -> None:
    device = Device(CO2, every_min=15)
    device.read((10, 400), (25, 500))
    device.read((20, 9000))
    device.close(32)
    assert device.values() == [round(Decimal(400 * 15 + 500 * 5) / 20, 2)]


def test_battery_that_reports_once_a_day_makes_no_start_hold_two_days_of_everything_else() -> None:
    battery, power = Device(BATTERY, every_min=24 * 60), Device(POWER, every_min=1)
    battery.run([(until(5), 90)], 2 * 24 * 60)
    power.run([(until(minute), minute % 7) for minute in range(1, 2 * 24 * 60)], 2 * 24 * 60)
    other = PropertyId(2)
    closing = Closing(GRID, 90_000, lambda *_: Cause.METER_SILENT)
    closing.know(battery.prop, battery.closed)
    closing.know(replace(power.prop, id=other), power.closed)
    since_ms = START - HOUR_MS
    for frames in [*battery.kept, *[replace(one, layout=(Column(other, 0),)) for one in power.kept]]:
        closing.feed([frames], replay=True)
    closing.remember([*battery.out, *[replace(row, property_id=other) for row in power.out]], since_ms)
    rows = closing.close(until(2 * 24 * 60 + 32)).half_hours
    # The battery's value stands until five minutes into the last half-hour.
    assert [(row.property_id, row.value and round(row.value.decimal())) for row in rows] == [
        (ONE, 90),
        (ONE, None),
        (other, 3),
        (other, None),
    ]
    assert len(closing._series[other].minutes) < 200


# Registers


@pytest.mark.parametrize(("every_min", "seed"), [(10, 1), (45, 2), (45, 3), (100, 4)])
def test_register_that_reports_now_and_then_gives_its_latest_reading_and_its_time(
    every_min: int, seed: int
) -> None:
    rng = random.Random(seed)
    readings, at, height = [], START + 3 * MINUTE_MS, 84_276
    while at < START + 20 * HOUR_MS:
        readings.append((at, height))
        at += int(every_min * MINUTE_MS * rng.uniform(0.8, 1.2))
        height += rng.randint(0, 900)
    device = Device(ENERGY_CONSUMED, every_min=every_min)
    device.run(readings, 20 * 60, frozenset(rng.sample(range(1200), 5)))
    for row in device.out:
        inside = [one for one in readings if row.end_ms - HALF_HOUR_MS < one[0] <= row.end_ms]
        assert (row.taken_ms, row.value and row.value.whole) == (inside[-1] if inside else (None, None))
        # Twice the interval is longer than a half-hour wherever one can pass without a report.
        assert row.cause is (None if inside else Cause.NOT_DUE)


def test_meter_that_reports_once_a_day_is_called_silent_after_two() -> None:
    device = Device(WATER_VOLUME, every_min=24 * 60)
    device.run([(until(5), 1000), (until(24 * 60 + 5), 1400)], 75 * 60, frozenset({700, 2000, 4000}))
    assert device.values()[:49] == [1000, *[Cause.NOT_DUE] * 47, 1400]
    causes = device.values()[49:]
    assert causes[:95] == [Cause.NOT_DUE] * 95
    assert set(causes[97:]) == {Cause.METER_SILENT}


SPIKES = [10**9, 10**12, 900_000]


@pytest.mark.parametrize("spike", SPIKES)
@pytest.mark.parametrize("restart", [False, True])
def test_spike_is_not_believed_and_ruins_nothing(spike: int, restart: bool) -> None:
    device = Device(ENERGY_CONSUMED)
    readings = [(until(15 * number + 1), 84_276 + 150 * number) for number in range(12)]
    readings[5] = readings[5][0], readings[5][1] + spike
    device.run(readings, 182, frozenset({77, 80} if restart else ()))
    good = [84_276 + 150 * number for number in (1, 3, 4, 7, 9, 11)]
    assert device.values() == good
    assert all(row.revision == 0 for row in device.out)
    assert device.closing.jumps() == device.closing.restarts() == {}


@pytest.mark.parametrize(("spike", "cause"), [(10**9, Cause.COUNTER_JUMPED), (3, Cause.COUNTER_RESET)])
def test_half_hour_of_which_nothing_else_is_known_says_what_was_held_back(spike: int, cause: Cause) -> None:
    device = Device(ENERGY_CONSUMED, every_min=30)
    # The next good report comes within the grace, and shows that the one before it was an outlier.
    device.run([(until(15), 5000), (until(45), spike), (until(60.5), 5200)], 92)
    assert device.values() == [5000, cause, 5200]


def test_meter_that_goes_on_a_billion_higher_is_believed_after_three_reports() -> None:
    device = Device(ENERGY_CONSUMED)
    height = [84_276, 84_300, *[10**9 + 100 * number for number in range(2, 12)]]
    device.run([(until(15 * number + 3), value) for number, value in enumerate(height)], 182)
    assert device.values() == [84_300, *[10**9 + 100 * number for number in (3, 5, 7, 9, 11)]]
    first = [row for row in device.out if row.end_ms == until(60)]
    assert [(row.cause, row.state) for row in first] == [
        (Cause.COUNTER_JUMPED, State.MISSING),
        (None, State.LATE),
    ], "missing with its cause first, and known later"
    assert device.closing.jumps() == {ONE: 1}
    assert device.closing.restarts() == {}


def test_register_that_rolls_over_goes_on_from_zero() -> None:
    device = Device(ENERGY_CONSUMED)
    height = [99_999_700 + 100 * number for number in range(3)] + [100 * number for number in range(9)]
    device.run(
        [(until(15 * number + 1), value) for number, value in enumerate(height)], 182, frozenset({50, 65})
    )
    assert device.values() == [99_999_800, 0, 200, 400, 600, 800]
    assert device.closing.restarts() == {ONE: 1}


def test_spike_while_a_reset_is_being_confirmed_is_not_taken_for_one() -> None:
    device = Device(ENERGY_CONSUMED)
    for number, value in enumerate([50_000, 50_010, 3, 10**9, 5, 6, 7, 9]):
        device.read((1 + number, value))
    device.close(32)
    assert device.values() == [9]
    assert device.out[0].count == 6
    assert (device.closing.restarts(), device.closing.jumps()) == ({ONE: 1}, {})


@pytest.mark.parametrize(("every_s", "megawatt"), [(1, 10), (10, 10), (300, 10), (300, 2), (2700, 40)])
def test_large_site_is_learned_from_its_own_readings(every_s: int, megawatt: int) -> None:
    rng = random.Random(every_s)
    device = Device(ENERGY_CONSUMED, every_min=every_s / 60)
    height, readings = 5_000_000_000, []
    for number in range(5 * 3600 // every_s if every_s > 1 else 3600):
        readings.append((START + 1000 + number * every_s * 1000, height))
        height += int(megawatt * 1_000_000 * every_s / 3600 * rng.uniform(0.4, 1))
    minutes = (readings[-1][0] - START) // MINUTE_MS
    device.run(readings, minutes)
    latest = {GRID.end_of(UtcMs(at)): value for at, value in readings}
    ends = dict.fromkeys(row.end_ms for row in device.out)
    assert device.values() == [latest.get(end_ms, Cause.NOT_DUE) for end_ms in ends]
    missing = [row.cause for row in device.out if row.value is None]
    assert missing.count(Cause.COUNTER_JUMPED) == (2 if every_s == 2700 else 0), "until three agree"
    spiked = height + 10**12
    device.read((minutes + 31, spiked))
    device.close(minutes + 63)
    assert spiked not in device.values()


@pytest.mark.parametrize(
    ("datatype", "unit", "step"),
    [
        (WATER_VOLUME, Unit.LITRE, 1000),
        (ENERGY_CONSUMED, Unit.WATT_HOUR, 10_000),
        (METER, Unit.MEGAJOULE, 1000),
    ],
)
def test_coarse_register_is_not_held_back_at_each_of_its_steps(
    datatype: DatatypeId, unit: Unit, step: int
) -> None:
    device = Device(datatype, every_min=1, unit=unit)
    device.run([(until(minute), (7 + minute // 20) * step) for minute in range(1, 181)], 182)
    assert device.values() == [(7 + minute // 20) * step for minute in range(30, 181, 30)]
    assert [row.count for row in device.out] == [30] * 6
    assert device.closing.jumps() == {}


def test_nonsense_that_happens_to_rise_steadily_is_nobodys_register() -> None:
    device = Device(ENERGY_CONSUMED)
    for number, value in enumerate([84_276, 10**12, 2 * 10**12, 31 * 10**11, 4 * 10**12, 84_400]):
        device.read((1 + 4 * number, value))
    device.close(32)
    assert device.values() == [84_400]
    assert device.out[0].count == 2


def test_what_a_register_can_rise_by_is_counted_from_its_last_reading() -> None:
    device = Device(ENERGY_CONSUMED)
    device.read((1, 1000), (19, 1001))
    device.read((20, 31_001), (21, 1002))
    device.close(32)
    assert device.values() == [1002]
    assert device.out[0].count == 3


def test_two_reports_that_the_radio_delivers_at_once_are_both_good() -> None:
    device = Device(WATER_VOLUME)
    device.read((1, 5_000), (16, 5_120), (16.001, 5_240), (16.002, 5_333))
    device.close(32)
    assert device.values() == [5_333]
    assert device.out[0].count == 4


def test_spike_that_comes_late_is_not_taken_for_a_reading_of_before_a_reset() -> None:
    device = Device(ENERGY_CONSUMED)
    device.read((10, 5000), (70, 3), (71, 4), (72, 5))
    device.read((40, 10**9))
    device.read((41, 5100))
    device.close(92)
    assert device.values() == [5000, 5100, 5]


def test_counter_of_unknown_things_is_protected_too() -> None:
    device = Device(METER)
    device.read((1, 10), (5, 12), (6, 10**9), (7, 13))
    device.close(32)
    assert device.values() == [13]
    assert device.out[0].count == 3


def test_limits_follow_decimals_that_come_later() -> None:
    device = Device(WATER_VOLUME)
    device.read((1, 5_000))
    device.read((2, 5_001_893), decimals=3)  # a gallon is no whole number of litres
    device.read((3, 5_001_893 + 10**9), decimals=3)
    device.read((4, 6_000_893), decimals=3)
    device.read((5, 5_002))
    device.close(32)
    assert device.values() == [Decimal("6000.893")]
    assert device.out[0].count == 3


@pytest.mark.parametrize("seed", range(6))
def test_restarts_between_spikes_and_resets_invent_nothing(seed: int) -> None:
    rng = random.Random(seed)
    readings, at, height = [], START + 2 * MINUTE_MS, 500_000
    truth: list[Reading] = []
    while at < START + 24 * HOUR_MS:
        height += rng.randint(0, 200)
        if rng.random() < 0.01:
            height = rng.randint(0, 50)
        truth.append((at, height))
        odd = rng.random()
        shown = height + 10 ** rng.randint(6, 12) if odd < 0.04 else 0 if odd > 0.97 else height
        readings.append((at, shown))
        at += rng.randint(2, 12) * MINUTE_MS
    device = Device(ENERGY_CONSUMED, every_min=8)
    device.run(readings, 24 * 60 + 40, frozenset(rng.sample(range(1440), 8)))
    true = set(truth)
    for row in device.out:
        if row.value is not None and row.value.whole:
            assert (row.taken_ms, row.value.whole) in true
    newest = {row.end_ms: row for row in device.out}
    assert sum(row.value is not None for row in newest.values()) >= 44


# Weights


def bin_of(*, every_min: float = 2) -> Device:
    device = Device(
        SENSOR,
        every_min=every_min,
        unit=Unit.KILOGRAM,
        decimals=1,
        aggregation=Aggregation.MAX,
        emptyings=True,
    )
    device.peaks()
    return device


def emptied(device: Device) -> list[list[Decimal]]:
    newest = {row.end_ms: row for row in device.out}
    return [
        [
            Decimal(whole).scaleb(-row.value.decimals) if row.value else Decimal(0)
            for whole in row.before_emptyings
        ]
        for row in newest.values()
    ]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("restart", [False, True])
def test_noisy_bin_is_emptied_as_often_as_it_was(seed: int, restart: bool) -> None:
    rng = random.Random(seed)
    readings, weight, peaks, full = [], 0.0, [], 60.0
    falls: list[float] = []
    for minute in range(1, 16 * 60, 2):
        if falls:
            weight = falls.pop(0)
        elif weight >= full:
            peaks.append(weight)
            falls = [*[weight * share for share in (0.8, 0.55, 0.3, 0.02)][: rng.randint(1, 4)], 0.0]
            full = rng.uniform(20, 90)
        elif rng.random() < 0.5:
            weight += rng.uniform(0, 3)
        readings.append((until(minute), round((weight + rng.gauss(0, 0.12)) * 10)))
    device = bin_of()
    device.run(readings, 16 * 60, frozenset(rng.sample(range(30, 960), 8)) if restart else frozenset(), 1)
    found = [float(one) for row in emptied(device) for one in row]
    assert len(peaks) > 2
    assert len(found) == len(peaks)
    for one, other in zip(found, peaks, strict=True):
        assert one == pytest.approx(other, abs=1)


def test_slow_emptying_with_a_tremble_on_the_way_is_one() -> None:
    device = bin_of()
    weights = [100, 85, 71, 60, 62, 40, 41, 12, 14, 3, 1, 2]
    device.run(
        [(until(2 * number + 1), 10 * weight) for number, weight in enumerate(weights)], 32, decimals=1
    )
    assert emptied(device) == [[100]]


def test_bin_that_is_emptied_twice_in_a_half_hour_and_grows_heavier_than_before() -> None:
    device = bin_of()
    weights = [40, 52, 50, 1, 0, 20, 30, 2, 30, 61]
    device.run(
        [(until(2 * number + 1), 10 * weight) for number, weight in enumerate(weights)], 32, decimals=1
    )
    assert device.values() == [61]
    assert emptied(device) == [[52, 30]]


@pytest.mark.parametrize("stop", [9, 10, 12, 15, 21])
def test_restart_in_the_middle_of_an_emptying_counts_it_once(stop: int) -> None:
    device = bin_of()
    weights = [40, 52, 50, 51, 30, 15, 1, 0, 1, 20, 30]
    device.run(
        [(until(2 * number + 1), 10 * weight) for number, weight in enumerate(weights)],
        32,
        frozenset({stop}),
        decimals=1,
    )
    assert emptied(device) == [[52]]


def test_empty_bin_that_trembles_is_not_emptied() -> None:
    device = bin_of()
    rng = random.Random(5)
    device.run([(until(minute), rng.randint(-2, 2)) for minute in range(1, 120)], 122, decimals=1)
    assert emptied(device) == [[], [], [], []]


@pytest.mark.parametrize(("percent", "found"), [(5, [100, 90]), (30, [100]), (60, [100]), (95, [])])
def test_share_that_counts_as_an_emptying_is_a_setting(percent: int, found: list[int]) -> None:
    device = bin_of()
    device.peaks(percent)
    weights = [80, 100, 20, 90, 82]
    device.run(
        [(until(5 * number + 1), 10 * weight) for number, weight in enumerate(weights)], 32, decimals=1
    )
    assert emptied(device) == [found]
