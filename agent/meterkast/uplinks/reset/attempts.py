"""Which items each message carried, so that an acknowledgement of any attempt counts.

Source: RESET API V2.1, "Ack & Error Messages"; the document does not say whether a repeated message may use
its `message_id` again, so every attempt has a new one and the old ones are remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from meterkast.model.delivery import Item, ItemId

MOST_REMEMBERED = 256
"""Attempts; an answer comes within minutes or never, and a month offline must not fill the memory."""


class Attempts:
    """The messages of items that are not yet all acknowledged."""

    def __init__(self) -> None:
        self._carried: dict[str, frozenset[ItemId]] = {}
        self._proofs: dict[ItemId, str] = {}

    def sent(self, message_id: str, items: Sequence[Item]) -> None:
        """A message is about to be sent."""
        self._carried[message_id] = frozenset(item.id for item in items)
        while len(self._carried) > MOST_REMEMBERED:
            del self._carried[next(iter(self._carried))]

    def covering(self, items: Sequence[Item]) -> frozenset[str]:
        """The messages that carried all of these items: an acknowledgement of any of them will do."""
        wanted = {item.id for item in items}
        return frozenset(message_id for message_id, carried in self._carried.items() if wanted <= carried)

    def acknowledged(self, message_id: str, receipt: str) -> None:
        """The platform has what this message carried."""
        for item_id in self._carried.pop(message_id, ()):
            self._proofs[item_id] = receipt

    @property
    def proofs(self) -> Mapping[ItemId, str]:
        """Receipts of items that are acknowledged while others of their batch are not."""
        return self._proofs

    def forget(self, items: Iterable[Item]) -> None:
        """The whole batch is acknowledged and its caller knows."""
        done = {item.id for item in items}
        for item_id in done:
            self._proofs.pop(item_id, None)
        self._carried = {
            message_id: carried for message_id, carried in self._carried.items() if not carried & done
        }
