"""A keeper over a real store, driven by hand."""

from __future__ import annotations

from typing import Any

from meterkast.model.time import MINUTE_MS
from meterkast.pipeline.closing import Closing
from meterkast.pipeline.intake import Intake
from meterkast.pipeline.keeping import Keeper
from meterkast.pipeline.outages import Outages
from meterkast_buffer.store import SqliteStore
from meterkast_rig.stepped import SteppedClock

from .sites import GRACE_MS, GRID, START


class KeptSite:
    """The keeper of a gateway, with its intake and its closing, on a clock that a test moves."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.clock = SteppedClock(START)

    async def load(self, uplinks: Any, *, auto_swap: bool = False) -> None:
        """Start the keeper with these uplinks, which need compose, no more; again is a restart."""
        outages = Outages(self.clock.now_ms())
        self.intake = Intake(self.clock)
        self.closing = Closing(GRID, GRACE_MS, outages.why)
        self.keeper = Keeper(
            store=self.store,
            clock=self.clock,
            grid=GRID,
            intake=self.intake,
            closing=self.closing,
            outages=outages,
            uplinks=uplinks,
            flush_ms=MINUTE_MS,
            announce=lambda _: None,
            auto_swap=auto_swap,
        )
        await self.keeper.load()
