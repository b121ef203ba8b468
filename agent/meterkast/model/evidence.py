"""Evidence: what a device sent, byte for byte, behind the reading that closed a half-hour."""

from __future__ import annotations

from dataclasses import dataclass

from meterkast.model.product import PropertyId
from meterkast.model.time import UtcMs

OPENED = b"opened "
"""What stands before a telegram that came encrypted: it is kept as it was opened, without its cipher.

A telegram begins with `/` and a report with `{`, so this cannot be part of one.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One telegram or report, and which registers it closed.

    Attributes:
        properties: The registers.
        at_ms: When their readings were measured; `HalfHour.taken_ms` of the half-hours they closed.
        arrived_ms: When it came in.
        raw: The telegram from "/" to its checksum, or the report's event as JSON; `OPENED` before it where
            it came encrypted. One object where one telegram is evidence of several meters.
    """

    properties: tuple[PropertyId, ...]
    at_ms: UtcMs
    arrived_ms: UtcMs
    raw: bytes
