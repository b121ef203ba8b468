"""A start takes up what the last run had in memory: the readings of its open minutes, and what it closed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from meterkast.model.datatypes import Kind
from meterkast.model.half_hour import RowKey, State, unreadable
from meterkast.model.product import Property, PropertyId
from meterkast.model.time import DAY_MS, HOUR_MS, UtcMs
from meterkast.pipeline.boots import newest_of
from meterkast.pipeline.closing import Closing
from meterkast.pipeline.outages import Outages
from meterkast.pipeline.recent import KEPT_MS
from meterkast.pipeline.series import replay_ms
from meterkast.ports.store import Store

_FOREVER = UtcMs(1 << 62)

_LONGEST_WAIT_MS = 7 * DAY_MS
# So far back doubtful half-hours are looked for at a start, however seldom a device reports.


class Replaying:
    """Brings what the store has back into memory.

    Args:
        properties: All that are known; the keeper's own.
    """

    def __init__(
        self, store: Store, closing: Closing, outages: Outages, properties: Mapping[PropertyId, Property]
    ) -> None:
        self._store = store
        self._closing = closing
        self._outages = outages
        self._properties = properties

    async def replay(
        self,
        closed: Mapping[PropertyId, Mapping[int, UtcMs]],
        unclosed_ms: UtcMs | None,
    ) -> None:
        """Read again what was read since the open minutes began, and recall what was closed.

        Args:
            closed: How far each length of each property is closed; there is one at least.
            unclosed_ms: Where readings begin that were never closed; they are left out.

        Raises:
            StorageError: The database cannot be read.
        """
        newest_ms = max(end for lengths in closed.values() for end in lengths.values())
        # The end of a retired property stands still, and what waits for days is not waited for here: neither
        # must make every start read a year of samples and half-hours again.
        waited_for = [end for one in self._waited_for(closed) for end in closed[one].values()]
        oldest_ms = max(min(waited_for, default=newest_ms), newest_ms - 24 * HOUR_MS)
        fresh_ms = max(prop.description.fresh_ms for prop in self._properties.values())
        since_ms = UtcMs(oldest_ms - replay_ms(fresh_ms))
        last_ms: int = newest_ms
        await self._seed(closed, since_ms)
        async for frames in self._store.samples(since_ms):
            if unclosed_ms is not None and newest_of(frames) >= unclosed_ms:
                continue  # it may be weeks: it is closed block by block
            self._closing.feed(frames, replay=True)
            last_ms = max(last_ms, newest_of(frames))
        self._outages.off_since_ms = UtcMs(last_ms)
        for length_ms in {length for lengths in closed.values() for length in lengths}:
            await self.recall(UtcMs(oldest_ms - KEPT_MS), length_ms)
            await self._recall_suspects(UtcMs(oldest_ms - KEPT_MS), length_ms)
        self._closing.remember(UtcMs(since_ms + HOUR_MS))

    async def recall(
        self, after_ms: UtcMs, length_ms: int, properties: Sequence[PropertyId] | None = None
    ) -> None:
        """Bring what was closed since into memory. A damaged row is no reason not to go on: it is missing.

        Raises:
            StorageError: The database cannot be read.
        """
        damaged: list[RowKey] = []
        found = list(
            await self._store.half_hours(
                after_ms, _FOREVER, length_ms=length_ms, properties=properties, damaged=damaged
            )
        )
        whole = {(one.property_id, one.end_ms) for one in found}
        lost = {(key.property_id, key.end_ms): key for key in damaged}  # the newest revision of each
        found += [unreadable(key) for place, key in lost.items() if place not in whole]
        self._closing.recent.recall(found)

    async def _recall_suspects(self, until_ms: UtcMs, length_ms: int) -> None:
        """What is doubtful waits for its device's next readings: for days where that reports once a day."""
        waits_ms = {
            prop.id: replay_ms(prop.description.fresh_ms) + prop.description.late_ms
            for prop in self._properties.values()
            if prop.kind is Kind.REGISTER
        }
        slow = [property_id for property_id, wait_ms in waits_ms.items() if wait_ms > KEPT_MS]
        if not slow:
            return
        after_ms = UtcMs(until_ms - min(max(waits_ms.values()), _LONGEST_WAIT_MS))
        found = await self._store.half_hours(
            after_ms, until_ms, length_ms=length_ms, properties=slow, damaged=[]
        )
        self._closing.recent.recall([one for one in found if one.state is State.SUSPECT])

    async def _seed(self, closed: Mapping[PropertyId, Mapping[int, UtcMs]], since_ms: UtcMs) -> None:
        """Registers go on from their last reading before the replay, so that a break since is seen."""
        registers = [one for one in self._waited_for(closed) if self._properties[one].kind is Kind.REGISTER]
        self._closing.registers.seed(await self._store.last_measured(registers, since_ms))

    def _waited_for(self, closed: Iterable[PropertyId]) -> list[PropertyId]:
        return [one for one in closed if not self._closing.is_retired(one)]
