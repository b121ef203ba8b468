"""`meterkast reset`: test the connection, and show what would be sent. Neither sends a reading."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from meterkast.cli.newest import newest_in
from meterkast.cli.platform import add_test_and_show, kept, section, tell
from meterkast.clock import SystemClock
from meterkast.config.sections import Config
from meterkast.model.time import Grid, zone
from meterkast.ports.uplink import Wanted
from meterkast.uplinks.reset import Settings
from meterkast.uplinks.reset.plan import plans
from meterkast.uplinks.reset.settings import secret
from meterkast.uplinks.reset.show import Site, show
from meterkast.uplinks.reset.uplink import SCOPE


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands and their arguments."""
    add_test_and_show(
        parser,
        test="DNS, TCP, TLS, namespace and credentials; creates nothing",
        show="the exact messages it would send, from the newest closed half-hours",
    )


def run(args: argparse.Namespace) -> int:
    """Do what was asked; 0 when it worked, 2 when a step of the test failed.

    Raises:
        ConfigError, StorageError: As the message says.
    """
    config, settings = section(args.config, "reset", Settings)
    if args.action == "test":
        return asyncio.run(_test(settings))
    for line in asyncio.run(_show(config, settings, kept(config))):
        print(line)
    return 0


async def _test(settings: Settings) -> int:
    for plan in plans(settings):
        for warning in plan.warnings:
            print(f"note {warning}")
    shared = secret(settings)
    from meterkast.uplinks.reset.check import check  # the only part that needs python-socketio

    return tell(await check(settings, shared))


async def _show(config: Config, settings: Settings, path: Path | None) -> list[str]:
    grid = Grid(zone(config.site.time_zone))
    if path is None:
        site = Site(device_id="mk-example", grid=grid, now_ms=SystemClock(brief=True).now_ms())
        return await show(settings, site, _nothing, _nothing)
    from meterkast.cli.recalled import recalled_clock
    from meterkast_buffer.store import open_store

    store = await open_store(path, read_only=True)
    try:
        device_id = await store.get_state("gateway", "device_id") or "mk-example"
        now_ms = (await recalled_clock(store)).now_ms()
        site = Site(device_id=device_id, grid=grid, now_ms=now_ms)
        return await show(
            settings, site, await newest_in(store), lambda monitor: store.get_state(SCOPE, monitor)
        )
    finally:
        await store.close()


async def _nothing(_: Wanted | str) -> None:
    return None
