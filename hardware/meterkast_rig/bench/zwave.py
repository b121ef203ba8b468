"""Fifty simulated Z-Wave devices behind the real server, for figures of the whole gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from meterkast.lean import aiohttp
from meterkast.model.time import UtcMs
from meterkast_rig import configuration, zwave
from meterkast_rig.bench.load_zwave import DEVICES
from meterkast_rig.bench.process import GatewayProcess
from meterkast_rig.configuration import Section

KINDS = ("meter", "strip", "gas", "water", "air", "scale", "plug", "thermostat", "lock")
"""In turn; none that sleeps, for it would be interviewed when it wakes up, some time later."""

_READY_S = 300.0


def driver(stick: zwave.Stick, folder: Path) -> Section:
    """`[drivers]` with the stick; nothing is polled, for the devices report by themselves."""
    return {"zwave": configuration.zwave(stick.url, folder, {}, poll=False)}


@asynccontextmanager
async def network(
    folder: Path, *, period_s: float, speed: float = 1.0, start: UtcMs | None = None
) -> AsyncIterator[zwave.Stick]:
    """The stick while the block runs; the gateway's server finds the same network keys in `folder`.

    Args:
        folder: As in `driver`.
        period_s: Simulated seconds between two reports of a device.
    """
    devices = ",".join(f"{KINDS[number % len(KINDS)]}:{number + 2}" for number in range(DEVICES))
    keys = zwave.write_keys(folder / "zwave" / "keys.json")
    async with zwave.serving(
        devices=devices, period_s=period_s, speed=speed, start=start, keys=keys
    ) as stick:
        yield stick


async def ready(gateway: GatewayProcess) -> None:
    """Wait until every device was interviewed.

    Raises:
        TimeoutError: Some were not within five minutes.
    """
    async with aiohttp.ClientSession() as browser, asyncio.timeout(_READY_S):
        while True:
            async with browser.get(gateway.page + "api/status") as answer:
                drivers = (await answer.json())["drivers"]
            if any(f"{DEVICES} devices, {DEVICES} ready" in driver["detail"] for driver in drivers):
                return
            await asyncio.sleep(1)


async def reports(stick: zwave.Stick) -> int:
    """How many values the devices have reported so far."""
    return len(await stick.shown())
