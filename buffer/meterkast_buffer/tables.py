"""The tables that the core's own transactions write, over one connection."""

from __future__ import annotations

from collections.abc import Mapping

import aiosqlite

from meterkast.ports.store import Keep
from meterkast_buffer.boots import Boots
from meterkast_buffer.channels import Channels
from meterkast_buffer.database import Database
from meterkast_buffer.epochs import Epochs
from meterkast_buffer.evidence import EvidenceRows
from meterkast_buffer.half_hours import HalfHours
from meterkast_buffer.lives import Lives
from meterkast_buffer.outbox import Key, Known, Outbox
from meterkast_buffer.samples import Numbers, Samples
from meterkast_buffer.seals import Seals
from meterkast_buffer.untimed import UntimedBlocks


class Tables:
    """One object for each table, or for a few that belong together.

    Args:
        samples_days: How long raw samples are kept.
    """

    def __init__(self, database: Database, samples_days: int) -> None:
        self.samples = Samples(database)
        self.boots = Boots(database)
        self.untimed = UntimedBlocks(database, self.samples, self.boots, samples_days)
        self.half_hours = HalfHours(database)
        self.seals = Seals(database)
        self.epochs = Epochs(database)
        self.evidence = EvidenceRows(database)
        self.channels = Channels(database)
        self.lives = Lives(database)
        self.outbox = Outbox(database)

    async def load(self, *, redo: bool = True) -> None:
        """Read what is held in memory, at start and when the file was opened anew.

        Args:
            redo: Begin to compose anew what was lost; not while the gateway runs.

        Raises:
            StorageError: The database refused.
        """
        await self.samples.load()
        await self.outbox.load(redo=redo)
        await self.seals.load()

    async def insert(
        self, connection: aiosqlite.Connection, what: Keep, added: Numbers
    ) -> Mapping[Key, Known]:
        """Write all but the samples that have their time, in a transaction of the caller.

        Args:
            added: Of that transaction; see `Samples.begin`.

        Returns:
            What `Outbox.apply` takes once the transaction is committed.
        """
        if what.boot is not None:
            await self.boots.put(connection, what.boot)
            await self.untimed.insert(connection, what.untimed, what.boot, added)
        await self.half_hours.insert(connection, what.half_hours)
        await self.seals.amend(connection, what.half_hours)
        await self.channels.insert(connection, what.channels)
        await self.epochs.insert(connection, what.epochs)
        await self.evidence.insert(connection, what.evidence, what.now_ms)
        await self.lives.insert(connection, what.lives)
        changed = await self.outbox.add(connection, what.items, what.composed or {})
        if what.closed:
            await self.half_hours.close(connection, what.closed)
        return changed
