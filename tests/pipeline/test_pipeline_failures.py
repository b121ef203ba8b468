"""Whatever fails, the platform, a setting, the database or our own code: all is kept and tried again."""

from __future__ import annotations

import logging
import random
from itertools import pairwise

import pytest

import meterkast.pipeline.breaker as breaker_module
from meterkast.model.errors import MisconfiguredError
from meterkast.model.time import DAY_MS
from meterkast.pipeline.backoff import Backoff
from meterkast.pipeline.breaker import CAP_S, PROBE_FIRST_S, PROBE_S

from .far_end import START, Bench, down, names, refused


async def test_platform_that_is_down_is_tried_with_growing_waits_and_loses_nothing(bench: Bench) -> None:
    bench.platform.answer = lambda *_: down()
    await bench.put("m1", *names(3))
    await bench.start()
    assert (bench.delivery.breaker.state, bench.delivery.breaker.detail) == ("waiting", "no route")
    assert bench.delivery.breaker.hint == "Check the cable."
    await bench.clock.pass_s(2000)
    gaps = [later - earlier for earlier, later in pairwise(bench.platform.times())]
    assert gaps[:8] == [5, 10, 20, 40, 80, 160, 300, 300]
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(CAP_S)
    assert bench.taken("m1") == names(3)
    assert (bench.delivery.breaker.state, bench.delivery.breaker.detail) == ("idle", "")
    assert bench.platform.calls[-1].items[0].tries > len(gaps)
    bench.platform.answer = lambda *_: down()
    await bench.put("m1", "z")
    await bench.clock.pass_s(1)
    before = len(bench.platform.calls)
    await bench.clock.pass_s(6)
    assert len(bench.platform.calls) == before + 1, "the waits begin small again"


async def test_waits_are_spread_by_full_jitter(bench: Bench) -> None:
    bench.random = 0.25
    bench.platform.answer = lambda *_: down()
    await bench.put("m1", "a")
    await bench.start()
    await bench.clock.pass_s(100)
    gaps = [later - earlier for earlier, later in pairwise(bench.platform.times())]
    assert gaps[:4] == [1.25, 2.5, 5, 10]


def test_wait_is_uniform_below_its_bound_and_never_below_what_is_asked() -> None:
    rng = random.Random(4)
    backoff = Backoff(5, 300, rng.random)
    for failure in range(2000):
        assert 0 <= backoff.next_s() <= min(300, 5 * 2**failure)
    assert backoff.next_s(400) == 400
    backoff.reset()
    assert backoff.failures == 0
    assert backoff.next_s() <= 5


async def test_platform_that_asks_to_be_left_alone_is(bench: Bench) -> None:
    bench.platform.answer = lambda *_: down(retry_after_s=600.0)
    await bench.put("m1", "a")
    await bench.put("m2", "b")
    await bench.start()
    await bench.clock.pass_s(599)
    assert bench.platform.times() == [0]
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(2)
    assert (bench.taken("m1"), bench.taken("m2")) == (["a"], ["b"])


async def test_one_stream_in_trouble_does_not_hold_up_the_others(bench: Bench) -> None:
    bench.platform.answer = lambda stream, _: down() if stream == "bad" else None
    await bench.put("bad", *names(5))
    await bench.put("good", *names(30))
    await bench.start()
    await bench.clock.pass_s(1)
    assert bench.taken("good") == names(30)
    for number in range(5):
        await bench.put("good", f"later {number}")
        await bench.clock.pass_s(60)
    assert len(bench.taken("good")) == 35
    assert bench.delivery.stream_state("bad").paused == "no route", "the page shows what is behind"
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(CAP_S)
    assert bench.taken("bad") == names(5)
    assert bench.delivery.stream_state("bad").paused == ""


@pytest.mark.parametrize("error", [down(), MisconfiguredError("wrong password", hint="."), refused()])
async def test_clock_that_is_set_back_does_not_make_a_platform_wait_longer(
    bench: Bench, error: Exception
) -> None:
    bench.platform.answer = lambda *_: error
    await bench.put("m1", "a", at_ms=START - 2 * DAY_MS)
    await bench.start()
    bench.platform.answer = lambda *_: None
    bench.clock.set_by(-DAY_MS)
    await bench.clock.pass_s(1)
    assert bench.taken("m1") == []
    await bench.clock.pass_s(60)
    assert bench.taken("m1") == ["a"]


async def test_two_streams_that_fail_in_a_row_open_the_breaker_for_all(bench: Bench) -> None:
    bench.platform.answer = lambda *_: down()
    for stream in ("m1", "m2", "m3", "m4"):
        await bench.put(stream, "a")
    await bench.start()
    assert [one.stream for one in bench.platform.calls] == ["m1", "m2"]
    await bench.clock.pass_s(4.9)
    assert len(bench.platform.calls) == 2
    await bench.clock.pass_s(0.2)
    assert len(bench.platform.calls) == 3, "one stream tries the way for all"
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(30)
    assert all(bench.taken(stream) == ["a"] for stream in ("m1", "m2", "m3", "m4"))


async def test_misconfigured_uplink_keeps_all_says_so_and_is_probed_rarely(bench: Bench) -> None:
    bench.platform.answer = lambda *_: MisconfiguredError("wrong password", hint="Correct it.")
    await bench.put("m1", "a")
    await bench.put("m2", "b")
    await bench.start()
    assert (bench.delivery.breaker.state, bench.delivery.breaker.detail) == ("paused", "wrong password")
    assert bench.delivery.breaker.hint == "Correct it."
    await bench.clock.pass_s(PROBE_FIRST_S + 3 * PROBE_S + 1)
    assert bench.platform.times() == [0, 60, 960, 1860, 2760]
    assert {one.stream for one in bench.platform.calls} == {"m1", "m2"}
    assert bench.status("m1").pending == 1
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(PROBE_S)
    assert (bench.taken("m1"), bench.taken("m2")) == (["a"], ["b"])
    assert bench.delivery.breaker.state == "idle"


async def test_misconfigured_stream_pauses_alone(bench: Bench) -> None:
    bench.platform.answer = lambda stream, _: (
        MisconfiguredError("no such meter", hint="Check its id.", stream=stream) if stream == "bad" else None
    )
    await bench.put("bad", *names(3))
    await bench.start_with_good(40, every_s=30)
    assert bench.platform.times("bad") == [0, 60, 960]
    state = bench.delivery.stream_state("bad")
    assert (state.paused, state.hint) == ("no such meter", "Check its id.")
    assert bench.delivery.breaker.state == "idle"
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(PROBE_S)
    assert bench.taken("bad") == names(3)
    assert state.paused == ""


async def test_fault_in_an_uplinks_code_is_contained(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.platform.answer = lambda stream, _: KeyError("oops") if stream == "bad" else None
    await bench.put("bad", "a")
    await bench.put("good", "b")
    await bench.start()
    await bench.clock.pass_s(1)
    assert bench.taken("good") == ["b"]
    assert "uplink failed" in caplog.text
    assert bench.task is not None
    assert not bench.task.done()
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(CAP_S)
    assert bench.taken("bad") == ["a"]


@pytest.mark.parametrize("method", ["due_ms", "batch_limit", "idle"])
async def test_fault_anywhere_in_an_uplinks_code_is_contained(
    bench: Bench, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(bench.platform, method, broken)
        await bench.put("m1", "a")
        await bench.start()
        await bench.clock.pass_s(30)
        assert bench.delivery.breaker.state == "waiting"
        assert "ZeroDivisionError" in bench.delivery.breaker.detail
        assert not bench.task.done()
    await bench.clock.pass_s(CAP_S)
    assert bench.taken("m1") == ["a"]
    await bench.put("m1", "b")
    await bench.clock.pass_s(CAP_S)
    assert bench.taken("m1") == ["a", "b"]
    assert bench.delivery.breaker.state == "idle"


@pytest.mark.parametrize("method", ["streams", "pending", "intend", "acknowledge", "quarantined"])
@pytest.mark.parametrize("streams", [1, 3])
async def test_database_that_refuses_is_waited_for(bench: Bench, method: str, streams: int) -> None:
    for number in range(streams):
        await bench.put(f"m{number}", *names(2))
    bench.store.refuses = {method}
    await bench.start()
    await bench.clock.pass_s(60)
    assert not bench.task.done()
    assert (bench.delivery.breaker.state, bench.delivery.breaker.detail) == ("waiting", "the disk is full")
    assert bench.delivery.breaker.hint == "Free space."
    if method != "acknowledge":
        assert bench.platform.calls == []
    bench.store.refuses = set()
    await bench.clock.pass_s(CAP_S + 60)
    for number in range(streams):
        sent = bench.taken(f"m{number}")
        assert sent[-2:] == names(2)
        assert bench.status(f"m{number}").pending == 0
    assert all(item.tries >= 2 for item in bench.platform.calls[-1].items)


async def test_what_repeats_is_logged_when_it_begins_and_ends(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench.platform.answer = lambda *_: down()
    await bench.put("m1", "a")
    await bench.start()
    await bench.clock.pass_s(1000)
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(CAP_S)
    assert [record.message for record in caplog.records if record.name == breaker_module.__name__] == [
        "not delivered",
        "delivering again",
    ]
