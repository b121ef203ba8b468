"""How long a backlog will take: from what was acknowledged of late, and never invented."""

from __future__ import annotations

import asyncio

import pytest

from meterkast import words
from meterkast.model.time import UtcMs
from meterkast.pipeline import delivery as delivery_module
from meterkast.pipeline.pace import STALE_S, Pace, longest_s
from meterkast.pipeline.turns import Turns

from .far_end import START, Bench, down, names


def acknowledged(pace: Pace, since_s: float, until_s: float, every_s: float, items: int = 1) -> None:
    """So many items each time, from one instant to another."""
    for number in range(int((until_s - since_s) / every_s) + 1):
        pace.acknowledged(items, at(since_s + number * every_s))


def at(seconds: float) -> UtcMs:
    return UtcMs(START + round(seconds * 1000))


def test_steady_pace_is_the_estimate_whatever_the_size_of_the_batches() -> None:
    for every_s, items in ((0.5, 1), (2.0, 4), (24.0, 48)):
        pace = Pace()
        acknowledged(pace, 0, 240, every_s, items)
        left_s = pace.left_s(1200, at(240))
        assert left_s == pytest.approx(600, rel=0.25)


def test_pace_that_changed_is_followed_within_minutes() -> None:
    pace = Pace()
    acknowledged(pace, 0, 300, 0.1)
    assert pace.left_s(6000, at(300)) == pytest.approx(600, rel=0.05)
    acknowledged(pace, 301, 600, 1.0)
    assert pace.left_s(6000, at(600)) == pytest.approx(6000, rel=0.1)


def test_nothing_is_said_before_two_acknowledgements_nor_when_they_stopped() -> None:
    pace = Pace()
    assert pace.left_s(10, at(0)) is None
    pace.acknowledged(48, at(0))
    assert pace.left_s(10, at(30)) is None
    pace.acknowledged(48, at(5))
    assert pace.left_s(96, at(5)) == pytest.approx(10, rel=0.05)
    assert pace.left_s(96, at(65)) > 20, "it grows while nothing comes"
    assert pace.left_s(96, at(6 + STALE_S)) is None
    pace.acknowledged(48, at(4000))
    assert pace.left_s(96, at(4001)) is None, "an hour without the platform says nothing of its pace"


def test_instant_acknowledgements_and_a_clock_that_was_set_back_make_no_estimate() -> None:
    pace = Pace()
    for _ in range(100):
        pace.acknowledged(1, at(10))
    assert pace.left_s(1000, at(10)) is None
    pace.acknowledged(1, at(-5000))
    assert pace.left_s(1000, at(-5000)) is None


@pytest.mark.parametrize(
    ("waits", "longest"),
    [
        ([], None),
        ([(0, None), (0, None)], None),
        ([(10, 60.0), (5, 90.0), (0, None)], 90.0),
        ([(10, 60.0), (5, None)], None),
    ],
)
def test_all_are_done_when_the_slowest_is_and_one_unknown_makes_it_unknown(
    waits: list[tuple[int, float | None]], longest: float | None
) -> None:
    assert longest_s(waits) == longest


@pytest.mark.parametrize(
    ("half_hours", "left_s", "text"),
    [
        (1488, 1500.0, "1,488 half-hours waiting, about 25 minutes"),
        (1, None, "1 half-hour waiting"),
        (2, 20.0, "2 half-hours waiting, less than a minute"),
        (2, 61.0, "2 half-hours waiting, about 1 minute"),
        (48, 7000.0, "48 half-hours waiting, about 2 hours"),
        (9000, 200_000.0, "9,000 half-hours waiting, about 2 days"),
    ],
)
def test_estimate_is_told_in_the_installers_words(half_hours: int, left_s: float | None, text: str) -> None:
    assert words.waiting(half_hours, left_s) == text


async def test_delivery_knows_how_long_its_backlog_takes_only_while_it_delivers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "TURN_S", 0.0)
    reachable = False
    bench.platform.answer = lambda *_: None if reachable else down()
    await bench.put("m1", *names(400))
    await bench.start()
    await bench.clock.pass_s(3600)
    assert bench.delivery.left_s() is None, "nothing was delivered yet"

    reachable, paced = True, bench.platform.deliver

    async def slow(stream: str, items: object) -> str:
        await bench.clock.sleep(2.0)
        return await paced(stream, items)  # type: ignore[arg-type]  # the items as they came

    bench.platform.deliver = slow  # type: ignore[method-assign]
    while bench.status("m1").pending > 200:
        await bench.clock.pass_s(1)
    # Ten items in two seconds.
    assert bench.delivery.left_s() == pytest.approx(40, rel=0.2)
    while bench.status("m1").pending:
        await bench.clock.pass_s(1)
    assert bench.delivery.left_s() is None, "nothing waits"


async def test_new_half_hour_of_another_stream_is_next_after_the_turn_that_runs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "TURN_S", 0.0)
    bench.platform.gate = asyncio.Event()
    for stream in ("a", "b", "c"):
        await bench.put(stream, *names(1488))
    await bench.start()
    assert [one.stream for one in bench.platform.calls] == ["a"]
    await bench.put("new", "n0")
    bench.platform.gate.set()
    await bench.clock.settle()
    order = [one.stream for one in bench.platform.calls]
    assert order.index("new") == 1, "a month's backlog of three others does not hold it up"
    assert bench.taken("new") == ["n0"]
    assert [bench.taken(stream) for stream in ("a", "b", "c")] == [names(1488)] * 3


def test_streams_with_new_items_all_the_time_do_not_keep_others_waiting() -> None:
    turns, served = Turns(["old"] + [f"s{number}" for number in range(4)]), []
    assert turns.begin() == "old"
    turns.end("old", ["old", "new"])
    for _ in range(12):
        name = turns.begin()
        served.append(name)
        # Each that was served has something again at once; "old" has still its month.
        turns.end(name, ["old", *served])
    assert served[0] == "new"
    assert served.count("old") == 2
    assert served == ["new", "s0", "s1", "s2", "s3", "old", "new", "s0", "s1", "s2", "s3", "old"]
