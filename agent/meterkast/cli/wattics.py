"""`meterkast wattics`: test the connection, and show what would be sent. Neither sends a packet."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from meterkast.cli.newest import newest_in
from meterkast.cli.platform import add_test_and_show, kept, section, tell
from meterkast.clock import SystemClock
from meterkast.config.sections import Config
from meterkast.model.time import zone
from meterkast.ports.uplink import Wanted
from meterkast.uplinks.context import Closed
from meterkast.uplinks.wattics import Settings
from meterkast.uplinks.wattics.show import show


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands and their arguments."""
    add_test_and_show(
        parser,
        test="DNS, TCP, TLS, and the last packet of every meter; sends nothing",
        show="the exact packets it would send, from the newest closed intervals",
    )


def run(args: argparse.Namespace) -> int:
    """Do what was asked; 0 when it worked, 2 when a step of the test failed.

    Raises:
        ConfigError, StorageError: As the message says.
    """
    config, settings = section(args.config, "wattics", Settings)
    if args.action == "test":
        return asyncio.run(_test(config, settings, kept(config)))
    for line in asyncio.run(_show(config, settings, kept(config))):
        print(line)
    return 0


async def _test(config: Config, settings: Settings, path: Path | None) -> int:
    from meterkast.cli.recalled import recalled_ms
    from meterkast.uplinks.wattics.check import check  # the only part that needs aiohttp

    return tell(await check(settings, zone(config.site.time_zone), await recalled_ms(path)))


async def _show(config: Config, settings: Settings, path: Path | None) -> list[str]:
    where = zone(config.site.time_zone)
    if path is None:
        return await show(settings, where, SystemClock(brief=True).now_ms(), _nothing)
    from meterkast.cli.recalled import recalled_clock
    from meterkast_buffer.store import open_store

    store = await open_store(path, read_only=True)
    try:
        now_ms = (await recalled_clock(store)).now_ms()
        return await show(settings, where, now_ms, await newest_in(store))
    finally:
        await store.close()


async def _nothing(wanted: Wanted) -> Closed | None:
    return None
