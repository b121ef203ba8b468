"""What is known of one node of the network, and of each of its values."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from meterkast.model.product import Node, NodeStatus, Product, Property
from meterkast.model.reading import Layout
from meterkast.model.time import UtcMs
from meterkast_drivers.zwave.mapping import Aside, Target
from meterkast_drivers.zwave.value import ZwaveValue

if TYPE_CHECKING:
    from zwave_js_server.model.node import Node as LiveNode

LONGEST_NAME = 100
"""Of a product, in characters."""

EARLY_REPORTS = 500
"""Reports of one device that wait until its values have ids; a device sends a few a minute."""


class Early(NamedTuple):
    """A report that came before its value had an id."""

    value_id: str
    raw: Any
    seen_ns: int
    unit: str = ""  # that the value had then, as zwave-js writes it; empty where it had none
    event: Mapping[str, Any] | None = None  # as the server told it; None where it was confirmed otherwise


@dataclass(slots=True, eq=False, kw_only=True)
class Mapped:
    """A value that is kept as a property.

    Attributes:
        value, target: What it is, and where it goes.
        property: The property, with its id.
        layout: Its one column; one object for as long as property and decimals stay the same.
        newest, at_ms, seen_ns: The newest report, in the canonical unit, and when it came; None before.
        heard: Whether it was reported since the connection was opened.
        polled_ns: When it was asked for last.
        problem: Why its newest report is not a reading; empty when it is.
    """

    value: ZwaveValue
    target: Target
    property: Property
    layout: Layout
    newest: Decimal | None = None
    at_ms: UtcMs | None = None
    seen_ns: int | None = None
    heard: bool = False
    polled_ns: int | None = None
    problem: str = ""


@dataclass(slots=True, eq=False, kw_only=True)
class Device:
    """One node; it stays known while it is not in reach, and over restarts.

    Attributes:
        node, identity: Its number; and `zwave:<home id>:<node>`.
        record: Its row in the store; None before its first interview.
        product: The product it fills; None until there is one.
        properties: The values that are kept, by value id.
        asides: The values that are not, and why.
        live: What the server shows of it; None while not connected, or not in the stick's network.
        wake_up_s: How often it wakes up; None where it always listens, or does not tell.
        report_ms: How often its values are expected, in gateway time.
        last_seen_ms, last_seen_ns: When it was heard last; the latter in this run only.
        status: How it can be reached.
        problem: What is to be told of it besides: a parameter that could not be set.
        misunderstood: Its values as they are now could not be understood; those from before are read on.
        refused: Reports that were no readings, by reason.
        unsettled: Its values are being mapped anew: reports wait in `early` meanwhile.
        low_battery_ns: When it warned that its battery is nearly empty; None if it did not.
        new_identity: Of the product that is being made for it.
        gone: Its node was removed; the store may not know yet.
        replaced: Its node was removed so that other hardware takes its number, and its product, at once.
        former: The device that had its number before, where its row may still be in the store.
    """

    node: int
    identity: str
    record: Node | None = None
    product: Product | None = None
    properties: dict[str, Mapped] = field(default_factory=dict)
    asides: dict[str, Aside] = field(default_factory=dict)
    live: LiveNode | None = None
    wake_up_s: int | None = None
    report_ms: int = 0
    last_seen_ms: UtcMs | None = None
    last_seen_ns: int | None = None
    status: NodeStatus = NodeStatus.AVAILABLE
    problem: str = ""
    misunderstood: bool = False
    refused: Counter[str] = field(default_factory=Counter)
    unsettled: bool = True
    early: deque[Early] = field(default_factory=lambda: deque(maxlen=EARLY_REPORTS))
    low_battery_ns: int | None = None
    new_identity: str = ""
    gone: bool = False
    replaced: bool = False
    former: Device | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def ready(self) -> bool:
        """Whether it was interviewed to the end, so that its values are known."""
        return self.live is not None and bool(self.live.ready)

    @property
    def listening(self) -> bool:
        """Whether it can be reached at any time; one that is woken by a beam counts as listening."""
        live = self.live
        return live is not None and bool(live.is_listening or live.is_frequent_listening)

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.product.name if self.product is not None else f"Node {self.node}"
