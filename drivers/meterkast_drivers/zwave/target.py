"""What a value of a node is to the gateway: a property (`Target`) or not (`Aside`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from meterkast.model.datatypes import DATATYPES, METER, SENSOR, Aggregation, DatatypeId, Kind, ValueType
from meterkast.model.product import Medium
from meterkast.model.units import Unit
from meterkast_drivers.zwave.scales import UNCHANGED, Conversion

ON, OFF = 255, 0
"""How BeNext writes the two values of a boolean (documentation 3.3.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A property that a value is kept as.

    Attributes:
        key: Of the property, without the endpoint; see `key_at`.
        name: For a person.
        datatype: BeNext's; 54 Meter or 56 Sensor where the table has none for it.
        unit: The canonical unit it is kept in.
        conversion: From the device's unit, and back for writing.
        decimals: Most decimals that are kept.
        kind: Register, momentary, state or event. Its own: a state without a datatype is kept as 56, whose
            kind is momentary.
        parameter: For the property mapping: scale or type in digits.
        medium: What it says of the product; None says nothing.
        sending, receiving: Whether the device reports it, and takes it.
        aggregation: What stands for an interval; None for the datatype's own.
        emptyings: Keep the maximum before each emptying too.
        write_to, write_key: Property and property key that are written; None: its own.
        low, high: What may be written, in the canonical unit; None: no such bound is known.
        resets: Writing it sets a meter back.
        states: What its numbers mean, by their text, after `codes`.
        codes: The device's number → the number kept, for all that are usable; None: any number.
        boolean: Whether the device's values are true and false, kept as 255 and 0.
        why: One plain sentence.
    """

    key: str
    name: str
    datatype: DatatypeId
    unit: Unit = Unit.NONE
    conversion: Conversion = UNCHANGED
    kind: Kind
    parameter: str = ""
    medium: Medium | None = None
    sending: bool = True
    receiving: bool = False
    aggregation: Aggregation | None = None
    emptyings: bool = False
    write_to: str | int | None = None
    write_key: str | int | None = None
    low: Decimal | None = None
    high: Decimal | None = None
    resets: bool = False
    states: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[int, int] | None = None
    boolean: bool = False
    why: str

    @property
    def decimals(self) -> int:
        """Most decimals that are kept."""
        return 0 if self.boolean or self.codes is not None else self.conversion.decimals

    @property
    def generic(self) -> bool:
        """Whether BeNext has no datatype for it."""
        return self.datatype in (METER, SENSOR)

    @property
    def switching(self) -> bool:
        """Whether it has the two values 0 and 255."""
        return self.boolean or DATATYPES[self.datatype].value_type is ValueType.BOOLEAN

    def key_at(self, endpoint: int) -> str:
        """The property's key in the product: endpoints from 1 on are told by their number."""
        return key_at(self.key, endpoint)


@dataclass(frozen=True, slots=True)
class Aside:
    """A value that is not kept, and why."""

    why: str


def key_at(key: str, endpoint: int) -> str:
    """`import_total` is `import_total_2` at endpoint 2; endpoint 0 is the device itself."""
    return f"{key}_{endpoint}" if endpoint else key
