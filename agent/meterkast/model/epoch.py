"""Epochs of a register: stretches in which its readings follow one another, so that differences count.

A new epoch begins where the register was reset, rolled over, jumped, or where the meter was replaced. What
is published goes on across the break by an offset, so that no platform sees a negative or giant half-hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import UtcMs


class Break(StrEnum):
    """Why an epoch began; a fixed list."""

    FIRST = "first reading"
    RESET = "counter reset"
    ROLLOVER = "rollover"
    JUMP = "counter jumped"
    SWAP = "meter swap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One epoch of one register.

    Attributes:
        property_id: The register.
        number: 0 for the first, then rising by one.
        kind: Why it began.
        at_ms: When its first reading was measured; for a swap, when the new meter took over.
        first: The register at its begin: its first reading, or the new meter's face reading.
        last: The register at the end of the epoch before: its last reading, or the old meter's face reading;
            None for the first.
        last_ms: When that was measured; None for the first.
        offset: What is added to a reading so that the counter goes on as if it never broke; 0 for the first.
        predecessor: For a swap, the old meter's register; None otherwise.
        signed_by: Who signed a swap off; empty otherwise.
    """

    property_id: PropertyId
    number: int
    kind: Break
    at_ms: UtcMs
    first: Quantity
    last: Quantity | None = None
    last_ms: UtcMs | None = None
    offset: Quantity = Quantity(0, 0)
    predecessor: PropertyId | None = None
    signed_by: str = ""
