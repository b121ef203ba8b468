"""What a register cannot be is held back, and invents nothing."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from meterkast.model.datatypes import ENERGY_CONSUMED, METER, WATER_VOLUME
from meterkast.model.half_hour import Cause, State
from meterkast.model.product import PropertyId
from meterkast.model.time import MINUTE_MS, UtcMs

from .sites import GRID, START, Device, until

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
    assert device.closing.registers.outliers() == 1
    assert device.closing.registers.jumps() == device.closing.registers.restarts() == {}


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
        (None, State.SUSPECT),
        (None, State.LATE),
    ], "suspect first, and known later"
    assert device.closing.registers.jumps() == {PropertyId(1): 1}
    assert device.closing.registers.restarts() == {}


def test_register_that_rolls_over_goes_on_from_zero() -> None:
    device = Device(ENERGY_CONSUMED)
    height = [99_999_700 + 100 * number for number in range(3)] + [100 * number for number in range(9)]
    device.run(
        [(until(15 * number + 1), value) for number, value in enumerate(height)], 182, frozenset({50, 65})
    )
    assert device.values() == [99_999_800, 0, 200, 400, 600, 800]
    assert device.closing.registers.restarts() == {PropertyId(1): 1}


def test_spike_while_a_reset_is_being_confirmed_is_not_taken_for_one() -> None:
    device = Device(ENERGY_CONSUMED)
    for number, value in enumerate([50_000, 50_010, 3, 10**9, 5, 6, 7, 9]):
        device.read((1 + number, value))
    device.close(32)
    assert device.values() == [9]
    assert device.out[0].count == 6
    assert (device.closing.registers.restarts(), device.closing.registers.jumps()) == ({PropertyId(1): 1}, {})


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
    suspect = [row for row in device.out if row.state is State.SUSPECT]
    assert len(suspect) == (2 if every_s == 2700 else 0), "until three agree"
    assert device.closing.registers.jumps() == {}
    spiked = height + 10**12
    device.read((minutes + 31, spiked))
    device.close(minutes + 63)
    assert all(row.state is State.SUSPECT for row in device.out if row.value and row.value.whole == spiked)


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
