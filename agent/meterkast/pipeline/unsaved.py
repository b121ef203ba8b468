"""Transactions on their way to the database: what it refuses waits in memory and is tried again, in order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from meterkast.model.errors import StorageError
from meterkast.ports.store import Keep, Store

log = logging.getLogger(__name__)

_UNSAVED_FRAMES = 4 * 60
"""Blocks kept in memory while the database refuses: four hours of minutes. Half-hours are never dropped."""


class Unsaved:
    """The transactions that are not kept yet; as many as its length says.

    Args:
        announce: Called after each write with the uplinks that got new items.

    Attributes:
        dropped_blocks: Blocks of samples that were given up since the start.
    """

    def __init__(self, store: Store, announce: Callable[[set[str]], None]) -> None:
        self._store = store
        self._announce = announce
        self._waiting: list[Keep] = []
        self.dropped_blocks = 0

    def __len__(self) -> int:
        return len(self._waiting)

    async def write(self, more: Sequence[Keep]) -> None:
        """Keep what waits and then these, until the database refuses."""
        self._waiting += more
        told: set[str] = set()
        while self._waiting:
            keep = self._waiting[0]
            try:
                await self._store.keep(keep)
            except StorageError as error:
                log.error("not kept", extra={"reason": str(error), "waiting": len(self._waiting)})
                self._drop_old_samples()
                break
            del self._waiting[0]
            told |= {item.uplink for item in keep.items}
        if told:
            self._announce(told)

    def _drop_old_samples(self) -> None:
        with_samples = [number for number, keep in enumerate(self._waiting) if keep.frames or keep.untimed]
        for number in with_samples[: max(0, len(with_samples) - _UNSAVED_FRAMES)]:
            self.dropped_blocks += 1
            self._waiting[number] = replace(self._waiting[number], frames=(), untimed=())
        # Each would be a transaction of its own later, with nothing in it.
        self._waiting = [keep for keep in self._waiting if not keep.empty]
