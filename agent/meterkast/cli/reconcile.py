"""`meterkast reconcile`: ask the platforms what they have, and send again what they lack."""

from __future__ import annotations

import argparse
import asyncio
import random
from pathlib import Path

from meterkast.cli.run import DEFAULT
from meterkast.config.file import load
from meterkast.config.sections import Config
from meterkast.model.errors import ConfigError
from meterkast.model.time import Grid, UtcMs, iso_utc, zone


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "--config", type=Path, default=DEFAULT, help="configuration file (default %(default)s)"
    )
    parser.add_argument("--uplink", default="", help="only this uplink")
    parser.add_argument(
        "--dry-run", action="store_true", help="put nothing back; also while the gateway runs"
    )


def run(args: argparse.Namespace) -> int:
    """Print what each platform says; exit status 2 where one lacks something, or could not be asked.

    Raises:
        ConfigError: There is no such uplink, or no gateway has run with this configuration yet.
        StorageError: The database cannot be read, or the gateway that holds it still runs.
    """
    config = load(args.config)
    path = Path(config.storage.path)
    if not path.exists():
        raise ConfigError(f"{path} is not there", hint="No gateway has run with this configuration yet.")
    if args.uplink and args.uplink not in config.uplinks:
        raise ConfigError(
            f"no uplink {args.uplink!r} is configured", hint=f"There are: {', '.join(config.uplinks)}."
        )
    return asyncio.run(_reconcile(config, path, args.uplink, args.dry_run))


async def _reconcile(config: Config, path: Path, only: str, dry_run: bool) -> int:
    from meterkast.app import make_uplinks
    from meterkast.cli.recalled import recalled_clock
    from meterkast.proof.language import words
    from meterkast.proof.reconcile import reconcile
    from meterkast.uplinks.context import Context
    from meterkast_buffer.store import open_store

    grid = Grid(zone(config.site.time_zone))
    store = await open_store(path, read_only=dry_run)
    uplinks = {}
    try:
        clock = await recalled_clock(store)
        device = await store.get_state("gateway", "device_id") or ""
        context = Context(device_id=device, grid=grid, clock=clock, store=store, random=random.random)
        uplinks = make_uplinks(config, context)
        answers = await reconcile(store, uplinks, clock.now_ms(), only=only, dry_run=dry_run)
    finally:
        for uplink in uplinks.values():
            await uplink.close()
        await store.close()
    say = words("en")
    for one in answers:
        held = f"; it has until {iso_utc(UtcMs(one.held_ms))}" if one.held_ms is not None else ""
        gone = f"; {one.gone} are no longer kept" if one.gone else ""
        reason = f": {one.words}" if one.words else ""
        print(f"{one.uplink} {one.stream}: {say[one.outcome].format(again=one.again)}{reason}{held}{gone}")
    if not answers:
        print("Nothing was delivered yet.")
    good = ("agrees", "backlog", "cannot tell")
    return 0 if all(one.outcome in good and not one.gone for one in answers) else 2
