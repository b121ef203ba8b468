"""When the time was moved by more than a minute after readings had been timed by it; the report shows it.

What was read meanwhile keeps the time it was given: values of half-hours may belong to others, and nobody can
say from when on the time was wrong.
"""

from __future__ import annotations

import json
import logging

from meterkast.model.errors import StorageError
from meterkast.model.time import MINUTE_MS
from meterkast.ports.clock import Clock, Trust
from meterkast.ports.store import Store

log = logging.getLogger(__name__)

SCOPE, KEY = "clock", "moves"

_REMEMBERED = 50


class Moves:
    """Looks at each transaction; without a move it writes nothing."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._offset_ms: int | None = None
        self._since_ms = 0
        self._untold: list[dict[str, int]] = []

    async def look(self) -> None:
        """Whether the time was moved since the last look. A refusal is tried again with the next minute."""
        if self._clock.trust is Trust.UNKNOWN or self._clock.speed != 1:
            return  # a rehearsal's clock follows its meter
        boot_ns = self._clock.boot_ns()
        at_ms = boot_ns // 1_000_000
        before, self._offset_ms = self._offset_ms, self._clock.utc_of(boot_ns) - at_ms
        if before is None:
            self._since_ms = at_ms
        elif abs(by_ms := self._offset_ms - before) > MINUTE_MS:
            move = {"after_ms": before + self._since_ms, "before_ms": before + at_ms, "by_ms": by_ms}
            self._untold.append(move)
            self._since_ms = at_ms
        if self._untold:
            await self._tell()

    async def _tell(self) -> None:
        try:
            text = await self._store.get_state(SCOPE, KEY)
            told = [*(json.loads(text) if text else ()), *self._untold]
            await self._store.set_state(SCOPE, KEY, json.dumps(told[-_REMEMBERED:]))
        except StorageError as error:
            log.warning("move of the time not kept", extra={"reason": str(error)})
            return
        self._untold = []
