"""Green means end to end."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from meterkast import words
from meterkast.model.time import HOUR_MS
from meterkast.web import tones

from .house import House


async def test_a_meter_is_green_only_when_fresh_and_measured(house: House) -> None:
    snapshot = house.snapshot
    meter = snapshot.products[0]
    assert tones.of_product(meter, snapshot).name == "good"
    assert tones.of_product(replace(meter, fresh=False), snapshot).name == "problem"
    first = meter.properties[0]
    for state, value, cause in (("missing", None, "link lost"), ("suspect", "9", None)):
        last = replace(first.last_half_hour, state=state, value=value, cause=cause)
        changed = replace(meter, properties=(replace(first, last_half_hour=last),))
        assert tones.of_product(changed, snapshot).name == "attention"
    unclosed = replace(meter, properties=(replace(first, last_half_hour=None),))
    assert tones.of_product(unclosed, snapshot).name == "wait"
    old = replace(first.last_half_hour, end_ms=first.last_half_hour.end_ms - 4 * HOUR_MS)
    stuck = replace(meter, properties=(replace(first, last_half_hour=old),))
    assert tones.of_product(stuck, snapshot).name == "attention"


async def test_a_meter_that_was_never_read_may_take_its_time_at_first(house: House) -> None:
    snapshot = house.snapshot
    silent = replace(
        snapshot.products[1],
        fresh=False,
        properties=(replace(snapshot.products[1].properties[0], value=None, fresh=False),),
    )
    assert tones.of_product(silent, snapshot).name == "problem"
    just_started = replace(snapshot, started_ms=snapshot.clock.now_ms - 30_000)
    assert tones.of_product(silent, just_started).name == "wait"


@pytest.mark.parametrize(
    ("changes", "tone"),
    [
        ({}, "good"),
        ({"state": "sending", "backlog": 1}, "good"),
        ({"last_acknowledged_ms": None}, "wait"),
        ({"state": "waiting"}, "attention"),
        ({"state": "paused"}, "problem"),
        ({"backlog": 900, "oldest_pending_ms": 0}, "wait"),
    ],
)
async def test_an_uplink_is_green_only_when_the_platform_acknowledged(
    house: House, changes: dict[str, Any], tone: str
) -> None:
    uplink = replace(house.snapshot.uplinks[0], **changes)
    assert tones.of_uplink(uplink, house.snapshot.clock.now_ms).name == tone


async def test_what_is_set_aside_or_unbound_is_not_green(house: House) -> None:
    uplink = house.snapshot.uplinks[0]
    for change in ({"quarantined": 1}, {"bound": False}, {"problem": "no such channel"}):
        worse = replace(uplink, streams=(replace(uplink.streams[0], **change),))
        assert tones.of_uplink(worse, house.snapshot.clock.now_ms).name == "attention"


def test_lengths_of_time_and_sizes_are_words() -> None:
    assert [words.ago(seconds) for seconds in (0.4, 3.9, 61, 7200, 200_000)] == [
        "now",
        "3 s ago",
        "1 min ago",
        "2 h ago",
        "2 days ago",
    ]
    assert [words.size(count) for count in (0, 999, 1000, 48_200_000, 11_400_000_000)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "48 MB",
        "11 GB",
    ]
