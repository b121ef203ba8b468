"""What would be sent, byte for byte, without sending it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from meterkast.model.delivery import Item, ItemId
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import HALF_HOUR_MS, Grid, UtcMs, iso_local
from meterkast.model.units import Unit
from meterkast.ports import Wanted
from meterkast.uplinks.context import Closed, Newest
from meterkast.uplinks.reset.monitors import (
    CREATE,
    MODIFY,
    Acknowledged,
    Definition,
    account,
    auth_message,
    definition,
    monitor_message,
)
from meterkast.uplinks.reset.plan import Plan, plans
from meterkast.uplinks.reset.readings import compose, parts, readings_message
from meterkast.uplinks.reset.settings import Settings, target

Kept = Callable[[str], Awaitable[str | None]]
"""What the gateway keeps of a monitor, by connection_id: what RESET acknowledged."""

MASK = "…"

_EXAMPLES = {
    # In canonical units; plainly no one's meter.
    Unit.WATT_HOUR: Quantity(1_234_567),
    Unit.LITRE: Quantity(1_234_567),
    Unit.CELSIUS: Quantity(2050, 2),
    Unit.PERCENT: Quantity(4800, 2),
    Unit.PARTS_PER_MILLION: Quantity(61_200, 2),
    Unit.PARTS_PER_BILLION: Quantity(12_300, 2),
    Unit.MICROGRAM_PER_CUBIC_METRE: Quantity(1234, 2),
    Unit.MILLIVOLT: Quantity(65_000, 2),
    Unit.PH: Quantity(720, 2),
    Unit.KILOGRAM: Quantity(123, 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Whose messages are shown: the gateway's id, its wall clock and the time."""

    device_id: str
    grid: Grid
    now_ms: UtcMs


async def show(settings: Settings, site: Site, newest: Newest, kept: Kept) -> list[str]:
    """Lines to print: each event and its message, in the order they would be sent.

    Lines that are no message begin with `#`. The secret is masked; example values are marked as such.

    Args:
        settings: Need hold no secret.
        site: Whose.
        newest: What is closed.
        kept: What RESET acknowledged.

    Raises:
        ConfigError: The settings cannot work.
    """
    origin, namespace = target(settings)
    lines = [
        f"# Socket.IO {origin}, namespace {namespace}, {settings.transport}",
        "# event auth (the secret is not shown)",
        auth_message(settings.client_id, MASK),
    ]
    for number, plan in enumerate(plans(settings)):
        message_id = f"{site.device_id}_{site.now_ms}_{2 * number}"
        lines += [f"# {warning}" for warning in plan.warnings]
        had = Acknowledged.of(await kept(plan.connection_id), account(settings))
        lines += _monitor(plan, had.definition if had else None, message_id)
        lines += await _readings(plan, site, f"{site.device_id}_{site.now_ms}_{2 * number + 1}", newest)
    return lines


def _monitor(plan: Plan, had: Definition | None, message_id: str) -> list[str]:
    told = definition(plan, had)
    if had == told:
        return [f"# event monitors: nothing, RESET acknowledged {plan.connection_id} as it is"]
    kind = CREATE if had is None else MODIFY
    return [
        f"# event monitors: {plan.connection_id}, before its readings",
        monitor_message(kind, told, message_id),
    ]


async def _readings(plan: Plan, site: Site, message_id: str, newest: Newest) -> list[str]:
    closed = await newest(plan.wanted())
    what = "the newest closed half-hour"
    if closed is None:
        what, closed = "EXAMPLE VALUES, nothing is closed yet", _example(plan.wanted(), site)
    end_ms, half_hours = closed
    head = f"# event readings: {plan.connection_id}, {what}"
    payload = compose(plan, iso_local(end_ms, site.grid.zone), half_hours)
    if not payload:
        return [head, "# nothing: all of it is missing in that half-hour"]
    item = Item(id=ItemId(0), uplink="reset", stream=plan.connection_id, at_ms=end_ms, payload=payload)
    return [
        head,
        *(readings_message(plan.connection_id, part.elements, message_id) for part in parts([item])),
    ]


def _example(wanted: Wanted, site: Site) -> Closed:
    end_ms = site.grid.start_of(site.grid.end_of(site.now_ms))
    return end_ms, {
        binding: HalfHour(
            property_id=PropertyId(number),
            end_ms=end_ms,
            length_ms=HALF_HOUR_MS,
            value=_EXAMPLES.get(binding.unit or Unit.NONE, Quantity(123)),
            taken_ms=end_ms,
            count=1,
        )
        for number, binding in enumerate(wanted.bindings)
    }
