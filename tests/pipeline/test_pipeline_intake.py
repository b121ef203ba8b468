"""Readings get their time when they come in, and wait while the time is not known."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.reading import Batch, Column, TimeSource
from meterkast.model.time import DAY_MS, UtcMs
from meterkast.pipeline.intake import OLDEST_CAPTURE_MS, STAMP_LIMIT_MS, Intake
from meterkast.ports.clock import Trust

START = UtcMs(1_773_154_800_000)
A = (Column(PropertyId(1), 0), Column(PropertyId(2), 1))
B = (Column(PropertyId(3), 0),)


@dataclass
class Hands:
    """A clock whose hands a test moves."""

    boot: int = 0
    offset_ms: int = START
    trust: Trust = Trust.TRUSTED
    speed: float = 1.0

    def now_ms(self) -> UtcMs:
        return self.utc_of(self.boot)

    def boot_ns(self) -> int:
        return self.boot

    def utc_of(self, boot_ns: int) -> UtcMs:
        return UtcMs(self.offset_ms + boot_ns // 1_000_000)

    def offer(self, stamp_ms: UtcMs, seen_ns: int) -> None: ...

    def allowance_ms(self, limit_ms: int) -> int:
        return limit_ms

    async def sleep(self, seconds: float) -> None: ...

    async def sleep_until(self, at_ms: UtcMs) -> None: ...

    def passes(self, ms: int) -> int:
        self.boot += ms * 1_000_000
        return self.boot


def times(intake: Intake) -> list[UtcMs]:
    return [at for table in intake.take() for at in table.times]


def test_telegrams_stamp_is_its_time_within_a_minute_of_the_clock() -> None:
    clock = Hands()
    intake = Intake(clock)
    for off in (-STAMP_LIMIT_MS, 0, STAMP_LIMIT_MS):
        intake.emit(Batch(A, (1, 2), clock.boot, UtcMs(START + off), TimeSource.TELEGRAM))
    assert times(intake) == [START - STAMP_LIMIT_MS, START, START + STAMP_LIMIT_MS]
    assert intake.off_stamps == 0


@pytest.mark.parametrize("off", [-STAMP_LIMIT_MS - 1, STAMP_LIMIT_MS + 1, -400 * DAY_MS])
def test_telegram_whose_stamp_disagrees_counts_as_measured_when_it_arrived(off: int) -> None:
    clock = Hands()
    intake = Intake(clock)
    intake.emit(Batch(A, (1, 2), clock.passes(5), UtcMs(clock.now_ms() + off), TimeSource.TELEGRAM))
    assert times(intake) == [START + 5]
    assert intake.off_stamps == 1


def test_device_without_a_time_is_measured_on_arrival() -> None:
    clock = Hands()
    intake = Intake(clock)
    intake.emit(Batch(A, (1, 2), clock.passes(7)))
    intake.emit(Batch(A, (1, 2), clock.passes(7), UtcMs(5), TimeSource.ARRIVAL))
    assert times(intake) == [START + 7, START + 14]


def test_captured_value_keeps_the_meters_own_time() -> None:
    clock = Hands()
    intake = Intake(clock)
    for at in (START - 3_600_000, START - OLDEST_CAPTURE_MS, START + STAMP_LIMIT_MS):
        intake.emit(Batch(B, (1,), clock.boot, UtcMs(at), TimeSource.CAPTURE))
    assert times(intake) == [START - 3_600_000, START - OLDEST_CAPTURE_MS, START + STAMP_LIMIT_MS]
    assert not intake.refused


def test_captures_of_the_future_and_of_an_unset_clock_are_refused_and_counted() -> None:
    clock = Hands()
    intake = Intake(clock)
    for at in (START + STAMP_LIMIT_MS + 1, START - OLDEST_CAPTURE_MS - 1, 0):
        intake.emit(Batch(B, (1,), clock.boot, UtcMs(at), TimeSource.CAPTURE))
    assert intake.take() == []
    assert intake.refused == {"captured in the future": 1, "captured too long ago": 2}
    assert intake.latest() == {}


def test_readings_are_held_while_the_time_is_unknown_and_timed_when_it_is() -> None:
    clock = Hands(trust=Trust.UNKNOWN, offset_ms=0)
    intake = Intake(clock)
    assert intake.started_ms == 0
    for value in range(3):
        intake.emit(Batch(A, (value, 0), clock.passes(1000)))
    assert intake.take() == []
    assert intake.held == 3
    assert intake.trusted_since_ms is None
    assert intake.latest()[PropertyId(1)].value == Quantity(2)
    clock.offset_ms, clock.trust = START, Trust.METER
    clock.passes(1000)
    tables = intake.take()
    assert [(table.times, table.rows) for table in tables] == [
        ([START + 1000, START + 2000, START + 3000], [(0, 0), (1, 0), (2, 0)])
    ]
    assert intake.held == 0
    assert intake.trusted_since_ms == START + 4000
    assert intake.started_ms == START


def test_reading_that_comes_as_the_time_becomes_known_follows_those_held() -> None:
    clock = Hands(trust=Trust.UNKNOWN)
    intake = Intake(clock)
    intake.emit(Batch(B, (1,), clock.passes(1)))
    clock.trust = Trust.TRUSTED
    intake.emit(Batch(B, (2,), clock.passes(1)))
    clock.trust = Trust.UNKNOWN  # once known it is known for this run
    intake.emit(Batch(B, (3,), clock.passes(1)))
    assert intake.take()[0].rows == [(1,), (2,), (3,)]


def test_readings_that_are_kept_without_a_time_get_it_as_they_would_have_on_arrival() -> None:
    clock = Hands(trust=Trust.UNKNOWN, offset_ms=0)
    intake = Intake(clock)
    batches = [
        Batch(B, (1,), clock.passes(1000)),
        Batch(A, (1, 2), clock.passes(1000), UtcMs(START + 2_500), TimeSource.TELEGRAM),
        Batch(A, (1, 3), clock.passes(1000), UtcMs(START - DAY_MS), TimeSource.TELEGRAM),
        Batch(B, (4,), clock.passes(1000), UtcMs(START - 3_600_000), TimeSource.CAPTURE),
        Batch(B, (5,), clock.passes(1000), UtcMs(START + DAY_MS), TimeSource.CAPTURE),
        Batch(B, (6,), clock.passes(1000)),
    ]
    for batch in batches:
        intake.emit(batch)
    kept = intake.take_untimed()
    assert [(table.layout, table.source, table.seen_ms) for table in kept] == [
        (B, TimeSource.ARRIVAL, [1000, 6000]),
        (A, TimeSource.TELEGRAM, [2000, 3000]),
        (B, TimeSource.CAPTURE, [4000, 5000]),
    ]
    assert intake.held == 0
    intake.emit(Batch(B, (7,), clock.passes(1000)))
    clock.offset_ms, clock.trust = START, Trust.METER
    assert intake.take() == [], "what is older has to be timed first"
    placed = intake.place(kept)
    assert [(table.layout, table.times, table.rows) for table in placed] == [
        (B, [START + 1000, START - 3_600_000, START + 6000], [(1,), (4,), (6,)]),
        (A, [START + 2_500, START + 3000], [(1, 2), (1, 3)]),
    ]
    assert intake.refused == {"captured in the future": 1}
    assert intake.off_stamps == 1
    intake.resume()
    assert times(intake) == [START + 7000]


def test_readings_are_gathered_by_layout_and_handed_out_once() -> None:
    clock = Hands()
    intake = Intake(clock)
    for value in range(4):
        intake.emit(Batch(A if value % 2 else B, (value,) * (1 + value % 2), clock.passes(1)))
    tables = intake.take()
    assert [(table.layout, table.rows) for table in tables] == [(B, [(0,), (2,)]), (A, [(1, 1), (3, 3)])]
    assert intake.take() == []


def test_newest_value_of_a_property_is_of_whichever_layout_brought_it_last() -> None:
    clock = Hands()
    intake = Intake(clock)
    other = (Column(PropertyId(1), 2),)
    intake.emit(Batch(other, (700,), clock.passes(1)))
    intake.emit(Batch(A, (5, 6), clock.passes(1)))
    assert intake.latest()[PropertyId(1)].value == Quantity(5, 0)
    intake.emit(Batch(other, (800,), clock.passes(1)))
    newest = intake.latest()
    assert newest[PropertyId(1)].value == Quantity(800, 2)
    assert newest[PropertyId(1)].at_ms == START + 3
    assert newest[PropertyId(2)].value == Quantity(6, 1)


def test_time_that_is_known_at_the_start_is_known_before_anything_is_read() -> None:
    clock = Hands()
    intake = Intake(clock)
    clock.passes(1_000)
    assert intake.take() == []
    assert intake.trusted_since_ms == START + 1_000
    assert intake.started_ms == START
    unknown = Intake(Hands(trust=Trust.UNKNOWN))
    assert unknown.take() == []
    assert unknown.trusted_since_ms is None
