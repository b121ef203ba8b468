"""The newest value that was ordered for each property, so that one that was not carried out is seen."""

from __future__ import annotations

from dataclasses import replace

from meterkast.model.product import (
    Pending,
    PendingDescription,
    PendingId,
    PendingStatus,
    PropertyId,
)
from meterkast.model.time import DAY_MS, UtcMs
from meterkast.ports.clock import Clock
from meterkast.ports.store import Store

SHOWN_MS = DAY_MS
"""So long a failed order is told; after that only the list of orders has it."""


class Orders:
    """In memory one for each property that was ever written; the rest is in the store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._newest: dict[PropertyId, tuple[Pending, UtcMs]] = {}

    async def load(self) -> None:
        """Take up where the last run ended.

        Raises:
            StorageError: The database cannot be read.
        """
        for one in await self._store.pendings(open_only=False):
            self._newest[one.description.property_id] = one, one.description.at_ms

    async def pend(self, pending: PendingDescription) -> Pending:
        """See `ports.inventory.Inventory`."""
        made = await self._store.pend(pending)
        self._newest[pending.property_id] = made, pending.at_ms
        return made

    async def update(
        self, pending_id: PendingId, status: PendingStatus, *, eta_ms: UtcMs | None, detail: str
    ) -> None:
        """See `ports.inventory.Inventory`."""
        for property_id, (one, _) in self._newest.items():
            if one.id == pending_id:
                told = replace(one.description, status=status, eta_ms=eta_ms, detail=detail)
                self._newest[property_id] = replace(one, description=told), self._clock.now_ms()
                break
        await self._store.update_pending(pending_id, status, eta_ms=eta_ms, detail=detail)

    def failed(self) -> list[PendingDescription]:
        """The orders that failed lately and were not followed by another one, oldest first."""
        now_ms = self._clock.now_ms()
        found = [
            one
            for one, at_ms in self._newest.values()
            if one.description.status is PendingStatus.FAILED and now_ms - at_ms <= SHOWN_MS
        ]
        return [one.description for one in sorted(found, key=lambda one: one.id)]
