"""The clock is believed only with evidence."""

from __future__ import annotations

import pytest

import meterkast.timing.machine as machines
from meterkast.clock import SystemClock
from meterkast.model.boot import Boot
from meterkast.model.time import DAY_MS, HOUR_MS, UtcMs, iso_utc
from meterkast.ports.clock import Trust

from .machine import BUILT, SECOND_NS, START, Machine, date, stamps, synchronised

AHEAD_MS = 3650 * DAY_MS


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_machine_is_asked_for_real() -> None:
    real = machines.Machine()
    assert real.synchronised() in (True, False)
    assert real.boot_id == machines.boot_id()
    assert real.boot_ns() > 0
    assert real.rtc_ms() is None or real.rtc_ms() > 0  # type: ignore[operator]
    assert machines.no_rtc() is None


def test_machine_that_is_not_synchronised_is_not_believed(machine: Machine) -> None:
    clock = machine.clock()
    machine.passes(3600)
    assert clock.trust is Trust.UNKNOWN
    assert clock.now_ms() == START + 3_600_000


def test_synchronised_clock_is_believed_after_half_a_minute_in_which_no_one_objects(machine: Machine) -> None:
    clock = synchronised(machine)
    machine.good = False
    machine.passes(100)
    assert clock.trust is Trust.TRUSTED
    assert abs(clock.now_ms() - machine.true_ms()) <= 1
    assert [(one.name, one.believed) for one in clock.sources()] == [("system clock", True)]


def test_kernel_is_asked_once_in_ten_seconds(machine: Machine) -> None:
    clock = machine.clock()
    for _ in range(100):
        machine.passes(1)
        assert clock.trust is Trust.UNKNOWN
    assert machine.asked == 10


def test_two_telegrams_in_a_row_are_enough_for_a_meters_time(machine: Machine) -> None:
    machine.utc_ns = 0  # the year 1970
    clock = machine.clock()
    assert clock.now_ms() == BUILT, "it is later than the release was made"
    stamps(clock, machine, count=1)
    assert clock.trust is Trust.UNKNOWN
    stamps(clock, machine, count=1)
    assert clock.trust is Trust.METER
    assert clock.now_ms() == machine.true_ms()


def test_meter_and_system_clock_that_agree_are_trusted_at_once(machine: Machine) -> None:
    machine.good = True
    clock = machine.clock()
    assert clock.trust is Trust.UNKNOWN
    stamps(clock, machine, 40_000)
    assert clock.trust is Trust.TRUSTED
    assert abs(clock.now_ms() - machine.true_ms()) <= 1, "the exact one of the two counts"


def test_meter_that_stands_still_is_not_believed(machine: Machine) -> None:
    clock = machine.clock()
    for _ in range(20):
        machine.passes(10)
        clock.offer(START, machine.boot, "p1")
    assert clock.trust is Trust.UNKNOWN
    assert clock.refused == {"meter: its clock stood still or jumped": 19}


def test_what_is_earlier_than_the_release_or_the_last_trusted_time_is_refused_and_counted(
    machine: Machine,
) -> None:
    clock = machine.clock()
    known = Boot(id="boot-0", first_ms=0, last_ms=5_000, offset_ms=START - HOUR_MS - 5_000, trust="trusted")
    clock.recall([known])
    stamps(clock, machine, -2 * HOUR_MS, count=3)
    machine.good, machine.utc_ns = True, (START - 2 * HOUR_MS) * 1_000_000
    machine.passes(60)
    assert clock.trust is Trust.UNKNOWN
    assert clock.refused == {
        "meter: earlier than the last trusted time": 3,
        "system clock: earlier than the last trusted time": 1,
    }
    assert clock.now_ms() >= START - HOUR_MS


def test_meter_alone_that_is_a_year_ahead_of_the_last_known_time_waits_for_another(machine: Machine) -> None:
    clock = machine.clock()
    clock.recall([Boot(id="boot-0", first_ms=0, last_ms=0, offset_ms=START - HOUR_MS, trust="trusted")])
    stamps(clock, machine, 365 * DAY_MS, count=4)
    assert clock.trust is Trust.UNKNOWN
    assert "meter: months ahead of the last known time, and nobody confirms it" in clock.refused
    date(clock, machine, 365 * DAY_MS)
    assert clock.trust is Trust.TRUSTED, "the gateway lay in a drawer for a year"


def after_ten_years_ahead(machine: Machine) -> list[Boot]:
    """The first boot ever, in which only a meter spoke that is ten years ahead; the machine starts again."""
    first = machine.clock()
    first.recall([])
    stamps(first, machine, AHEAD_MS)
    assert first.trust is Trust.METER
    return [started_again(machine, first)]


def started_again(machine: Machine, clock: SystemClock) -> Boot:
    boot = clock.record(stopping=True)
    machine.boot_id += " and the next"
    return boot


def test_time_that_only_a_meter_said_gives_way_to_the_right_time_after_a_start(machine: Machine) -> None:
    past = after_ten_years_ahead(machine)
    machine.good = True
    alone = machine.clock()
    alone.recall(past)
    assert alone.trust is Trust.UNKNOWN
    machine.passes(31)
    assert alone.trust is Trust.TRUSTED
    assert abs(alone.now_ms() - machine.true_ms()) <= 1
    corrected = machine.clock()
    corrected.recall(past)
    stamps(corrected, machine)
    assert corrected.trust is Trust.TRUSTED
    assert abs(corrected.now_ms() - machine.true_ms()) <= 1
    past.append(started_again(machine, corrected))
    machine.good = False
    later = machine.clock()
    later.recall(past)
    stamps(later, machine)
    assert later.trust is Trust.METER, "what was trusted since counts, not what the meter said before"


def test_meter_that_stays_ten_years_ahead_is_disputed_and_outvoted(machine: Machine) -> None:
    past = after_ten_years_ahead(machine)
    machine.good = True
    clock = machine.clock()
    clock.recall(past)
    stamps(clock, machine, AHEAD_MS, count=6)
    assert clock.trust is Trust.UNKNOWN
    assert "Clocks disagree" in clock.dispute
    date(clock, machine)
    assert (clock.trust, clock.dispute) == (Trust.TRUSTED, "")
    assert abs(clock.now_ms() - machine.true_ms()) <= 1


def test_meter_alone_that_is_earlier_than_it_was_waits_for_another(machine: Machine) -> None:
    past = after_ten_years_ahead(machine)
    clock = machine.clock()
    clock.recall(past)
    stamps(clock, machine, count=4)
    assert clock.trust is Trust.UNKNOWN
    assert "meter: earlier than the last known time, and nobody confirms it" in clock.refused
    date(clock, machine)
    assert clock.trust is Trust.TRUSTED
    assert abs(clock.now_ms() - machine.true_ms()) <= 1_000


@pytest.mark.parametrize("off_ms", [61_000, -61_000, HOUR_MS, 5 * 366 * DAY_MS])
def test_system_clock_and_meter_that_disagree_from_the_start_leave_the_time_unknown(
    machine: Machine, off_ms: int
) -> None:
    machine.good = True
    clock = machine.clock()
    stamps(clock, machine, off_ms, count=12)
    assert clock.trust is Trust.UNKNOWN
    assert clock.dispute == (
        f"Clocks disagree: the system clock says {iso_utc(machine.true_ms())}, "
        f"the meter p1 says {iso_utc(UtcMs(machine.true_ms() + off_ms))}."
    )
    date(clock, machine)
    assert clock.trust is Trust.TRUSTED
    assert clock.dispute == ""
    assert abs(clock.now_ms() - machine.true_ms()) <= 1
    assert [one.name for one in clock.sources() if one.outvoted] == ["meter p1"]


def test_platform_decides_against_a_wrong_time_service(machine: Machine) -> None:
    machine.good = True
    machine.utc_ns += HOUR_MS * 1_000_000
    clock = machine.clock()
    stamps(clock, machine, count=2)
    assert clock.trust is Trust.UNKNOWN
    date(clock, machine)
    assert clock.trust is Trust.TRUSTED
    assert abs(clock.now_ms() - machine.true_ms()) <= 1_000


def test_two_against_two_is_a_dispute(machine: Machine) -> None:
    clock = machine.clock()
    stamps(clock, machine, meter="p1")
    date(clock, machine, host="one")
    assert clock.trust is Trust.TRUSTED
    stamps(clock, machine, HOUR_MS, meter="p2")
    assert clock.dispute == ""
    date(clock, machine, HOUR_MS, host="two")
    assert "Clocks disagree" in clock.dispute
    assert clock.trust is Trust.TRUSTED, "what was gained is kept"
    assert abs(clock.now_ms() - machine.true_ms()) <= 1_000


def test_meter_between_two_that_disagree_decides_nothing(machine: Machine) -> None:
    machine.good = True
    clock = machine.clock()
    stamps(clock, machine, -35_000)
    assert clock.trust is Trust.TRUSTED
    date(clock, machine, -65_000)
    assert "Clocks disagree" in clock.dispute
    assert abs(clock.now_ms() - machine.true_ms()) <= 1


def test_platform_alone_is_not_believed_nor_an_answer_that_took_too_long(machine: Machine) -> None:
    clock = machine.clock()
    for _ in range(10):
        machine.passes(60)
        date(clock, machine)
        clock.told(START, machine.boot - 2 * SECOND_NS, machine.boot, "slow")
    assert clock.trust is Trust.UNKNOWN
    assert [one.name for one in clock.sources()] == ["platform far"]


def test_steps_of_the_system_clock_move_nothing(machine: Machine) -> None:
    clock = synchronised(machine)
    seen_ns = clock.boot_ns()
    before = clock.utc_of(seen_ns)
    for step_s in (-3_600, 5 * 366 * 86_400, -10 * 366 * 86_400):
        machine.utc_ns += step_s * SECOND_NS
        machine.passes(20)
        assert clock.trust is Trust.TRUSTED
        assert clock.utc_of(seen_ns) == before
        assert abs(clock.now_ms() - machine.true_ms()) <= 1
    assert clock.allowance_ms(77) == 77


def test_step_of_a_synchronised_clock_is_a_dispute_until_another_agrees(machine: Machine) -> None:
    clock = synchronised(machine)
    machine.utc_ns += HOUR_MS * 1_000_000
    machine.passes(10)
    assert clock.dispute == "The system clock differs by 3600 s forward from the time that was known."
    date(clock, machine, HOUR_MS)
    assert clock.dispute == ""
    assert abs(clock.now_ms() - machine.true_ms() - HOUR_MS) <= 1


def test_slow_drift_is_followed_without_a_step(machine: Machine) -> None:
    machine.good = True
    clock = machine.clock()
    steps = []
    for _ in range(3 * 360):
        machine.passes(10)
        machine.utc_ns += 300_000  # the crystal is 30 ppm slow
        before = clock.now_ms()
        assert clock.trust in (Trust.UNKNOWN, Trust.TRUSTED)
        steps.append(clock.now_ms() - before)
    assert clock.trust is Trust.TRUSTED
    assert abs(clock.now_ms() - machine.utc_ns // 1_000_000) <= 1
    assert max(map(abs, steps[10:])) <= 1


def test_meters_time_gives_way_to_the_exact_time_at_once(machine: Machine) -> None:
    clock = machine.clock()
    stamps(clock, machine, 50_000)
    assert clock.now_ms() == machine.true_ms() + 50_000
    machine.good = True
    stamps(clock, machine, 50_000)
    assert clock.trust is Trust.TRUSTED
    assert abs(clock.now_ms() - machine.true_ms()) <= 1


def test_restart_in_the_same_boot_goes_on_with_the_time_that_was_known(machine: Machine) -> None:
    first = machine.clock()
    stamps(first, machine)
    record = first.record()
    machine.utc_ns -= 400 * DAY_MS * 1_000_000
    machine.passes(60)
    again = machine.clock()
    again.recall([record])
    assert again.trust is Trust.METER
    assert again.now_ms() == machine.true_ms()
    machine.boot_id, machine.boot = "boot-2", 1_000 * SECOND_NS
    other = machine.clock()
    other.recall([record])
    assert other.trust is Trust.UNKNOWN
    assert other.now_ms() == record.last_utc_ms, "not before what was known last"


def test_hardware_clock_counts_after_a_stop_at_which_it_was_right_and_never_alone(machine: Machine) -> None:
    clock = synchronised(machine)
    machine.rtc = machine.true_ms()
    good = clock.record(stopping=True)
    assert good.rtc_good
    assert not clock.record().rtc_good
    machine.rtc = UtcMs(machine.true_ms() + HOUR_MS)
    assert not clock.record(stopping=True).rtc_good
    machine.boot_id, machine.good = "boot-2", False
    machine.rtc = machine.true_ms()
    again = machine.clock()
    again.recall([good])
    assert again.trust is Trust.UNKNOWN
    date(again, machine)
    assert again.trust is Trust.TRUSTED
