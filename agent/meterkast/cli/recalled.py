"""The time for commands: they know what the gateway knows."""

from __future__ import annotations

from pathlib import Path

from meterkast.clock import SystemClock
from meterkast.model.time import UtcMs
from meterkast.timing.machine import Machine
from meterkast_buffer.store import SqliteStore, open_store


async def recalled_clock(store: SqliteStore, machine: Machine | None = None) -> SystemClock:
    """The machine's clock, with what the gateway learned of it.

    Without a network the system's clock is nobody's word, and only the gateway knows the meter's time: it is
    kept with its boot. Where that is not known, a synchronised system clock counts at once; else the system's
    clock is shown, but never a time before what was last known. A command closes and sends nothing by it, so
    a likely time serves a person better than a safe one.
    """
    clock = SystemClock(machine, brief=True)
    clock.recall(await store.boots())
    return clock


async def recalled_ms(path: Path | None) -> UtcMs:
    """What time it is, by the gateway's database where there is one.

    Raises:
        StorageError: The database cannot be read.
    """
    if path is None:
        return SystemClock(brief=True).now_ms()
    store = await open_store(path, read_only=True)
    try:
        return (await recalled_clock(store)).now_ms()
    finally:
        await store.close()
