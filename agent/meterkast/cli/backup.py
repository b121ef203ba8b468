"""`meterkast backup`: everything the gateway is and knows, into one encrypted file; it may run meanwhile."""

from __future__ import annotations

import argparse
import asyncio
import os
import tomllib
from contextlib import suppress
from pathlib import Path

from meterkast.cli.passphrase import passphrase
from meterkast.cli.run import DEFAULT
from meterkast.config.file import load
from meterkast.model.errors import RefusedError
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

    config = load(args.config)
    tree = tomllib.loads(args.config.read_text(encoding="utf-8-sig"))
    contents = contents_of(args.config, config, tree)
    words = passphrase(args.passphrase_file, twice=True)
    part = args.file.with_name(args.file.name + ".part")
    created_ms = asyncio.run(_now(contents.database))
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            count = write_backup(contents, file, words, created_ms)
            file.flush()
            os.fsync(file.fileno())
        part.replace(args.file)
    except BaseException as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise RefusedError(
                f"{part}: {error.strerror or error}",
                hint="Nothing was kept. Is there room, and may it be written?",
            ) from error
        raise
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
