"""What a person asks and orders of meters: the list, a swap signed off, one retired. Plain data for JSON."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from meterkast.model.epoch import Break, Epoch
from meterkast.model.errors import RefusedError
from meterkast.model.product import ProductId, Property
from meterkast.model.quantity import Quantity
from meterkast.model.register import difference
from meterkast.model.time import UtcMs
from meterkast.pipeline.binding import named
from meterkast.pipeline.keeping import Keeper
from meterkast.pipeline.meters import Meters
from meterkast.pipeline.swap import SwapPlan, called, face, plan_swap, shared_registers


class BreakView(msgspec.Struct, frozen=True, kw_only=True):
    """An epoch of a register: why it began, when, and the readings before and after, with their unit."""

    kind: str
    at_ms: UtcMs
    last: str
    first: str
    signed_by: str


class RegisterView(msgspec.Struct, frozen=True, kw_only=True):
    """A register: its newest reading with its unit, and where it did not go on."""

    key: str
    newest: str
    at_ms: UtcMs | None
    breaks: tuple[BreakView, ...]


class MeterView(msgspec.Struct, frozen=True, kw_only=True):
    """A meter.

    Attributes:
        id, name, serial, medium: Of the product.
        state: "in use", "swap not signed off", "replaced" or "retired".
        replaces: The meter whose place it took, or seems to have.
    """

    id: int
    name: str
    serial: str
    medium: str
    state: str
    replaces: str
    registers: tuple[RegisterView, ...]


class SwapOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A swap to be signed off; see `swap.plan_swap`.

    Attributes:
        old, new: The meters by serial, identity, name or id.
        dry: Only tell what would be.
    """

    old: str
    new: str
    old_readings: dict[str, str] = {}
    new_readings: dict[str, str] = {}
    at_ms: UtcMs | None = None
    by: str = ""
    dry: bool = False


class RetireOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A meter that nobody waits for any more."""

    meter: str


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What was done, or would be: plain sentences."""

    lines: tuple[str, ...]


class MeterDesk:
    """Answers what is asked of meters.

    Args:
        keeper: Whose.
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._meters = keeper.meters

    def meters(self) -> list[MeterView]:
        """Every meter that has a register, by id."""
        return [self._view(one) for one in sorted(self._meters.products) if self._meters.registers(one)]

    async def swap(self, order: SwapOrder) -> Told:
        """Sign a swap off, or tell what that would come to.

        Raises:
            RefusedError: It cannot have been; the message says why.
        """
        plan = plan_swap(
            self._meters,
            self._product(order.old),
            self._product(order.new),
            by=order.by or "somebody",
            at_ms=order.at_ms,
            old_readings=order.old_readings,
            new_readings=order.new_readings,
        )
        lines = tuple(self._preview(plan))
        if order.dry:
            return Told(lines=(*lines, "Nothing was changed."))
        await self._keeper.sign(plan)
        return Told(lines=(*lines, self._kept("The swap is signed off, and what waited for it is sent.")))

    async def retire(self, order: RetireOrder) -> Told:
        """Wait for nothing of a meter any more.

        Raises:
            RefusedError: There is no such meter, or its swap waits to be signed off and can be.
        """
        product_id = self._product(order.meter)
        follower = next((one for one in self._meters.waiting() if one.replaces == product_id), None)
        if follower is not None and shared_registers(self._meters, product_id, follower.product_id):
            raise RefusedError(
                f"{called(self._meters, follower.product_id)} seems to have taken its place",
                hint="Sign that off, so that what is sent goes on: meterkast meter swap OLD NEW.",
            )
        await self._keeper.retire(product_id)
        return Told(
            lines=(
                self._kept(
                    f"{called(self._meters, product_id)} is retired: none of its half-hours is missing any "
                    "more. If it reports again, it is in use again."
                ),
            )
        )

    def _kept(self, sentence: str) -> str:
        if self._keeper.unsaved:
            return f"{sentence} The database refuses to keep that now; it is tried again each minute."
        return sentence

    def _product(self, word: str) -> ProductId:
        products = self._meters.products.values()
        found = [one for one in products if str(one.id) == word] or [
            one for one in products if named(one, word)
        ]
        meters = [one for one in found if self._meters.registers(one.id)]
        if len(meters) == 1:
            return meters[0].id
        known = ", ".join(f"{one.id} ({called(self._meters, one.id)})" for one in meters or products)
        if not meters:
            raise RefusedError(f'there is no meter "{word}"', hint=f"There are: {known}.")
        raise RefusedError(f'"{word}" is {len(meters)} meters', hint=f"Write the number of one: {known}.")

    def _view(self, product_id: ProductId) -> MeterView:
        meters = self._meters
        life, described = meters.life(product_id), meters.products[product_id].description
        replaced = any(
            one.replaces == product_id and one.signed_ms for one in map(meters.life, meters.products)
        )
        state = "in use"
        if life.waits:
            state = "swap not signed off"
        elif life.retired_ms is not None:
            state = "replaced" if replaced else "retired"
        return MeterView(
            id=product_id,
            name=described.name,
            serial=described.serial,
            medium=described.medium.value,
            state=state,
            replaces="" if life.replaces is None else called(meters, life.replaces),
            registers=tuple(self._register(prop) for prop in meters.registers(product_id).values()),
        )

    def _register(self, prop: Property) -> RegisterView:
        newest = self._meters.closing.registers.newest(prop.id)
        epochs = self._meters.closing.registers.epochs_of(prop.id)
        return RegisterView(
            key=prop.key,
            newest="" if newest is None else face(prop, newest[1]),
            at_ms=None if newest is None else newest[0],
            breaks=tuple(_break(prop, epoch) for epoch in epochs if epoch.kind is not Break.FIRST),
        )

    def _preview(self, plan: SwapPlan) -> Iterator[str]:
        meters = self._meters
        yield f"{called(meters, plan.new)} takes the place of {called(meters, plan.old)}."
        signed = {epoch.property_id: epoch for epoch in plan.epochs}
        for epoch in plan.epochs:
            prop = meters.properties[epoch.property_id]
            assert epoch.last is not None
            last, first = face(prop, epoch.last), face(prop, epoch.first)
            yield f"  {prop.key}: {last} on the old meter, {first} on the new one"
        for bound in meters.closing.streams:
            for binding, property_id in bound.bindings.items():
                if not meters.is_role(binding, property_id, plan.old):
                    continue
                place = f"  {bound.stream.uplink} {bound.stream.name}, {binding}"
                follower = meters.follower(property_id, plan.new)
                if follower is None:
                    yield f"{place}: waits, for the new meter has no {binding.key}; bind something else"
                elif (found := signed.get(follower.id)) is not None:
                    yield f"{place}: {_sent(meters, follower, found, continues=bound.uplink.continues)}"


def _sent(meters: Meters, prop: Property, swap: Epoch, *, continues: bool) -> str:
    newest = meters.closing.registers.newest(prop.id)
    shown = swap.first if newest is None else newest[1]
    if not continues:
        return f"as the new meter shows it, {face(prop, shown)} now"
    gone_on = difference(shown, Quantity(-swap.offset.whole, swap.offset.decimals))
    return f"goes on: the new meter's {face(prop, shown)} is sent as {face(prop, gone_on)}"


def _break(prop: Property, epoch: Epoch) -> BreakView:
    return BreakView(
        kind=epoch.kind.value,
        at_ms=epoch.at_ms,
        last="" if epoch.last is None else face(prop, epoch.last),
        first=face(prop, epoch.first),
        signed_by=epoch.signed_by,
    )
