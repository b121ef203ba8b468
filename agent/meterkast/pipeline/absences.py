"""When the gateway was off before earlier starts: half-hours that close late may lie in one of these."""

from __future__ import annotations

import json

from meterkast.model.errors import StorageError
from meterkast.model.time import DAY_MS, UtcMs
from meterkast.pipeline.outages import Outages
from meterkast.ports.store import Store

SCOPE, KEY = "gateway", "absences"
"""Of the store's state: pairs of UTC in ms."""

_REMEMBERED_MS = 2 * DAY_MS
_REMEMBERED = 100


class Absences:
    """Keeps the absence that ended with this start, and tells earlier ones."""

    def __init__(self, store: Store, outages: Outages) -> None:
        self._store = store
        self._outages = outages
        self._kept = False

    async def load(self) -> None:
        """Tell of those that earlier starts have kept.

        Raises:
            StorageError: The database refused.
        """
        text = await self._store.get_state(SCOPE, KEY)
        for since_ms, until_ms in json.loads(text) if text else ():
            self._outages.was_off(UtcMs(since_ms), UtcMs(until_ms))

    async def settle(self) -> None:
        """The time is known: from here on it is known when this absence ended. Kept once; a refusal is tried
        again with the next minute.
        """
        outages = self._outages
        if self._kept or outages.off_since_ms is None:
            return
        spells = [*outages.absences, (outages.off_since_ms, outages.started_ms)]
        old_ms = outages.started_ms - _REMEMBERED_MS
        newest = [spell for spell in spells if spell[1] is None or spell[1] > old_ms][-_REMEMBERED:]
        try:
            await self._store.set_state(SCOPE, KEY, json.dumps(newest, separators=(",", ":")))
        except StorageError:  # counted and shown by the store itself
            return
        self._kept = True
