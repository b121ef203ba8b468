"""Readings before the time is known survive everything, and what cannot be timed is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from meterkast.model.errors import StorageError
from meterkast.model.half_hour import Cause
from meterkast.model.product import Property
from meterkast.model.time import HOUR_MS, MINUTE_MS, UtcMs
from meterkast.pipeline.examine_clock import clock_problems, source_healths
from meterkast.pipeline.outages import Outages
from meterkast.ports.clock import SourceStatus, Trust
from meterkast.ports.store import Keep
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


@pytest.mark.parametrize("trust", [Trust.UNKNOWN, Trust.METER, Trust.TRUSTED])
async def test_time_that_is_known_at_the_start_is_known_before_anything_is_read(
    house: House, trust: Trust
) -> None:
    house.clock.trust = trust
    await house.start()
    house.clock.pass_ms(HOUR_MS)
    assert house.intake.trusted_since_ms == (None if trust is Trust.UNKNOWN else START)


async def test_link_that_was_lost_before_the_time_was_known_was_lost_when_it_was(house: House) -> None:
    outages = Outages(START, lambda boot_ms: UtcMs(house.clock.utc_of(boot_ms * 1_000_000) + off_ms))
    off_ms = -56 * 365 * 24 * HOUR_MS
    outages.trusted_since_ms = START
    prop = await _washer(house)
    outages.reads("zwave", prop.product_id)
    house.clock.pass_ms(5 * MINUTE_MS)
    outages.lost("zwave", house.clock.boot_ns() // 1_000_000)
    house.clock.pass_ms(20 * MINUTE_MS)
    outages.back("zwave", house.clock.boot_ns() // 1_000_000)
    assert outages.why(prop, START, until(30)) is Cause.METER_SILENT
    off_ms = 0
    assert outages.why(prop, START, until(30)) is Cause.LINK_LOST
    assert outages.why(prop, until(30), until(60)) is Cause.METER_SILENT


async def _washer(house: House) -> Property:
    await house.start()
    await house.meter("Washer")
    return house.keeper.properties[house.columns["Washer"].property_id]


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


@pytest.mark.parametrize("stopped", [False, True])
async def test_database_that_stops_reading_while_what_got_its_time_is_closed_loses_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stopped: bool
) -> None:
    house.clock.trust = Trust.UNKNOWN
    await house.start(wash="Washer")
    await house.meter("Washer")
    await house.minutes(100)
    house.clock.trust = Trust.TRUSTED
    blocks, failing = house.store.blocks, True

    async def fails(first: int, last: int) -> AsyncIterator[Any]:
        number = 0
        async for one in blocks(first, last):
            number += 1
            if number > 40 and failing:
                raise StorageError("the card does not answer", hint="Replace it.")
            yield one

    monkeypatch.setattr(house.store, "blocks", fails)
    await house.minutes(15)
    assert await values(house) == [30], "the first that were not read wait, and so does all that follows"
    assert "not closed yet" in caplog.text
    if stopped:
        await house.keeper.finish()
        await house.start(wash="Washer")
    failing = False
    await house.minutes(10)
    assert await values(house) == [30, 60, 90, 120]
    times = [at async for frames in house.store.samples(START) for one in frames for at in one.times]
    assert times == [until(minute) for minute in range(1, 126)]


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
    closed = clock_problems(clock, meters=True, closed_ms=UtcMs(clock.now_ms() + 61 * MINUTE_MS))[0]
    assert closed.what.startswith("Half-hours are closed until 2026-03-10T16:01:00Z already")
    assert clock_problems(clock, meters=True, closed_ms=UtcMs(clock.now_ms() + HOUR_MS)) == [outvoted]
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


async def learned_and_cut(house: House, monkeypatch: pytest.MonkeyPatch, closing: int) -> None:
    """Twelve hours without a time after two hours off; the power fails when so many blocks are closed."""
    await house.start(wash="Washer")
    await house.meter("Washer")
    await house.minutes(62)
    await house.keeper.finish()
    house.clock.pass_ms(2 * HOUR_MS)
    house.clock.trust, house.clock.boot_id = Trust.UNKNOWN, "second"
    await house.start(wash="Washer")
    await house.meter("Washer")
    await house.minutes(100)
    await house.minutes(60, read=False)
    await house.minutes(560)
    house.clock.trust = Trust.METER
    count, close = 0, house.closing.close

    def fails(now_ms: UtcMs) -> Any:
        nonlocal count
        count += 1
        if count > closing:
            raise KeyboardInterrupt
        return close(now_ms)

    monkeypatch.setattr(house.closing, "close", fails)
    with pytest.raises(KeyboardInterrupt):
        await house.minutes(1)


@pytest.mark.parametrize(("closed", "known"), [(0, True), (0, False), (45, False), (500, True)])
async def test_power_cut_while_readings_that_got_their_time_are_closed(
    house: House, monkeypatch: pytest.MonkeyPatch, closed: int, known: bool
) -> None:
    await learned_and_cut(house, monkeypatch, closed)
    house.clock.boot_id = "third"
    house.clock.pass_ms(HOUR_MS)
    house.clock.trust = Trust.METER if known else Trust.UNKNOWN
    await house.start(wash="Washer")
    await house.meter("Washer")
    held: list[int] = []
    series = house.closing._series[house.columns["Washer"].property_id]
    for _ in range(95):
        await house.minutes(1)
        held.append(len(series.minutes.by_end))
    house.clock.trust = Trust.METER
    await house.minutes(1)
    half_hours = range(30, 990, 30)
    # Off from minute 62 to 182, silent from 282 to 342, on until 903, off until 963.
    missing = {120: Cause.GATEWAY_OFF, 150: Cause.GATEWAY_OFF, 180: Cause.GATEWAY_OFF}
    missing |= {330: Cause.NOT_DUE, 960: Cause.GATEWAY_OFF}
    last = {90: 62, 300: 282, 930: 903}
    assert (await values(house))[: len(half_hours)] == [
        missing.get(end, last.get(end, end)) for end in half_hours
    ]
    sent = [item.at_ms for item in await house.store.pending("far", "wash", 1000)]
    assert sent == [until(30 * number) for number in range(1, len(sent) + 1)]
    assert len(sent) == len(await values(house))
    assert max(held) < 6 * 60, "minutes in memory"
