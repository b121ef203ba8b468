"""Runs as a process of its own, with the fsync counter preloaded: a day's telegrams to a card.

    python -m meterkast_rig.bench.disk_run SIDE FOLDER DEVICE SECONDS

Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from meterkast.model.reading import Batch, Column, TimeSource
from meterkast.model.time import MINUTE_MS, UtcMs
from meterkast.pipeline.inventory import DriverCatalog
from meterkast.pipeline.keeping import AFTER_MINUTE_MS
from meterkast_buffer.store import open_store
from meterkast_rig.bench import load
from meterkast_rig.bench.core import Core, opened
from meterkast_rig.bench.ext4 import KernelTimers, Written, fsyncs
from meterkast_rig.bench.load_zwave import NoisyNetwork

_SETTLE_S = 10.0


class Meter:
    """Counts what goes to the card from here on.

    Attributes:
        cpu_s: CPU time of the measured side, without making the telegrams.
    """

    def __init__(self, folder: Path, device: str) -> None:
        self.timers = KernelTimers(folder)
        self.cpu_s = 0.0
        self._device = device
        self._before = Written.now(device)
        self._fsyncs = fsyncs()
        self._own = self.timers.fsyncs

    def result(self) -> dict[str, float | None]:
        """Bytes, flushes, fsyncs, CPU seconds."""
        counted = fsyncs()
        own = self.timers.fsyncs - self._own
        self.timers.write_back()
        after = Written.now(self._device)
        self.timers.close()
        return {
            "bytes": after.bytes - self._before.bytes if self._device else None,
            "flushes": after.flushes - self._before.flushes if self._device else None,
            "fsyncs": None if counted is None or self._fsyncs is None else counted - self._fsyncs - own,
            "cpu_s": self.cpu_s,
        }


class Told:
    """Every sample as the driver gave it, to be compared with what the database gives back."""

    def __init__(self) -> None:
        self.rows: dict[tuple[Column, ...], list[tuple[UtcMs, tuple[int, ...]]]] = {}

    def note(self, batch: Batch, now_ms: UtcMs) -> None:
        """A batch on its way in."""
        timed = batch.device_ms is not None and batch.source is not TimeSource.ARRIVAL
        at_ms = batch.device_ms if timed and batch.device_ms is not None else now_ms
        self.rows.setdefault(batch.layout, []).append((at_ms, batch.values))

    @property
    def samples(self) -> int:
        return sum(len(layout) * len(rows) for layout, rows in self.rows.items())

    async def differences(self, path: Path) -> int:
        """Samples that are not in the database as they were given, in their order; both ways."""
        found: dict[tuple[Column, ...], list[tuple[UtcMs, tuple[int, ...]]]] = {}
        store = await open_store(path, read_only=True)
        try:
            async for frames in store.samples(UtcMs(0)):
                for table in frames:
                    found.setdefault(table.layout, []).extend(zip(table.times, table.rows, strict=True))
        finally:
            await store.close()
        wrong = 0
        for layout in self.rows.keys() | found.keys():
            given, kept = self.rows.get(layout, []), found.get(layout, [])
            unequal = sum(one != other for one, other in zip(given, kept, strict=False))
            wrong += len(layout) * (unequal + abs(len(given) - len(kept)))
        return wrong


async def ours(folder: Path, device: str, seconds: int) -> Mapping[str, float | None]:
    """The day of a P1 meter through intake, closing, keeper, outbox and store."""
    return await _kept(folder, device, seconds, None)


async def zwave(folder: Path, device: str, seconds: int) -> Mapping[str, float | None]:
    """The same with the reports of fifty Z-Wave devices."""
    return await _kept(folder, device, seconds, NoisyNetwork())


async def _kept(
    folder: Path, device: str, seconds: int, network: NoisyNetwork | None
) -> Mapping[str, float | None]:
    path, told = folder / "meterkast.db", Told()
    async with opened(path, load.START_MS) as core:
        if network is not None:
            await network.declare(DriverCatalog(core.gateway.keeper, "zwave"))
        meter = Meter(folder, device)
        await _day(core, told, meter, seconds, network)
        result = meter.result()
    with closing(sqlite3.connect(path)) as database:
        blocks = database.execute("SELECT count(*), sum(length(data)) FROM blocks").fetchone()
        half_hours = database.execute("SELECT count(*) FROM half_hours").fetchone()
        items = database.execute("SELECT count(*) FROM outbox WHERE state = 1").fetchone()
        left = database.execute("SELECT count(*) FROM outbox WHERE state <> 1").fetchone()
    return {
        **result,
        "blocks": blocks[0],
        "block_bytes": blocks[1],
        "file_bytes": path.stat().st_size,
        "half_hours": half_hours[0],
        "delivered": items[0],
        "undelivered": left[0],
        "samples": told.samples,
        "reports": network.reports if network is not None else 0,
        "objects": sum(map(len, told.rows)),
        "different": await told.differences(path),
    }


async def _day(core: Core, told: Told, meter: Meter, seconds: int, network: NoisyNetwork | None) -> None:
    gateway, clock = core.gateway, core.clock

    def emit(batch: Batch) -> None:
        told.note(batch, clock.now_ms())
        gateway.intake.emit(batch)

    delivering = [asyncio.create_task(delivery.run()) for delivery in gateway.deliveries.values()]
    for at_ms, telegram in load.stream(load.NoisyMeter(), UtcMs(load.START_MS + 1000), seconds):
        reports = [] if network is None else list(network.second(at_ms))
        began_s = time.process_time()
        for report_ms, layout, values, raw in reports:
            clock.set(report_ms)
            emit(Batch(layout, values, clock.boot_ns(), raw=raw))
        clock.set(at_ms)
        await core.telegram(telegram, emit)
        if (at_ms - AFTER_MINUTE_MS) % MINUTE_MS == 0:
            await gateway.keeper.flush()
            await _settled(core)
        meter.cpu_s += time.process_time() - began_s
        meter.timers.tick()
    await gateway.keeper.finish()
    await _settled(core)
    for task in delivering:
        task.cancel()
    await asyncio.gather(*delivering, return_exceptions=True)


async def _settled(core: Core) -> None:
    """Wait until what was composed is delivered, as it is long before the next minute of a real day."""
    end_s = time.monotonic() + _SETTLE_S
    while any(status.pending for status in core.store.streams().values()):
        if time.monotonic() > end_s:
            raise RuntimeError(
                f"not delivered: {[d.breaker.detail for d in core.gateway.deliveries.values()]}"
            )
        await asyncio.sleep(0.0005)


async def naive(folder: Path, device: str, seconds: int) -> Mapping[str, float | None]:
    """The obvious way: a row for each sample, a commit for each telegram, in the best order of the key."""
    async with opened(folder / "ids.db", load.START_MS, uplinks=False) as core:
        rows = await _rows(core, seconds)
    with closing(sqlite3.connect(folder / "naive.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(
            "CREATE TABLE samples (at INTEGER, property INTEGER, value INTEGER, PRIMARY KEY (at, property)) "
            "WITHOUT ROWID"
        )
        meter = Meter(folder, device)
        for telegram in rows:
            began_s = time.process_time()
            database.execute("BEGIN")
            database.executemany("INSERT OR REPLACE INTO samples VALUES (?, ?, ?)", telegram)
            database.execute("COMMIT")
            meter.cpu_s += time.process_time() - began_s
            meter.timers.tick()
        result = meter.result()
    return {**result, "samples": sum(map(len, rows))}


async def _rows(core: Core, seconds: int) -> list[list[tuple[int, int, int]]]:
    """The samples of each telegram, as rows."""
    rows: list[list[tuple[int, int, int]]] = []

    def emit(batch: Batch) -> None:
        at_ms = batch.device_ms if batch.device_ms is not None else core.clock.now_ms()
        for column, value in zip(batch.layout, batch.values, strict=True):
            rows[-1].append((at_ms, column.property_id, value))

    for at_ms, telegram in load.stream(load.NoisyMeter(), UtcMs(load.START_MS + 1000), seconds):
        core.clock.set(at_ms)
        rows.append([])
        await core.telegram(telegram, emit)
    return rows


def main(arguments: Sequence[str]) -> int:
    """One side, one JSON object."""
    side, folder, device, seconds = arguments
    run = {"ours": ours, "zwave": zwave, "naive": naive}[side]
    print(json.dumps(asyncio.run(run(Path(folder), device, int(seconds)))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
