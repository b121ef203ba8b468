"""Half-hours that close late are missing for the absence they lie in, whatever the gateway did since."""

from __future__ import annotations

from pathlib import Path

from meterkast.model.half_hour import Cause
from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, MINUTE_MS, UtcMs
from meterkast.pipeline.absences import Absences
from meterkast.pipeline.outages import Outages
from meterkast_buffer.store import SqliteStore, open_store

from .sites import START, prop

GAS = prop(5, late_ms=75 * MINUTE_MS)


async def begun(store: SqliteStore, started_ms: int, off_since_ms: int | None) -> Outages:
    """A start of the gateway, and what it knows once the time is known."""
    outages = Outages(UtcMs(started_ms))
    absences = Absences(store, outages)
    await absences.load()
    outages.off_since_ms = None if off_since_ms is None else UtcMs(off_since_ms)
    outages.trusted_since_ms = UtcMs(started_ms)
    await absences.settle()
    return outages


async def test_an_absence_is_remembered_over_the_next_starts(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "meterkast.db")
    off, end = UtcMs(START), UtcMs(START + 2 * HALF_HOUR_MS)
    await begun(store, end, off)
    for minute in (5, 9):
        outages = await begun(store, end + minute * MINUTE_MS, end + (minute - 1) * MINUTE_MS)
    assert outages.why(GAS, off, UtcMs(START + HALF_HOUR_MS)) is Cause.GATEWAY_OFF
    assert outages.why(GAS, UtcMs(START - HALF_HOUR_MS), off) is Cause.METER_SILENT
    assert outages.why(GAS, end, UtcMs(end + HALF_HOUR_MS)) is Cause.METER_SILENT
    await store.close()


async def test_absences_of_long_ago_are_forgotten_and_one_is_kept_once(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "meterkast.db")
    await begun(store, START, START - HOUR_MS)
    later = await begun(store, START + 72 * HOUR_MS, START + 71 * HOUR_MS)
    assert later.absences == [(START - HOUR_MS, START)]
    writes = store.database.writes
    newest = await begun(store, START + 72 * HOUR_MS, None)
    assert newest.absences == [(START + 71 * HOUR_MS, START + 72 * HOUR_MS)]
    assert store.database.writes == writes
    await store.close()
