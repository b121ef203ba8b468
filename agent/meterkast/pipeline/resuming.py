"""After a restore: what may have been delivered since the backup was made is not composed anew.

The gateway that made the backup went on: it closed half-hours and delivered them, with readings that are not
in the backup. From what is in it another value would come out for the half-hour in which it was made, and a
platform must never get two values for one instant. So streams go on with the interval that is open when the
restored gateway first knows the time; for those before, the platforms have what was delivered.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from meterkast.model.errors import StorageError
from meterkast.model.time import Grid, UtcMs
from meterkast.pipeline.composing import BoundStream
from meterkast.ports.store import Store

log = logging.getLogger(__name__)

SCOPE, KEY, WAITING = "gateway", "restored", "waiting"
"""Of the store's state: `waiting` as `meterkast restore` leaves it, then where streams go on."""


class Resuming:
    """Where streams go on after a restore; without one it does nothing."""

    def __init__(self, store: Store, grid: Grid) -> None:
        self._store = store
        self._grid = grid
        self._waiting = False
        self._told = True
        self._from_ms: UtcMs | None = None

    async def load(self) -> None:
        """Whether this gateway was restored.

        Raises:
            StorageError: The database refused.
        """
        text = await self._store.get_state(SCOPE, KEY)
        self._waiting = text == WAITING
        self._from_ms = UtcMs(int(text)) if text and not self._waiting else None

    async def settle(self, now_ms: UtcMs, streams: Sequence[BoundStream]) -> None:
        """The time is known: the first time after a restore, this is where streams go on."""
        if self._waiting:
            self._waiting, self._told, self._from_ms = False, False, now_ms
            for bound in streams:
                self.skip(bound)
        if not self._told:
            try:
                await self._store.set_state(SCOPE, KEY, str(self._from_ms))
                self._told = True
            except StorageError as error:
                log.warning("end of the restore not kept", extra={"reason": str(error)})

    def skip(self, bound: BoundStream) -> None:
        """Compose nothing of a stream that ended before."""
        if self._from_ms is None:
            return
        length_ms = bound.stream.length_ms
        start_ms = self._grid.start_of(self._grid.end_of(self._from_ms, length_ms), length_ms)
        if bound.composed_ms < start_ms:
            bound.composed_ms, bound.begun = start_ms, False
