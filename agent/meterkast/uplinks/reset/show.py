"""What would be sent, byte for byte, without sending it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from meterkast.model.delivery import Item, ItemId
from meterkast.model.time import Grid, UtcMs, iso_local
from meterkast.uplinks.context import Newest
from meterkast.uplinks.example import example
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
        what, closed = "EXAMPLE VALUES, nothing is closed yet", example(plan.wanted(), site.grid, site.now_ms)
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
