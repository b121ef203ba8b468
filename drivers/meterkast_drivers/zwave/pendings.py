"""The values on their way to devices, in memory and in the store: what is told of each is true, and none
is left as being sent when nobody sends it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from meterkast.model.errors import StorageError
from meterkast.model.product import Pending, PendingDescription, PendingId, PendingStatus, PropertyId
from meterkast.model.time import UtcMs
from meterkast.ports.inventory import Inventory
from meterkast_drivers.zwave.errands import Errands

log = logging.getLogger(__name__)

STOPPED = "The gateway stopped while it was being sent: look at the device."

_OPEN = (PendingStatus.WAKEUP, PendingStatus.SENDING)


class Pendings:
    """What is open, and how those ended that the store does not have yet."""

    def __init__(self, inventory: Inventory, errands: Errands) -> None:
        self._inventory, self._errands = inventory, errands
        self._known: dict[PendingId, Pending] = {}
        self._newest: dict[PropertyId, PendingId] = {}
        self._taken_up = False
        self._taking_up = asyncio.Lock()

    async def take_up(self) -> None:
        """What is open from before the gateway started; the first call alone does something.

        Raises:
            StorageError: The database refused; the next call tries it again.
        """
        async with self._taking_up:
            if self._taken_up:
                return
            left = []
            for pending in await self._inventory.pendings():
                told = pending.description
                self._known[pending.id] = pending
                if told.status is PendingStatus.SENDING:
                    left.append(self._now(pending, PendingStatus.FAILED, STOPPED))
                else:
                    self._newest[told.property_id] = pending.id
            self._taken_up = True
            for ended in left:
                await self._keep(ended)

    def waiting(self) -> Sequence[Pending]:
        """Those that wait for their device, oldest first."""
        return [one for one in self._known.values() if one.description.status is PendingStatus.WAKEUP]

    def get(self, number: int) -> Pending | None:
        """One that waits; None where it does not."""
        return next((one for one in self.waiting() if one.id == number), None)

    def is_newest(self, pending: Pending) -> bool:
        """Whether nothing was ordered since for the same property."""
        return self._newest[pending.description.property_id] == pending.id

    async def all(self) -> Sequence[Pending]:
        """All that are open and the newest that are not, oldest first.

        Raises:
            StorageError: The database refused.
        """
        found = {one.id: one for one in await self._inventory.pendings(open_only=False)} | self._known
        return [found[number] for number in sorted(found)]

    async def add(self, description: PendingDescription) -> Pending:
        """Keep a new one; it takes the place of one that waits for the same property.

        Raises:
            StorageError: The database refused; what waits goes on waiting.
        """
        pending = await self._inventory.pend(description)
        older = [one for one in self.waiting() if one.description.property_id == description.property_id]
        self._known[pending.id] = pending
        self._newest[description.property_id] = pending.id
        for one in older:
            await self.end(one, PendingStatus.REPLACED, "A newer value took its place.")
        return pending

    async def change(self, pending: Pending, status: PendingStatus, detail: str) -> Pending:
        """Give one that waits another status.

        Raises:
            StorageError: The database refused; it goes on waiting.
        """
        now = self._now(pending, status, detail)
        try:
            await self._store(now)
        except StorageError:
            self._known[pending.id] = pending
            raise
        return now

    async def end(
        self, pending: Pending, status: PendingStatus, detail: str, *, eta_ms: UtcMs | None = None
    ) -> Pending:
        """What came of one; it is so whether the database takes it now or later."""
        now = self._now(pending, status, detail, eta_ms)
        await self._keep(now)
        return now

    def _now(
        self, pending: Pending, status: PendingStatus, detail: str, eta_ms: UtcMs | None = None
    ) -> Pending:
        told = replace(pending.description, status=status, detail=detail, eta_ms=eta_ms)
        now = self._known[pending.id] = replace(pending, description=told)
        return now

    async def _keep(self, pending: Pending) -> None:
        try:
            await self._store(pending)
        except StorageError as error:
            facts = {"value": pending.id, "status": pending.description.status.value}
            log.warning("status of a value not stored, tried again", extra={**facts, "reason": str(error)})
            self._errands.insist(lambda: self._store(pending), **facts)

    async def _store(self, pending: Pending) -> None:
        if self._known.get(pending.id) is not pending:
            return  # it has another status by now
        told = pending.description
        await self._inventory.update_pending(pending.id, told.status, eta_ms=told.eta_ms, detail=told.detail)
        if told.status not in _OPEN:
            self._known.pop(pending.id, None)
