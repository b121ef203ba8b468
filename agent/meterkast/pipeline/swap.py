"""A meter swap as it is signed off: what both meters showed, checked, and the epochs that this makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from meterkast.model.epoch import Break, Epoch
from meterkast.model.errors import RefusedError
from meterkast.model.product import ProductId, Property
from meterkast.model.quantity import Quantity, text
from meterkast.model.register import difference, total
from meterkast.model.time import UtcMs, iso_utc

if TYPE_CHECKING:
    from meterkast.pipeline.meters import Meters


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapPlan:
    """A swap that can be signed off.

    Attributes:
        old, new: The meters.
        at_ms: When the new one took over.
        by: Who signs.
        epochs: One per register that both have.
    """

    old: ProductId
    new: ProductId
    at_ms: UtcMs
    by: str
    epochs: tuple[Epoch, ...]


def plan_swap(
    meters: Meters,
    old: ProductId,
    new: ProductId,
    *,
    by: str,
    at_ms: UtcMs | None = None,
    old_readings: Mapping[str, str] | None = None,
    new_readings: Mapping[str, str] | None = None,
) -> SwapPlan:
    """Check a swap and make its epochs; nothing changes.

    Args:
        at_ms: When the new meter took over; None for its first reading, or for the old one's last where a
            device of a network was read before the old one was taken out.
        old_readings, new_readings: What the meters' faces showed then, by register key, in the unit on the
            face; what is left out is the last reading of the old, and of the new its first or, where it was
            read before it took over, its newest of then.

    Raises:
        RefusedError: The meters cannot have been swapped like that; the message says why.
    """
    _check_meters(meters, old, new)
    olds, news = meters.registers(old), meters.registers(new)
    shared = shared_registers(meters, old, new)
    old_faces, new_faces = dict(old_readings or {}), dict(new_readings or {})
    for key in (*old_faces, *new_faces):
        if key not in shared:
            raise RefusedError(
                f'"{key}" is no register that both meters have',
                hint=f"They have: {', '.join(shared) or 'none in common'}.",
            )
    first_ms = meters.first_ms(new)
    if first_ms is None:
        raise RefusedError(
            f"{called(meters, new)} was not read yet", hint="Sign the swap off once its values are shown."
        )
    taken_ms = _checked_time(meters, old, new, at_ms, first_ms)
    registers, epochs = meters.closing.registers, []
    for key in shared:
        if not registers.epochs_of(news[key].id) or registers.newest(olds[key].id) is None:
            continue
        epochs.append(
            _epoch(meters, olds[key], news[key], taken_ms, by, old_faces.get(key), new_faces.get(key))
        )
    if not epochs:
        raise RefusedError(
            f"{called(meters, old)} and {called(meters, new)} have no register in common",
            hint="Only meters that count the same can take each other's place: retire the old one with "
            "`meterkast meter retire`, and bind what the new one counts.",
        )
    return SwapPlan(old=old, new=new, at_ms=taken_ms, by=by, epochs=tuple(epochs))


def shared_registers(meters: Meters, old: ProductId, new: ProductId) -> list[str]:
    """The keys of the registers that two meters both have, in the same unit."""
    news = meters.registers(new)
    return [key for key, prop in meters.registers(old).items() if key in news and news[key].unit is prop.unit]


def called(meters: Meters, product_id: ProductId) -> str:
    """A meter's name and serial."""
    described = meters.products[product_id].description
    return f"{described.name} {described.serial}".strip()


def face(prop: Property, value: Quantity) -> str:
    """A reading as the meter's face shows it, with its unit."""
    own = prop.unit == prop.datatype.unit
    finest = max(value.decimals, prop.description.decimals)
    shown = text(Quantity(value.rescaled(finest), finest).decimal(_power(prop)))
    return f"{shown} {prop.datatype.suffix if own else prop.unit.value}".strip()


def _check_meters(meters: Meters, old: ProductId, new: ProductId) -> None:
    if old == new:
        raise RefusedError("a meter cannot take its own place", hint="Name the old and the new meter.")
    signed = meters.life(new)
    if signed.replaces is not None and signed.signed_ms is not None:
        raise RefusedError(
            f"{called(meters, new)} took the place of {called(meters, signed.replaces)}, which is signed off",
            hint="A swap is signed off once; `meterkast meter list` shows what was.",
        )
    lives = map(meters.life, meters.products)
    follower = next((one.product_id for one in lives if one.replaces == old and one.signed_ms), None)
    if follower is not None:
        raise RefusedError(
            f"{called(meters, follower)} took the place of {called(meters, old)}, which is signed off",
            hint="Name the meter that was in use last.",
        )


def _checked_time(
    meters: Meters, old: ProductId, new: ProductId, at_ms: UtcMs | None, first_ms: UtcMs
) -> UtcMs:
    """When the new meter took over.

    Both meters of a network may be read for a while; a port shows one or the other.
    """
    last_ms, newest_ms = _newest_ms(meters, old), first_ms
    if not meters.life(new).source:
        newest_ms = max(first_ms, last_ms, _newest_ms(meters, new))
    if at_ms is None:
        at_ms = min(newest_ms, max(first_ms, last_ms))
    if at_ms > newest_ms:
        which = "first" if newest_ms == first_ms else "newest"
        raise RefusedError(
            f"{iso_utc(at_ms)} is after the new meter's {which} reading, of {iso_utc(newest_ms)}",
            hint="Give the time at which it was hung, or leave --at out.",
        )
    if at_ms < last_ms:
        raise RefusedError(
            f"{iso_utc(at_ms)} is before the old meter's last reading, of {iso_utc(last_ms)}",
            hint="Give the time at which it was taken down, or leave --at out. A meter that is still read "
            "was not replaced.",
        )
    return at_ms


def _newest_ms(meters: Meters, product_id: ProductId) -> UtcMs:
    """When any of a meter's registers was read last."""
    registers = meters.closing.registers
    found = (registers.newest(prop.id) for prop in meters.registers(product_id).values())
    return max((newest[0] for newest in found if newest is not None), default=UtcMs(0))


def _epoch(
    meters: Meters,
    old: Property,
    new: Property,
    at_ms: UtcMs,
    by: str,
    old_face: str | None,
    new_face: str | None,
) -> Epoch:
    registers = meters.closing.registers
    newest = registers.newest(old.id)
    assert newest is not None
    last_ms, read = newest
    begun = registers.epochs_of(new.id)[0]
    last = _last(old, read, old_face)
    first = _first(meters, new, begun, at_ms, new_face)
    begin, taken = (begun.at_ms, begun.first), (at_ms, first)
    for prop, (since_ms, before), (until_ms, after) in (
        (old, (last_ms, read), (at_ms, last)),
        (new, *((taken, begin) if at_ms <= begun.at_ms else (begin, taken))),
    ):
        if not registers.plausible(prop.id, since_ms, before, until_ms, after):
            raise RefusedError(
                f"{prop.key}: from {face(prop, before)} to {face(prop, after)} is more than the connection "
                f"carries between {iso_utc(since_ms)} and {iso_utc(until_ms)}",
                hint="Mind the unit of the reading; if it is right, set [[limits]] for this meter.",
            )
    carried = registers.continued(old.id, last, registers.epochs_of(old.id)[-1].number)
    return Epoch(
        property_id=new.id,
        number=begun.number,
        kind=Break.SWAP,
        at_ms=at_ms,
        first=first,
        last=last,
        last_ms=last_ms if last is read else at_ms,
        offset=total([carried, Quantity(-first.whole, first.decimals)]),
        predecessor=old.id,
        signed_by=by,
    )


def _last(old: Property, read: Quantity, written: str | None) -> Quantity:
    """What the old meter showed at the end: as written, or as it was read last."""
    if written is None:
        return read
    last = _quantity(old, written)
    if difference(last, read).whole >= 0:
        return last
    if _cut(old, read, written) == last.decimal():
        return read  # its face shows fewer digits than it sends, such as whole kWh
    raise RefusedError(
        f"{old.key}: {face(old, last)} is below the old meter's last reading, {face(old, read)}",
        hint="Read its face again, and mind the unit; left out, the last reading counts.",
    )


def _cut(prop: Property, read: Quantity, written: str) -> Decimal:
    """A reading in the canonical unit, cut to the digits in which another one is written."""
    digits = len(written.strip().replace(",", ".").partition(".")[2])
    step = Decimal(1).scaleb(_power(prop) - digits)
    return read.decimal() // step * step


def _first(meters: Meters, new: Property, begun: Epoch, at_ms: UtcMs, written: str | None) -> Quantity:
    """What the new meter showed when it took over: as written, or as it was read."""
    if at_ms > begun.at_ms:
        return _first_of_two(meters, new, begun, at_ms, written)
    first = begun.first if written is None else _quantity(new, written)
    if difference(begun.first, first).whole < 0:
        raise RefusedError(
            f"{new.key}: {face(new, first)} is above the new meter's first reading, {face(new, begun.first)}",
            hint="Read what it showed when it was hung, and mind the unit.",
        )
    return first


def _first_of_two(meters: Meters, new: Property, begun: Epoch, at_ms: UtcMs, written: str | None) -> Quantity:
    """The same of one that was read before it took over: what it counted until then is not counted twice."""
    registers = meters.closing.registers
    later = next(iter(registers.epochs_of(new.id)[1:]), None)
    if later is not None and later.at_ms <= at_ms:
        raise RefusedError(
            f"{new.key}: its {later.kind.value} of {iso_utc(later.at_ms)} is before {iso_utc(at_ms)}",
            hint="Give a time before that with --at.",
        )
    then, newest = registers.as_of(new.id, at_ms), registers.newest(new.id)
    if written is None:
        if then is None:
            raise RefusedError(
                f"{new.key}: what the new meter showed at {iso_utc(at_ms)} is no longer in memory",
                hint=f"Find it among its half-hours and write it: --new-reading {new.key}=READING.",
            )
        return then
    assert newest is not None
    first, least = _quantity(new, written), begun.first if then is None else then
    most = newest[1] if later is None or later.last is None else later.last
    if difference(first, least).whole < 0 or difference(most, first).whole < 0:
        raise RefusedError(
            f"{new.key}: {face(new, first)} is not between {face(new, least)} and {face(new, most)}, which "
            f"were read of the new meter before and after {iso_utc(at_ms)}",
            hint="Read what it showed when it took over, and mind the unit.",
        )
    return first


def _power(prop: Property) -> int:
    """Of ten, from the canonical unit to the one on the meter's face."""
    return prop.datatype.power if prop.unit == prop.datatype.unit else 0


def _quantity(prop: Property, written: str) -> Quantity:
    """A reading of a meter's face in the property's canonical unit."""
    try:
        value = Quantity.of(Decimal(written.strip().replace(",", ".")), _power(prop))
    except (InvalidOperation, ValueError) as error:
        raise RefusedError(
            f'{prop.key}: "{written}" is no reading',
            hint=f"Write it as on the meter, such as {face(prop, Quantity(12345678, 0)).split()[0]}.",
        ) from error
    if value.whole < 0:
        raise RefusedError(f"{prop.key}: {written} is below zero", hint="Write what the meter shows.")
    return value
