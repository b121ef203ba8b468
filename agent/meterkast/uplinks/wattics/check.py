"""The connection test: the way there, then what the platform says of every meter. Never a packet.

A test packet stamped "now" would move its meter's water mark: the platform then discards the whole backlog,
for it takes packets in chronological order only.
"""

from __future__ import annotations

from datetime import tzinfo

from meterkast.model.errors import ConfigError, MisconfiguredError, NotDeliveredError
from meterkast.model.time import DAY_MS, HOUR_MS, MINUTE_MS, UtcMs
from meterkast.ports.uplink import Check
from meterkast.uplinks import http
from meterkast.uplinks.wattics.client import Client
from meterkast.uplinks.wattics.packet import proven_ms
from meterkast.uplinks.wattics.settings import Settings, credentials, plans, urls


async def check(settings: Settings, zone: tzinfo, now_ms: UtcMs) -> list[Check]:
    """DNS, TCP and TLS, then one read-back per meter.

    Args:
        settings: Checked or not.
        zone: The site's.
        now_ms: For the age of the last packet.

    Returns:
        The steps as far as they go. A meter that fails does not hide the others; what they share does.
    """
    try:
        meters, who = plans(settings), credentials(settings)
        read_url = urls(settings)[1]
        steps = await http.probe(read_url, ca_file=settings.ca_file, proxy=settings.proxy)
        if not all(step.ok for step in steps):
            return steps
        client = Client(settings, who)
    except ConfigError as error:
        return [Check(name="SETTINGS", ok=False, detail=f"{error}. {error.hint}")]
    try:
        for meter in meters:
            try:
                last = await client.last(meter.id)
            except (MisconfiguredError, NotDeliveredError) as error:
                steps.append(Check(name=meter.id, ok=False, detail=f"{error}. {error.hint}"))
                if isinstance(error, NotDeliveredError) or error.stream is None:
                    break
                continue
            steps.append(
                Check(name=meter.id, ok=True, detail=_seen(last.get("tsISO8601"), settings, zone, now_ms))
            )
    finally:
        await client.close()
    return steps


def _seen(written: object, settings: Settings, zone: tzinfo, now_ms: UtcMs) -> str:
    if not isinstance(written, str) or not written:
        return "user and meter are accepted; no packet was received yet"
    shown = written[:40]
    at_ms = proven_ms(written, zone, settings.dst)
    if at_ms is None:
        return (
            f"user and meter are accepted; last packet {shown}, whose offset is not this site's: "
            'the platform may keep the wall clock only, then set dst = "standard-time"'
        )
    return f"user and meter are accepted; last packet {shown}, {_age(now_ms - at_ms)}"


def _age(age_ms: int) -> str:
    if age_ms < 0:
        return "which is in the future: check the clock"
    for length_ms, name in ((DAY_MS, "days"), (HOUR_MS, "hours")):
        if age_ms >= 2 * length_ms:
            return f"{age_ms // length_ms} {name} ago"
    return f"{age_ms // MINUTE_MS} minutes ago"
