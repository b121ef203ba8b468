"""Lives a stretch of time: the real gateway, process after process, on one database file."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import hashlib
import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast
from unittest import mock

from meterkast import app
from meterkast.app import Gateway
from meterkast.config.decoding import decode
from meterkast.config.sections import Config
from meterkast.model.epoch import Epoch
from meterkast.model.errors import MeterkastError, StorageError
from meterkast.model.half_hour import HalfHour
from meterkast.model.time import DAY_MS, HALF_HOUR_MS, UtcMs, iso_utc
from meterkast.pipeline import examine
from meterkast.pipeline.meter_desk import MeterDesk, SwapOrder
from meterkast.ports.clock import Trust
from meterkast.ports.store import Keep
from meterkast.proof.books import BookedStore
from meterkast.proof.gathering import ledger_of
from meterkast.proof.ledger import Entry
from meterkast.timing.judgement import AGREE_MS
from meterkast.uplinks import http
from meterkast.uplinks.reset import session
from meterkast_buffer.store import SqliteStore, open_store
from meterkast_drivers import KINDS
from meterkast_drivers.p1 import driver as p1_driver
from meterkast_drivers.p1 import port
from meterkast_rig import configuration
from meterkast_rig.virtual import sources, stories
from meterkast_rig.virtual.clock import VirtualClock, VirtualMachine
from meterkast_rig.virtual.inline_sqlite import Disk
from meterkast_rig.virtual.loop import VirtualLoop
from meterkast_rig.virtual.platforms import Platform, ResetPlatform, WatticsPlatform
from meterkast_rig.virtual.site import KEY, SOURCE, TELEGRAM_S, TOTALS, ZONE_NAME, Site, names_of
from meterkast_rig.virtual.weather import Death, Weather

FLUSH_S = 600
"""What is in memory is written this often and at each boundary: the minute's transaction, ten times rarer."""

DEVICE_ID = "mk-virtual"

SIGNS = "J. Jansen"
"""Signs swaps of meters off."""

UPLINKS = {
    "reset": configuration.reset(
        "http://127.0.0.1:9/v2",
        (
            configuration.monitor(
                "mains",
                "energy",
                "P1",
                channels=(
                    configuration.channel("import", "", power_consumption="electricity/import_total"),
                    configuration.channel("export", "", power_consumption="electricity/export_total"),
                ),
            ),
            configuration.monitor(
                "water",
                "water",
                "P1",
                channels=(configuration.channel("water", "", water_flow="water/volume"),),
            ),
            configuration.monitor(
                "sub",
                "energy",
                "radio",
                channels=(configuration.channel("plug", "", power_consumption="Plug/energy"),),
            ),
            configuration.monitor("air", "air", "radio", readings={"temp": "Room/temperature"}),
        ),
    ),
    "wattics": configuration.wattics(
        "http://127.0.0.1:9/",
        (
            configuration.electricity("t1", readings={"pC_1": "electricity/import_t1"}),
            configuration.single("gas", "gas/volume", "L"),
            configuration.single("plug", "Plug/energy", "Wh"),
        ),
    ),
}


@dataclass(slots=True)
class Run:
    """What came of a run.

    Attributes:
        site: The truth, and what was handed to the gateway.
        half_hours: The newest revision of each half-hour, by source property.
        keys: Property ids by (product identity, key).
        trace: SHA-256 over what the platforms took and the canonical rows.
        backlog, quarantined: What was not delivered at the end.
        processes: How many lived.
        epochs: Of all registers.
        entries: The ledger: by stream and name of a channel, an entry for each half-hour.
        refused: What a person ordered and was refused.
    """

    seed: int
    start_ms: UtcMs
    end_ms: UtcMs
    site: Site
    reset: ResetPlatform
    wattics: WatticsPlatform
    half_hours: Sequence[HalfHour] = ()
    keys: dict[tuple[str, str], int] = field(default_factory=dict)
    trace: str = ""
    backlog: int = 0
    quarantined: int = 0
    processes: int = 0
    epochs: Sequence[Epoch] = ()
    entries: Mapping[tuple[str, str], Sequence[Entry]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


def run(seed: int, start_ms: UtcMs, days: int, folder: Path, *, weather: Weather | None = None) -> Run:
    """Live so many days.

    Args:
        seed: Of everything: equal seeds give equal traces.
        start_ms: When they begin.
        folder: Where the database is; best in memory.
        weather: What happens; None draws it from the seed.
    """
    end_ms = UtcMs(start_ms + days * DAY_MS)
    weather = weather or stories.write(seed, start_ms, end_ms)
    return _World(seed, start_ms, end_ms, folder, weather).live()


class _World:
    """Everything that outlives a process."""

    def __init__(self, seed: int, start_ms: UtcMs, end_ms: UtcMs, folder: Path, weather: Weather) -> None:
        self._end_ms = end_ms
        self._start_ms = start_ms
        self._path = folder / "meterkast.db"
        self._weather = weather
        self._order = random.Random(f"{seed} order")
        self._now_us = 0
        self._clock: VirtualClock | None = None
        self._machine: VirtualMachine | None = None
        self._boots = 0
        self._disk = Disk()
        site = Site(seed, start_ms, FLUSH_S * 1000, weather)
        given = (weather, seed, self._now_ms, self._clock_right)
        self.run = Run(
            seed=seed,
            start_ms=start_ms,
            end_ms=end_ms,
            site=site,
            reset=ResetPlatform(*given),
            wattics=WatticsPlatform(*given),
        )
        self._loop: VirtualLoop | None = None

    def _now_ms(self) -> UtcMs:
        now_us = self._loop.now_us if self._loop is not None else self._now_us
        return UtcMs(self._start_ms + now_us // 1000)

    def _clock_right(self) -> bool:
        """Whether the gateway knows the time, and rightly so."""
        clock = self._clock
        if clock is None or clock.trust is Trust.UNKNOWN:
            return False
        return abs(clock.now_ms() - self._now_ms()) <= AGREE_MS

    def live(self) -> Run:
        """All processes, one after the other; then what they left is read."""
        with self._seams():
            born = Death(self._start_ms, self._start_ms)
            deaths = [one for one in self._weather.deaths if one.back_ms < self._end_ms]
            for death in (*deaths, Death(self._end_ms, self._end_ms, clean=True)):
                self._process(born, death)
                born = death
            self._read()
        return self.run

    @contextlib.contextmanager
    def _seams(self) -> Iterator[None]:
        """Put the simulated outside in the place of the real one."""
        disk, site = self._disk, self.run.site
        disk.refuses = lambda: self._weather.disk.at(self._now_ms()) is not None
        before = random.getstate(), logging.root.manager.disable
        token = sources.CURRENT.set(site)
        # The order of a run must not hang on what this process drew before.
        random.seed(self.run.seed)
        logging.disable(logging.CRITICAL)
        try:
            with (
                disk.in_use(),
                mock.patch.object(session, "Connection", self.run.reset.connection),
                mock.patch.object(http, "session", self.run.wattics.session),
                mock.patch.object(port, "open_port", sources.open_port),
                # Thirty seconds are for meters that speak every ten; this one would be asked five times.
                mock.patch.object(p1_driver, "SILENT_S", 1.5 * TELEGRAM_S),
                # What it looks for each minute shows only on the page, which is off.
                mock.patch.object(examine, "LOOK_S", 1800.0),
                mock.patch.object(app.ControlSocket, "wanted", return_value=False),
                mock.patch.dict(KINDS, {"radio": sources.__name__}),
            ):
                yield
        finally:
            sources.CURRENT.reset(token)
            random.setstate(before[0])
            logging.disable(before[1])

    def _process(self, born: Death, death: Death) -> None:
        """One process, from its birth (the end of the death before) to its own death."""
        begin_us = max(self._now_us, (born.back_ms - self._start_ms) * 1000)
        loop = self._loop = VirtualLoop(self._order, begin_us)
        if self._machine is None or born.power_cut:
            self._boots += 1
            self._machine = VirtualMachine(self._start_ms, self._boots, begin_us, born, self._weather)
        clock = self._clock = VirtualClock(self._machine.on(loop))
        stop = asyncio.Event()
        self._disk.die_after, self._disk.died = None, loop.stop
        at_s = (death.at_ms - self._start_ms) / 1000
        if death.clean:
            loop.call_at(at_s, stop.set)
        elif death.statements is None:
            loop.call_at(at_s, loop.stop)
        else:
            loop.call_at(at_s, partial(setattr, self._disk, "die_after", death.statements))
        task = loop.create_task(self._gateway(clock, self._machine, stop), name="gateway")
        task.add_done_callback(lambda _: loop.stop())
        loop.run_forever()
        self._now_us = loop.now_us
        self.run.processes += 1
        if task.done():
            task.result()
            loop.close()
        else:
            _forget(loop)
            unknown_ms = born.back_ms if clock.trust is Trust.UNKNOWN else None
            self.run.site.record.died(self._now_ms(), unknown_ms)
            self._disk.abandon(self._path, power_cut=death.power_cut)
        self._loop = None

    async def _gateway(self, clock: VirtualClock, machine: VirtualMachine, stop: asyncio.Event) -> None:
        """What `app.main` does."""
        config = decode(
            Config,
            {
                "site": {"time_zone": ZONE_NAME},
                "storage": {"path": str(self._path), "flush_s": FLUSH_S},
                "page": {"enabled": False},
                "drivers": {"p1": {"port": "/dev/virtual", "speed": 115200}, "radio": {}},
                "uplinks": UPLINKS,
            },
        )
        store = await open_store(
            config.storage.path,
            samples_days=config.storage.samples_days,
            half_hours_years=config.storage.half_hours_years,
        )
        try:
            await store.set_state("gateway", "device_id", DEVICE_ID)
            witness = _Witness(store, self.run.site, machine.true_ms_of)
            # A cast: the witness passes everything on that it does not look at.
            gateway = Gateway(config, clock, cast(BookedStore, witness), DEVICE_ID)
            signing = asyncio.get_running_loop().create_task(self._sign(gateway), name="person")
            await gateway.run(stop, lambda url: None)
            signing.cancel()
        finally:
            await store.close()

    async def _sign(self, gateway: Gateway) -> None:
        """A person at the desk: signs off what was swapped, with what the faces showed."""
        desk, meters = MeterDesk(gateway.keeper), self.run.site.meters
        swaps = [one for one in self._weather.swaps if one.signed_ms > self._now_ms()]
        for swap in swaps:
            await asyncio.sleep((swap.signed_ms - self._now_ms()) / 1000)
            old, new = names_of(self.run.site, swap)
            channels = [one for one, source in SOURCE.items() if source == swap.source]
            old_faces = {one: meters.old_face(one, swap.at_ms) for one in channels}
            new_faces = {one: meters.value(one, swap.at_ms) for one in channels}
            for faces in (old_faces, new_faces):
                faces |= {
                    total: sum(faces[part] for part in parts)
                    for total, parts in TOTALS.items()
                    if swap.source == "electricity"
                }
            order = SwapOrder(
                old=old,
                new=new,
                old_readings={KEY.get(one, one): f"{face / 1000:.3f}" for one, face in old_faces.items()},
                new_readings={KEY.get(one, one): f"{face / 1000:.3f}" for one, face in new_faces.items()},
                at_ms=swap.at_ms,
                by=SIGNS,
            )
            try:
                await desk.swap(order)
            except MeterkastError as error:
                self.run.refused.append(f"{iso_utc(swap.signed_ms)} {old} {new}: {error}")

    def _read(self) -> None:
        loop = VirtualLoop(self._order, self._now_us)
        try:
            loop.run_until_complete(self._look())
        finally:
            loop.close()

    async def _look(self) -> None:
        store = await open_store(self._path, read_only=True)
        made = self.run
        products = {one.id: one.description.identity for one in await store.products()}
        made.keys = {(products[one.product_id], one.key): one.id for one in await store.properties()}
        made.half_hours = await store.half_hours(UtcMs(0), UtcMs(1 << 62), length_ms=HALF_HOUR_MS)
        made.epochs = await store.epochs()
        ledger = await ledger_of(store, self.run.site.grid, now_ms=self._now_ms(), aged_ms=UtcMs(0))
        entries: dict[tuple[str, str], list[Entry]] = {}
        # What was measured once an hour may belong to a half-hour before the beginning.
        since_ms = UtcMs(self._start_ms - DAY_MS)
        async for day in ledger.days(await store.channels(), since_ms, self._end_ms):
            for entry in day:
                entries.setdefault((entry.channel.stream, entry.channel.name), []).append(entry)
        made.entries = entries
        statuses = store.streams().values()
        made.backlog = sum(one.pending for one in statuses)
        made.quarantined = sum(one.quarantined for one in statuses)
        await store.close()
        trace = hashlib.sha256()
        platforms: tuple[Platform, ...] = (made.reset, made.wattics)
        for platform in platforms:
            trace.update(platform.far.trace.digest())
        for row in made.half_hours:
            trace.update(row.canonical().encode() + b"\n")
        made.trace = trace.hexdigest()


class _Witness:
    """The store, and a record of what it says is durable."""

    def __init__(self, store: SqliteStore, site: Site, true_ms: Callable[[int], UtcMs]) -> None:
        self._store = store
        self._true_ms = true_ms
        self._site = site
        self._sources: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:  # whatever the store has
        return getattr(self._store, name)

    async def keep(self, what: Keep) -> None:
        record = self._site.record
        held = [
            (source, at_ms)
            for table in what.frames
            if (source := await self._source(table.layout[0].property_id))
            for at_ms in table.times
        ]
        # What has no time yet is durable all the same; it was measured when it was.
        untimed = [
            (
                source,
                self._true_ms(batch.seen_ns),
                batch.device_ms if batch.device_ms is not None else self._true_ms(batch.seen_ns),
            )
            for table in what.untimed
            if (source := await self._source(table.layout[0].property_id))
            for batch in table.batches()
        ]
        held += [(source, at_ms) for source, _, at_ms in untimed]
        for source, at_ms in held:
            record.keeping(source, at_ms)
        try:
            await self._store.keep(what)
        except StorageError:
            for source, at_ms in held:
                record.refused(source, at_ms)
            raise
        lost = {(source, at_ms) for source, seen_ms, at_ms in untimed if self._site.weather.never.at(seen_ms)}
        for source, at_ms in held:
            if (source, at_ms) in lost:
                record.untimed(source, at_ms)
            else:
                record.kept(source, at_ms)

    async def _source(self, property_id: int) -> str:
        if property_id not in self._sources:
            products = {one.id: one.description for one in await self._store.products()}
            for prop in await self._store.properties():
                described = products[prop.product_id]
                name = described.medium.value
                self._sources[prop.id] = {"submeter": "plug", "sensor": "room"}.get(name, name)
        return self._sources[property_id]


def _forget(loop: VirtualLoop) -> None:
    """Leave a loop as a killed process leaves it: nothing of it runs again, not even `finally`.

    Python runs that when a coroutine is thrown away. So these never are: one reference too many is held.
    """
    for task in asyncio.all_tasks(loop):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(task))
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(loop))
