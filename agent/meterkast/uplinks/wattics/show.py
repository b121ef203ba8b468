"""What would be sent, byte for byte, without sending it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo

from meterkast.model.half_hour import HalfHour
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import Grid, UtcMs
from meterkast.model.units import Unit
from meterkast.ports import Binding, Wanted
from meterkast.uplinks.context import Closed, Newest
from meterkast.uplinks.wattics.packet import packet, stamp
from meterkast.uplinks.wattics.settings import Settings, plans, urls

_EXAMPLES = {
    # In canonical units; plainly no one's meter.
    Unit.WATT_HOUR: Quantity(1_234_567),
    Unit.WATT: Quantity(1234),
    Unit.VOLT: Quantity(2301, 1),
    Unit.AMPERE: Quantity(54, 1),
    Unit.LITRE: Quantity(1_234_567),
    Unit.MEGAJOULE: Quantity(12_345),
    Unit.CELSIUS: Quantity(205, 1),
}


async def show(settings: Settings, zone: tzinfo, now_ms: UtcMs, newest: Newest) -> list[str]:
    """Lines to print: per meter where it goes, and the packet as it would be sent.

    Lines that are no packet begin with `#`. Example values are marked as such.

    Args:
        settings: Need hold no password.
        zone: The site's.
        now_ms: For the example's time.
        newest: What is closed.

    Raises:
        ConfigError: The settings cannot work.
    """
    lines = [f"# POST {urls(settings)[0]}", "# Content-Type: application/json"]
    for plan in plans(settings):
        closed = await newest(plan.wanted())
        minutes = plan.length_ms // 60_000
        if closed is None:
            lines.append(f"# meter {plan.id}, every {minutes} minutes: EXAMPLE VALUES, nothing is closed yet")
            closed = _example(plan.wanted(), zone, now_ms)
        else:
            lines.append(f"# meter {plan.id}, every {minutes} minutes: the newest closed interval")
        end_ms, half_hours = closed
        made = packet(plan.id, stamp(end_ms, zone, settings.dst), plan.parameters, half_hours)
        lines.append(made.decode() or "# nothing: all of it is missing in that interval")
    return lines


def _example(wanted: Wanted, zone: tzinfo, now_ms: UtcMs) -> Closed:
    end_ms = Grid(zone).start_of(Grid(zone).end_of(now_ms, wanted.length_ms), wanted.length_ms)
    return end_ms, dict(_examples(wanted, end_ms))


def _examples(wanted: Wanted, end_ms: UtcMs) -> Iterator[tuple[Binding, HalfHour]]:
    for number, binding in enumerate(wanted.bindings):
        value = _EXAMPLES.get(binding.unit or Unit.NONE, Quantity(123))
        yield (
            binding,
            HalfHour(
                property_id=PropertyId(number),
                end_ms=end_ms,
                length_ms=wanted.length_ms,
                value=value,
                taken_ms=end_ms,
                count=1,
            ),
        )
