"""What would be sent, byte for byte, without sending it."""

from __future__ import annotations

from datetime import tzinfo

from meterkast.model.time import Grid, UtcMs
from meterkast.uplinks.context import Newest
from meterkast.uplinks.example import example
from meterkast.uplinks.wattics.packet import packet, stamp
from meterkast.uplinks.wattics.settings import Settings, plans, urls


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
            closed = example(plan.wanted(), Grid(zone), now_ms)
        else:
            lines.append(f"# meter {plan.id}, every {minutes} minutes: the newest closed interval")
        end_ms, half_hours = closed
        made = packet(plan.id, stamp(end_ms, zone, settings.dst), plan.parameters, half_hours)
        lines.append(made.decode() or "# nothing: all of it is missing in that interval")
    return lines
