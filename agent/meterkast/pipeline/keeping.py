"""The minute's transaction: samples, half-hours and outbox rows become durable together.

Just after each whole minute what came in is written as one block; a boundary of a half-hour is a whole
minute, so its registers are on the card within two seconds. When a half-hour is due its row and its items
go into the same transaction. What the database refuses waits in memory and is tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from meterkast.config import Limit
from meterkast.model.datatypes import Kind
from meterkast.model.delivery import Stream
from meterkast.model.errors import StorageError
from meterkast.model.evidence import Evidence
from meterkast.model.half_hour import RowKey, unreadable
from meterkast.model.product import (
    Product,
    ProductDescription,
    ProductId,
    Property,
    PropertyDescription,
    PropertyId,
)
from meterkast.model.reading import Frames
from meterkast.model.time import HOUR_MS, SECOND_MS, Grid, UtcMs
from meterkast.model.untimed import Untimed
from meterkast.pipeline.absences import Absences
from meterkast.pipeline.binding import named, resolve
from meterkast.pipeline.boots import Boots, newest_of
from meterkast.pipeline.closing import Closed, Closing
from meterkast.pipeline.commissioning import Commissioning
from meterkast.pipeline.intake import Intake
from meterkast.pipeline.meters import Meters
from meterkast.pipeline.orders import Orders
from meterkast.pipeline.outages import Outages
from meterkast.pipeline.reach import Reach
from meterkast.pipeline.recent import KEPT_MS
from meterkast.pipeline.resuming import Resuming
from meterkast.pipeline.series import replay_ms
from meterkast.pipeline.swap import SwapPlan
from meterkast.pipeline.tariffs import Tariffs
from meterkast.ports import Binding, Clock, Keep, Store, Trust, Uplink, Wanted

if TYPE_CHECKING:
    from meterkast.model.delivery import StreamStatus

log = logging.getLogger(__name__)

FIRST_READING = "the first reading"
"""What a stream waits for whose devices are known."""

AFTER_MINUTE_MS = 2 * SECOND_MS
"""How long after a whole minute its transaction begins: the telegram of the boundary has arrived by then."""

# A fast clock must not turn a minute's transaction into hundreds of them a second.
_SHORTEST_REAL_S = 0.25

_FOREVER = UtcMs(1 << 62)

_UNSAVED_FRAMES = 4 * 60
"""Blocks kept in memory while the database refuses: four hours of minutes. Half-hours are never dropped."""


class Keeper:
    """Runs closing against the store.

    Args:
        uplinks: By name; they compose the items.
        flush_ms: The longest stretch of samples in memory.
        limits: What connections can carry, as the configuration says.
        auto_swap: Swaps of meters need no person's word.
        announce: Called after each transaction with the uplinks that got new items.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        grid: Grid,
        intake: Intake,
        closing: Closing,
        outages: Outages,
        uplinks: Mapping[str, Uplink],
        flush_ms: int,
        announce: Callable[[set[str]], None],
        limits: Sequence[Limit] = (),
        auto_swap: bool = False,
    ) -> None:
        self.store = store
        self._clock = clock
        self._grid = grid
        self._intake = intake
        self._closing = closing
        self._outages = outages
        self._uplinks = uplinks
        self._flush_ms = flush_ms
        self._limits = limits
        self._announce = announce
        self._waiting: list[tuple[Uplink, Wanted]] = [
            (uplink, wanted) for uplink in uplinks.values() for wanted in uplink.wanted()
        ]
        self._unsaved: list[Keep] = []
        self._known_streams: dict[tuple[str, str], StreamStatus] = {}
        self._commissioning = Commissioning()
        self._lock = asyncio.Lock()
        self.products: dict[ProductId, Product] = {}
        self.properties: dict[PropertyId, Property] = {}
        self.meters = Meters(
            self.products,
            self.properties,
            closing,
            clock,
            self._recall,
            self._commissioning.moved,
            auto=auto_swap,
        )
        self.tariffs = Tariffs()
        self._boots = Boots(store, clock, intake, outages)
        self.reach = Reach(store, clock, outages, self.meters)
        self.orders = Orders(store, clock)
        self._resuming = Resuming(store, grid)
        self._absences = Absences(store, outages)
        self.waiting_for: dict[tuple[str, str], tuple[str, ...]] = {}
        self.dropped_blocks = 0

    async def load(self) -> None:
        """Take up where the last run ended: what is closed and composed, and the readings since.

        Raises:
            StorageError: The database cannot be read.
        """
        await self._boots.load()
        for product in await self.store.products():
            self.products[product.id] = product
        closed: dict[PropertyId, dict[int, UtcMs]] = {}
        for (property_id, length_ms), end_ms in (await self.store.closed_until()).items():
            closed.setdefault(property_id, {})[length_ms] = end_ms
        for prop in await self.store.properties():
            self.properties[prop.id] = prop
            self._know(prop, closed.get(prop.id))
        self._closing.registers.load(await self.store.epochs())
        lives = await self.store.lives()
        self.meters.load(lives)
        for life in lives:
            # Where its cable is out from the start no driver declares it.
            if life.source:
                self._outages.reads(life.source, life.product_id)
        await self.reach.load()
        await self.orders.load()
        await self._resuming.load()
        await self._absences.load()
        self._known_streams = dict(self.store.streams())
        configured = {(uplink.name, wanted.name) for uplink, wanted in self._waiting}
        self._commissioning.load(await self.store.channels(), self._known_streams, configured)
        self._take_peaks()
        ends = [end for lengths in closed.values() for end in lengths.values()]
        unclosed_ms = self._boots.unclosed_from(max(ends, default=UtcMs(-1)))
        if ends:
            await self._replay(closed, min(ends), unclosed_ms)
        await self._boots.explain_unclosed()
        await self._begin()

    def _take_peaks(self) -> None:
        """Before anything is read again: emptyings in it count."""
        for _, wanted in self._waiting:
            for binding in wanted.peaks:
                prop, _ = resolve(binding, self.products.values(), self.properties.values())
                if prop is not None:
                    self._closing.peaks(prop.id, wanted.emptied_percent)

    async def _replay(
        self,
        closed: Mapping[PropertyId, Mapping[int, UtcMs]],
        oldest_ms: UtcMs,
        unclosed_ms: UtcMs | None,
    ) -> None:
        # A property that no longer reports must not make every start read a year of samples again.
        newest_ms = max(end for lengths in closed.values() for end in lengths.values())
        fresh_ms = max(prop.description.fresh_ms for prop in self.properties.values())
        since_ms = UtcMs(max(oldest_ms, newest_ms - 24 * HOUR_MS) - replay_ms(fresh_ms))
        last_ms: int = newest_ms
        await self._seed(closed, since_ms)
        async for frames in self.store.samples(since_ms):
            if unclosed_ms is not None and newest_of(frames) >= unclosed_ms:
                continue  # it may be weeks: it is closed block by block
            self._closing.feed(frames, replay=True)
            last_ms = max(last_ms, newest_of(frames))
        self._outages.off_since_ms = UtcMs(last_ms)
        for length_ms in {length for lengths in closed.values() for length in lengths}:
            await self._recall(UtcMs(oldest_ms - KEPT_MS), length_ms)
        self._closing.remember(UtcMs(since_ms + HOUR_MS))

    async def _seed(self, closed: Mapping[PropertyId, Mapping[int, UtcMs]], since_ms: UtcMs) -> None:
        """Registers go on from their last reading before the replay, so that a break since is seen."""
        registers = [prop_id for prop_id in closed if self.properties[prop_id].kind is Kind.REGISTER]
        standing = [one for one in registers if not self._closing.is_retired(one)]
        self._closing.registers.seed(await self.store.last_measured(standing, since_ms))

    async def _recall(
        self, after_ms: UtcMs, length_ms: int, properties: Sequence[PropertyId] | None = None
    ) -> None:
        """Bring what was closed since into memory. A damaged row is no reason not to go on: it is missing."""
        damaged: list[RowKey] = []
        found = list(
            await self.store.half_hours(
                after_ms, _FOREVER, length_ms=length_ms, properties=properties, damaged=damaged
            )
        )
        whole = {(one.property_id, one.end_ms) for one in found}
        lost = {(key.property_id, key.end_ms): key for key in damaged}  # the newest revision of each
        found += [unreadable(key) for place, key in lost.items() if place not in whole]
        self._closing.recent.recall(found)

    async def declare(
        self, driver: str, product: ProductDescription, properties: Sequence[PropertyDescription]
    ) -> tuple[Product, Mapping[str, Property]]:
        """A driver's devices and values get their ids; see `ports.Catalog`."""
        made, found = await self.store.declare(product, properties)
        self.products[made.id] = made
        self._outages.reads(driver, made.id)
        for prop in found.values():
            self.properties[prop.id] = prop
            self._know(prop)
            self._closing.update(prop)
        self._resolve()
        return made, found

    def _know(self, prop: Property, closed: Mapping[int, UtcMs] | None = None) -> None:
        self._closing.know(prop, closed)
        product = self.products[prop.product_id]
        for limit in self._limits:
            per_hour = limit.per_hour(prop.unit)
            if per_hour is not None and (
                named(product, limit.meter) or product.description.medium == limit.meter
            ):
                self._closing.registers.set_limit(prop.id, per_hour)
                break

    async def rename_product(self, product_id: ProductId, name: str) -> Product:
        """Give a product a person's name; a stream that waits for that name begins."""
        renamed = await self.store.rename_product(product_id, name)
        self.products[product_id] = renamed
        self._resolve()
        return renamed

    def _resolve(self) -> list[tuple[Uplink, Wanted, dict[Binding, PropertyId]]]:
        """The streams that wait and whose properties are known by now, though maybe not yet read."""
        found = []
        for uplink, wanted in self._waiting:
            if (bindings := self._resolve_one(uplink, wanted)) is not None:
                found.append((uplink, wanted, bindings))
        return found

    def _resolve_one(self, uplink: Uplink, wanted: Wanted) -> dict[Binding, PropertyId] | None:
        bindings: dict[Binding, PropertyId] = {}
        missing: list[str] = []
        for binding in wanted.bindings:
            prop, reason = resolve(
                binding, self.products.values(), self.properties.values(), self.meters.set_aside()
            )
            if prop is None:
                missing.append(reason)
            else:
                bindings[binding] = prop.id
        self.waiting_for[uplink.name, wanted.name] = tuple(missing) or (FIRST_READING,)
        if missing:
            return None
        for binding in wanted.peaks:
            self._closing.peaks(bindings[binding], wanted.emptied_percent)
        if self._clock.trust is not Trust.UNKNOWN:
            now_ms = self._clock.now_ms()
            for property_id in bindings.values():
                self._closing.also(property_id, wanted.length_ms, now_ms)
        return bindings

    async def _begin(self) -> None:
        """Begin every stream whose properties are known and were read."""
        for uplink, wanted, bindings in self._resolve():
            try:
                begun = await self._begin_one(uplink, wanted, bindings)
            except StorageError as error:
                log.error(
                    "stream not begun",
                    extra={"uplink": uplink.name, "stream": wanted.name, "reason": str(error)},
                )
                self.waiting_for[uplink.name, wanted.name] = (f"the database: {error}",)
                continue
            if begun:
                self._waiting.remove((uplink, wanted))
                self.waiting_for[uplink.name, wanted.name] = ()
                log.info("stream begun", extra={"uplink": uplink.name, "stream": wanted.name})

    async def _begin_one(self, uplink: Uplink, wanted: Wanted, bindings: dict[Binding, PropertyId]) -> bool:
        stream = Stream(
            uplink=uplink.name,
            name=wanted.name,
            properties=tuple(dict.fromkeys(bindings.values())),
            length_ms=wanted.length_ms,
        )
        if not self._closing.reads(stream):
            return False
        known = self._known_streams.get((uplink.name, wanted.name))
        composed_ms = None if known is None else known.composed_ms
        if composed_ms is not None:
            # It may have waited for days while its half-hours were closed, and left the memory.
            await self._recall(composed_ms, stream.length_ms, self._closing.all_of(stream))
        composed_ms = self._closing.bind(stream, uplink, bindings, composed_ms)
        self._commissioning.begun(stream, wanted, bindings, composed_ms)
        self._resuming.skip(self._closing.streams[-1])
        return True

    async def run(self) -> None:
        """Keep until cancelled; what is still in memory then is kept by `finish`."""
        while True:
            await self._clock.sleep_until(self._next_ms())
            flushing = asyncio.create_task(self.flush())
            try:
                await asyncio.shield(flushing)
            finally:
                # A stop waits for the transaction that runs: what is in it must not be kept once more.
                await asyncio.wait([flushing])

    def _next_ms(self) -> UtcMs:
        """The next whole minute plus a little, or less often on a fast clock or where set so."""
        step_ms = max(self._flush_ms, int(_SHORTEST_REAL_S * 1000 * self._clock.speed))
        now_ms = self._clock.now_ms()
        following = (now_ms - AFTER_MINUTE_MS) // step_ms * step_ms + step_ms
        boundary = self._grid.end_of(UtcMs(now_ms - AFTER_MINUTE_MS + 1))
        at_ms = min(following, boundary) if self._clock.speed == 1 else following
        return UtcMs(at_ms + AFTER_MINUTE_MS)

    async def flush(self, *, stopping: bool = False) -> None:
        """One transaction with all there is; none where there is nothing."""
        async with self._lock:
            if self._boots.due:
                await self._learn()
            untimed = self._boots.untimed()
            frames = self._intake.take()
            self._tell_outages()
            if self._intake.trusted_since_ms is not None:
                # Before anything is composed of what was kept without a time.
                await self._resuming.settle(self._clock.now_ms(), self._closing.streams)
                await self._catch_up()
            await self._feed(frames)
            closed = Closed()
            if self._intake.trusted_since_ms is not None:
                await self._absences.settle()
                closed = self._close(self._clock.now_ms())
            self._unsaved += self._transactions(frames, closed, untimed, stopping=stopping)
            await self._write()

    async def _feed(self, frames: Sequence[Frames]) -> None:
        self._closing.feed(frames)
        self.meters.read(frames)
        if self._waiting:
            await self._begin()
        await self.meters.look()

    def _close(self, now_ms: UtcMs) -> Closed:
        closed = self._closing.close(now_ms)
        self.tariffs.check(closed.half_hours, self.properties)
        return closed

    def _tell_outages(self) -> None:
        # What was read while the time was unknown has its time by now: nothing is missing for that since.
        known = self._intake.trusted_since_ms is not None
        self._outages.trusted_since_ms = self._intake.started_ms if known else None
        self._outages.started(self._intake.started_ms, self._clock.now_ms())

    async def _learn(self) -> None:
        """The time is known: what was kept without it is timed."""
        self._unsaved += self._transactions((), Closed(), self._boots.untimed())
        await self._write()
        if self._unsaved:
            return  # the database refuses; readings go on without a time until it answers
        await self._boots.learn()

    async def _catch_up(self) -> None:
        """What got its time after it was kept is closed, block by block."""
        behind = self._boots.behind()
        if behind is None:
            return
        async for frames in behind:
            await self._feed(frames)
            closed = self._close(newest_of(frames))
            self._unsaved += self._transactions((), closed)
            await self._write()

    def _transactions(
        self,
        frames: Sequence[Frames],
        closed: Closed,
        untimed: Sequence[Untimed] = (),
        *,
        stopping: bool = False,
    ) -> list[Keep]:
        channels, lives = self._commissioning.changes(), self.meters.changed()
        kept = frames or closed.half_hours or closed.epochs or closed.composed or closed.closed
        if not (kept or channels or lives or untimed or stopping):
            return []
        return [
            Keep(
                now_ms=self._clock.now_ms(),
                frames=frames,
                half_hours=closed.half_hours,
                channels=channels,
                epochs=closed.epochs,
                lives=lives,
                items=closed.items,
                composed=closed.composed,
                closed=closed.closed,
                evidence=self._evidence(closed),
                untimed=untimed,
                boot=self._boots.record(now=bool(untimed) or stopping, stopping=stopping),
            )
        ]

    def _evidence(self, closed: Closed) -> list[Evidence]:
        return self._intake.raws.due(
            closed.half_hours, self._is_register, self._grid, self._clock.now_ms(), self._clock.utc_of
        )

    def _is_register(self, property_id: PropertyId) -> bool:
        prop = self.properties.get(property_id)
        return prop is not None and prop.kind is Kind.REGISTER

    async def _write(self) -> None:
        told: set[str] = set()
        while self._unsaved:
            keep = self._unsaved[0]
            try:
                await self.store.keep(keep)
            except StorageError as error:
                log.error("not kept", extra={"reason": str(error), "waiting": len(self._unsaved)})
                self._drop_old_samples()
                break
            del self._unsaved[0]
            told |= {item.uplink for item in keep.items}
        if told:
            self._announce(told)

    def _drop_old_samples(self) -> None:
        with_samples = [number for number, keep in enumerate(self._unsaved) if keep.frames or keep.untimed]
        for number in with_samples[: max(0, len(with_samples) - _UNSAVED_FRAMES)]:
            self.dropped_blocks += 1
            self._unsaved[number] = replace(self._unsaved[number], frames=(), untimed=())

    @property
    def unsaved(self) -> int:
        """Transactions that wait because the database refuses."""
        return len(self._unsaved)

    async def sign(self, plan: SwapPlan) -> None:
        """A meter swap is signed off, and kept with what it lets go."""
        async with self._lock:
            await self.meters.sign(plan)
        await self.flush()

    async def retire(self, product_id: ProductId) -> None:
        """Nobody waits for that meter any more."""
        self.meters.retire(product_id, self._clock.now_ms())
        await self.flush()

    async def finish(self) -> None:
        """A clean stop loses nothing."""
        await self.flush(stopping=True)
