"""Products, properties, nodes and property mappings, as BeNext means them.

Source: myBeNext API documentation, 3.2 products, 3.4 properties, 5.3 nodes, 5.4 property mappings.
Ids are small, stable and never reused; identity is the device's own (equipment identifier, home id and
node), never a channel number or a port's name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import NewType

from meterkast.model.datatypes import DATATYPES, Aggregation, Datatype, DatatypeId, Kind
from meterkast.model.time import UtcMs
from meterkast.model.units import Unit

ProductId = NewType("ProductId", int)
PropertyId = NewType("PropertyId", int)
NodeId = NewType("NodeId", int)
PendingId = NewType("PendingId", int)


class Medium(StrEnum):
    """What a product measures; it doubles as the short name of a product in the configuration.

    ELECTRICITY is the meter of the grid. SUBMETER is an electric meter behind it, of a circuit, a plug or an
    inverter: adding one never changes which meter "electricity" means.
    """

    ELECTRICITY = "electricity"
    SUBMETER = "submeter"
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
        identity: Unique and lasting: `p1:<equipment identifier>`, `zwave:<home id>:<node>`.
        name: What a person calls it at first, such as "Electricity meter".
        medium: What it measures.
        maker, model, serial: As the device tells them; empty where it does not.
        type: Its kind in its network's words (BeNext 3.1): a Z-Wave device class, such as "Binary Switch".
    """

    identity: str
    name: str
    medium: Medium
    maker: str = ""
    model: str = ""
    serial: str = ""
    type: str = ""

    @property
    def is_utilitys(self) -> bool:
        """Whether it is the utility's own meter, and not one behind it: those have a P1 port."""
        return self.identity.startswith("p1:")


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
        fresh_ms: How long a value stands after it was measured; then it is unknown. Twice the device's own
            reporting interval.
        late_ms: How much later than measured a value may arrive (hourly gas: over an hour); 0 for at once.
        sending, receiving: Whether the device reports the value, and takes it.
        aggregation: What stands for an interval; None for the datatype's own.
        emptyings: Keep the maximum before each emptying too (RESET circularity).
        rolls_at: Where a register begins again at 0, in whole numbers of `decimals`; None where not known.
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
    rolls_at: int | None = None


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


class NodeStatus(IntEnum):
    """How a node can be reached (BeNext 5.3)."""

    AVAILABLE = 0
    UNSTABLE = 1
    NO_CONNECTION = 2


class Protocol(StrEnum):
    """How a node talks (BeNext 5.3)."""

    ZWAVE = "zwave"
    P1 = "p1"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDescription:
    """A device as its network sees it, before the store has given it an id (BeNext 5.3).

    Attributes:
        identity: Unique in its time: `zwave:<home id>:<node>`. A number given out again is another node.
        protocol: How it talks.
        product_id: The product behind it; None until there is one.
        zwave_id: Its number in the Z-Wave network.
        status: How it can be reached.
        serial, version: As the device tells them; empty where it does not.
        security: How it was added: "S2_AccessControl", …, "none"; empty where there is no such thing.
        last_seen_ms: When it was heard last; None before.
    """

    identity: str
    protocol: Protocol
    product_id: ProductId | None = None
    zwave_id: int | None = None
    status: NodeStatus = NodeStatus.AVAILABLE
    serial: str = ""
    version: str = ""
    security: str = ""
    last_seen_ms: UtcMs | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node with its id."""

    id: NodeId
    description: NodeDescription


@dataclass(frozen=True, slots=True, kw_only=True)
class PropertyMapping:
    """Which value of a node is which property (BeNext 5.4).

    Attributes:
        channel: Endpoint of the node; 0 for P1, the M-Bus channel for its meters.
        command_class: Z-Wave command class; 0 for P1.
        parameter: Scale or type of a Z-Wave value, in digits; the OBIS reference of a P1 value.
    """

    node_id: NodeId
    property_id: PropertyId
    channel: int
    command_class: int
    parameter: str


class Availability(StrEnum):
    """How a product can be reached (BeNext 4.1)."""

    AVAILABLE = "available"
    RETRYING = "retrying"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailabilityChange:
    """From when on a product could be reached or not (BeNext 4.1)."""

    product_id: ProductId
    status: Availability
    at_ms: UtcMs


class Installation(StrEnum):
    """Which of the two ways an installation message speaks of."""

    INSTALL = "install"  # BeNext 5.5
    DEINSTALL = "deinst"  # BeNext 5.6


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallationMessage:
    """One step of adding or removing a device (BeNext 5.5, 5.6).

    Attributes:
        product_id: The product it is for; None where that is not known.
        status: BeNext's word, such as `install_searching`.
        detail: One plain sentence for the installer; empty where the word says it.
    """

    kind: Installation
    product_id: ProductId | None
    status: str
    at_ms: UtcMs
    detail: str = ""


class PendingStatus(StrEnum):
    """Where a value that was to be written to a device is."""

    WAKEUP = "wakeup"  # waits until the device wakes up
    SENDING = "sending"  # handed to the radio, not confirmed
    DONE = "done"  # the device confirmed it
    FAILED = "failed"  # refused, or nobody answered
    REPLACED = "replaced"  # a newer value for the same property took its place
    CANCELLED = "cancelled"  # by a person


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingDescription:
    """A value on its way to a device (BeNext 5.8).

    Attributes:
        node_id, property_id: What it is written to.
        channel, command_class, parameter: As in its property mapping.
        value: As text, in the property's canonical unit.
        status: Where it is.
        at_ms: When it was asked for.
        eta_ms: When it will probably be sent; None where that is not known.
        detail: Why it failed, or what it waits for; one plain sentence.
    """

    node_id: NodeId
    property_id: PropertyId
    channel: int
    command_class: int
    parameter: str
    value: str
    status: PendingStatus
    at_ms: UtcMs
    eta_ms: UtcMs | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A value on its way, with its id."""

    id: PendingId
    description: PendingDescription
