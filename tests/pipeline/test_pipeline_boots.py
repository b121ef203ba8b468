"""Readings before the time is known survive everything, and what cannot be timed is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from meterkast.model.errors import StorageError
from meterkast.model.half_hour import Cause
from meterkast.model.time import HOUR_MS, MINUTE_MS, UtcMs
from meterkast.pipeline.examine_clock import clock_problems, source_healths
from meterkast.ports import Keep, SourceStatus, Trust
from meterkast_buffer.store import open_store

from .far_end import VirtualClock
from .sites import START, until
from .test_pipeline_keeping import House, counted


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = await open_store(tmp_path / "meterkast.db")
    yield House(store)
    await store.close()


async def values(house: House) -> list[int | Cause | None]:
    rows = await house.store.half_hours(UtcMs(0), until(100_000))
    return [one.value.whole if one.value else one.cause for one in rows]


async def test_readings_of_two_runs_without_a_time_are_closed_and_sent_once_it_is_known(house: House) -> None:
    house.clock.trust = Trust.UNKNOWN
    await house.start(wash="Washer")
    await house.meter("Washer")
    await house.minutes(100)
    await house.start(wash="Washer")  # the process was killed
    await house.meter("Washer")
    await house.minutes(50)
    assert await values(house) == []
    house.clock.trust = Trust.METER
    await house.minutes(1)
    assert await values(house) == [30, 60, 90, 120]
    assert await house.sent("wash") == counted(1, 2, 3, 4)
    times = [at async for frames in house.store.samples(START) for one in frames for at in one.times]
    assert times == [until(minute) for minute in range(1, 152)], "in the order in which they came"
    await house.start(wash="Washer")
    await house.minutes(31)
    assert await values(house) == [30, 60, 90, 120, 150, 180]


async def test_power_cut_before_trust_leaves_an_episode_and_its_cause_in_the_gap(house: House) -> None:
    await house.start(wash="Washer")
    await house.meter("Washer")
    await house.minutes(62)
    first = house.clock.boot_id
    house.clock.trust, house.clock.boot_id = Trust.UNKNOWN, "second"
    house.clock.pass_ms(2 * HOUR_MS)
    await house.start(wash="Washer")
    await house.meter("Washer")
    await house.minutes(90)
    house.clock.trust, house.clock.boot_id = Trust.TRUSTED, "third"
    await house.start(wash="Washer")
    await house.minutes(62)
    (episode,) = await house.store.clock_episodes(START, until(1000))
    assert (episode.boot_id, episode.readings, episode.after_ms) == ("second", 90, until(62))
    (span,) = episode.registers
    assert (span.first.whole, span.last.whole, span.total and span.total.whole) == (183, 272, 89)
    assert [boot.id for boot in await house.store.boots()] == [first, "third"]
    off, unknown = [Cause.GATEWAY_OFF] * 3, [Cause.CLOCK_UNKNOWN] * 3
    assert await values(house) == [30, 60, 62, *off, *unknown, 300, 330]


async def test_database_that_refuses_when_the_time_is_learned_loses_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuses(*_: object) -> None:
        raise StorageError("the disk is full", hint="Free space.")

    house.clock.trust = Trust.UNKNOWN
    await house.start(wash="Washer")
    await house.meter("Washer")
    await house.minutes(40)
    house.clock.trust = Trust.TRUSTED
    for method in ("learn", "keep"):
        with monkeypatch.context() as patch:
            patch.setattr(house.store, method, refuses)
            await house.minutes(10)
        assert await values(house) == []
    assert "readings not timed" in caplog.text
    await house.minutes(3)
    assert await values(house) == [30, 60]
    times = [at async for frames in house.store.samples(START) for one in frames for at in one.times]
    assert times == [until(minute) for minute in range(1, 64)]


async def test_what_is_known_of_a_boot_is_kept_every_ten_minutes_and_at_a_stop(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    keep = house.store.keep

    async def watched(what: Keep) -> None:
        if what.boot is not None:
            kept.append(what.boot.last_ms // MINUTE_MS)
        await keep(what)

    monkeypatch.setattr(house.store, "keep", watched)
    await house.start()
    await house.meter("Washer")
    await house.minutes(35)
    await house.keeper.finish()
    assert kept == [1, 11, 21, 31, 35]


def test_clock_says_what_is_wrong_and_what_to_do() -> None:
    clock = VirtualClock()
    assert clock_problems(clock, meters=True) == []
    clock.sources = lambda: (  # type: ignore[method-assign]
        SourceStatus(name="system clock", off_ms=0, heard_ms=START, believed=True, outvoted=False),
        SourceStatus(name="meter p1", off_ms=-300_000, heard_ms=START, believed=False, outvoted=True),
        SourceStatus(name="hardware clock", off_ms=10, heard_ms=START, believed=False, outvoted=False),
    )
    (outvoted,) = clock_problems(clock, meters=True)
    assert outvoted.severity == "attention"
    assert outvoted.what == (
        "The meter p1 is 5 minutes behind; others agree on the time, and it is not followed."
    )
    assert [(one.name, one.off_s, one.verdict) for one in source_healths(clock)] == [
        ("hardware clock", 0.01, "heard"),
        ("meter p1", -300.0, "outvoted"),
        ("system clock", 0.0, "followed"),
    ]
    clock.dispute = "Clocks disagree: one says so, another so."
    (known,) = clock_problems(clock, meters=True)
    assert known.severity == "problem"
    assert known.what.endswith("another so. Meters are read and half-hours closed, and nothing is sent.")
    clock.trust = Trust.UNKNOWN
    (unknown,) = clock_problems(clock, meters=True)
    assert unknown.what.endswith("Meters are read, no half-hour is closed, and nothing is sent.")
    clock.dispute = ""
    (nothing,) = clock_problems(clock, meters=False)
    assert "does not know the time" in nothing.what
