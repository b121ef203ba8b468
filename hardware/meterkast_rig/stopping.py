"""How a part of the rig that was started by hand is stopped."""

from __future__ import annotations

import asyncio
import signal


def stop_event() -> asyncio.Event:
    """Set by SIGINT or SIGTERM from now on."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


async def ended_first(
    process: asyncio.subprocess.Process, stop: asyncio.Event, limit_s: float | None = None
) -> bool:
    """Wait until told to stop, or for so long; True where the process ended by itself before that."""
    stopping, ending = asyncio.create_task(stop.wait()), asyncio.create_task(process.wait())
    done, _ = await asyncio.wait((stopping, ending), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    for task in (stopping, ending):
        task.cancel()
    await asyncio.gather(stopping, ending, return_exceptions=True)
    return ending in done and not stop.is_set()
