"""A rehearsal's clock runs faster, and follows the simulated meter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import meterkast.clock as clocks
from meterkast.clock import FastClock
from meterkast.model.time import UtcMs
from meterkast.ports.clock import Clock, Trust

from .machine import START, Machine


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    made = Machine()
    # A fast clock asks the time module itself.
    monkeypatch.setattr(clocks.time, "clock_gettime_ns", lambda _: made.boot)
    monkeypatch.setattr(clocks.time, "time_ns", lambda: made.utc_ns)
    yield made
    monkeypatch.undo()  # before the event loop is closed


def fast(machine: Machine, speed: float = 60.0) -> FastClock:
    return FastClock(speed, START)


def test_fast_clock_runs_as_many_times_as_fast(machine: Machine) -> None:
    clock = fast(machine)
    seen_ns = clock.boot_ns()
    machine.passes(2)
    assert clock.now_ms() == START + 120_000
    assert clock.utc_of(seen_ns) == START
    assert clock.allowance_ms(1000) > 1000
    fits: Clock = clock
    assert fits.speed == 60.0


def test_fast_clock_begins_now_where_no_start_is_given(machine: Machine) -> None:
    assert FastClock(10.0).now_ms() == START


def test_fast_clock_follows_a_meter_after_two_stamps_that_agree(machine: Machine) -> None:
    clock = fast(machine)
    meter = UtcMs(START + 7 * 86_400_000)
    clock.offer(meter, clock.boot_ns())
    assert clock.trust is Trust.UNKNOWN
    assert clock.now_ms() == START
    machine.passes(1)
    clock.offer(UtcMs(meter + 60_000), clock.boot_ns())
    assert clock.trust is Trust.METER
    assert clock.now_ms() == meter + 60_000


def test_fast_clock_leaves_a_small_difference_alone(machine: Machine) -> None:
    clock = fast(machine)
    clock.offer(UtcMs(START + 5_000), clock.boot_ns())
    machine.passes(1)
    clock.offer(UtcMs(START + 65_000), clock.boot_ns())
    assert clock.trust is Trust.METER
    assert clock.now_ms() == START + 60_000


def test_fast_clock_ignores_the_stamps_of_a_capture(machine: Machine) -> None:
    clock = fast(machine, speed=600.0)
    for second in range(4):
        clock.offer(UtcMs(START - 86_400_000 + second * 1000), clock.boot_ns())
        machine.passes(2)
    assert clock.now_ms() == START + 4 * 2 * 600 * 1000
    assert clock.trust is Trust.TRUSTED


def test_fast_clock_is_believed_where_no_meter_turns_up(machine: Machine) -> None:
    clock = fast(machine)
    machine.passes(4.9)
    assert clock.trust is Trust.UNKNOWN
    machine.passes(0.2)
    assert clock.trust is Trust.TRUSTED


async def test_fast_clock_sleeps_in_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FastClock(100.0, START)
    slept: list[float] = []
    now = [START]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] = UtcMs(now[0] + round(seconds * 100_000))

    monkeypatch.setattr(clocks.asyncio, "sleep", sleep)
    monkeypatch.setattr(clock, "now_ms", lambda: now[0])
    await clock.sleep(50)
    await clock.sleep_until(UtcMs(now[0] + 150_000))
    monkeypatch.undo()
    assert slept == [0.5, 1.0, 0.5]
