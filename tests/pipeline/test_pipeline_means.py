"""A momentary value's half-hour is what stood, however irregularly a device reports."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from meterkast.model.datatypes import CO2
from meterkast.model.half_hour import Cause, State
from meterkast.model.quantity import Quantity
from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, MINUTE_MS

from .sites import POWER, START, Device, Reading, Site, expected_mean, prop, until


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


def test_mean_is_weighted_by_how_long_each_value_stood() -> None:
    site = Site(prop(2, POWER, fresh_ms=60_000))
    site.read(2, (until(0), 1), (until(1), 100), (until(1.5), 1000), (until(5), 40), (until(5) + 1000, 70))
    site.close(until(32))
    # 1 for 60 s, 100 for 30 s, 1000 for its 60 s, 40 for 1 s, 70 for its 60 s
    weighed = Fraction(1 * 60 + 100 * 30 + 1000 * 60 + 40 + 70 * 60, 60 + 30 + 60 + 1 + 60)
    value = site.rows(2)[-1].value
    assert value == Quantity(round(weighed * 100), 2)
    assert site.rows(2)[-1].count == 4


def test_value_that_stands_for_all_of_a_half_hour_speaks_for_it() -> None:
    site = Site(prop(2, POWER, fresh_ms=HOUR_MS))
    site.read(2, (until(20), 7))
    site.close(until(125))
    assert site.values(2) == [7, 7, Cause.METER_SILENT, Cause.METER_SILENT]
    assert [one.count for one in site.rows(2)] == [1, 0, 0, 0]


def test_one_reading_exactly_at_the_end_is_the_mean() -> None:
    site = Site(prop(2, POWER))
    site.read(2, (until(30), 9))
    site.close(until(32))
    assert site.rows(2)[0].value == Quantity(9, 0)


@pytest.mark.parametrize(("value", "mean"), [(1, 0), (3, 2), (5, 2), (-1, 0), (-3, -2)])
def test_mean_in_the_middle_of_two_digits_is_rounded_to_the_even_one(value: int, mean: int) -> None:
    site = Site(prop(2, POWER, fresh_ms=199_000))
    site.read(2, (until(1), value), (until(1) + 1000, 0))  # one second of two hundred
    site.close(until(32))
    assert site.rows(2)[0].value == Quantity(mean, 2)


def test_description_may_change_how_long_a_value_stands() -> None:
    first = prop(2, POWER, fresh_ms=1000)
    site = Site(first)
    site.closing.update(replace(first, description=replace(first.description, fresh_ms=HOUR_MS)))
    site.closing.update(prop(77))
    site.read(2, (until(15), 7))
    site.close(until(62))
    assert site.values(2) == [7, 7]


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
            wanted = expected_mean(known, row.end_ms - HALF_HOUR_MS, row.end_ms, 2 * every_min * MINUTE_MS)
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
    assert expected_mean([(until(10), 500)], START, until(30), 10 * MINUTE_MS) == 500
    device.read((70, 900), (75, 500))
    device.close(92)
    wanted = expected_mean([(until(70), 900), (until(75), 500)], until(60), until(90), 10 * MINUTE_MS)
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


def test_report_behind_a_newer_one_costs_nothing_of_those_that_come_with_it() -> None:
    device = Device(CO2, every_min=15)
    device.read((10, 400))
    device.read((5, 9000), (20, 500), (15, 9000), (25, 600))
    device.close(32)
    assert device.values() == [round(Decimal(400 * 10 + 500 * 5 + 600 * 5) / 20, 2)]
    assert device.out[0].count == 3
