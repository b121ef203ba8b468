"""Products, properties, nodes and property mappings, as BeNext means them.

Source: myBeNext API documentation, 3.2 products, 3.4 properties, 5.3 nodes, 5.4 property mappings.
Ids are small, stable and never reused; identity is the device's own (equipment identifier, home id and
node), never a channel number or a port's name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

from meterkast.model.datatypes import DATATYPES, Aggregation, Datatype, DatatypeId, Kind
from meterkast.model.units import Unit

ProductId = NewType("ProductId", int)
PropertyId = NewType("PropertyId", int)
NodeId = NewType("NodeId", int)


class Medium(StrEnum):
    """What a product measures; it doubles as the short name of a product in the configuration."""

    ELECTRICITY = "electricity"
    GAS = "gas"
    WATER = "water"
    HEAT = "heat"
    COOLING = "cooling"
    SENSOR = "sensor"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductDescription:
    """What a driver knows of a device before the store has given it an id.

    Attributes:
        identity: Unique and lasting: `p1:<equipment identifier>`, `zwave:<home id>:<node>:<endpoint>`.
        name: What a person calls it at first, such as "Electricity meter".
        medium: What it measures.
        maker, model, serial: As the device tells them; empty where it does not.
    """

    identity: str
    name: str
    medium: Medium
    maker: str = ""
    model: str = ""
    serial: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PropertyDescription:
    """What a driver knows of one value of a device.

    Attributes:
        key: Unique within the product and lasting: `import_t1`, `voltage_l2`, `volume`.
        name: What a person calls it at first.
        datatype: The datatype's id.
        unit: The canonical unit its values are kept in; the generic 54 and 56 have none of their own.
        decimals: Digits behind the point of the values kept.
        reference: Where it comes from, in the source's words: `1-0:1.8.1`, `50-0-value-65537`.
        fresh_ms: How long a value stands after it was measured; then it is unknown.
        late_ms: How much later than measured a value may arrive (hourly gas: over an hour); 0 for at once.
        sending, receiving: Whether the device reports the value, and takes it.
        aggregation: What stands for an interval; None for the datatype's own.
        emptyings: Keep the maximum before each emptying too (RESET circularity).
    """

    key: str
    name: str
    datatype: DatatypeId
    unit: Unit
    decimals: int = 0
    reference: str = ""
    fresh_ms: int = 60_000
    late_ms: int = 0
    sending: bool = True
    receiving: bool = False
    aggregation: Aggregation | None = None
    emptyings: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A device with its id."""

    id: ProductId
    description: ProductDescription

    @property
    def name(self) -> str:
        return self.description.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One value of a product, with its id."""

    id: PropertyId
    product_id: ProductId
    description: PropertyDescription
    datatype: Datatype = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "datatype", DATATYPES[self.description.datatype])

    @property
    def key(self) -> str:
        return self.description.key

    @property
    def kind(self) -> Kind:
        return self.datatype.kind

    @property
    def unit(self) -> Unit:
        return self.description.unit

    @property
    def aggregation(self) -> Aggregation:
        return self.description.aggregation or self.datatype.aggregation


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A device as its network sees it (BeNext 5.3): a P1 port or M-Bus channel, a Z-Wave node.

    Attributes:
        status: 0 unknown, 1 reachable, 2 unreachable (BeNext 5.3).
    """

    id: NodeId
    identity: str
    product_id: ProductId | None
    status: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PropertyMapping:
    """Which value of a node is which property (BeNext 5.4).

    Attributes:
        channel: Endpoint of the node; 0 for P1, the M-Bus channel for its meters.
        command_class: Z-Wave command class; 0 for P1.
        parameter: Scale of a Z-Wave value; the OBIS reference of a P1 value.
    """

    node_id: NodeId
    property_id: PropertyId
    channel: int
    command_class: int
    parameter: str
