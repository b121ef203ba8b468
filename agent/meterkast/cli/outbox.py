"""`meterkast outbox`: what waits for the platforms, what they refused, and sending that again."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from meterkast.cli.run import DEFAULT
from meterkast.config.file import load
from meterkast.model.delivery import Item, ItemId
from meterkast.model.errors import ConfigError
from meterkast.model.time import iso_utc


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands and their arguments."""
    commands = parser.add_subparsers(dest="outbox_command", required=True, metavar="COMMAND")
    for name, text in (
        ("list", "each stream's backlog, and the items set aside with the platform's words"),
        ("send-again", "put items that were set aside back into their streams; stop the gateway first"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "--config", type=Path, default=DEFAULT, help="configuration file (default %(default)s)"
        )
        command.add_argument("--uplink", default="", help="only this uplink")
        if name == "send-again":
            command.add_argument("ids", nargs="*", type=int, metavar="ID", help="only these (default: all)")


def run(args: argparse.Namespace) -> int:
    """Do what was asked.

    Raises:
        ConfigError: There is no database, or no such item was set aside.
        StorageError: The database cannot be read, or the gateway that holds it still runs.
    """
    path = Path(load(args.config).storage.path)
    if not path.exists():
        raise ConfigError(f"{path} is not there", hint="No gateway has run with this configuration yet.")
    again = args.outbox_command == "send-again"
    lines = asyncio.run(_again(path, args.uplink, args.ids) if again else _list(path, args.uplink))
    print("\n".join(lines))
    return 0


async def _list(path: Path, uplink: str) -> list[str]:
    from meterkast_buffer.store import open_store

    store = await open_store(path, read_only=True)
    try:
        lines = []
        streams = {key: one for key, one in store.streams().items() if uplink in ("", key[0])}
        for (name, stream), status in streams.items():
            until = iso_utc(status.delivered_ms) if status.delivered_ms else "nothing yet"
            lines.append(f"{name} {stream}: {status.pending} pending, acknowledged up to {until}")
        for name in dict.fromkeys(name for name, _ in streams):
            lines += [f"{name} set aside: {_row(item)}" for item in await store.quarantined(name)]
        return lines or ["Nothing was composed yet."]
    finally:
        await store.close()


async def _again(path: Path, uplink: str, wanted: list[int]) -> list[str]:
    from meterkast_buffer.store import open_store

    store = await open_store(path)
    try:
        names = dict.fromkeys(name for name, _ in store.streams() if uplink in ("", name))
        aside = {item.id: item for name in names for item in await store.quarantined(name)}
        if unknown := [number for number in wanted if number not in aside]:
            raise ConfigError(
                f"no item {unknown[0]} was set aside", hint="`meterkast outbox list` shows those that were."
            )
        ids = [ItemId(number) for number in wanted] or list(aside)
        await store.release(ids)
        return [f"back in its stream: {_row(aside[number])}" for number in ids] or ["Nothing was set aside."]
    finally:
        await store.close()


def _row(item: Item) -> str:
    return f"{item.id}  {item.stream}  {iso_utc(item.at_ms)}  {item.words}"
