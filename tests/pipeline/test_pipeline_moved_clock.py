"""The time that was shown was wrong, and is put right while the gateway runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import meterkast.clock as clocks
from meterkast.model.errors import StorageError
from meterkast.model.time import HOUR_MS, MINUTE_MS, UtcMs
from meterkast.ports.clock import Trust
from meterkast.ports.store import Keep
from meterkast.proof.gathering import Site, gather
from meterkast.proof.render import Wording, as_text
from meterkast_buffer.store import open_store

from .machine import SECOND_NS, Machine
from .sites import GRID
from .test_pipeline_keeping import House


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = await open_store(tmp_path / "meterkast.db")
    yield House(store)
    await store.close()


@pytest.mark.parametrize("ahead_ms", [2 * HOUR_MS, 50 * 24 * HOUR_MS, -2 * HOUR_MS])
async def test_readings_are_kept_each_minute_though_the_clock_was_wrong_until_the_meter_spoke(
    house: House, monkeypatch: pytest.MonkeyPatch, ahead_ms: int
) -> None:
    machine = Machine()
    machine.utc_ns += ahead_ms * 1_000_000  # it shows local time, or what was kept at its last stop
    clock = machine.clock()
    house.clock = clock  # type: ignore[assignment]  # the gateway's own, here
    await house.start()
    await house.meter("Washer")
    kept: list[int] = []
    keep, ended = house.store.keep, asyncio.Event()

    async def watched(what: Keep) -> None:
        if what.frames or what.untimed:
            kept.append(machine.boot // SECOND_NS - 1_000)
        await keep(what)

    async def sleep(seconds: float) -> None:
        machine.passes(seconds)
        house.emit(len(kept))
        if machine.boot > 1_010 * SECOND_NS:
            for _ in range(2):
                clock.offer(machine.true_ms(), machine.boot, "p1")
        if machine.boot > 1_600 * SECOND_NS:
            ended.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(house.store, "keep", watched)
    monkeypatch.setattr(clocks.asyncio, "sleep", sleep)
    keeping = asyncio.create_task(house.keeper.run())
    await asyncio.wait([keeping, asyncio.create_task(ended.wait())], return_when="FIRST_COMPLETED")
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    monkeypatch.undo()
    assert clock.trust is Trust.METER
    assert max(later - one for one, later in zip([0, *kept], [*kept, 600], strict=True)) <= 62
    assert len(kept) <= 12, "no more transactions than minutes"
    times = [
        at for one in [x async for x in house.store.samples(UtcMs(0))] for table in one for at in table.times
    ]
    assert all(abs(at - machine.true_ms()) <= 11 * MINUTE_MS for at in times)


async def test_move_of_the_time_is_kept_for_the_report(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuses(*_: object) -> None:
        raise StorageError("the disk is full", hint="Free space.")

    machine = Machine()
    clock = machine.clock()
    house.clock = clock  # type: ignore[assignment]  # the gateway's own, here
    await house.start()

    async def minutes(count: int, off_ms: int) -> None:
        for _ in range(count):
            machine.passes(60)
            clock.offer(UtcMs(machine.true_ms() + off_ms), machine.boot, "p1")
            await house.keeper.flush()

    await minutes(30, HOUR_MS)
    assert clock.trust is Trust.METER
    machine.good = True
    clock.told(machine.true_ms(), machine.boot, machine.boot, "far")
    with monkeypatch.context() as patch:
        patch.setattr(house.store, "set_state", refuses)
        await minutes(2, HOUR_MS)
    assert abs(clock.now_ms() - machine.true_ms()) < 1_000
    await minutes(20, HOUR_MS)
    whose = Site(name="Here", zone="Europe/Amsterdam", device="mk", grid=GRID, samples_days=30)
    report = await gather(house.store, whose, "2026-03", clock.now_ms())
    (stretch,) = report.clock
    assert stretch.moved_ms is not None
    assert round(stretch.moved_ms / MINUTE_MS) == -60
    assert 28 <= stretch.duration_ms / MINUTE_MS <= 31
    assert "-60" in as_text(Wording(report, "en").shown("fingerprint"))
