"""The outbox is emptied in order, nothing is lost or set aside wrongly, whatever the platform does."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest

import meterkast.pipeline.delivery as delivery_module
from meterkast.model.delivery import Item
from meterkast.model.errors import MisconfiguredError, NotDeliveredError, RejectedError
from meterkast.model.time import HALF_HOUR_MS, UtcMs
from meterkast.pipeline.backoff import Backoff
from meterkast.pipeline.delivery import CAP_S, PROBE_FIRST_S, PROBE_S, slot_ms
from meterkast.ports import Trust

START = UtcMs(1_773_154_800_000)
Answer = Callable[[str, Sequence[Item]], Exception | None]


def down(**more: Any) -> NotDeliveredError:
    return NotDeliveredError("no route", hint="Check the cable.", **more)


def refused(words: str = "bad value") -> RejectedError:
    return RejectedError(f"refused: {words}", hint="Look at it.", words=words)


def refusing(*bad: str) -> Answer:
    """A platform that refuses whatever holds one of those."""
    return lambda _, items: refused() if any(item.payload.decode() in bad for item in items) else None


def names(count: int, first: str = "p") -> list[str]:
    return [f"{first}{number:03d}" for number in range(count)]


async def test_backlog_goes_out_in_order_and_each_item_once(bench: Any) -> None:
    await bench.put("m1", *names(25))
    await bench.put("m2", *names(7, "q"))
    await bench.start()
    assert bench.taken("m1") == names(25)
    assert bench.taken("m2") == names(7, "q")
    assert bench.platform.sizes() == [10, 10, 5, 7]
    status = bench.status("m1")
    assert (status.pending, status.delivered_ms) == (0, START - HALF_HOUR_MS)
    assert (bench.delivery.state, bench.delivery.delivered) == ("idle", 32)
    assert bench.delivery.last_receipt == "receipt 4"
    assert bench.delivery.last_acknowledged_ms == START
    assert bench.platform.idled
    assert bench.delivery.stream_state("m1") is not None
    assert bench.delivery.stream_state("none") is None


async def test_intent_is_kept_before_anything_is_sent_and_the_receipt_after(bench: Any) -> None:
    await bench.put("m1", *names(12))
    await bench.start()
    kinds = [kind for kind, _ in bench.store.log]
    assert kinds == ["intend", "deliver", "acknowledge"] * 2
    for place in (0, 3):
        assert len({ids for _, ids in bench.store.log[place : place + 3]}) == 1


async def test_new_items_are_sent_as_soon_as_they_are_announced(bench: Any) -> None:
    await bench.start()
    assert bench.platform.calls == []
    await bench.clock.pass_s(3600)
    await bench.put("m1", "a")
    await bench.clock.settle()
    assert bench.taken("m1") == ["a"]
    await bench.put("m1", "b")
    await bench.clock.pass_s(1)
    assert bench.taken("m1") == ["a", "b"]


async def test_platform_that_is_down_is_tried_with_growing_waits_and_loses_nothing(bench: Any) -> None:
    bench.platform.answer = lambda *_: down()
    await bench.put("m1", *names(3))
    await bench.start()
    assert (bench.delivery.state, bench.delivery.detail) == ("waiting", "no route")
    assert bench.delivery.hint == "Check the cable."
    await bench.clock.pass_s(2000)
    gaps = [later - earlier for earlier, later in pairwise(bench.platform.times())]
    assert gaps[:8] == [5, 10, 20, 40, 80, 160, 300, 300]
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(CAP_S)
    assert bench.taken("m1") == names(3)
    assert (bench.delivery.state, bench.delivery.detail) == ("idle", "")
    assert bench.platform.calls[-1].items[0].tries > len(gaps)
    bench.platform.answer = lambda *_: down()
    await bench.put("m1", "z")
    await bench.clock.pass_s(1)
    before = len(bench.platform.calls)
    await bench.clock.pass_s(6)
    assert len(bench.platform.calls) == before + 1, "the waits begin small again"


async def test_waits_are_spread_by_full_jitter(bench: Any) -> None:
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


async def test_platform_that_asks_to_be_left_alone_is(bench: Any) -> None:
    bench.platform.answer = lambda *_: down(retry_after_s=600.0)
    await bench.put("m1", "a")
    await bench.put("m2", "b")
    await bench.start()
    await bench.clock.pass_s(599)
    assert bench.platform.times() == [0]
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(2)
    assert (bench.taken("m1"), bench.taken("m2")) == (["a"], ["b"])


async def test_one_stream_in_trouble_does_not_hold_up_the_others(bench: Any) -> None:
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


async def test_two_streams_that_fail_in_a_row_open_the_breaker_for_all(bench: Any) -> None:
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


async def test_misconfigured_uplink_keeps_all_says_so_and_is_probed_rarely(bench: Any) -> None:
    bench.platform.answer = lambda *_: MisconfiguredError("wrong password", hint="Correct it.")
    await bench.put("m1", "a")
    await bench.put("m2", "b")
    await bench.start()
    assert (bench.delivery.state, bench.delivery.detail) == ("paused", "wrong password")
    assert bench.delivery.hint == "Correct it."
    await bench.clock.pass_s(PROBE_FIRST_S + 3 * PROBE_S + 1)
    assert bench.platform.times() == [0, 60, 960, 1860, 2760]
    assert {one.stream for one in bench.platform.calls} == {"m1", "m2"}
    assert bench.status("m1").pending == 1
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(PROBE_S)
    assert (bench.taken("m1"), bench.taken("m2")) == (["a"], ["b"])
    assert bench.delivery.state == "idle"


async def test_misconfigured_stream_pauses_alone(bench: Any) -> None:
    bench.platform.answer = lambda stream, _: (
        MisconfiguredError("no such meter", hint="Check its id.", stream=stream) if stream == "bad" else None
    )
    await bench.put("bad", *names(3))
    await bench.put("good", "a")
    await bench.start()
    for number in range(40):
        await bench.put("good", f"g{number}")
        await bench.clock.pass_s(30)
    assert len(bench.taken("good")) == 41
    assert bench.platform.times("bad") == [0, 60, 960]
    state = bench.delivery.stream_state("bad")
    assert (state.paused, state.hint) == ("no such meter", "Check its id.")
    assert bench.delivery.state == "idle"
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(PROBE_S)
    assert bench.taken("bad") == names(3)
    assert state.paused == ""


async def test_refused_batch_is_halved_down_to_the_bad_item_which_is_set_aside(bench: Any) -> None:
    bench.platform.limit = 48
    bench.platform.answer = refusing("p033")
    await bench.put("m1", *names(60))
    await bench.start()
    assert bench.taken("m1") == names(33)
    assert len(bench.platform.calls) <= 13
    assert bench.status("m1").quarantined == 0
    await bench.clock.pass_s(59)
    calls = len(bench.platform.calls)
    await bench.clock.pass_s(2)
    assert len(bench.platform.calls) == calls + 1, "after a minute"
    await bench.clock.pass_s(298)
    assert len(bench.platform.calls) == calls + 1
    await bench.clock.pass_s(3)
    assert bench.taken("m1") == [name for name in names(60) if name != "p033"]
    status = bench.status("m1")
    assert (status.pending, status.quarantined) == (0, 1)
    aside = bench.delivery.quarantined
    assert [(item.payload, item.words) for item in aside] == [(b"p033", "bad value")]
    assert [one.words for one in await bench.store.quarantined("far")] == ["bad value"]
    assert bench.delivery.detail == ""


async def test_item_that_is_taken_at_the_second_try_is_not_set_aside(bench: Any) -> None:
    bench.platform.answer = refusing("p001")
    await bench.put("m1", *names(3))
    await bench.start()
    assert bench.delivery.state == "waiting"
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(61)
    assert bench.taken("m1") == names(3)
    assert bench.delivery.quarantined == []
    bench.platform.answer = refusing("late")
    await bench.put("m1", "late")
    await bench.clock.pass_s(61)
    assert bench.delivery.quarantined == [], "its refusals are counted from the first again"


async def test_batch_is_whole_again_once_its_narrowing_is_over(bench: Any) -> None:
    tried = []

    def once(_: str, items: Sequence[Item]) -> Exception | None:
        tried.append(len(items))
        return refused("too many") if len(tried) == 1 else None

    bench.platform.answer = once
    await bench.put("m1", *names(40))
    await bench.start()
    assert tried == [10, 5, 5, 10, 10, 10]
    assert bench.taken("m1") == names(40)


async def test_five_refused_in_a_row_mean_the_uplink_and_nothing_is_set_aside(bench: Any) -> None:
    bench.platform.answer = lambda *_: refused("who are you")
    await bench.put("m1", *names(30))
    await bench.start()
    await bench.clock.pass_s(5 * 361 + 10)
    assert bench.delivery.state == "paused"
    assert "refuses everything" in bench.delivery.detail
    assert "Nothing is lost" in bench.delivery.hint
    assert bench.delivery.quarantined == []
    status = bench.status("m1")
    assert (status.pending, status.quarantined) == (30, 0)
    calls = len(bench.platform.calls)
    await bench.clock.pass_s(3 * PROBE_S)
    assert bench.platform.sizes()[calls:] == [1, 1, 1], "one item is tried, rarely"
    assert {one.items[0].payload for one in bench.platform.calls[calls:]} == {b"p000"}
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(PROBE_S)
    assert bench.taken("m1") == names(30)
    assert bench.delivery.state == "idle"
    bench.platform.answer = refusing("z")
    await bench.put("m1", "z", "zz")
    await bench.clock.pass_s(370)
    assert [item.payload for item in bench.delivery.quarantined] == [b"z"], "one bad item is one again"


async def test_five_refused_in_a_row_over_several_streams_pause_the_uplink(bench: Any) -> None:
    bench.platform.answer = lambda *_: refused()
    for stream in ("m1", "m2", "m3"):
        await bench.put(stream, *names(4))
    await bench.start()
    await bench.clock.pass_s(1000)
    assert bench.delivery.state == "paused"
    assert bench.delivery.quarantined == []
    assert [bench.status(stream).pending for stream in ("m1", "m2", "m3")] == [4, 4, 4]
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(2 * PROBE_S)
    assert [bench.taken(stream) for stream in ("m1", "m2", "m3")] == [names(4)] * 3


async def test_stream_of_which_everything_is_refused_does_not_stop_the_others(bench: Any) -> None:
    bench.platform.answer = lambda stream, _: refused("no such monitor") if stream == "bad" else None
    await bench.put("bad", *names(12))
    await bench.put("good", "a")
    await bench.start()
    for number in range(100):
        await bench.put("good", f"g{number}")
        await bench.clock.pass_s(60)
    assert len(bench.taken("good")) == 101
    assert bench.delivery.state == "idle"
    assert "bad refuses everything" in bench.delivery.stream_state("bad").paused
    assert bench.delivery.quarantined == []
    assert bench.status("bad").pending == 12
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(PROBE_S)
    assert bench.taken("bad") == names(12)
    assert bench.delivery.stream_state("bad").paused == ""


async def test_bad_items_among_good_ones_are_set_aside_however_many(bench: Any) -> None:
    bad = names(12)[::2]
    bench.platform.answer = refusing(*bad)
    await bench.put("m0", "x")
    await bench.put("m1", *names(12))
    await bench.start()
    await bench.clock.pass_s(len(bad) * 361)
    assert bench.taken("m1") == names(12)[1::2]
    assert [item.payload.decode() for item in bench.delivery.quarantined] == bad
    assert bench.delivery.stream_state("m1").paused == ""


async def test_put_back_leaves_out_streams_with_a_batch_at_the_platform(bench: Any) -> None:
    await bench.put("m1", "a")
    await bench.put("m2", "b")
    delivery = bench.delivery
    delivery._backlog()
    items = [(await bench.store.pending("far", stream, 1))[0] for stream in ("m1", "m2")]
    await bench.store.quarantine([item.id for item in items], "no", START)
    delivery._in_a_row = {item.id: item for item in items}
    delivery.quarantined = list(items)
    await delivery._put_back()
    assert bench.status("m1").quarantined == 1, "not before all is refused"
    delivery._probing = True
    delivery.stream_state("m2").busy = True
    await delivery._put_back()
    assert bench.status("m1").pending == 1
    assert bench.status("m2").quarantined == 1
    assert [item.stream for item in delivery.quarantined] == ["m2"]


async def test_what_waited_at_a_restart_may_be_there_already_and_what_came_after_is_not(bench: Any) -> None:
    await bench.put("m1", *names(25))
    await bench.start()
    assert all(item.tries == 2 for call in bench.platform.calls for item in call.items)
    await bench.clock.pass_s(HALF_HOUR_MS / 1000)
    await bench.put("m1", "new", at_ms=bench.clock.now_ms() - 60_000)
    await bench.clock.settle()
    assert [item.tries for item in bench.platform.calls[-1].items] == [1]
    bench.platform.gate = asyncio.Event()
    await bench.put("m1", "cut", at_ms=bench.clock.now_ms() - 50_000)
    await bench.clock.pass_s(1)
    await bench.stop()
    bench.platform.gate = None
    await bench.start()
    assert bench.taken("m1")[-1] == "cut"
    assert bench.platform.calls[-1].items[0].tries >= 2


async def test_items_set_aside_are_known_after_a_restart_and_can_be_sent_again(bench: Any) -> None:
    bench.platform.answer = refusing("p001")
    await bench.put("m1", *names(3))
    await bench.start()
    await bench.clock.pass_s(400)
    await bench.stop()
    await bench.start()
    assert [item.payload for item in bench.delivery.quarantined] == [b"p001"]
    bench.platform.answer = lambda *_: None
    await bench.stop()
    await bench.store.release(
        [item.id for item in bench.delivery.quarantined]
    )  # `meterkast outbox send-again`
    await bench.start()
    assert bench.taken("m1") == ["p000", "p002", "p001"]
    assert bench.delivery.quarantined == []
    assert bench.status("m1").quarantined == 0


async def test_fault_in_an_uplinks_code_is_contained(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
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
    bench: Any, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(bench.platform, method, broken)
        await bench.put("m1", "a")
        await bench.start()
        await bench.clock.pass_s(30)
        assert bench.delivery.state == "waiting"
        assert "ZeroDivisionError" in bench.delivery.detail
        assert not bench.task.done()
    await bench.clock.pass_s(CAP_S)
    assert bench.taken("m1") == ["a"]
    await bench.put("m1", "b")
    await bench.clock.pass_s(CAP_S)
    assert bench.taken("m1") == ["a", "b"]
    assert bench.delivery.state == "idle"


@pytest.mark.parametrize("method", ["streams", "pending", "intend", "acknowledge", "quarantined"])
@pytest.mark.parametrize("streams", [1, 3])
async def test_database_that_refuses_is_waited_for(bench: Any, method: str, streams: int) -> None:
    for number in range(streams):
        await bench.put(f"m{number}", *names(2))
    bench.store.refuses = {method}
    await bench.start()
    await bench.clock.pass_s(60)
    assert not bench.task.done()
    assert (bench.delivery.state, bench.delivery.detail) == ("waiting", "the disk is full")
    assert bench.delivery.hint == "Free space."
    if method != "acknowledge":
        assert bench.platform.calls == []
    bench.store.refuses = set()
    await bench.clock.pass_s(CAP_S + 60)
    for number in range(streams):
        sent = bench.taken(f"m{number}")
        assert sent[-2:] == names(2)
        assert bench.status(f"m{number}").pending == 0
    assert all(item.tries >= 2 for item in bench.platform.calls[-1].items)


@pytest.mark.parametrize("method", ["quarantine", "release"])
async def test_database_that_refuses_while_items_are_refused_sets_nothing_aside_twice(
    bench: Any, method: str
) -> None:
    bench.platform.answer = lambda *_: refused()
    await bench.put("m1", *names(8))
    bench.store.refuses = {method}
    await bench.start()
    await bench.clock.pass_s(3000)
    assert not bench.task.done()
    bench.store.refuses = set()
    await bench.clock.pass_s(6000)
    assert bench.status("m1").pending == 8
    assert bench.delivery.quarantined == []
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(PROBE_S)
    assert bench.taken("m1") == names(8)


async def test_items_wait_for_their_due_time_and_for_this_devices_slot(bench: Any) -> None:
    bench.slot_ms, bench.platform.delay_ms = 100_000, 20_000
    await bench.put("m1", "a", at_ms=START)
    await bench.put("m1", "b", at_ms=START + HALF_HOUR_MS)
    await bench.start()
    await bench.clock.pass_s(119)
    assert bench.platform.calls == []
    await bench.clock.pass_s(2)
    assert bench.taken("m1") == ["a"]
    assert bench.delivery.state == "idle"
    await bench.clock.pass_s(1798)
    assert bench.taken("m1") == ["a"]
    await bench.clock.pass_s(2)
    assert bench.taken("m1") == ["a", "b"]


async def test_item_that_is_not_due_holds_back_those_behind_it(bench: Any) -> None:
    await bench.put("m1", "now", at_ms=START)
    await bench.put("m1", "later", at_ms=START + 60_000)
    await bench.put("m1", "old", at_ms=START - 60_000)
    await bench.start()
    assert bench.taken("m1") == ["now"]
    await bench.clock.pass_s(61)
    assert bench.taken("m1") == ["now", "later", "old"]


def test_slots_are_fixed_per_device_and_spread() -> None:
    slots = [slot_ms(f"mk-{number:012x}", 300_000) for number in range(500)]
    assert slots == [slot_ms(f"mk-{number:012x}", 300_000) for number in range(500)]
    assert all(0 <= slot < 300_000 for slot in slots)
    assert {slot // 30_000 for slot in slots} == set(range(10))
    assert slot_ms("mk-1", 0) == 0


async def test_nothing_is_sent_while_the_time_is_unknown(bench: Any) -> None:
    bench.clock.trust = Trust.UNKNOWN
    await bench.put("m1", "a")
    await bench.start()
    await bench.clock.pass_s(600)
    assert bench.platform.calls == []
    assert bench.delivery.state == "waiting"
    assert "time is not known" in bench.delivery.detail
    bench.clock.trust = Trust.METER
    await bench.clock.pass_s(11)
    assert bench.taken("m1") == ["a"]
    assert bench.delivery.detail == ""


async def test_long_backlog_does_not_starve_another_stream(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "TURN_S", 0.0)
    await bench.put("a", *names(300))
    await bench.put("b", *names(40))
    await bench.put("c", "c0")
    await bench.start()
    order = [one.stream for one in bench.platform.calls]
    assert order[:6] == ["a", "b", "c", "a", "b", "a"]
    assert bench.taken("a") == names(300)
    assert bench.taken("b") == names(40)


async def test_streams_go_side_by_side_as_far_as_the_platform_allows(bench: Any) -> None:
    bench.platform.parallel = 2
    bench.platform.gate = asyncio.Event()
    for stream in ("a", "b", "c"):
        await bench.put(stream, *names(12))
    await bench.start()
    assert [one.stream for one in bench.platform.calls] == ["a", "b"]
    bench.platform.gate.set()
    await bench.clock.settle()
    assert [bench.taken(stream) for stream in ("a", "b", "c")] == [names(12)] * 3


async def test_stop_closes_the_uplink_in_the_midst_of_sending(bench: Any) -> None:
    bench.platform.gate = asyncio.Event()
    await bench.put("m1", "a")
    await bench.start()
    assert len(bench.platform.calls) == 1
    task = bench.task
    await bench.stop()
    assert task.cancelled()
    assert bench.platform.closed == 1
    assert bench.status("m1").pending == 1


async def test_stop_closes_the_uplink_while_it_waits(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise OSError("already closed")

    bench.platform.close = broken
    await bench.start()
    task = bench.task
    await bench.stop()
    assert task.cancelled()
    assert "uplink not closed" in caplog.text


async def test_count_that_is_wrong_makes_no_busy_loop(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.put("m1", "a")
    asked = 0

    async def nothing(*_: object) -> list[Item]:
        nonlocal asked
        asked += 1
        return []

    monkeypatch.setattr(bench.store, "pending", nothing, raising=False)
    await bench.start()
    await bench.clock.pass_s(10)
    assert asked <= 12


async def test_what_repeats_is_logged_when_it_begins_and_ends(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench.platform.answer = lambda *_: down()
    await bench.put("m1", "a")
    await bench.start()
    await bench.clock.pass_s(1000)
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(CAP_S)
    assert [record.message for record in caplog.records if record.name == delivery_module.__name__] == [
        "not delivered",
        "delivering again",
    ]


@pytest.mark.parametrize("seed", range(6))
async def test_order_and_completeness_through_every_kind_of_trouble(bench: Any, seed: int) -> None:
    rng = random.Random(seed)
    bench.platform.parallel = rng.randint(1, 3)
    bench.platform.limit = rng.randint(1, 7)
    bench.random = 0.5
    troubles: list[Exception | None] = [
        down(),
        down(in_doubt=True),
        refused(),
        RuntimeError("fault"),
        MisconfiguredError("m", hint="h"),
        MisconfiguredError("m", hint="h", stream="s"),
    ]
    bench.platform.answer = lambda *_: rng.choice([*troubles, None, None, None, None, None, None])
    put: dict[str, list[str]] = {"a": [], "b": [], "c": []}
    await bench.start()
    for round_ in range(25):
        for stream, all_of_it in put.items():
            fresh = [f"{stream}{round_:02d}{number}" for number in range(rng.randint(0, 3))]
            all_of_it += fresh
            if fresh:
                await bench.put(stream, *fresh)
        if rng.random() < 0.15:
            await bench.stop()
            await bench.start()
        bench.store.refuses = set(rng.sample(["intend", "pending", "acknowledge", "quarantine"], 1))
        await bench.clock.pass_s(rng.choice([1, 30, 400]))
        bench.store.refuses = set()
        await bench.clock.pass_s(rng.choice([1, 30, 400]))
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(4 * PROBE_S)
    for stream, all_of_it in put.items():
        aside = {item.payload.decode() for item in bench.delivery.quarantined}
        first: list[str] = list(dict.fromkeys(bench.taken(stream)))
        assert first == [name for name in all_of_it if name in set(first)], "in order"
        assert set(all_of_it) - set(first) <= aside, "all, but for what was set aside"
        assert bench.status(stream).pending == 0
