"""Readings that come late revise what is closed, or are too late to say anything."""

from __future__ import annotations

from fractions import Fraction

from meterkast.model.datatypes import Aggregation
from meterkast.model.half_hour import Cause, State
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import HOUR_MS, MINUTE_MS
from meterkast.pipeline.recent import KEPT_MS

from .sites import POWER, WEIGHT, Far, Site, prop, until


def test_late_reading_makes_a_revision_and_leaves_the_first_as_it_was() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 100))
    site.close(until(62))
    first = list(site.rows(1))
    site.read(1, (until(40), 140))
    site.close(until(63))
    assert site.rows(1)[:2] == first
    revised = site.rows(1)[2]
    assert (revised.end_ms, revised.revision, revised.state) == (until(60), 1, State.LATE)
    assert (revised.value, revised.taken_ms, revised.cause) == (Quantity(140), until(40), None)
    assert site.closing.recent.newest(PropertyId(1)) == revised
    site.read(1, (until(50), 150))
    site.close(until(64))
    assert [(one.revision, one.value) for one in site.rows(1)[3:]] == [(2, Quantity(150))]


def test_late_reading_that_changes_nothing_makes_no_revision() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 100), (until(20), 120), (until(40), 130))
    site.close(until(63))
    site.read(1, (until(15), 110))
    assert site.close(until(64)).half_hours == []


def test_late_reading_of_a_register_lies_between_its_neighbours_or_is_held_back() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 100), (until(70), 170))
    site.close(until(92))
    assert site.values(1) == [100, Cause.METER_SILENT, 170]
    site.read(1, (until(55), 99))
    site.read(1, (until(55), 171))
    assert site.close(until(93)).half_hours == []
    site.read(1, (until(50), 150))
    site.close(until(94))
    assert site.values(1)[3:] == [150]
    assert site.rows(1)[3].state is State.LATE
    assert site.closing.registers.restarts() == {}


def test_late_reading_before_all_others_only_has_to_be_lower() -> None:
    site = Site(prop(1))
    site.read(1, (until(40), 100))
    site.close(until(62))
    site.read(1, (until(35), 101), (until(34), 90))
    site.close(until(63))
    assert site.values(1) == [100]
    assert site.closing._series[PropertyId(1)].minutes.by_end[until(34)].last == 90
    assert until(35) not in site.closing._series[PropertyId(1)].minutes.by_end


def test_late_reading_of_before_a_reset_is_taken() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 500), (until(70), 3), (until(71), 4), (until(72), 5))
    site.close(until(92))
    site.read(1, (until(40), 510))
    site.close(until(93))
    assert site.values(1) == [500, Cause.METER_SILENT, 5, 510]


def test_late_mean_is_weighed_once() -> None:
    site = Site(prop(2, POWER, fresh_ms=10 * MINUTE_MS))
    site.read(2, (until(25), 10))
    site.close(until(32))
    assert site.values(2) == [10]
    site.read(2, (until(29), 100))
    site.close(until(33))
    assert site.rows(2)[1].value == Quantity(round(Fraction(10 * 4 + 100 * 1, 5) * 100), 2)
    assert (site.rows(2)[1].revision, site.rows(2)[1].state) == (1, State.LATE)


def test_momentary_value_behind_a_newer_one_changes_no_mean() -> None:
    site = Site(prop(2, POWER, fresh_ms=10 * MINUTE_MS))
    site.read(2, (until(25), 10), (until(40), 20))
    site.close(until(62))
    site.read(2, (until(27), 5000))
    assert site.close(until(63)).half_hours == []
    gap = Site(prop(2, POWER))
    gap.read(2, (until(25), 10), (until(70), 20))
    gap.close(until(92))
    gap.read(2, (until(40), 5000))
    assert gap.close(until(93)).half_hours == [], "one value is no mean of a half-hour that is over"
    assert gap.values(2) == [10, Cause.METER_SILENT, 20]


def test_reading_too_late_to_know_the_rest_of_its_interval_changes_nothing() -> None:
    slow = prop(5, fresh_ms=2 * HOUR_MS, late_ms=24 * HOUR_MS)
    site, far = Site(prop(3, WEIGHT, aggregation=Aggregation.MAX), slow), Far()
    site.read(5, (until(1), 1))
    for minute in range(10, 700, 10):
        site.read(3, (until(minute), 100 if minute == 40 else 10))
        if minute == 10:
            assert site.bind(far, 3, 5)  # it waits for the slow one, so what it needs is kept for long
        site.close(until(minute + 1))
    before = len(site.out)
    for minute in range(31, 700, 30):  # whatever is half forgotten must not become a lower maximum
        site.read(3, (until(minute), 11))
    site.close(until(701))
    revised = [one for one in site.out[before:] if one.revision]
    assert revised
    assert {one.value for one in revised} == {Quantity(11)}
    assert min(one.end_ms for one in revised) > until(660) - KEPT_MS
    assert site.values(3)[1] == 100
