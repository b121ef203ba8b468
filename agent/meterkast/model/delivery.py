"""What is on its way to a platform: streams, items and receipts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from meterkast.model.product import PropertyId
from meterkast.model.time import HALF_HOUR_MS, UtcMs

ItemId = NewType("ItemId", int)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """An ordered flow of items to one uplink: a RESET monitor, a Wattics meter.

    Attributes:
        uplink: The uplink's name.
        name: What the platform calls it: connection_id, meter id.
        properties: What it is made of; an item is composed when all of them are closed for the interval.
        length_ms: The interval.
    """

    uplink: str
    name: str
    properties: tuple[PropertyId, ...]
    length_ms: int = HALF_HOUR_MS


class ItemState(StrEnum):
    """Where an item of the outbox is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    """An item as it is put into the outbox: the payload is frozen from here on.

    Attributes:
        stream: The stream's name.
        at_ms: The interval's end.
        payload: What will be sent, byte for byte.
    """

    uplink: str
    stream: str
    at_ms: UtcMs
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An item of the outbox.

    Attributes:
        id: Rises with the order in which items were put in.
        tries: How often it was sent; more than 0 means that the far end perhaps has it.
        words: What the far end said when it refused it.
        receipt: What proved the delivery.
    """

    id: ItemId
    uplink: str
    stream: str
    at_ms: UtcMs
    payload: bytes
    state: ItemState = ItemState.PENDING
    tries: int = 0
    words: str = ""
    receipt: str = ""
    delivered_ms: UtcMs | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStatus:
    """How far a stream is.

    Attributes:
        composed_ms: End of the newest interval that was put into the outbox or known to have nothing to send.
        delivered_ms: Interval end of the newest item acknowledged; the water mark.
        pending, quarantined: How many items.
        oldest_pending_ms: Interval end of the oldest item still pending.
    """

    uplink: str
    stream: str
    composed_ms: UtcMs | None = None
    delivered_ms: UtcMs | None = None
    pending: int = 0
    quarantined: int = 0
    oldest_pending_ms: UtcMs | None = None
