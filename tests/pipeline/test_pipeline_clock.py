"""The clock is believed only with evidence; a rehearsal's clock follows the simulated meter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import meterkast.clock as clocks
from meterkast.clock import STAMP_LIMIT_MS, FastClock, SystemClock, kernel_synchronised
from meterkast.model.time import UtcMs
from meterkast.ports import Clock, Trust

SECOND_NS = 1_000_000_000
START = UtcMs(1_773_154_800_000)


class Machine:
    """The machine's own clocks, as a test sets them."""

    def __init__(self) -> None:
        self.boot_ns = 1_000 * SECOND_NS
        self.utc_ns = START * 1_000_000
        self.synchronised = False
        self.asked = 0

    def passes(self, seconds: float) -> None:
        self.boot_ns += int(seconds * SECOND_NS)
        self.utc_ns += int(seconds * SECOND_NS)

    def kernel(self) -> bool:
        self.asked += 1
        return self.synchronised


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    made = Machine()
    monkeypatch.setattr(clocks.time, "clock_gettime_ns", lambda _: made.boot_ns)
    monkeypatch.setattr(clocks.time, "time_ns", lambda: made.utc_ns)
    monkeypatch.setattr(clocks, "kernel_synchronised", made.kernel)
    yield made
    monkeypatch.undo()  # before the event loop is closed


def test_kernel_is_asked_for_real() -> None:
    assert kernel_synchronised() in (True, False)


def test_machine_that_is_not_synchronised_is_not_believed(machine: Machine) -> None:
    clock = SystemClock()
    assert clock.trust is Trust.UNKNOWN
    assert clock.now_ms() == START


def test_kernel_is_asked_again_after_ten_seconds_and_its_word_is_kept(machine: Machine) -> None:
    clock = SystemClock()
    assert clock.trust is Trust.UNKNOWN
    machine.synchronised = True
    machine.passes(9)
    assert clock.trust is Trust.UNKNOWN
    assert machine.asked == 1
    machine.passes(2)
    assert clock.trust is Trust.TRUSTED
    machine.synchronised = False
    machine.passes(100)
    assert clock.trust is Trust.TRUSTED
    assert machine.asked == 2


def test_two_telegrams_in_a_row_that_agree_are_believed(machine: Machine) -> None:
    clock = SystemClock()
    clock.offer(UtcMs(START + STAMP_LIMIT_MS), machine.boot_ns)
    assert clock.trust is Trust.UNKNOWN
    machine.passes(1)
    clock.offer(UtcMs(START + 1000 - STAMP_LIMIT_MS), machine.boot_ns)
    assert clock.trust is Trust.METER
    machine.synchronised = True
    machine.passes(11)
    assert clock.trust is Trust.TRUSTED


def test_stamp_that_disagrees_begins_the_count_again(machine: Machine) -> None:
    clock = SystemClock()
    for offset in (0, STAMP_LIMIT_MS + 1, 0):
        clock.offer(UtcMs(START + offset), machine.boot_ns)
    assert clock.trust is Trust.UNKNOWN
    clock.offer(START, machine.boot_ns)
    assert clock.trust is Trust.METER
    clock.offer(UtcMs(START + 10 * STAMP_LIMIT_MS), machine.boot_ns)
    assert clock.trust is Trust.METER


def test_instants_of_this_boot_follow_the_clock_when_it_is_set(machine: Machine) -> None:
    clock = SystemClock()
    seen_ns = clock.boot_ns()
    machine.passes(5)
    assert clock.utc_of(seen_ns) == START
    machine.utc_ns += 3_600 * SECOND_NS
    assert clock.utc_of(seen_ns) == START + 3_600_000
    assert clock.allowance_ms(77) == 77


async def test_waiting_until_an_instant_notices_that_the_clock_was_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SystemClock()
    slept: list[float] = []
    now = [START]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] = UtcMs(now[0] + int(seconds * 1000) + (500_000 if len(slept) == 1 else 0))

    monkeypatch.setattr(clocks.asyncio, "sleep", sleep)
    monkeypatch.setattr(clock, "now_ms", lambda: now[0])
    await clock.sleep_until(UtcMs(START + 100_000))
    await clock.sleep(2.5)
    monkeypatch.undo()
    assert slept == [30, 2.5]


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
