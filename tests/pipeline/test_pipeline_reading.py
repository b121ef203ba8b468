"""A driver is started again, and its absences and those of its devices are remembered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import meterkast.pipeline.outages as outages_module
import meterkast.pipeline.supervisor as supervisor_module
from meterkast.model.errors import ConfigError, LinkLostError, StorageError
from meterkast.model.half_hour import Cause
from meterkast.model.product import Availability, ProductId, Property, PropertyId
from meterkast.model.reading import Batch, Column
from meterkast.model.time import HALF_HOUR_MS, MINUTE_MS, UtcMs
from meterkast.pipeline.outages import Outages
from meterkast.pipeline.supervisor import CAP_S, CONFIG_S, LASTED_S, Supervisor
from meterkast.ports.driver import DriverStatus, Emit, LinkState

from .sites import prop

START = UtcMs(1_773_154_800_000)
END = UtcMs(START + HALF_HOUR_MS)
BATCH = Batch((Column(PropertyId(1), 0),), (5,), 0)


def of(product: int) -> Property:
    return replace(prop(1), product_id=ProductId(product))


# The supervisor


class Scripted:
    """A driver that does one thing after another, one at each start."""

    name = "p1 main"

    def __init__(self, *script: Callable[[Emit], Any]) -> None:
        self.script = list(script)
        self.starts = 0

    async def run(self, emit: Emit) -> None:
        act = self.script[min(self.starts, len(self.script) - 1)]
        self.starts += 1
        result = act(emit)
        if asyncio.iscoroutine(result):
            await result

    def status(self) -> DriverStatus:
        return DriverStatus(state=LinkState.OPENING, detail="", counters={})


def raising(error: Exception) -> Callable[[Emit], None]:
    def act(_: Emit) -> None:
        raise error

    return act


LOST = LinkLostError("the port went away", hint="Plug it in.")


class Watch:
    """A supervisor with a scripted driver on a clock that a test moves."""

    def __init__(self, clock: Any, *script: Callable[[Emit], Any]) -> None:
        self.clock = clock
        self.driver = Scripted(*script)
        self.outages = Outages(clock.now_ms(), lambda boot_ms: clock.utc_of(boot_ms * 1_000_000))
        self.outages.trusted_since_ms = clock.now_ms()
        self.outages.reads("p1 main", ProductId(1))
        self.got: list[Batch] = []
        self.supervisor = Supervisor(self.driver, self.got.append, clock, self.outages, lambda: 1.0)
        self.task = asyncio.create_task(self.supervisor.run())

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        assert self.task.cancelled()


async def test_driver_that_loses_its_device_is_started_again_with_growing_waits(clock: Any) -> None:
    watch = Watch(clock, raising(LOST))
    await clock.settle()
    assert (watch.supervisor.problem, watch.supervisor.hint) == ("the port went away", "Plug it in.")
    starts = []
    for second in range(200):
        await clock.pass_s(1)
        if watch.driver.starts > len(starts) + 1:
            starts.append(second + 1)
    assert starts[:7] == [1, 3, 7, 15, 31, 61, 91]
    assert watch.supervisor.restarts == watch.driver.starts - 1
    await watch.stop()


@pytest.mark.parametrize(
    ("error", "wait_s", "shown"),
    [
        (ConfigError("`drivers.p1.port`: no such port", hint="Set it."), CONFIG_S, "no such port"),
        (StorageError("the disk is full", hint="Free space."), 1.0, "the disk is full"),
        (RuntimeError("a fault"), 1.0, "internal error: RuntimeError('a fault')"),
    ],
)
async def test_driver_that_cannot_work_is_shown_and_tried_again(
    clock: Any, error: Exception, wait_s: float, shown: str
) -> None:
    watch = Watch(clock, raising(error))
    await clock.pass_s(wait_s - 0.1)
    assert watch.driver.starts == 1
    assert shown in watch.supervisor.problem
    assert watch.supervisor.hint
    await clock.pass_s(0.2)
    assert watch.driver.starts == 2
    assert not watch.task.done()
    await watch.stop()


async def test_driver_that_ends_by_itself_is_started_again(clock: Any) -> None:
    watch = Watch(clock, lambda emit: emit(BATCH))
    await clock.pass_s(10)
    assert watch.driver.starts > 2
    assert watch.got[0] is BATCH
    assert watch.supervisor.problem == "the driver ended by itself"
    await watch.stop()


async def test_running_driver_has_no_problem_and_is_stopped_with_the_gateway(clock: Any) -> None:
    closed = []

    async def run(_: Emit) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    watch = Watch(clock, raising(LOST), run)
    await clock.pass_s(5)
    assert (watch.supervisor.problem, watch.supervisor.hint) == ("", "")
    await watch.stop()
    assert closed == [True]


async def test_wait_is_short_again_after_a_driver_has_worked_for_long(clock: Any) -> None:
    async def works(_: Emit) -> None:
        await clock.sleep(LASTED_S + 1)
        raise LOST

    watch = Watch(clock, *[raising(LOST)] * 8, works, raising(LOST))
    await clock.pass_s(1 + 2 + 4 + 8 + 16 + 3 * CAP_S + 0.5)
    assert watch.driver.starts == 9
    await clock.pass_s(LASTED_S + 1 + 1)
    assert watch.driver.starts == 10
    await watch.stop()


async def test_absence_lasts_from_the_loss_to_the_first_reading(clock: Any) -> None:
    async def opens_late(emit: Emit) -> None:
        await clock.sleep(20 * 60)
        emit(BATCH)
        emit(BATCH)
        await asyncio.Event().wait()

    watch = Watch(clock, raising(LOST), opens_late)
    await clock.pass_s(1800)
    assert watch.got == [BATCH, BATCH]
    now_ms = clock.now_ms()
    assert watch.outages.why(prop(1), START, UtcMs(START + 20 * MINUTE_MS)) is Cause.LINK_LOST
    assert watch.outages.why(prop(1), UtcMs(START + 21 * MINUTE_MS), now_ms) is Cause.METER_SILENT
    await watch.stop()


async def test_absence_is_logged_when_it_begins_and_when_it_ends(
    clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def reads(emit: Emit) -> None:
        emit(BATCH)
        await asyncio.Event().wait()

    watch = Watch(clock, *[raising(LOST)] * 9, reads)
    await clock.pass_s(600)
    assert watch.driver.starts == 10
    assert [record.message for record in caplog.records if record.name == supervisor_module.__name__] == [
        "driver stopped",
        "driver reads again",
    ]
    await watch.stop()


async def test_driver_that_cannot_tell_how_it_is_is_shown_as_such_and_logged_once(
    clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch(clock, lambda _: asyncio.Event().wait())
    status = watch.driver.status
    watch.driver.status = lambda: 1 / 0  # type: ignore[assignment,return-value]  # a fault in its code
    for _ in range(3):
        told = watch.supervisor.status()
        assert told.state is LinkState.LOST
        assert "ZeroDivisionError" in told.detail
    assert [record.message for record in caplog.records] == ["driver tells nothing"]
    watch.driver.status = status  # type: ignore[method-assign]  # as it was
    assert watch.supervisor.status() == status()
    await watch.stop()


# Outages


def known() -> Outages:
    outages = Outages(START)
    outages.trusted_since_ms = START
    outages.reads("p1", ProductId(1))
    return outages


def test_meter_is_silent_where_the_gateway_knows_of_nothing_else() -> None:
    assert known().why(prop(1), START, END) is Cause.METER_SILENT
    assert known().why(of(9), START, END) is Cause.METER_SILENT


def test_half_of_the_time_without_the_link_is_the_links() -> None:
    outages = known()
    outages.lost("p1", UtcMs(START + 5 * MINUTE_MS))
    outages.lost("p1", UtcMs(START + 6 * MINUTE_MS))
    outages.back("p1", UtcMs(START + 12 * MINUTE_MS))
    outages.back("p1", UtcMs(START + 13 * MINUTE_MS))
    assert outages.why(prop(1), START, END) is Cause.METER_SILENT
    outages.lost("p1", UtcMs(START + 23 * MINUTE_MS))
    assert outages.why(prop(1), START, END) is Cause.METER_SILENT, "14 minutes of 30"
    outages.back("p1", UtcMs(START + 23 * MINUTE_MS))
    outages.lost("p1", UtcMs(START + 22 * MINUTE_MS))
    assert outages.why(prop(1), START, END) is Cause.LINK_LOST, "15 minutes of 30"
    assert outages.why(prop(1), END, UtcMs(END + HALF_HOUR_MS)) is Cause.LINK_LOST, "and goes on"
    assert outages.why(of(2), START, END) is Cause.METER_SILENT, "another driver's meter"
    outages.back("other", END)


def test_link_and_reach_count_together_and_once() -> None:
    outages = known()
    outages.lost("p1", START)
    outages.reachable(ProductId(1), Availability.UNREACHABLE, UtcMs(START + 5 * MINUTE_MS))
    outages.back("p1", UtcMs(START + 10 * MINUTE_MS))
    outages.reachable(ProductId(1), Availability.AVAILABLE, UtcMs(START + 14 * MINUTE_MS))
    assert outages.why(prop(1), START, END) is Cause.METER_SILENT, "14 minutes of 30, five of them twice"
    outages.lost("p1", UtcMs(START + 29 * MINUTE_MS))
    assert outages.why(prop(1), START, END) is Cause.LINK_LOST, "15 minutes of 30, neither alone"


def test_what_a_removed_device_does_not_tell_is_its_removal() -> None:
    outages = known()
    outages.reachable(ProductId(1), Availability.UNREACHABLE, START)
    outages.removed(ProductId(1), UtcMs(START + 15 * MINUTE_MS))
    assert outages.why(prop(1), START, END) is Cause.DEVICE_REMOVED
    assert outages.why(of(2), START, END) is Cause.METER_SILENT, "another device"
    outages.filled(ProductId(1), UtcMs(END + 10 * MINUTE_MS))
    assert outages.why(prop(1), END, UtcMs(END + HALF_HOUR_MS)) is Cause.METER_SILENT


def test_gateway_that_was_off_says_so() -> None:
    outages = Outages(UtcMs(END + 40 * MINUTE_MS))
    outages.off_since_ms = UtcMs(START + 10 * MINUTE_MS)
    outages.trusted_since_ms = outages.started_ms
    assert outages.why(prop(1), START, END) is Cause.GATEWAY_OFF
    assert outages.why(prop(1), END, UtcMs(END + HALF_HOUR_MS)) is Cause.GATEWAY_OFF
    outages.off_since_ms = UtcMs(END - 5 * MINUTE_MS)
    later = UtcMs(END + HALF_HOUR_MS)
    assert outages.why(prop(1), later, UtcMs(later + HALF_HOUR_MS)) is Cause.METER_SILENT


def test_half_hour_that_was_over_before_the_gateway_went_off_is_not_blamed_on_that() -> None:
    """An hourly meter's is closed an hour late: by the next run, where this one ended before."""
    outages = Outages(UtcMs(END + 40 * MINUTE_MS))
    outages.off_since_ms = UtcMs(END + MINUTE_MS)
    outages.trusted_since_ms = outages.started_ms
    assert outages.why(prop(1), START, END) is Cause.METER_SILENT
    assert outages.why(prop(1), END, UtcMs(END + HALF_HOUR_MS)) is Cause.GATEWAY_OFF


def test_half_hour_before_the_time_was_known_says_so() -> None:
    outages = Outages(UtcMs(START + MINUTE_MS))
    assert outages.why(prop(1), START, END) is Cause.CLOCK_UNKNOWN
    outages.trusted_since_ms = END
    assert outages.why(prop(1), START, END) is Cause.CLOCK_UNKNOWN
    assert outages.why(prop(1), UtcMs(START - HALF_HOUR_MS), START) is Cause.GATEWAY_OFF
    assert outages.why(prop(1), END, UtcMs(END + HALF_HOUR_MS)) is Cause.METER_SILENT


def test_boot_without_a_time_explains_as_much_of_a_gap_as_it_lasted() -> None:
    later = UtcMs(START + 6 * HALF_HOUR_MS)
    outages = Outages(UtcMs(later + HALF_HOUR_MS))
    outages.off_since_ms = START
    outages.trusted_since_ms = outages.started_ms
    outages.ran(later, UtcMs(later + MINUTE_MS * 20))
    first_ms = outages.clock_unknown(later, 80 * MINUTE_MS)
    assert outages.clock_unknown(first_ms, 20 * MINUTE_MS) == later - 100 * MINUTE_MS
    ends = [UtcMs(START + number * HALF_HOUR_MS) for number in range(1, 8)]
    causes = [outages.why(prop(1), UtcMs(end - HALF_HOUR_MS), end) for end in ends]
    assert causes == [
        *[Cause.GATEWAY_OFF] * 3,  # ten minutes of the third are explained
        *[Cause.CLOCK_UNKNOWN] * 3,
        Cause.METER_SILENT,  # an earlier run of this boot was on, and heard nothing
    ]


def test_half_of_the_time_out_of_reach_is_the_links() -> None:
    outages = known()
    outages.reachable(ProductId(1), Availability.RETRYING, START)
    assert outages.why(prop(1), START, END) is Cause.METER_SILENT, "it may answer yet"
    outages.reachable(ProductId(1), Availability.UNREACHABLE, UtcMs(START + 16 * MINUTE_MS))
    assert outages.why(prop(1), START, END) is Cause.METER_SILENT, "14 minutes of 30"
    assert outages.why(prop(1), END, UtcMs(END + HALF_HOUR_MS)) is Cause.LINK_LOST
    assert outages.why(of(2), END, UtcMs(END + HALF_HOUR_MS)) is Cause.METER_SILENT, "another device"
    outages.reachable(ProductId(1), Availability.AVAILABLE, UtcMs(END + 14 * MINUTE_MS))
    assert outages.why(prop(1), END, UtcMs(END + HALF_HOUR_MS)) is Cause.METER_SILENT, "14 minutes of 30"


def test_loose_plug_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages_module, "_REMEMBERED", 3)
    outages = known()
    for number in range(10):
        outages.lost("p1", UtcMs(START + number * 1000))
        outages.back("p1", UtcMs(START + number * 1000 + 500))
    assert len(outages._lost["p1"]) == 3
