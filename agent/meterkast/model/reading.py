"""Readings on their way in: batches of values measured at one instant, gathered in columns.

A meter sends the same thirty values every second. Keeping them as one tuple under a shared layout,
instead of thirty objects, is what makes a reading cost microseconds and a minute compress to kilobytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import UtcMs


class TimeSource(StrEnum):
    """How the time of a batch is known."""

    CAPTURE = "capture"  # the device stored the value itself at that time (M-Bus)
    TELEGRAM = "telegram"  # the telegram's own stamp
    ARRIVAL = "arrival"  # the device gives no time; when it arrived


class Column(NamedTuple):
    """One value of a layout: which property, and how many digits of the whole number are decimals."""

    property_id: PropertyId
    decimals: int


Layout = tuple[Column, ...]
"""The columns of a batch. Drivers keep one object per combination, so equal layouts are identical."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Values of one product that were measured at one instant.

    Attributes:
        layout: Which properties, in which order.
        values: As many whole numbers, each × 10^-decimals of its column, in the property's canonical unit.
        seen_ns: CLOCK_BOOTTIME at arrival, ns.
        device_ms: The device's own time for them; None where it gives none.
        source: What `device_ms` is.
        raw: What the values were read from, as `model.evidence` keeps it; one object for all batches of a
            telegram. Empty where it is no evidence of a register.
    """

    layout: Layout
    values: tuple[int, ...]
    seen_ns: int
    device_ms: UtcMs | None = None
    source: TimeSource = TimeSource.ARRIVAL
    raw: bytes = b""

    def __post_init__(self) -> None:
        # Here it is the driver's fault and stops that driver alone; at the minute's end it would stop all.
        if len(self.values) != len(self.layout):
            raise ValueError(f"{len(self.values)} values for {len(self.layout)} columns")


@dataclass(slots=True)
class Frames:
    """Batches of one layout, oldest first as they arrived: a table whose rows are instants.

    Attributes:
        layout: The columns.
        times: When each row was measured.
        rows: As many rows of whole numbers.
    """

    layout: Layout
    times: list[UtcMs] = field(default_factory=list)
    rows: list[tuple[int, ...]] = field(default_factory=list)


class Latest(NamedTuple):
    """The newest value of a property."""

    value: Quantity
    at_ms: UtcMs
    seen_ns: int
    source: TimeSource
