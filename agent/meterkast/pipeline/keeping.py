"""The minute's transaction: samples, half-hours and outbox rows become durable together.

Just after each whole minute what came in is written as one block; a boundary of a half-hour is a whole
minute, so its registers are on the card within two seconds. When a half-hour is due its row and its items
go into the same transaction. What the database refuses waits in memory and is tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from meterkast.config.sections import Limit
from meterkast.model.datatypes import Kind
from meterkast.model.errors import StorageError
from meterkast.model.evidence import Evidence
from meterkast.model.product import (
    Product,
    ProductDescription,
    ProductId,
    Property,
    PropertyDescription,
    PropertyId,
)
from meterkast.model.reading import Frames
from meterkast.model.time import SECOND_MS, Grid, UtcMs
from meterkast.model.untimed import Untimed
from meterkast.pipeline.absences import Absences
from meterkast.pipeline.beginning import Beginning
from meterkast.pipeline.binding import named
from meterkast.pipeline.boots import Boots, newest_of
from meterkast.pipeline.closing import Closed, Closing
from meterkast.pipeline.commissioning import Commissioning
from meterkast.pipeline.intake import Intake
from meterkast.pipeline.meters import Meters
from meterkast.pipeline.moves import Moves
from meterkast.pipeline.orders import Orders
from meterkast.pipeline.outages import Outages
from meterkast.pipeline.reach import Reach
from meterkast.pipeline.replaying import Replaying
from meterkast.pipeline.resuming import Resuming
from meterkast.pipeline.swap import SwapPlan
from meterkast.pipeline.tariffs import Tariffs
from meterkast.pipeline.unsaved import Unsaved
from meterkast.ports.clock import Clock
from meterkast.ports.store import Keep, Store
from meterkast.ports.uplink import Uplink

log = logging.getLogger(__name__)

AFTER_MINUTE_MS = 2 * SECOND_MS
"""How long after a whole minute its transaction begins: the telegram of the boundary has arrived by then."""

# A fast clock must not turn a minute's transaction into hundreds of them a second.
_SHORTEST_REAL_S = 0.25

_PATIENCE = 4 * 60
"""Minutes for which readings wait in memory for others that cannot be read."""


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
        self._flush_ms = flush_ms
        self._limits = limits
        self._commissioning = Commissioning()
        self._lock = asyncio.Lock()
        self.products: dict[ProductId, Product] = {}
        self.properties: dict[PropertyId, Property] = {}
        self._replaying = Replaying(store, closing, outages, self.properties)
        self.meters = Meters(
            self.products,
            self.properties,
            closing,
            clock,
            self._replaying.recall,
            self._commissioning.moved,
            auto=auto_swap,
        )
        self.tariffs = Tariffs()
        self._boots = Boots(store, clock, intake, outages)
        self._moves = Moves(store, clock)
        self.reach = Reach(store, clock, outages, self.meters)
        self.orders = Orders(store, clock)
        self._resuming = Resuming(store, grid)
        self._absences = Absences(store, outages)
        self.beginning = Beginning(
            uplinks.values(),
            clock,
            closing,
            self.meters,
            self._commissioning,
            self._resuming,
            self._replaying.recall,
        )
        self.unsaved = Unsaved(store, announce)
        self._unfed: list[Frames] = []
        self._unread = 0

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
        self.beginning.load(dict(self.store.streams()), await self.store.channels())
        ends = [end for lengths in closed.values() for end in lengths.values()]
        unclosed_ms = self._boots.unclosed_from(max(ends, default=UtcMs(-1)))
        if ends:
            await self._replaying.replay(closed, unclosed_ms)
        await self._boots.explain_unclosed()
        await self.beginning.begin()

    async def declare(
        self, driver: str, product: ProductDescription, properties: Sequence[PropertyDescription]
    ) -> tuple[Product, Mapping[str, Property]]:
        """A driver's devices and values get their ids; see `ports.inventory.Catalog`."""
        made, found = await self.store.declare(product, properties)
        self.products[made.id] = made
        self._outages.reads(driver, made.id)
        for prop in found.values():
            self.properties[prop.id] = prop
            self._know(prop)
            self._closing.update(prop)
        self.beginning.resolve()
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
        self.beginning.resolve()
        return renamed

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
            await self._moves.look()
            untimed = self._boots.untimed()
            frames = self._unfed + self._intake.take()
            self._unfed = []
            self._tell_outages()
            if self._intake.trusted_since_ms is not None:
                # Before anything is composed of what was kept without a time.
                await self._resuming.settle(self._clock.now_ms(), self._closing.streams)
                if not await self._catch_up():
                    await self._hold(frames, stopping=stopping)
                    return
            await self._feed(frames)
            closed = Closed()
            if self._intake.trusted_since_ms is not None:
                await self._absences.settle()
                closed = self._close(self._clock.now_ms())
            await self.unsaved.write(self._transactions(frames, closed, untimed, stopping=stopping))

    async def _feed(self, frames: Sequence[Frames]) -> None:
        self._closing.feed(frames)
        self.meters.read(frames)
        await self.beginning.begin()
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
        await self.unsaved.write(self._transactions((), Closed(), self._boots.untimed()))
        if self.unsaved:
            return  # the database refuses; readings go on without a time until it answers
        await self._boots.learn()

    async def _catch_up(self) -> bool:
        """What got its time after it was kept is closed, block by block; whether all of it is."""
        try:
            async for frames in self._boots.behind():
                await self._feed(frames)
                until_ms = newest_of(frames)
                closed = self._close(until_ms)
                await self.unsaved.write(self._transactions((), closed, until_ms=until_ms))
        except StorageError as error:
            log.error("readings that got their time not closed yet", extra={"reason": str(error)})
            return False
        self._unread = 0
        return True

    async def _hold(self, frames: list[Frames], *, stopping: bool) -> None:
        """Readings whose turn comes after what could not be read wait; a stop keeps them for the next run."""
        self._unread += 1
        if not stopping and self._unread < _PATIENCE:
            self._unfed = frames
            return
        await self.unsaved.write(self._transactions(frames, Closed(), stopping=True))
        if not stopping:
            raise StorageError(
                "what got its time cannot be read", hint="The next start checks the database and goes on."
            )

    def _transactions(
        self,
        frames: Sequence[Frames],
        closed: Closed,
        untimed: Sequence[Untimed] = (),
        *,
        until_ms: UtcMs | None = None,
        stopping: bool = False,
    ) -> list[Keep]:
        channels, lives = self._commissioning.changes(), self.meters.changed()
        kept = frames or closed.half_hours or closed.epochs or closed.composed or closed.closed
        if not (kept or channels or lives or untimed or stopping):
            return []
        now_ms = self._clock.now_ms()
        return [
            Keep(
                now_ms=now_ms,
                frames=frames,
                half_hours=closed.half_hours,
                channels=channels,
                epochs=closed.epochs,
                lives=lives,
                items=closed.items,
                composed=closed.composed,
                closed=closed.closed,
                evidence=self._evidence(closed, now_ms if until_ms is None else until_ms),
                untimed=untimed,
                boot=self._boots.record(now=bool(untimed) or stopping, stopping=stopping),
            )
        ]

    def _evidence(self, closed: Closed, until_ms: UtcMs) -> list[Evidence]:
        raws = self._intake.raws
        return raws.due(closed.half_hours, self._is_register, self._grid, until_ms, self._clock.utc_of)

    def _is_register(self, property_id: PropertyId) -> bool:
        prop = self.properties.get(property_id)
        return prop is not None and prop.kind is Kind.REGISTER

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
