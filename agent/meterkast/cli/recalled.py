"""The time for commands: they know what the gateway knows."""

from __future__ import annotations

from meterkast.clock import SystemClock
from meterkast_buffer.store import SqliteStore


async def recalled_clock(store: SqliteStore) -> SystemClock:
    """The machine's clock, with what the gateway learned of it.

    Without a network the system's clock is nobody's word, and only the gateway knows the meter's time: it is
    kept with its boot. On another machine it is not earlier than what was last known.
    """
    clock = SystemClock()
    clock.recall(await store.boots())
    return clock
