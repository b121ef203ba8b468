"""Half-hours, and other intervals that a platform asks for: one property over (start, end]."""

from __future__ import annotations

import zlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import HALF_HOUR_MS, UtcMs, iso_utc


class State(StrEnum):
    """What is known of a half-hour."""

    MEASURED = "measured"
    LATE = "late"  # measured, but it came after the half-hour was closed
    SUSPECT = "suspect"  # measured, but hard to believe: kept, not sent
    MISSING = "missing"  # with a cause


class Cause(StrEnum):
    """Why a half-hour is missing; a fixed list."""

    METER_SILENT = "meter silent"
    NOT_DUE = "meter reports less often"
    LINK_LOST = "link lost"
    DEVICE_REMOVED = "device removed"
    GATEWAY_OFF = "gateway off"
    CLOCK_UNKNOWN = "clock unknown"
    NOT_COMMISSIONED = "not commissioned"
    COUNTER_RESET = "counter reset"
    COUNTER_JUMPED = "counter jumped"
    DISK = "disk"


class RowKey(NamedTuple):
    """What names one kept half-hour."""

    length_ms: int
    end_ms: int
    property_id: int
    revision: int

    def __str__(self) -> str:
        return (
            f"property {self.property_id}, {self.length_ms // 60_000} minutes until "
            f"{iso_utc(UtcMs(self.end_ms))}, revision {self.revision}"
        )


class Intervals(NamedTuple):
    """Those of one length that end in (after, until], of some properties; None: of all."""

    after_ms: UtcMs
    until_ms: UtcMs
    length_ms: int = HALF_HOUR_MS
    properties: Collection[PropertyId] | None = None

    def hold(self, key: RowKey) -> bool:
        """Whether a row is of one of them."""
        return (
            key.length_ms == self.length_ms
            and self.after_ms < key.end_ms <= self.until_ms
            and (self.properties is None or key.property_id in self.properties)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfHour:
    """One property over one interval (start, end] of the site's wall clock.

    Attributes:
        property_id: Of what.
        end_ms: The end, which names it.
        length_ms: 30 minutes, or what a platform asks for.
        value: Register at the end, mean or maximum, in the property's canonical unit; None where missing.
        taken_ms: When the reading was measured that stands for it; None for a mean and where missing.
        count: How many readings it is made of.
        state: Measured, late, suspect or missing.
        cause: Why it is missing; None otherwise.
        revision: 0 as first closed; late data makes a new one, a closed row is never overwritten.
        epoch: Which of its register's epochs the value belongs to (`model.epoch`); 0 but for registers.
        before_emptyings: The largest value before each emptying (RESET circularity), in whole numbers of
            the value's decimals.
    """

    property_id: PropertyId
    end_ms: UtcMs
    length_ms: int = HALF_HOUR_MS
    value: Quantity | None
    taken_ms: UtcMs | None = None
    count: int = 0
    state: State = State.MEASURED
    cause: Cause | None = None
    revision: int = 0
    epoch: int = 0
    before_emptyings: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if (self.state is State.MISSING) != (self.value is None) or (self.value is None) != (
            self.cause is not None
        ):
            raise ValueError(f"{self}: a half-hour has a value, or is missing with a cause")

    @classmethod
    def missing(
        cls, property_id: PropertyId, end_ms: UtcMs, length_ms: int, cause: Cause, *, revision: int = 0
    ) -> HalfHour:
        """One of which nothing is known but why."""
        return cls(
            property_id=property_id,
            end_ms=end_ms,
            length_ms=length_ms,
            value=None,
            state=State.MISSING,
            cause=cause,
            revision=revision,
        )

    def canonical(self) -> str:
        """The row as text, all that is promised of it: what its CRC, its second copy and digests are over.

        Fields are separated by `|`, in a fixed order; unknown is empty.
        """
        value = self.value
        return "|".join(
            map(
                str,
                (
                    self.property_id,
                    self.end_ms,
                    self.length_ms,
                    value.whole if value else "",
                    value.decimals if value else "",
                    "" if self.taken_ms is None else self.taken_ms,
                    self.count,
                    self.state.value,
                    self.cause.value if self.cause else "",
                    self.revision,
                    self.epoch,
                    ",".join(map(str, self.before_emptyings)),
                ),
            )
        )

    @classmethod
    def from_canonical(cls, text: str) -> HalfHour:
        """The row of such a text.

        Raises:
            ValueError: It is none.
        """
        fields = text.split("|")
        if len(fields) != 12:
            raise ValueError(f"{text!r}: {len(fields)} fields instead of 12")
        whole, decimals, taken, cause, emptyings = fields[3], fields[4], fields[5], fields[8], fields[11]
        return cls(
            property_id=PropertyId(int(fields[0])),
            end_ms=UtcMs(int(fields[1])),
            length_ms=int(fields[2]),
            value=Quantity(int(whole), int(decimals)) if whole else None,
            taken_ms=UtcMs(int(taken)) if taken else None,
            count=int(fields[6]),
            state=State(fields[7]),
            cause=Cause(cause) if cause else None,
            revision=int(fields[9]),
            epoch=int(fields[10]),
            before_emptyings=tuple(map(int, emptyings.split(","))) if emptyings else (),
        )

    def crc(self) -> int:
        """CRC-32 of the canonical text; SQLite does not notice a flipped bit, this does."""
        return zlib.crc32(self.canonical().encode())

    def revised(self, newer: HalfHour) -> HalfHour:
        """The next revision of this half-hour: what the late data makes of it."""
        state = State.LATE if newer.state is State.MEASURED else newer.state
        return replace(newer, state=state, revision=self.revision + 1)

    def same_value(self, other: HalfHour) -> bool:
        """Whether both say the same of the interval, whatever their revision; 1.50 is 1.5."""
        return (_numbers(self), self.taken_ms, self.cause) == (_numbers(other), other.taken_ms, other.cause)


def unreadable(key: RowKey) -> HalfHour:
    """What stands for a row that is not as it was written; late readings may still revise it."""
    return HalfHour.missing(
        PropertyId(key.property_id), UtcMs(key.end_ms), key.length_ms, Cause.DISK, revision=key.revision
    )


def _numbers(one: HalfHour) -> list[Decimal] | None:
    """Its value, and those before each emptying."""
    if one.value is None:
        return None
    wholes = one.value.whole, *one.before_emptyings
    return [Quantity(whole, one.value.decimals).decimal() for whole in wholes]
