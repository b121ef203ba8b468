"""Who can be reached, with made-up nodes and a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from meterkast.model.errors import RefusedError
from meterkast.model.product import NodeStatus
from meterkast_drivers.zwave import reachability as module
from meterkast_drivers.zwave.devices import Devices
from meterkast_drivers.zwave.reachability import Reachability
from meterkast_drivers.zwave.settings import Settings

DEAD, ASLEEP = 3, 1


class Bench:
    def __init__(self, shelf: Any, clock: Any) -> None:
        self.shelf = shelf
        self.devices = Devices(Settings(stick="/dev/ttyACM0"), shelf, clock)
        self.reach = Reachability(self.devices, shelf, clock, random=lambda: 0.5)
        self.task: asyncio.Task[None] | None = None

    async def connect(self, link: Any, *nodes: int) -> None:
        self.devices.attach(link)
        self.reach.attach()
        for node in nodes:
            await self.devices.refresh(node)
        self.task = asyncio.create_task(self.reach.run(link))

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        self.devices.detach()

    def words(self, node: int) -> list[str]:
        device = self.devices.get(node)
        assert device is not None
        assert device.product is not None
        words: list[str] = self.shelf.words(device.product.id)
        return words


@pytest.fixture
async def bench(shelf: Any, still: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(module, "PINGS_S", (0.0,) * 4 + (1800.0,))
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    bench = Bench(shelf, still)
    yield bench
    await bench.stop()


@pytest.fixture
def sleeper(made: Any) -> Any:
    wake_up = made.value(132, "wakeUpInterval", None, 3600, readable=False)
    return made.node(9, made.temperature(), wake_up, isListening=False, status=ASLEEP)


async def test_a_dead_device_is_unreachable_after_three_pings(bench: Bench, made: Any, tools: Any) -> None:
    link = made.link(made.node(5, made.energy()))
    link.answer = RefusedError("no answer", hint="")
    await bench.connect(link, 5)
    device = bench.devices.get(5)
    assert device is not None
    bench.reach.died(device)
    assert device.status is NodeStatus.UNSTABLE
    await tools.until(lambda: device.status is NodeStatus.NO_CONNECTION, "unreachable")
    assert len(link.asked) >= module.FAILED_PINGS
    await tools.until(lambda: bench.words(5) == ["available", "retrying", "unreachable"], "kept")
    assert bench.shelf.node_rows["zwave:00007e57:5"].description.status is NodeStatus.NO_CONNECTION
    assert "does not answer" in bench.devices.views()[0].detail
    bench.reach.heard(device)
    await tools.until(lambda: bench.words(5)[-1] == "available", "available at once")
    asked = len(link.asked)
    await asyncio.sleep(0.1)
    assert len(link.asked) == asked


async def test_an_answered_ping_makes_it_available(bench: Bench, made: Any, tools: Any) -> None:
    await bench.connect(made.link(made.node(5, made.energy(), status=DEAD)), 5)
    await tools.until(lambda: bench.words(5) == ["retrying", "available"], "pinged")


async def test_nobody_is_pinged_while_a_job_has_the_radio(bench: Bench, made: Any, tools: Any) -> None:
    link = made.link(made.node(5, made.energy(), status=DEAD))
    bench.devices.pause()
    await bench.connect(link, 5)
    await asyncio.sleep(0.2)
    assert link.asked == []
    bench.devices.resume()
    await tools.until(lambda: link.asked, "pinged afterwards")


async def test_a_sleeping_device_is_judged_by_its_wake_ups(
    bench: Bench, made: Any, tools: Any, still: Any, sleeper: Any
) -> None:
    await bench.connect(made.link(sleeper), 9)
    device = bench.devices.get(9)
    assert device is not None
    still.pass_s(2.05 * 3600)
    bench.reach._look_after_sleepers()
    assert device.status is NodeStatus.AVAILABLE
    still.pass_s(0.1 * 3600)
    bench.reach._look_after_sleepers()
    assert device.status is NodeStatus.UNSTABLE
    still.pass_s(0.9 * 3600)
    bench.reach._look_after_sleepers()
    assert device.status is NodeStatus.NO_CONNECTION
    assert "wake" in bench.devices.views()[0].detail
    bench.reach.heard(device)
    await tools.until(
        lambda: bench.words(9) == ["available", "retrying", "unreachable", "available"], "kept in order"
    )


async def test_while_nobody_listened_nobody_was_silent(
    bench: Bench, made: Any, still: Any, sleeper: Any
) -> None:
    link = made.link(sleeper)
    bench.devices.attach(link)
    await bench.devices.refresh(9)
    device = bench.devices.get(9)
    assert device is not None
    bench.reach.heard(device)
    bench.devices.detach()
    still.pass_s(5 * 3600)
    bench.devices.attach(link)
    bench.reach.attach()
    bench.reach._look_after_sleepers()
    assert device.status is NodeStatus.AVAILABLE


async def test_a_restart_does_not_forget_who_was_unreachable(
    bench: Bench, made: Any, still: Any, sleeper: Any
) -> None:
    await bench.connect(made.link(sleeper), 9)
    still.pass_s(4 * 3600)
    bench.reach._look_after_sleepers()
    await bench.reach.finish()
    after = Bench(bench.shelf, still)
    await after.devices.load()
    device = after.devices.get(9)
    assert device is not None
    assert device.status is NodeStatus.NO_CONNECTION
    after.devices.attach(made.link(sleeper))
    after.reach.attach()
    assert device.status is NodeStatus.NO_CONNECTION
    await after.stop()


async def test_a_device_that_the_stick_no_longer_has_is_unreachable(
    bench: Bench, made: Any, tools: Any
) -> None:
    bench.devices.attach(made.link(made.node(5, made.energy())))
    await bench.devices.refresh(5)
    bench.devices.detach()
    await bench.connect(made.link())
    await tools.until(lambda: bench.words(5)[-1] == "unreachable", "unreachable")
    assert "zwave:00007e57:5" in bench.shelf.node_rows


async def test_last_seen_is_written_rarely_and_at_the_end(bench: Bench, made: Any, still: Any) -> None:
    bench.devices.attach(made.link(made.node(5, made.energy())))
    bench.reach.attach()
    device = bench.devices.get(5)
    assert device is not None
    bench.reach.heard(device)
    await bench.devices.refresh(5)
    before = bench.shelf.node_writes
    for _ in range(60):
        still.pass_s(300)
        bench.reach.heard(device)
        await bench.reach._keep()
    assert bench.shelf.node_writes == before
    still.pass_s(2 * 3600)
    bench.reach.heard(device)
    await bench.reach._keep()
    assert bench.shelf.node_writes == before + 1
    still.pass_s(10)
    bench.reach.heard(device)
    await bench.reach.finish()
    kept = bench.shelf.node_rows["zwave:00007e57:5"].description.last_seen_ms
    assert kept == still.now_ms()


async def test_what_the_database_refuses_is_kept_later(
    bench: Bench, made: Any, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.05)
    await bench.connect(made.link(made.node(5, made.energy())), 5)
    device = bench.devices.get(5)
    assert device is not None
    bench.devices.pause()
    bench.shelf.refusing = True
    bench.reach.died(device)
    await tools.until(lambda: bench.reach.counters["not stored, tried again"], "refused")
    bench.shelf.refusing = False
    await tools.until(lambda: bench.words(5) == ["available", "retrying"], "kept")


async def test_a_device_that_replaces_a_dead_one_is_not_pinged(bench: Bench, made: Any, tools: Any) -> None:
    link = made.link(made.node(5, made.energy(), status=DEAD))
    bench.devices.pause()
    await bench.connect(link, 5)
    device = bench.devices.adopt(5, made.node(5, made.energy()))
    bench.reach.follow(device)
    bench.devices.resume()
    await bench.devices.refresh(5)
    await tools.until(lambda: bench.words(5)[-1] == "available", "available")
    await asyncio.sleep(0.2)
    assert link.asked == []


async def test_a_removal_meanwhile_costs_no_other_device_its_news(
    bench: Bench, made: Any, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.devices.attach(made.link(made.node(5, made.energy()), made.node(6, made.energy())))
    first, second = bench.devices.all()
    for node in (5, 6):
        await bench.devices.refresh(node)
    gate, keep = asyncio.Event(), bench.shelf.available

    async def slow(*told: Any) -> None:
        await gate.wait()
        await keep(*told)

    monkeypatch.setattr(bench.shelf, "available", slow)
    bench.reach.died(first)
    bench.reach.died(second)
    keeping = asyncio.create_task(bench.reach._keep())
    await asyncio.sleep(0)
    bench.reach.removed(first)
    removing = asyncio.create_task(bench.devices.removed(first))
    gate.set()
    assert await keeping
    await removing
    assert bench.words(6) == ["available", "retrying"]
    assert [row.description.zwave_id for row in bench.shelf.node_rows.values()] == [6]


async def test_a_last_seen_of_a_wrong_clock_is_put_right(bench: Bench, made: Any, still: Any) -> None:
    bench.devices.attach(made.link(made.node(5, made.energy())))
    device = bench.devices.get(5)
    assert device is not None
    bench.reach.heard(device, still.ns + 30 * 24 * 3600 * 10**9)  # the clock was a month ahead
    await bench.devices.refresh(5)
    bench.reach.heard(device)
    await bench.reach._keep()
    assert bench.shelf.node_rows["zwave:00007e57:5"].description.last_seen_ms == still.now_ms()


async def test_a_device_that_died_twice_is_pinged_as_one(bench: Bench, made: Any) -> None:
    bench.devices.pause()
    await bench.connect(made.link(made.node(5, made.energy())), 5)
    device = bench.devices.get(5)
    assert device is not None
    bench.reach.died(device)
    due = dict(bench.reach._dead)
    bench.reach.died(device)
    assert bench.reach._dead == due
    assert device.status is NodeStatus.UNSTABLE


async def test_a_device_that_was_out_of_reach_before_is_not_doubtful_again(
    bench: Bench, made: Any, tools: Any
) -> None:
    bench.devices.attach(made.link(made.node(5, made.energy(), status=DEAD)))
    device = bench.devices.get(5)
    assert device is not None
    device.status = NodeStatus.NO_CONNECTION
    bench.reach.attach()
    assert device.status is NodeStatus.NO_CONNECTION
    link = made.link()
    link.answer = False
    bench.task = asyncio.create_task(bench.reach.run(link))
    await tools.until(lambda: len(link.asked) == 1, "pinged, the next time in half an hour")
    assert device.status is NodeStatus.NO_CONNECTION


async def test_a_report_while_it_is_pinged_in_vain_counts(bench: Bench, made: Any, tools: Any) -> None:
    link = made.link(made.node(5, made.energy(), status=DEAD))

    async def ask(work: Any, **_: Any) -> bool:
        work.close()
        link.asked.append("ping")
        device = bench.devices.get(5)
        assert device is not None
        if len(link.asked) == module.FAILED_PINGS:
            bench.reach.heard(device)
        return False

    link.ask = ask
    await bench.connect(link, 5)
    await tools.until(lambda: len(bench.words(5)) > 1, "heard")
    assert bench.words(5) == ["retrying", "available"]
    assert bench.reach._dead == {}


async def test_a_dead_device_that_the_server_no_longer_shows_is_not_pinged(
    bench: Bench, made: Any, tools: Any
) -> None:
    link = made.link(made.node(5, made.energy(), status=DEAD))
    bench.devices.pause()
    await bench.connect(link, 5)
    device = bench.devices.get(5)
    assert device is not None
    device.live = None
    bench.devices.resume()
    await tools.until(lambda: not bench.reach._dead, "given up")
    assert link.asked == []


async def test_the_status_of_a_device_without_a_product_is_kept_with_its_row_alone(
    bench: Bench, made: Any, tools: Any
) -> None:
    await bench.connect(made.link(made.node(5, status=DEAD, ready=False)))
    device = bench.devices.get(5)
    assert device is not None
    await tools.until(lambda: device.status is NodeStatus.AVAILABLE, "answered")
    await tools.until(lambda: not bench.reach._unkept, "nothing is left to keep")
    assert bench.shelf.availabilities == []


async def test_a_stop_does_not_wait_for_a_store_that_hangs(
    bench: Bench, made: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "STOP_S", 0.05)
    bench.devices.attach(made.link(made.node(5, made.energy())))
    await bench.devices.refresh(5)
    device = bench.devices.get(5)
    assert device is not None
    bench.reach.heard(device)

    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(bench.shelf, "declare_node", hang)
    await bench.reach.finish()
    assert "last seen not kept" in caplog.text
