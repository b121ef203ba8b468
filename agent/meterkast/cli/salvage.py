"""`meterkast salvage`: check a database that no gateway has open, and rebuild it where it is damaged."""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
from pathlib import Path

from meterkast.model.errors import ConfigError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="the database, with its second copy beside it"
    )
    parser.add_argument(
        "--check", action="store_true", help="only look: everything is compared, nothing is changed"
    )


def run(args: argparse.Namespace) -> int:
    """Do it; status 1 where something was wrong and nothing was changed.

    Raises:
        ConfigError: There is neither a database nor its second copy.
        StorageError: It cannot be read, is not ours, or a gateway has it open.
    """
    from meterkast_buffer.journal import Journal

    path: Path = args.file
    if path.is_dir():
        raise ConfigError(f"{path} is a folder", hint="Name the file that storage.path names.")
    journal = Journal.beside(path)
    if not path.exists() and not journal.segments() and journal.unlisted is None:
        raise ConfigError(f"{path} is not there", hint="Name the file that storage.path names.")
    lines = _look(path) if args.check else asyncio.run(_repair(path))
    print("\n".join(lines or ["The database is as it was written."]))
    return 1 if lines and args.check else 0


def _look(path: Path) -> list[str]:
    from meterkast_buffer.starting import look

    return look(str(path)).lines()


async def _repair(path: Path) -> list[str]:
    from meterkast_buffer.copying import kept_from_gateways
    from meterkast_buffer.refusal import refusal
    from meterkast_buffer.retention import YEARS_AT_LEAST
    from meterkast_buffer.starting import make_ready
    from meterkast_buffer.store import open_store

    # What the gateway does at each start, and for every half-hour there is.
    try:
        with kept_from_gateways(str(path)):
            findings = make_ready(str(path), YEARS_AT_LEAST, everything=True)
    except (sqlite3.Error, OSError) as error:
        raise refusal(error, str(path)) from error
    store = await open_store(path)
    try:
        doubts = await store.doubts()
        lost = [f"  {one.detail}" for one in doubts if one.kind == "lost"]
        return findings.lines() + (["Half-hours lost so far:", *lost] if lost else [])
    finally:
        await store.close()
