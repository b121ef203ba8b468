"""`meterkast backup`: everything the gateway is and knows, into one encrypted file; it may run meanwhile."""

from __future__ import annotations

import argparse
import asyncio
import tomllib
from pathlib import Path

from meterkast.cli.output import must_name_a_file, whole
from meterkast.cli.passphrase import passphrase
from meterkast.cli.run import DEFAULT
from meterkast.config.file import load
from meterkast.model.time import UtcMs


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("file", metavar="FILE", type=Path, help="the backup; one of that name is replaced")
    parser.add_argument(
        "--config", type=Path, default=DEFAULT, help="configuration file (default %(default)s)"
    )
    parser.add_argument(
        "--passphrase-file", default="", metavar="FILE", help="holds the passphrase; asked for otherwise"
    )


def run(args: argparse.Namespace) -> int:
    """Write it.

    Raises:
        ConfigError: The configuration is wrong.
        RefusedError: Something cannot be read or written, or the passphrase is none.
        StorageError: The database cannot be read, or is damaged.
    """
    from meterkast.backup.contents import contents_of, write_backup

    must_name_a_file(args.file)
    config = load(args.config)
    tree = tomllib.loads(args.config.read_text(encoding="utf-8-sig"))
    contents = contents_of(args.config, config, tree)
    words = passphrase(args.passphrase_file, twice=True)
    created_ms = asyncio.run(_now(contents.database))
    with whole(args.file, mode=0o600) as file:
        count = write_backup(contents, file, words, created_ms)
    print(f"{args.file}: {count} files, {args.file.stat().st_size / 1e6:.1f} MB, encrypted.")
    for note in contents.notes:
        print(f"Not in it: {note}")
    print("Without its passphrase nobody can open it; keep both, and not together.")
    return 0


async def _now(database: Path) -> UtcMs:
    from meterkast.cli.recalled import recalled_clock
    from meterkast_buffer.store import open_store

    store = await open_store(database, read_only=True)
    try:
        return (await recalled_clock(store)).now_ms()
    finally:
        await store.close()
