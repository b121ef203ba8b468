"""Items that are refused are set aside, and never because the platform or a setting is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from meterkast.model.delivery import Item
from meterkast.pipeline.breaker import PROBE_S

from .far_end import START, Bench, names, refused, refusing


async def test_refused_batch_is_halved_down_to_the_bad_item_which_is_set_aside(bench: Bench) -> None:
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
    aside = bench.delivery.refusals.quarantined
    assert [(item.payload, item.words) for item in aside] == [(b"p033", "bad value")]
    assert [one.words for one in await bench.store.quarantined("far")] == ["bad value"]
    assert bench.delivery.breaker.detail == ""


async def test_item_that_is_taken_at_the_second_try_is_not_set_aside(bench: Bench) -> None:
    bench.platform.answer = refusing("p001")
    await bench.put("m1", *names(3))
    await bench.start()
    assert bench.delivery.breaker.state == "waiting"
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(61)
    assert bench.taken("m1") == names(3)
    assert bench.delivery.refusals.quarantined == []
    bench.platform.answer = refusing("late")
    await bench.put("m1", "late")
    await bench.clock.pass_s(61)
    assert bench.delivery.refusals.quarantined == [], "its refusals are counted from the first again"


async def test_batch_is_whole_again_once_its_narrowing_is_over(bench: Bench) -> None:
    tried = []

    def once(_: str, items: Sequence[Item]) -> Exception | None:
        tried.append(len(items))
        return refused("too many") if len(tried) == 1 else None

    bench.platform.answer = once
    await bench.put("m1", *names(40))
    await bench.start()
    assert tried == [10, 5, 5, 10, 10, 10]
    assert bench.taken("m1") == names(40)


async def test_five_refused_in_a_row_mean_the_uplink_and_nothing_is_set_aside(bench: Bench) -> None:
    bench.platform.answer = lambda *_: refused("who are you")
    await bench.put("m1", *names(30))
    await bench.start()
    await bench.clock.pass_s(5 * 361 + 10)
    assert bench.delivery.breaker.state == "paused"
    assert "refuses everything" in bench.delivery.breaker.detail
    assert "Nothing is lost" in bench.delivery.breaker.hint
    assert bench.delivery.refusals.quarantined == []
    status = bench.status("m1")
    assert (status.pending, status.quarantined) == (30, 0)
    calls = len(bench.platform.calls)
    await bench.clock.pass_s(3 * PROBE_S)
    assert bench.platform.sizes()[calls:] == [1, 1, 1], "one item is tried, rarely"
    assert {one.items[0].payload for one in bench.platform.calls[calls:]} == {b"p000"}
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(PROBE_S)
    assert bench.taken("m1") == names(30)
    assert bench.delivery.breaker.state == "idle"
    bench.platform.answer = refusing("z")
    await bench.put("m1", "z", "zz")
    await bench.clock.pass_s(370)
    assert [item.payload for item in bench.delivery.refusals.quarantined] == [b"z"], (
        "one bad item is one again"
    )


async def test_five_refused_in_a_row_over_several_streams_pause_the_uplink(bench: Bench) -> None:
    bench.platform.answer = lambda *_: refused()
    for stream in ("m1", "m2", "m3"):
        await bench.put(stream, *names(4))
    await bench.start()
    await bench.clock.pass_s(1000)
    assert bench.delivery.breaker.state == "paused"
    assert bench.delivery.refusals.quarantined == []
    assert [bench.status(stream).pending for stream in ("m1", "m2", "m3")] == [4, 4, 4]
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(2 * PROBE_S)
    assert [bench.taken(stream) for stream in ("m1", "m2", "m3")] == [names(4)] * 3


async def test_stream_of_which_everything_is_refused_does_not_stop_the_others(bench: Bench) -> None:
    bench.platform.answer = lambda stream, _: refused("no such monitor") if stream == "bad" else None
    await bench.put("bad", *names(12))
    await bench.start_with_good(100, every_s=60)
    assert bench.delivery.breaker.state == "idle"
    assert "bad refuses everything" in bench.delivery.stream_state("bad").paused
    assert bench.delivery.refusals.quarantined == []
    assert bench.status("bad").pending == 12
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(PROBE_S)
    assert bench.taken("bad") == names(12)
    assert bench.delivery.stream_state("bad").paused == ""


async def test_bad_items_among_good_ones_are_set_aside_however_many(bench: Bench) -> None:
    bad = names(12)[::2]
    bench.platform.answer = refusing(*bad)
    await bench.put("m0", "x")
    await bench.put("m1", *names(12))
    await bench.start()
    await bench.clock.pass_s(len(bad) * 361)
    assert bench.taken("m1") == names(12)[1::2]
    assert [item.payload.decode() for item in bench.delivery.refusals.quarantined] == bad
    assert bench.delivery.stream_state("m1").paused == ""


async def test_put_back_leaves_out_streams_with_a_batch_at_the_platform(bench: Bench) -> None:
    await bench.put("m1", "a")
    await bench.put("m2", "b")
    delivery = bench.delivery
    delivery._backlog()
    items = [(await bench.store.pending("far", stream, 1))[0] for stream in ("m1", "m2")]
    await bench.store.quarantine([item.id for item in items], "no", START)
    delivery.refusals._in_a_row = {item.id: item for item in items}
    delivery.refusals.quarantined = list(items)
    await delivery.refusals.put_back()
    assert bench.status("m1").quarantined == 1, "not before all is refused"
    delivery.refusals.probing = True
    delivery.stream_state("m2").busy = True
    await delivery.refusals.put_back()
    assert bench.status("m1").pending == 1
    assert bench.status("m2").quarantined == 1
    assert [item.stream for item in delivery.refusals.quarantined] == ["m2"]


async def test_items_set_aside_are_known_after_a_restart_and_can_be_sent_again(bench: Bench) -> None:
    bench.platform.answer = refusing("p001")
    await bench.put("m1", *names(3))
    await bench.start()
    await bench.clock.pass_s(400)
    await bench.stop()
    await bench.start()
    assert [item.payload for item in bench.delivery.refusals.quarantined] == [b"p001"]
    bench.platform.answer = lambda *_: None
    await bench.stop()
    await bench.store.release(
        [item.id for item in bench.delivery.refusals.quarantined]
    )  # `meterkast outbox send-again`
    await bench.start()
    assert bench.taken("m1") == ["p000", "p002", "p001"]
    assert bench.delivery.refusals.quarantined == []
    assert bench.status("m1").quarantined == 0


@pytest.mark.parametrize("method", ["quarantine", "release"])
async def test_database_that_refuses_while_items_are_refused_sets_nothing_aside_twice(
    bench: Bench, method: str
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
    assert bench.delivery.refusals.quarantined == []
    bench.platform.answer = lambda *_: None
    await bench.clock.pass_s(PROBE_S)
    assert bench.taken("m1") == names(8)
