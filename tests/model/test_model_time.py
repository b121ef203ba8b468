"""The grid of half-hours follows the site's wall clock, through every change of it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterkast.model.errors import ConfigError
from meterkast.model.time import (
    DAY_MS,
    HALF_HOUR_MS,
    HOUR_MS,
    MINUTE_MS,
    Grid,
    UtcMs,
    from_datetime,
    iso_local,
    iso_utc,
    parse_iso,
    to_datetime,
    zone,
)

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
ZONES = (
    "Europe/Amsterdam",
    "Asia/Kathmandu",  # +05:45
    "Australia/Lord_Howe",  # changes by half an hour
    "America/St_Johns",  # -03:30, and changed at 00:01 until 2011
    "Pacific/Apia",  # left out a day in 2011
    "America/Sao_Paulo",  # changed at midnight
    "UTC",
)
LENGTHS = tuple(minutes * MINUTE_MS for minutes in (1, 5, 10, 15, 30, 60))
GRIDS = {name: Grid(ZoneInfo(name)) for name in ZONES}
INSTANTS = st.integers(
    int(datetime(1990, 1, 1, tzinfo=UTC).timestamp() * 1000),
    int(datetime(2060, 1, 1, tzinfo=UTC).timestamp() * 1000),
).map(UtcMs)


def at(text: str, where: tzinfo = AMSTERDAM) -> UtcMs:
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=where))


def transitions(name: str, years: range) -> list[UtcMs]:
    """Every instant of those years at which the zone's offset changes, to the minute."""
    found = []
    where = ZoneInfo(name)
    for year in years:
        low = datetime(year, 1, 1, tzinfo=UTC)
        for _ in range(366):
            high = low + timedelta(days=1)
            if low.astimezone(where).utcoffset() != high.astimezone(where).utcoffset():
                a, b = low, high
                while b - a > timedelta(minutes=1):
                    middle = a + (b - a) // 2
                    middle = middle.replace(second=0, microsecond=0)
                    if middle.astimezone(where).utcoffset() == low.astimezone(where).utcoffset():
                        a = middle if middle != a else b
                    else:
                        b = middle
                found.append(from_datetime(b))
            low = high
    return found


def test_instant_at_exactly_four_belongs_to_the_half_hour_that_ends_then() -> None:
    grid = Grid(AMSTERDAM)
    four = at("2026-03-10 16:00:00")
    assert grid.end_of(four) == four
    assert grid.end_of(UtcMs(four + 1)) == four + HALF_HOUR_MS
    assert grid.end_of(UtcMs(four - 1)) == four
    assert grid.start_of(four) == four - HALF_HOUR_MS
    assert grid.next_end(four) == four + HALF_HOUR_MS


@pytest.mark.parametrize(
    ("day", "half_hours"),
    [(date(2026, 3, 29), 46), (date(2026, 10, 25), 50), (date(2026, 6, 1), 48)],
)
def test_day_on_which_the_clock_changes_has_46_or_50_half_hours(day: date, half_hours: int) -> None:
    grid = Grid(AMSTERDAM)
    first, last = grid.day(day)
    ends = list(grid.ends(first, last))
    assert len(ends) == half_hours
    assert ends[-1] == last
    assert all(later - earlier == HALF_HOUR_MS for earlier, later in pairwise([first, *ends]))
    assert {grid.date_of(end) for end in ends} == {day}


def test_half_hours_of_kathmandu_lie_at_a_quarter_past_and_to_in_utc() -> None:
    grid = GRIDS["Asia/Kathmandu"]
    end = grid.end_of(at("2026-03-10 12:10:00", ZoneInfo("Asia/Kathmandu")))
    assert to_datetime(end).strftime("%H:%M") == "06:45"
    assert iso_local(end, grid.zone) == "2026-03-10T12:30:00.000+05:45"


def test_lord_howe_changes_by_half_an_hour_and_keeps_whole_half_hours() -> None:
    grid = GRIDS["Australia/Lord_Howe"]
    for day, half_hours in ((date(2026, 4, 5), 49), (date(2026, 10, 4), 47)):
        assert len(list(grid.ends(*grid.day(day)))) == half_hours


def test_hours_across_a_change_of_half_an_hour_last_longer_but_none_is_left_out() -> None:
    grid = GRIDS["Australia/Lord_Howe"]
    first, last = grid.day(date(2026, 4, 5))
    ends = [first, *grid.ends(first, last, HOUR_MS)]
    assert sorted({later - earlier for earlier, later in pairwise(ends)}) == [HOUR_MS, HOUR_MS * 3 // 2]
    assert ends[-1] == last
    assert [grid.start_of(end, HOUR_MS) for end in ends[1:]] == ends[:-1]


def test_change_at_one_minute_past_midnight_is_followed_to_the_minute() -> None:
    where = ZoneInfo("America/St_Johns")
    grid = GRIDS["America/St_Johns"]
    change = parse_iso("2010-03-14T03:31:00Z")
    assert grid.offset_ms(UtcMs(change - 1)) == -(3 * 60 + 30) * MINUTE_MS
    assert grid.offset_ms(change) == -(2 * 60 + 30) * MINUTE_MS
    for minute in range(-90, 91):
        moment = UtcMs(change + minute * MINUTE_MS)
        delta = to_datetime(moment, where).utcoffset()
        assert delta is not None
        assert grid.offset_ms(moment) == delta.total_seconds() * 1000


def check(name: str, moment: UtcMs, length: int) -> None:
    grid = GRIDS[name]
    end = grid.end_of(moment, length)
    start = grid.start_of(end, length)
    assert start < moment <= end
    assert grid.next_end(start, length) == end
    assert grid.end_of(end, length) == end
    assert grid.end_of(UtcMs(start + 1), length) == end
    assert grid.start_of(grid.next_end(end, length), length) == end
    shown = to_datetime(end, grid.zone)
    minutes = shown.hour * 60 + shown.minute
    assert shown.second == shown.microsecond == 0
    assert minutes * MINUTE_MS % length == 0
    assert list(grid.ends(start, end, length)) == [end]


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.sampled_from(ZONES), INSTANTS, st.sampled_from(LENGTHS))
def test_every_instant_lies_in_exactly_one_interval(name: str, moment: UtcMs, length: int) -> None:
    check(name, moment, length)


@pytest.mark.parametrize("name", [name for name in ZONES if name != "UTC"])
def test_every_instant_around_a_change_of_the_clock_lies_in_exactly_one_interval(name: str) -> None:
    for change in transitions(name, range(2009, 2012)):
        for offset in range(-150 * MINUTE_MS, 150 * MINUTE_MS, 7 * MINUTE_MS + 1):
            for length in (5 * MINUTE_MS, HALF_HOUR_MS):
                check(name, UtcMs(change + offset), length)
        for length in LENGTHS:
            check(name, change, length)
            check(name, UtcMs(change - 1), length)
            check(name, UtcMs(change + 1), length)


def test_grid_answers_for_more_instants_than_it_remembers() -> None:
    grid = Grid(AMSTERDAM)
    first = at("2026-01-01 00:00:00")
    for minute in range(5000):
        grid.offset_ms(UtcMs(first + minute * MINUTE_MS))
    assert len(grid._offsets) <= 4097
    assert grid.offset_ms(first) == HOUR_MS


def test_day_begins_after_a_midnight_that_the_clock_leaves_out() -> None:
    grid = GRIDS["America/Sao_Paulo"]
    first, last = grid.day(date(2018, 11, 4))
    assert iso_local(first, grid.zone) == "2018-11-04T01:00:00.000-02:00"
    assert last - first == DAY_MS - HOUR_MS


@settings(max_examples=200, deadline=None, derandomize=True)
@given(INSTANTS, st.sampled_from(ZONES))
def test_local_text_always_has_milliseconds_and_a_numeric_offset(moment: UtcMs, name: str) -> None:
    text = iso_local(moment, ZoneInfo(name))
    head, millis = text[:19], text[19:23]
    assert datetime.fromisoformat(head)
    assert millis == f".{moment % 1000:03d}"
    assert text[23] in "+-"
    assert len(text) == 29
    assert text[26] == ":"
    assert parse_iso(text) == moment


def test_local_text_is_as_the_platforms_document_it() -> None:
    moment = from_datetime(datetime(2017, 3, 15, 15, tzinfo=timezone(timedelta(hours=8))))
    assert iso_local(moment, timezone(timedelta(hours=8))) == "2017-03-15T15:00:00.000+08:00"
    assert iso_local(moment, UTC) == "2017-03-15T07:00:00.000+00:00"


def test_utc_text_has_milliseconds_only_where_there_are_any() -> None:
    assert iso_utc(UtcMs(0)) == "1970-01-01T00:00:00Z"
    assert iso_utc(UtcMs(1_005)) == "1970-01-01T00:00:01.005Z"
    assert parse_iso("1970-01-01T00:00:01.005Z") == 1_005


def test_instants_before_1970_keep_their_milliseconds() -> None:
    assert from_datetime(to_datetime(UtcMs(-1))) == -1


@pytest.mark.parametrize("text", ["2026-03-10T16:00:00", "yesterday", ""])
def test_text_without_an_offset_is_no_instant(text: str) -> None:
    with pytest.raises(ValueError, match=r"time zone|[Ii]so"):
        parse_iso(text)


@pytest.mark.parametrize("name", ["Europe/Amstredam", "", "../etc/passwd", "Europe"])
def test_unknown_zone_is_named_with_a_cure(name: str) -> None:
    with pytest.raises(ConfigError, match="unknown") as caught:
        zone(name)
    assert "Europe/Amsterdam" in caught.value.hint


def test_zone_without_an_offset_counts_as_utc() -> None:
    class Nowhere(tzinfo):
        def utcoffset(self, moment: datetime | None) -> None:
            return None

        def fromutc(self, moment: datetime) -> datetime:
            return moment

    assert Grid(Nowhere()).offset_ms(UtcMs(0)) == 0
