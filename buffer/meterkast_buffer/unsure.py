"""A transaction whose commit failed, and that may be in the file all the same.

A disk that fails in the middle of a commit can leave it whole in the log, and opening the file anew finds it
there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from meterkast.ports.store import Keep
from meterkast_buffer.database import Database
from meterkast_buffer.tables import Tables


@dataclass(frozen=True, slots=True)
class Unsure:
    """Such a transaction.

    Attributes:
        what: What it was to keep.
        block: The id of its block of samples, where it has any.
    """

    what: Keep
    block: int

    def is_of(self, again: Keep) -> bool:
        """Whether it is tried again; its samples may have been given up meanwhile."""
        what = self.what
        return (
            (not again.frames or again.frames == what.frames)
            and (not again.untimed or again.untimed == what.untimed)
            and replace(again, frames=(), untimed=()) == replace(what, frames=(), untimed=())
        )

    async def was_kept(self, database: Database, tables: Tables) -> bool:
        """Whether it is in the file, which was opened anew since.

        What it holds besides samples, half-hours and items is kept twice without harm.

        Raises:
            StorageError: The database refused.
        """
        what = self.what
        if what.frames:
            return bool(await database.rows("SELECT 1 FROM blocks WHERE id = ?", (self.block,)))
        if what.untimed and what.boot is not None:
            return await tables.untimed.among(what.untimed, what.boot)
        if what.half_hours:
            return await tables.half_hours.among(what.half_hours[0])
        streams = tables.outbox.streams()
        return bool(what.composed) and all(
            key in streams and streams[key].composed_ms == end for key, end in (what.composed or {}).items()
        )
