"""Channels: what a platform is owed, one number per interval, and since when."""

from __future__ import annotations

from dataclasses import dataclass

from meterkast.model.product import PropertyId
from meterkast.model.time import HALF_HOUR_MS, UtcMs


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One number of a stream, as the platform knows it, for as long as it is made of the same.

    A change of the configuration ends one and begins another, so that it never rewrites what was.

    Attributes:
        uplink: The uplink's name.
        stream: What the platform calls the stream: connection_id, meter id.
        name: What it calls the number: channel id and parameter at RESET, the parameter at Wattics.
        properties: What it is made of: one, or one and what is taken off it.
        length_ms: The interval.
        from_ms: Commissioned: the first interval owed is the one that follows this instant.
        until_ms: The end of the last interval owed; None as long as it is configured.
    """

    uplink: str
    stream: str
    name: str
    properties: tuple[PropertyId, ...]
    from_ms: UtcMs
    until_ms: UtcMs | None = None
    length_ms: int = HALF_HOUR_MS
