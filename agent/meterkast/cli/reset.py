"""`meterkast reset`: test the connection, and show what would be sent. Neither sends a reading."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from meterkast.cli.newest import newest_in
from meterkast.cli.run import DEFAULT
from meterkast.clock import SystemClock
from meterkast.config import Config, decode, load
from meterkast.model.errors import ConfigError
from meterkast.model.time import Grid, zone
from meterkast.ports import Wanted
from meterkast.uplinks.reset import Settings
from meterkast.uplinks.reset.plan import plans
from meterkast.uplinks.reset.settings import SECTION, secret
from meterkast.uplinks.reset.show import Site, show
from meterkast.uplinks.reset.uplink import SCOPE


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands and their arguments."""
    commands = parser.add_subparsers(dest="reset_command", required=True, metavar="COMMAND")
    for name, text in (
        ("test", "DNS, TCP, TLS, namespace and credentials; creates nothing"),
        ("show", "the exact messages it would send, from the newest closed half-hours"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "--config", type=Path, default=DEFAULT, help="configuration file (default %(default)s)"
        )


def run(args: argparse.Namespace) -> int:
    """Do what was asked; 0 when it worked, 2 when a step of the test failed.

    Raises:
        ConfigError, StorageError: As the message says.
    """
    config = load(args.config)
    if "reset" not in config.uplinks:
        raise ConfigError(f"{args.config} has no [{SECTION}]", hint="Add that section; the sample shows one.")
    settings = decode(Settings, config.uplinks["reset"], SECTION)
    if args.reset_command == "test":
        return asyncio.run(_test(settings))
    path = Path(config.storage.path)
    for line in asyncio.run(_show(config, settings, path if path.exists() else None)):
        print(line)
    return 0


async def _test(settings: Settings) -> int:
    for plan in plans(settings):
        for warning in plan.warnings:
            print(f"note {warning}")
    shared = secret(settings)
    from meterkast.uplinks.reset.check import check  # the only part that needs python-socketio

    steps = await check(settings, shared)
    for step in steps:
        print(f"{'ok  ' if step.ok else 'FAIL'} {step.name}: {step.detail}")
    return 0 if all(step.ok for step in steps) else 2


async def _show(config: Config, settings: Settings, path: Path | None) -> list[str]:
    grid, now_ms = Grid(zone(config.site.time_zone)), SystemClock().now_ms()
    if path is None:
        return await show(
            settings, Site(device_id="mk-example", grid=grid, now_ms=now_ms), _nothing, _nothing
        )
    from meterkast_buffer.store import open_store

    store = await open_store(path, read_only=True)
    try:
        device_id = await store.get_state("gateway", "device_id") or "mk-example"
        site = Site(device_id=device_id, grid=grid, now_ms=now_ms)
        return await show(
            settings, site, await newest_in(store), lambda monitor: store.get_state(SCOPE, monitor)
        )
    finally:
        await store.close()


async def _nothing(_: Wanted | str) -> None:
    return None
