"""Meters that come and go: swaps that wait for a person's word, and devices that nobody waits for any more.

A port that shows a new meter where another one is missing was given another meter, or its cable was. Which,
and what both showed then, only a person knows: until that is signed off both are read and closed, and nothing
that is bound to the old one by its medium or its name is composed past its last reading.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from meterkast.model.datatypes import Kind
from meterkast.model.delivery import Stream
from meterkast.model.epoch import Epoch
from meterkast.model.errors import RefusedError, StorageError
from meterkast.model.life import Life
from meterkast.model.product import Product, ProductId, Property, PropertyId
from meterkast.model.reading import Frames
from meterkast.model.time import UtcMs
from meterkast.pipeline.binding import set_aside
from meterkast.pipeline.closing import Closing
from meterkast.pipeline.composing import BoundStream
from meterkast.pipeline.epochs import Before
from meterkast.pipeline.swap import SwapPlan, plan_swap
from meterkast.ports.clock import Clock
from meterkast.ports.uplink import Binding

log = logging.getLogger(__name__)

AUTO = "auto"
"""Who signs a swap off where the configuration leaves it to the gateway."""

Moved = Callable[[Stream, Mapping[PropertyId, PropertyId], UtcMs], None]
"""A stream is made of other properties from an instant on: new by old."""

Recall = Callable[[UtcMs, int, Sequence[PropertyId]], Awaitable[None]]
"""Brings what was closed after an instant, of that length and those properties, back into memory."""


class Meters:
    """The lives of all meters; see `model.life`.

    Args:
        products, properties: All that are known; the keeper's own.
        closing: Where readings, epochs and streams are.
        recall: Reads closed intervals from the store.
        moved: Is told what a swap that was signed off changes.
        auto: Swaps need no person's word.
    """

    def __init__(
        self,
        products: Mapping[ProductId, Product],
        properties: Mapping[PropertyId, Property],
        closing: Closing,
        clock: Clock,
        recall: Recall,
        moved: Moved,
        *,
        auto: bool,
    ) -> None:
        self.products = products
        self.properties = properties
        self.closing = closing
        self._clock = clock
        self._recall = recall
        self._moved = moved
        self._auto = auto
        self._lives: dict[ProductId, Life] = {}
        self._changed: dict[ProductId, Life] = {}

    def load(self, lives: Iterable[Life]) -> None:
        """Those that were kept before; after the epochs were."""
        self._lives = {one.product_id: one for one in lives}
        for life in self._lives.values():
            if life.retired_ms is not None:
                self._close_until(life.product_id, life.retired_ms)
            if life.replaces is not None and life.signed_ms is not None:
                self._join(life.replaces, life.product_id)

    def changed(self) -> list[Life]:
        """Those that are to be kept."""
        changed, self._changed = self._changed, {}
        return [changed[product_id] for product_id in sorted(changed)]

    def life(self, product_id: ProductId) -> Life:
        """A meter's; of one of which there is nothing to tell, an empty one."""
        return self._lives.get(product_id) or Life(product_id=product_id)

    def retired(self, product_id: ProductId) -> bool:
        """Whether nobody waits for it any more."""
        return self.life(product_id).retired_ms is not None

    def waiting(self) -> list[Life]:
        """The new meters whose swap is not signed off."""
        return [life for life in self._lives.values() if life.waits]

    def set_aside(self) -> set[ProductId]:
        """Products that a name means only where it can mean no other."""
        return set_aside(self._lives.values())

    def present(self, source: str, products: Sequence[ProductId]) -> None:
        """All the meters that a port shows now.

        A meter that the port never showed took the place of one of its medium that is missing now. Moving a
        meter to another channel changes nothing: it is known by its own identifier.
        """
        new = [one for one in products if self.life(one).source != source]
        shown = [life.product_id for life in self._lives.values() if life.source == source]
        missing = [one for one in shown if one not in products and not self._followed(one)]
        for product_id in new:
            medium = self.products[product_id].description.medium
            gone = [one for one in missing if self.products[one].description.medium is medium]
            also_new = [one for one in new if self.products[one].description.medium is medium]
            life = replace(self.life(product_id), source=source)
            if gone and life.replaces is None:
                life = replace(life, replaces=gone[0], sure=len(gone) == len(also_new) == 1, signed_ms=None)
                missing.remove(gone[0])
                log.warning("meter swapped", extra={"driver": source, "old": gone[0], "new": product_id})
            self._put(life)

    def _followed(self, product_id: ProductId) -> bool:
        """Whether another meter took its place, or seems to have."""
        return any(life.replaces == product_id for life in self._lives.values())

    def read(self, frames: Sequence[Frames]) -> None:
        """Readings came in: a retired device is back, or a meter that was thought to be gone is not."""
        if not self._changed and not any(one.waits or one.retired_ms for one in self._lives.values()):
            return
        newest: dict[ProductId, UtcMs] = {}
        for table in frames:
            for column in table.layout:
                if table.times and (prop := self.properties.get(column.property_id)) is not None:
                    newest[prop.product_id] = max(newest.get(prop.product_id, UtcMs(0)), max(table.times))
        for product_id, at_ms in newest.items():
            since_ms = self.life(product_id).retired_ms
            if since_ms is not None and at_ms > since_ms:
                self.revive(product_id, at_ms)
        for life in self.waiting():
            first_ms = self.first_ms(life.product_id)
            if life.replaces in newest and first_ms is not None and newest[life.replaces] > first_ms:
                # It was never gone: another meter came beside it, or the cable is back where it was.
                self._put(replace(life, replaces=None, source=""))

    async def look(self) -> None:
        """Hold what waits for a swap, let go on what does not, and sign off where no person is needed."""
        for life in self.waiting():
            self._read_alike(life)
            if self._auto and life.sure and self._is_read(life):
                await self._sign_alone(life)
        for bound in self.closing.streams:
            held = self._held(bound)
            if held and bound.held_ms is None:
                bound.held_ms = min(self.closing.newest_ms(property_id) for property_id in held)
            elif not held and bound.held_ms is not None:
                await self._go_on(bound)

    async def _sign_alone(self, life: Life) -> None:
        """Sign a swap off without a person; one that cannot have been so waits for one after all."""
        assert life.replaces is not None
        try:
            plan = plan_swap(self, life.replaces, life.product_id, by=AUTO)
        except RefusedError as error:
            self._put(replace(life, sure=False))
            log.warning(
                "meter swap needs a person",
                extra={"old": life.replaces, "new": life.product_id, "reason": str(error)},
            )
            return
        await self.sign(plan)

    async def sign(self, plan: SwapPlan) -> None:
        """A swap is signed off: what was held is composed with the next transaction, which keeps it all."""
        now_ms, grid = self._clock.now_ms(), self.closing.grid
        # The interval across the swap is the new meter's where that was read in it; asked before the epochs
        # say when it was hung.
        read_ms = grid.end_of(UtcMs(max(plan.at_ms, self.first_ms(plan.new) or plan.at_ms)))
        for epoch in plan.epochs:
            self.closing.registers.sign(epoch)
        self._put(
            replace(self.life(plan.new), replaces=plan.old, signed_ms=now_ms, retired_ms=None, sure=True)
        )
        # Another one may have been thought to have taken that place; a person knows better.
        self.retire(plan.old, plan.at_ms)
        self._join(plan.old, plan.new)
        for bound in self.closing.streams:
            new = {
                binding: follower.id
                for binding, property_id in bound.bindings.items()
                if self.is_role(binding, property_id, plan.old)
                and (follower := self.follower(property_id, plan.new)) is not None
            }
            if new:
                moved = {bound_to: new[one] for one, bound_to in bound.bindings.items() if one in new}
                bound.bindings = {**bound.bindings, **new}
                properties = tuple(dict.fromkeys(bound.bindings.values()))
                bound.stream = replace(bound.stream, properties=properties)
                self._moved(bound.stream, moved, grid.start_of(read_ms, bound.stream.length_ms))
                if not self._held(bound):
                    await self._go_on(bound)
        log.info("meter swap signed off", extra={"old": plan.old, "new": plan.new, "by": plan.by})

    def retire(self, product_id: ProductId, at_ms: UtcMs) -> None:
        """Wait for nothing of this product after the half-hour that holds an instant.

        Nor is any other thought to have taken its place.
        """
        for life in self.waiting():
            if life.replaces == product_id:
                self._put(replace(life, replaces=None))
        self._put(replace(self.life(product_id), retired_ms=at_ms))
        self._close_until(product_id, at_ms)

    def revive(self, product_id: ProductId, at_ms: UtcMs) -> None:
        """Wait for a retired product again; the time since is a gap of its own."""
        if self.retired(product_id):
            self._put(replace(self.life(product_id), retired_ms=None))
            for prop in self.of(product_id):
                self.closing.revive(prop.id, at_ms)

    def of(self, product_id: ProductId) -> list[Property]:
        """A product's properties."""
        return [one for one in self.properties.values() if one.product_id == product_id]

    def registers(self, product_id: ProductId) -> dict[str, Property]:
        """A product's registers, by key."""
        return {one.key: one for one in self.of(product_id) if one.kind is Kind.REGISTER}

    def follower(self, property_id: PropertyId, product_id: ProductId) -> Property | None:
        """What a product has under the same key, in the same unit."""
        prop = self.properties[property_id]
        alike = (one for one in self.of(product_id) if (one.key, one.unit) == (prop.key, prop.unit))
        return next(alike, None)

    def first_ms(self, product_id: ProductId) -> UtcMs | None:
        """When the product's registers were read first; None before."""
        first = [
            epochs[0].at_ms
            for prop in self.registers(product_id).values()
            if (epochs := self.closing.registers.epochs_of(prop.id))
        ]
        return min(first, default=None)

    def is_role(self, binding: Binding, property_id: PropertyId, product_id: ProductId) -> bool:
        """Whether a binding means that product by its medium or its name, and not the very meter."""
        product = self.products[product_id]
        role = binding.product in (product.description.medium, product.name)
        return role and self.properties[property_id].product_id == product_id

    def _held(self, bound: BoundStream) -> list[PropertyId]:
        """The properties of a stream whose meter's swap is not signed off."""
        gone = [life.replaces for life in self.waiting() if life.replaces is not None]
        return [
            property_id
            for binding, property_id in bound.bindings.items()
            if any(self.is_role(binding, property_id, one) for one in gone)
        ]

    async def _go_on(self, bound: BoundStream) -> None:
        stream = bound.stream
        try:
            await self._recall(bound.composed_ms, stream.length_ms, self.closing.all_of(stream))
        except StorageError as error:
            # It is tried again each minute; without what was closed nothing must be composed.
            log.error("stream waits", extra={"stream": stream.name, "reason": str(error)})
            bound.held_ms = bound.composed_ms if bound.held_ms is None else bound.held_ms
            return
        bound.held_ms = None

    def _read_alike(self, life: Life) -> None:
        """Close the new meter at the lengths that the old one's streams ask for."""
        for bound in self.closing.streams:
            for property_id in self._held(bound):
                follower = self.follower(property_id, life.product_id)
                if follower is not None and self.properties[property_id].product_id == life.replaces:
                    self.closing.also(follower.id, bound.stream.length_ms)

    def _is_read(self, life: Life) -> bool:
        """Whether the new meter was read for all that the old one's streams ask for."""
        assert life.replaces is not None
        wanted = {
            property_id
            for bound in self.closing.streams
            for property_id in self._held(bound)
            if self.properties[property_id].product_id == life.replaces
        }
        followers = [self.follower(property_id, life.product_id) for property_id in wanted]
        return self.first_ms(life.product_id) is not None and all(
            one is not None and self.closing.newest_ms(one.id) >= 0 for one in followers
        )

    def _close_until(self, product_id: ProductId, at_ms: UtcMs) -> None:
        for prop in self.of(product_id):
            self.closing.retire(prop.id, at_ms)

    def _join(self, old: ProductId, new: ProductId) -> None:
        """Intervals of before the swap are the old meter's."""
        swaps: list[Epoch] = [
            epochs[0]
            for prop in self.registers(new).values()
            if (epochs := self.closing.registers.epochs_of(prop.id)) and epochs[0].predecessor is not None
        ]
        if swaps:
            for prop in self.of(old):
                if (follower := self.follower(prop.id, new)) is not None:
                    self.closing.registers.join(follower.id, Before(prop.id, swaps[0].at_ms))

    def _put(self, life: Life) -> None:
        if self._lives.get(life.product_id) != life:
            self._lives[life.product_id] = self._changed[life.product_id] = life
