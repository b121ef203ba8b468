"""Clock episodes: boots that ended before the gateway learned what time it was.

Nothing that was read in one has a place in UTC, so no half-hour is made of it. How long it lasted is known,
and what each register counted: a gap with a known total.
"""

from __future__ import annotations

from dataclasses import dataclass

from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import UtcMs


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterSpan:
    """What one register said in an episode.

    Attributes:
        property_id: The register.
        first, last: Its first and its last reading.
        total: last - first; None where the register fell in between.
    """

    property_id: PropertyId
    first: Quantity
    last: Quantity
    total: Quantity | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockEpisode:
    """One boot whose time was never known.

    Attributes:
        boot_id: The boot.
        after_ms: The last instant before it that is known in UTC; None where there is none.
        before_ms: The first instant after it that is.
        duration_ms: From its first reading to its last, by the clock that never steps.
        readings: How many batches were read.
        registers: What was counted, by property.
    """

    boot_id: str
    after_ms: UtcMs | None
    before_ms: UtcMs
    duration_ms: int
    readings: int
    registers: tuple[RegisterSpan, ...]
