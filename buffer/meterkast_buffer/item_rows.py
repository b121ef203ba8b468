"""An item of the outbox as a row, and the CRC over all of it that does not change with each try."""

from __future__ import annotations

import zlib
from typing import Any

from meterkast.model.delivery import Item, ItemId, ItemState, NewItem
from meterkast.model.errors import StorageError
from meterkast.model.time import UtcMs
from meterkast_buffer.database import Row

PENDING, DELIVERED, QUARANTINED = 0, 1, 2
"""The column `state`; the partial indexes name 0 and 2."""
_STATE_OF = (ItemState.PENDING, ItemState.DELIVERED, ItemState.QUARANTINED)

ITEM = (
    "outbox.id, uplink, name, at_ms, payload, state, tries, words, receipt, "
    "outbox.delivered_ms, stream_id, crc"
)
"""The columns of an item, as `item_of` takes them, of `ITEMS`."""
ITEMS = "outbox JOIN streams ON streams.id = stream_id"
CHECKED = "stream_id, at_ms, payload, state, words, receipt, delivered_ms"
"""The columns under a row's CRC, as `row_crc` takes them."""


def item_of(row: Row, path: str) -> Item:
    """The item of a row.

    Args:
        row: Its values in the columns `ITEM`.
        path: The database, for the message.

    Raises:
        StorageError: The row is not as it was written.
    """
    number, uplink, stream, at_ms, payload, state, tries, words, receipt, delivered_ms, *rest = row
    stream_id, crc = rest
    if row_crc(stream_id, at_ms, payload, state, words, receipt, delivered_ms) != crc:
        raise StorageError(
            f"{path}: item {number} of {uplink} {stream} is not as it was written",
            hint="It is not sent. Restart the gateway: it composes such items anew.",
        )
    return Item(
        id=ItemId(number),
        uplink=uplink,
        stream=stream,
        at_ms=UtcMs(at_ms),
        payload=payload,
        state=_STATE_OF[state],
        tries=tries,
        words=words,
        receipt=receipt,
        delivered_ms=delivered_ms,
    )


def row_crc(*checked: Any) -> int:
    """CRC-32 of a row, of its values in the columns `CHECKED`."""
    stream_id, at_ms, payload, *rest = checked
    return zlib.crc32(payload, zlib.crc32(f"{stream_id}|{at_ms}|{rest!r}".encode()))


def new_crc(stream_id: int, item: NewItem) -> int:
    """The CRC of a row that was just composed."""
    return row_crc(stream_id, item.at_ms, item.payload, PENDING, "", "", None)
