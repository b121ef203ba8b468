"""`meterkast wattics`: test the connection, and show what would be sent. Neither sends a packet."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from meterkast.cli.run import DEFAULT
from meterkast.clock import SystemClock
from meterkast.config import Config, decode, load
from meterkast.model.errors import ConfigError
from meterkast.model.product import Product, Property
from meterkast.model.time import UtcMs, zone
from meterkast.pipeline.binding import resolve
from meterkast.ports import Store, Wanted
from meterkast.uplinks.wattics import Settings
from meterkast.uplinks.wattics.show import Closed, Newest, show


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands and their arguments."""
    commands = parser.add_subparsers(dest="wattics_command", required=True, metavar="COMMAND")
    for name, text in (
        ("test", "DNS, TCP, TLS, and the last packet of every meter; sends nothing"),
        ("show", "the exact packets it would send, from the newest closed intervals"),
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
    if "wattics" not in config.uplinks:
        raise ConfigError(
            f"{args.config} has no [uplinks.wattics]", hint="Add that section; the sample shows one."
        )
    settings = decode(Settings, config.uplinks["wattics"], "uplinks.wattics")
    if args.wattics_command == "test":
        return asyncio.run(_test(config, settings))
    path = Path(config.storage.path)
    for line in asyncio.run(_show(config, settings, path if path.exists() else None)):
        print(line)
    return 0


async def _test(config: Config, settings: Settings) -> int:
    from meterkast.uplinks.wattics.check import check  # the only part that needs aiohttp

    steps = await check(settings, zone(config.site.time_zone), SystemClock().now_ms())
    for step in steps:
        print(f"{'ok  ' if step.ok else 'FAIL'} {step.name}: {step.detail}")
    return 0 if all(step.ok for step in steps) else 2


async def _show(config: Config, settings: Settings, path: Path | None) -> list[str]:
    where, now_ms = zone(config.site.time_zone), SystemClock().now_ms()
    if path is None:
        return await show(settings, where, now_ms, _nothing)
    from meterkast_buffer.store import open_store

    store = await open_store(path, read_only=True)
    try:
        return await show(settings, where, now_ms, await newest_in(store))
    finally:
        await store.close()


async def newest_in(store: Store) -> Newest:
    """What finds the newest interval that is closed for all that a stream is made of."""
    products: Sequence[Product] = await store.products()
    properties: Sequence[Property] = await store.properties()
    closed = await store.closed_until()

    async def newest(wanted: Wanted) -> Closed | None:
        found = {binding: resolve(binding, products, properties)[0] for binding in wanted.bindings}
        ids = {binding: prop.id for binding, prop in found.items() if prop is not None}
        ends = [closed.get((property_id, wanted.length_ms)) for property_id in ids.values()]
        known = [end for end in ends if end is not None]
        if len(known) < len(wanted.bindings):
            return None
        end_ms = min(known)
        rows = await store.half_hours(
            UtcMs(end_ms - 1), end_ms, length_ms=wanted.length_ms, properties=tuple(ids.values())
        )
        by_id = {row.property_id: row for row in rows}
        return end_ms, {binding: by_id[one] for binding, one in ids.items() if one in by_id}

    return newest


async def _nothing(wanted: Wanted) -> Closed | None:
    return None
