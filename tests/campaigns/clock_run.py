"""Runs one clock story through the real intake, keeper, closing, delivery and store, and judges it."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from meterkast.clock import SystemClock
from meterkast.model.datatypes import ENERGY_CONSUMED
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.product import Medium, ProductDescription, PropertyDescription, PropertyId
from meterkast.model.reading import Batch, Column, TimeSource
from meterkast.model.time import DAY_MS, HALF_HOUR_MS, MINUTE_MS, SECOND_MS, Grid, UtcMs
from meterkast.model.units import Unit
from meterkast.pipeline.closing import Closing
from meterkast.pipeline.delivery import Delivery
from meterkast.pipeline.intake import Intake
from meterkast.pipeline.keeping import Keeper
from meterkast.pipeline.outages import Outages
from meterkast.ports.clock import Trust
from meterkast.ports.store import Keep
from meterkast_buffer.store import SqliteStore, open_store

from .clock_story import HONEST, Phase, Story
from .clock_world import KEYS, ZONE, Platform, World

STEP_MS = 6 * MINUTE_MS
EXACT_MS = SECOND_MS
"""How far a half-hour may be off once the time is trusted."""

ENERGY = PropertyDescription(
    key="energy",
    name="Energy",
    datatype=ENERGY_CONSUMED,
    unit=Unit.WATT_HOUR,
    fresh_ms=30 * MINUTE_MS,
)


@dataclass
class Read:
    """One reading as it really was.

    Attributes:
        off_ms: How far its time may be off; None while it has none.
        saved: Whether it was on the card.
    """

    key: str
    true_ms: int
    boot: str
    meter_ms: int
    off_ms: float | None = None
    saved: bool = False


@dataclass
class Ran:
    """What a story came to: the wrongs, and figures."""

    wrongs: list[str] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)


class Run:
    """One story, from its beginning to its end."""

    def __init__(self, story: Story, path: Path) -> None:
        self.story = story
        self.path = path
        self.world = World(story)
        self.ran = Ran()
        self.reads: dict[tuple[str, int], Read] = {}
        self.rows: dict[tuple[PropertyId, UtcMs, int], HalfHour] = {}
        self.items: Counter[tuple[str, UtcMs]] = Counter()
        self.taken: list[tuple[str, UtcMs]] = []
        self.columns: dict[str, Column] = {}
        self.learned: set[str] = set()
        self.synced_ms = self.world.true_ms

    def wrong(self, what: str) -> None:
        self.ran.wrongs.append(what)

    async def all(self) -> Ran:
        await self._start()
        for phase in self.story.phases:
            await self._enter(phase)
            for _ in range(phase.steps):
                await self._step()
        for _ in range(60):
            if not any(one.pending for one in self.store.streams().values()):
                break
            await self._step()
        await self._judge()
        await self._end(stopping=True)
        return self.ran

    async def _start(self) -> None:
        self.store: SqliteStore = await open_store(self.path)
        keep = self.store.keep

        async def watched(what: Keep) -> None:
            self._look_at(what)
            await keep(what)

        self.store.keep = watched  # type: ignore[method-assign]
        self.clock = SystemClock(
            self.world,  # type: ignore[arg-type]  # it has all that is asked of a machine
            built_ms=UtcMs(self.story.start_ms - 100 * DAY_MS),
        )
        outages = Outages(self.clock.now_ms())
        self.intake = Intake(self.clock)
        self.platform = Platform(self.world, self.clock)
        grid = Grid(ZONE)
        self.keeper = Keeper(
            store=self.store,
            clock=self.clock,
            grid=grid,
            intake=self.intake,
            closing=Closing(grid, 90 * SECOND_MS, outages.why),
            outages=outages,
            uplinks={"far": self.platform},
            flush_ms=MINUTE_MS,
            announce=lambda _: None,
        )
        self.delivery = Delivery(self.platform, self.store, self.clock, slot_ms=0, random=lambda: 0.5)
        await self.keeper.load()
        for key in KEYS:
            product = ProductDescription(identity=key, name=key, medium=Medium.SUBMETER)
            _, found = await self.keeper.declare(key, product, [ENERGY])
            self.columns[key] = Column(found["energy"].id, 0)

    async def _end(self, *, stopping: bool) -> None:
        if stopping:
            await self.keeper.finish()
            self._saved()
        self.ran.wrongs += self.platform.wrongs
        self.taken += self.platform.taken
        await self.store.close()

    async def _enter(self, phase: Phase) -> None:
        if phase.begins == "go on":
            self.world.enter(phase)
        elif phase.begins == "suspend":
            self.world.true_ms += phase.off_ms
            self.world.enter(phase)
        else:
            if phase.unsaved:
                self.world.true_ms += 20_000
                self._read()
            await self._end(stopping=phase.begins in ("stop", "restart"))
            self.reads = {key: read for key, read in self.reads.items() if read.saved}
            self.world.true_ms += 5_000
            self.world.enter(phase)
            if phase.begins in ("cut", "stop"):
                self.world.boot(phase.off_ms)
            await self._start()
        for _ in range(6):  # a meter speaks every ten seconds; most of that is passed over
            self.world.true_ms += 10_000
            self._speak()

    async def _step(self) -> None:
        self.world.true_ms += STEP_MS
        self._read()
        await self.keeper.flush()
        self._saved()
        for _ in range(20):
            pause_s = await self.delivery._round()
            if pause_s is None or pause_s > 0:
                break

    def _speak(self) -> UtcMs | None:
        world = self.world
        if world.phase.synced and not world.phase.wall_ms:
            self.synced_ms = world.true_ms
        self.clock.now_ms()  # as the keeper asks every minute
        stamp = world.stamp_ms()
        if stamp is not None:
            self.clock.offer(stamp, world.boot_ns(), "p1")
        return stamp

    def _read(self) -> None:
        world = self.world
        stamp = self._speak()
        value, seen_ns = world.register(), world.boot_ns()
        for key in KEYS:
            told = stamp if key == "p1" else None
            source = TimeSource.ARRIVAL if told is None else TimeSource.TELEGRAM
            read = Read(key, world.true_ms, world.boot_id, world.phase.meter_ms or 0)
            self.reads[key, value] = read
            self.intake.emit(Batch((self.columns[key],), (value,), seen_ns, told, source))
            if self.intake.trusted_since_ms is not None:
                read.off_ms = self._allowed(read)

    def _saved(self) -> None:
        """All that was read is on the card; what has a time now has it for good."""
        known = self.clock.trust is not Trust.UNKNOWN and not self.intake.waits
        boot = self.world.boot_id
        if known:
            self.learned.add(boot)
        for read in reversed(self.reads.values()):
            if read.boot != boot or (read.saved and read.off_ms is not None):
                break  # so have all before it
            read.saved = True
            if known and read.off_ms is None:
                read.off_ms = self._allowed(read)

    def _allowed(self, read: Read) -> float:
        drift = abs(self.story.drift_ppm) / 1e6
        since_ms = max(abs(self.world.true_ms - read.true_ms), abs(read.true_ms - self.synced_ms))
        off_ms = EXACT_MS + drift * since_ms
        own_stamp = read.key == "p1" and abs(read.meter_ms) <= MINUTE_MS
        if own_stamp or self.clock.trust is Trust.METER:
            # The meter's own clock, and the second that its stamp is cut off to.
            off_ms += max(abs(read.meter_ms), abs(self.world.phase.meter_ms or 0)) + SECOND_MS
        return off_ms

    def _look_at(self, keep: Keep) -> None:
        if (keep.half_hours or keep.items) and self.clock.trust is Trust.UNKNOWN:
            self.wrong("closed before the time was known")
        for row in keep.half_hours:
            name = row.property_id, row.end_ms, row.revision
            if name in self.rows:
                self.wrong(f"closed twice: {row}")
            self.rows[name] = row
        for item in keep.items:
            self.items[item.stream, item.at_ms] += 1

    async def _judge(self) -> None:
        for item, count in self.items.items():
            if count > 1:
                self.wrong(f"composed {count} times: {item}")
        delivered = Counter(self.taken + self.platform.taken)
        if set(delivered) != set(self.items):
            self.wrong(f"{len(self.items)} items were composed, {len(delivered)} have arrived")
        if doubled := [item for item, count in delivered.items() if count > 1]:
            self.wrong(f"arrived twice: {doubled[0]}")
        kept = await self.store.half_hours(UtcMs(0), UtcMs(1 << 61))
        for key in KEYS:
            self._judge_rows(key, [row for row in kept if row.property_id == self.columns[key].property_id])
        await self._judge_episodes()

    def _judge_rows(self, key: str, rows: list[HalfHour]) -> None:
        grid = Grid(ZONE)
        for before, after in pairwise(rows):
            if grid.next_end(before.end_ms) != after.end_ms:
                self.wrong(f"{key}: nothing is said of {before.end_ms} to {after.end_ms}")
        by_end = {row.end_ms: row for row in rows}
        last = 0
        for row in rows:
            self.ran.figures["missing" if row.value is None else "measured"] += 1
            if row.value is None:
                continue
            read = self.reads.get((key, row.value.whole))
            if read is None or row.value.whole < last:
                self.wrong(f"{key}: a value that was never read, or not in order: {row}")
                continue
            last = row.value.whole
            assert row.taken_ms is not None
            off_ms = abs(row.taken_ms - read.true_ms)
            if read.off_ms is None or off_ms > read.off_ms:
                self.wrong(f"{key}: {off_ms / 1000:.1f} s off, {read.off_ms} ms are allowed: {row}")
        # Nothing that was read and saved is missing: its half-hour says at least as much.
        for (of, value), read in self.reads.items():
            if of != key or not read.saved or read.off_ms is None:
                continue
            margin = int(read.off_ms) + 1
            ends = {grid.end_of(UtcMs(read.true_ms + off)) for off in (-margin, margin)}
            if len(ends) == 1 and rows and min(ends) <= rows[-1].end_ms:
                row_of = by_end.get(min(ends))
                if row_of is None or row_of.value is None or row_of.value.whole < value:
                    self.wrong(f"{key}: lost, read at {read.true_ms}: {row_of}")
        self._judge_causes(key, rows)

    def _judge_causes(self, key: str, rows: list[HalfHour]) -> None:
        """A gap is explained by boots without a time as far as they lasted."""
        gap: list[HalfHour] = []
        for row in [*rows, None]:
            if row is not None and row.state is State.MISSING:
                gap.append(row)
                continue
            if gap:
                self._judge_gap(key, gap)
            gap = []

    def _judge_gap(self, key: str, gap: list[HalfHour]) -> None:
        start_ms, end_ms = gap[0].end_ms - HALF_HOUR_MS, gap[-1].end_ms
        times: dict[str, list[int]] = {}
        for read in self.reads.values():
            if (
                read.boot not in self.learned
                and start_ms - HALF_HOUR_MS < read.true_ms <= end_ms + HALF_HOUR_MS
            ):
                times.setdefault(read.boot, []).append(read.true_ms)
        explained_ms = sum(max(found) - min(found) for found in times.values())
        found = sum(row.cause is Cause.CLOCK_UNKNOWN for row in gap)
        slack = 2 + 2 * len(times)
        if not explained_ms / HALF_HOUR_MS - slack <= found <= explained_ms / HALF_HOUR_MS + slack or (
            found and not times
        ):
            self.wrong(
                f"{key}: {found} of {len(gap)} half-hours say clock unknown, "
                f"{explained_ms / HALF_HOUR_MS:.1f} were: {Counter(row.cause for row in gap)}"
            )

    async def _judge_episodes(self) -> None:
        episodes = {one.boot_id: one for one in await self.store.clock_episodes(UtcMs(0), UtcMs(1 << 61))}
        saved: dict[tuple[str, str], list[int]] = {}
        for (key, value), read in self.reads.items():
            if read.saved and read.boot not in self.learned:
                saved.setdefault((read.boot, key), []).append(value)
        if {boot for boot, _ in saved} != set(episodes):
            self.wrong(f"episodes of {sorted(episodes)}, and boots without a time {sorted(saved)}")
            return
        self.ran.figures["episodes"] += len(episodes)
        for (boot, key), values in saved.items():
            spans = {one.property_id: one for one in episodes[boot].registers}
            span = spans[self.columns[key].property_id]
            said = span.first.whole, span.last.whole, span.total and span.total.whole
            if said != (values[0], values[-1], values[-1] - values[0]):
                self.wrong(f"{key}: the episode says {said}, it was {values[0]} to {values[-1]}")
            counted_ms = (values[-1] - values[0]) * 1000
            if not counted_ms - 60_000 <= episodes[boot].duration_ms <= counted_ms + 10 * MINUTE_MS:
                self.wrong(f"the episode lasted {episodes[boot].duration_ms}, it was {counted_ms}")


async def run(story: Story, folder: Path) -> Ran:
    """Run a story in a folder of its own."""
    one = Run(story, folder / "story.db")
    try:
        return await one.all()
    finally:
        await one.store.close()  # what failed leaves it open, and its thread would keep the process alive
        _clear(folder)


def _clear(folder: Path) -> None:
    for left in folder.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()


assert HONEST.steps * STEP_MS > 2 * HALF_HOUR_MS, "the last phase closes what waits"
