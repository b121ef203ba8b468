"""What is composed of half-hours for an uplink: each interval once, in order."""

from __future__ import annotations

from meterkast.model.datatypes import DatatypeId
from meterkast.model.product import PropertyId
from meterkast.model.time import HOUR_MS, MINUTE_MS

from .sites import START, Far, Site, prop, until


def test_stream_is_composed_once_per_interval_in_order_when_all_its_properties_are_closed() -> None:
    gas = prop(5, DatatypeId(51), fresh_ms=2 * HOUR_MS, late_ms=75 * MINUTE_MS)
    site, far = Site(prop(1), gas), Far()
    site.read(1, (until(1), 1))
    assert not site.bind(far, 1, 5), "a property without a reading holds the stream back"
    site.read(5, (until(0), 50))
    assert site.bind(far, 1, 5)
    for minute in range(1, 190):
        site.read(1, (until(minute), minute))
        if minute in (65, 125, 185):
            site.read(5, (until(minute - 5), 50 + minute))
        site.close(until(minute))
    assert [item.at_ms for item in site.items] == [until(30 * number) for number in range(1, 7)]
    assert far.seen == [item.at_ms for item in site.items]
    assert site.items[0].payload == b"p1=30 p5=meter reports less often"
    assert site.items[1].payload == b"p1=60 p5=115"
    assert site.composed == {("far", "m"): until(180)}


def test_new_stream_begins_with_the_interval_that_is_open_and_not_weeks_ago() -> None:
    site, far = Site(prop(1), prop(5)), Far()
    site.read(1, (until(1), 1))
    site.read(5, (until(-39 * 24 * 60), 50))
    assert site.bind(far, 1, 5)
    site.close(until(32))
    assert [item.at_ms for item in site.items] == [until(30)]
    assert len(site.rows(5)) == 39 * 48 + 2


def test_interval_with_nothing_to_send_is_passed_over_and_remembered() -> None:
    site, far = Site(prop(1)), Far()
    far.silent = True
    site.read(1, (until(1), 1))
    site.bind(far, 1)
    assert site.close(until(2)).composed == {("far", "m"): START}, "where a stream begins is kept at once"
    done = site.close(until(62))
    assert done.items == []
    assert done.composed == {("far", "m"): until(60)}


def test_fault_in_an_uplinks_code_stops_neither_closing_nor_other_streams() -> None:
    site, broken, sound = Site(prop(1)), Far(), Far()
    site.read(1, (until(1), 1))
    site.bind(broken, 1, name="broken")
    site.bind(sound, 1, name="sound")
    broken.broken = True
    for minute in range(31, 400, 5):
        site.read(1, (until(minute), minute))
        site.close(until(minute))
    assert sound.seen
    assert len(site.values(1)) == len(sound.seen)
    broken.broken = False
    site.close(until(400))
    assert broken.seen == sound.seen, "nothing was lost meanwhile"
    assert b"clock" not in b"".join(item.payload for item in site.items)
    assert {item.payload for item in site.items if item.stream == "broken"} == {
        item.payload for item in site.items if item.stream == "sound"
    }


def test_other_lengths_begin_with_the_interval_that_is_open() -> None:
    site, far = Site(prop(1)), Far()
    site.read(1, (until(7), 7))
    site.closing.also(PropertyId(1), 5 * MINUTE_MS, until(7.5))
    site.closing.also(PropertyId(1), HOUR_MS, until(7.5))
    site.closing.also(PropertyId(1), HOUR_MS, until(99))
    assert site.bind(far, 1, length_ms=5 * MINUTE_MS)
    for minute in range(8, 80):
        site.read(1, (until(minute), minute))
        site.close(until(minute))
    assert [item.at_ms for item in site.items][:3] == [until(10), until(15), until(20)]
    assert site.values(1, 5 * MINUTE_MS)[0] == 10
    assert site.values(1, HOUR_MS) == [60]
    assert site.values(1) == [30, 60]


def test_length_of_a_property_that_was_never_read_begins_later() -> None:
    site, far = Site(prop(1)), Far()
    site.closing.also(PropertyId(1), 5 * MINUTE_MS, until(7))
    assert not site.bind(far, 1, length_ms=5 * MINUTE_MS)


def test_property_that_was_not_known_in_an_interval_is_missing_there() -> None:
    site, far = Site(prop(1), prop(2)), Far()
    site.read(1, (until(1), 1))
    site.close(until(62))
    site.read(2, (until(61), 5))
    site.composed["far", "m"] = until(30)
    assert site.bind(far, 1, 2)
    site.close(until(63))
    assert [item.payload for item in site.items] == [b"p1=meter silent p2=meter silent"]
