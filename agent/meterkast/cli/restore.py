"""`meterkast restore`: a backup onto a new card. The gateway goes on as the one that it was."""

from __future__ import annotations

import argparse
from pathlib import Path

from meterkast.cli.passphrase import passphrase
from meterkast.model.errors import RefusedError
from meterkast.model.time import iso_utc


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("file", metavar="FILE", type=Path, help="the backup")
    parser.add_argument(
        "--to",
        type=Path,
        default=Path("/"),
        metavar="DIR",
        help="where the new card is mounted (default %(default)s)",
    )
    parser.add_argument(
        "--passphrase-file", default="", metavar="FILE", help="holds the passphrase; asked for otherwise"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="put what is there already aside; never while a gateway runs there",
    )


def run(args: argparse.Namespace) -> int:
    """Put it in place.

    Raises:
        RefusedError: Nothing was written; the message says why.
        StorageError: A gateway runs there, or the database in the backup is not sound.
    """
    from meterkast.backup.restoring import restore

    try:
        file = args.file.open("rb")
    except OSError as error:
        raise RefusedError(
            f"{args.file}: {error.strerror}", hint="Give the file that `backup` made."
        ) from error
    with file:
        words = passphrase(args.passphrase_file, twice=False)
        done = restore(file, words, name=str(args.file), root=args.to.absolute(), force=args.force)
    print(f"Restored {len(done.files)} files of {iso_utc(done.created_ms)}; configuration {done.config}.")
    for old in done.aside:
        print(f"Put aside: {old}")
    print(
        "The old card must not be used again: two gateways of one identity would send against one another.\n"
        "What was measured after the backup is not on this card; what was delivered stays at the platforms."
    )
    return 0
