"""The outbox is emptied in order and in its time, and nothing is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

import meterkast.pipeline.delivery as delivery_module
from meterkast.model.delivery import Item
from meterkast.model.errors import MisconfiguredError
from meterkast.model.time import HALF_HOUR_MS
from meterkast.pipeline.breaker import PROBE_S
from meterkast.pipeline.delivery import slot_ms
from meterkast.ports.clock import Trust

from .far_end import START, Bench, down, names, refused


async def test_backlog_goes_out_in_order_and_each_item_once(bench: Bench) -> None:
    await bench.put("m1", *names(25))
    await bench.put("m2", *names(7, "q"))
    await bench.start()
    assert bench.taken("m1") == names(25)
    assert bench.taken("m2") == names(7, "q")
    assert bench.platform.sizes() == [10, 10, 5, 7]
    status = bench.status("m1")
    assert (status.pending, status.delivered_ms) == (0, START - HALF_HOUR_MS)
    assert (bench.delivery.breaker.state, bench.delivery.delivered) == ("idle", 32)
    assert bench.delivery.last_receipt == "receipt 4"
    assert bench.delivery.last_acknowledged_ms == START
    assert bench.platform.idled
    assert bench.delivery.stream_state("m1") is not None
    assert bench.delivery.stream_state("none") is None


async def test_intent_is_kept_before_anything_is_sent_and_the_receipt_after(bench: Bench) -> None:
    await bench.put("m1", *names(12))
    await bench.start()
    kinds = [kind for kind, _ in bench.store.log]
    assert kinds == ["intend", "deliver", "acknowledge"] * 2
    for place in (0, 3):
        assert len({ids for _, ids in bench.store.log[place : place + 3]}) == 1


async def test_new_items_are_sent_as_soon_as_they_are_announced(bench: Bench) -> None:
    await bench.start()
    assert bench.platform.calls == []
    await bench.clock.pass_s(3600)
    await bench.put("m1", "a")
    await bench.clock.settle()
    assert bench.taken("m1") == ["a"]
    await bench.put("m1", "b")
    await bench.clock.pass_s(1)
    assert bench.taken("m1") == ["a", "b"]


async def test_what_waited_at_a_restart_may_be_there_already_and_what_came_after_is_not(bench: Bench) -> None:
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


async def test_items_wait_for_their_due_time_and_for_this_devices_slot(bench: Bench) -> None:
    bench.slot_ms, bench.platform.delay_ms = 100_000, 20_000
    await bench.put("m1", "a", at_ms=START)
    await bench.put("m1", "b", at_ms=START + HALF_HOUR_MS)
    await bench.start()
    await bench.clock.pass_s(119)
    assert bench.platform.calls == []
    await bench.clock.pass_s(2)
    assert bench.taken("m1") == ["a"]
    assert bench.delivery.breaker.state == "idle"
    await bench.clock.pass_s(1798)
    assert bench.taken("m1") == ["a"]
    await bench.clock.pass_s(2)
    assert bench.taken("m1") == ["a", "b"]


async def test_item_that_is_not_due_holds_back_those_behind_it(bench: Bench) -> None:
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


async def test_nothing_is_sent_while_the_time_is_unknown(bench: Bench) -> None:
    bench.clock.trust = Trust.UNKNOWN
    await bench.put("m1", "a")
    await bench.start()
    await bench.clock.pass_s(600)
    assert bench.platform.calls == []
    assert bench.delivery.breaker.state == "waiting"
    assert "time is not known" in bench.delivery.breaker.detail
    bench.clock.trust = Trust.METER
    await bench.clock.pass_s(11)
    assert bench.taken("m1") == ["a"]
    assert bench.delivery.breaker.detail == ""
    assert bench.platform.asked_time == 3, "every five minutes, and nothing else"


async def test_dispute_holds_what_waits_and_a_batch_that_follows_the_answer_that_told_of_it(
    bench: Bench,
) -> None:
    bench.platform.limit = 1

    def tells(stream: str, items: Sequence[Item]) -> None:
        bench.clock.dispute = "Clocks disagree: one says so, another so."

    bench.platform.answer = tells
    await bench.put("m1", "a", "b")
    await bench.put("m2", "c")
    await bench.start()
    await bench.clock.pass_s(600)
    assert len(bench.platform.calls) == 1
    assert bench.delivery.breaker.state == "waiting"
    assert bench.delivery.breaker.detail == "Clocks disagree: one says so, another so."
    bench.platform.answer = lambda *_: None
    bench.clock.dispute = ""
    await bench.clock.pass_s(11)
    assert (bench.taken("m1"), bench.taken("m2")) == (["a", "b"], ["c"])


async def test_long_backlog_does_not_starve_another_stream(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
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


async def test_streams_go_side_by_side_as_far_as_the_platform_allows(bench: Bench) -> None:
    bench.platform.parallel = 2
    bench.platform.gate = asyncio.Event()
    for stream in ("a", "b", "c"):
        await bench.put(stream, *names(12))
    await bench.start()
    assert [one.stream for one in bench.platform.calls] == ["a", "b"]
    bench.platform.gate.set()
    await bench.clock.settle()
    assert [bench.taken(stream) for stream in ("a", "b", "c")] == [names(12)] * 3


async def test_stop_closes_the_uplink_in_the_midst_of_sending(bench: Bench) -> None:
    bench.platform.gate = asyncio.Event()
    await bench.put("m1", "a")
    await bench.start()
    assert len(bench.platform.calls) == 1
    task = bench.task
    await bench.stop()
    assert task.cancelled()
    assert bench.platform.closed == 1
    assert bench.status("m1").pending == 1


async def test_stop_closes_the_uplink_while_it_waits(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise OSError("already closed")

    bench.platform.close = broken
    await bench.start()
    task = bench.task
    await bench.stop()
    assert task.cancelled()
    assert "uplink not closed" in caplog.text


async def test_count_that_is_wrong_makes_no_busy_loop(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize("seed", range(6))
async def test_order_and_completeness_through_every_kind_of_trouble(bench: Bench, seed: int) -> None:
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
        aside = {item.payload.decode() for item in bench.delivery.refusals.quarantined}
        first: list[str] = list(dict.fromkeys(bench.taken(stream)))
        assert first == [name for name in all_of_it if name in set(first)], "in order"
        assert set(all_of_it) - set(first) <= aside, "all, but for what was set aside"
        assert bench.status(stream).pending == 0
