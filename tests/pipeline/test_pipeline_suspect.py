"""Half-hours that are hard to believe: kept, not sent, and decided soon."""

from __future__ import annotations

from meterkast.model.datatypes import ENERGY_CONSUMED
from meterkast.model.half_hour import Cause, State
from meterkast.model.quantity import Quantity
from meterkast.model.time import HOUR_MS

from .sites import Device, Far, Site, prop, until


def bound(site: Site, **more: object) -> Far:
    far = Far()
    for name, value in more.items():
        setattr(far, name, value)
    assert site.bind(far, 1)
    return far


def sent(site: Site) -> list[str]:
    return [one.payload.decode() for one in site.items]


def test_suspect_half_hour_keeps_its_value_and_waits() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 1000))
    bound(site)
    site.read(1, (until(40), 10**9))
    site.close(until(62))
    row = site.rows(1)[-1]
    assert (row.state, row.value, row.cause, row.taken_ms) == (
        State.SUSPECT,
        Quantity(10**9),
        None,
        until(40),
    )
    assert sent(site) == ["p1=1000"], "the suspect one is not sent"


def test_when_the_next_readings_agree_it_is_sent_as_measured() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 1000))
    bound(site, continues=True)
    site.read(1, (until(40), 10**9))
    site.close(until(62))
    site.read(1, (until(63), 10**9 + 4), (until(64), 10**9 + 5))
    site.close(until(65))
    row = site.rows(1)[-1]
    assert (row.revision, row.state, row.value, row.epoch) == (1, State.LATE, Quantity(10**9), 1)
    assert sent(site) == ["p1=1000", "p1=1000"], "it goes on from there, and no giant half-hour is sent"


def test_when_a_good_reading_follows_it_was_an_outlier() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 1000))
    far = bound(site)
    site.read(1, (until(40), 10**9))
    site.close(until(62))
    site.read(1, (until(63), 1020))
    site.close(until(64))
    row = site.rows(1)[-1]
    assert (row.revision, row.state, row.cause) == (1, State.MISSING, Cause.COUNTER_JUMPED)
    assert far.seen == [until(30), until(60)]
    site.close(until(92))
    assert sent(site) == ["p1=1000", "p1=counter jumped", "p1=1020"]


def test_low_one_that_nothing_confirms_says_so_and_holds_nothing_for_ever() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 1000))
    far = bound(site)
    site.read(1, (until(40), 7))  # and then the meter is silent
    site.close(until(120))
    assert far.seen == [until(30)]
    site.close(until(40) + 2 * HOUR_MS + 90_000)
    assert site.rows(1)[-1].cause is Cause.METER_SILENT
    revised = next(row for row in site.rows(1) if row.revision)
    assert (revised.end_ms, revised.cause) == (until(60), Cause.COUNTER_RESET)
    assert far.seen[:2] == [until(30), until(60)]


def test_three_reports_of_a_slow_device_are_waited_for() -> None:
    device = Device(ENERGY_CONSUMED, every_min=12 * 60)
    device.read((10, 1000))
    bound(device.site)
    for minute in range(30, 12 * 60, 30):
        device.close(minute + 2)
    for number in (1, 2, 3):
        device.read((number * 12 * 60 + 10, 10**9 + number))
        for minute in range(number * 12 * 60 + 30, (number + 1) * 12 * 60, 30):
            device.close(minute + 2)
    released = [row for row in device.out if row.revision]
    assert [row.value for row in released] == [Quantity(10**9 + 1), Quantity(10**9 + 2)]
    assert len(device.site.items) == (4 * 12 * 60 - 30) // 30


def test_restart_while_it_is_undecided_changes_nothing() -> None:
    for after, last in ((10**9 + 9, Quantity(10**9)), (1010, None)):
        site = Site(prop(1))
        site.read(1, (until(10), 1000))
        bound(site)
        site.read(1, (until(40), 10**9))
        site.close(until(62))
        site.restart(until(62))
        assert sent(site) == ["p1=1000"]
        site.read(1, *[(until(63 + n), after + n) for n in range(3)])
        site.close(until(70))
        assert site.rows(1)[-1].value == last
        assert site.rows(1)[-1].revision == 1
        assert len(site.items) == 2


def test_persons_limit_is_what_is_believed() -> None:
    site = Site(prop(1))
    site.closing.registers.set_limit(site.props[next(iter(site.props))].id, 3 * 25 * 230 * 3 // 2)
    site.read(1, (until(10), 1000), (until(20), 1000 + 4_000), (until(25), 1000 + 15_000))
    site.close(until(32))
    assert site.values(1) == [5000], "11 kWh in five minutes do not go through 25 A"
    assert site.closing.registers.outliers() == 0
    site.read(1, (until(26), 5_100))
    site.close(until(33))
    assert site.closing.registers.outliers() == 1
