"""`meterkast key`: the key with which this gateway signs its reports."""

from __future__ import annotations

import argparse
from pathlib import Path

from meterkast.cli.run import DEFAULT
from meterkast.config.file import load


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand and its argument."""
    commands = parser.add_subparsers(dest="key_command", required=True, metavar="COMMAND")
    text = "the public key and its fingerprint, to compare with a report's"
    command = commands.add_parser("show", help=text, description=text)
    command.add_argument(
        "--config", type=Path, default=DEFAULT, help="configuration file (default %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Print it; the key is made where there is none yet.

    Raises:
        StorageError: It cannot be read or made.
    """
    from meterkast.proof.key import device_key, fingerprint, key_path, public_hex

    public = public_hex(device_key(key_path(load(args.config).storage.path)))
    print(f"fingerprint  {fingerprint(public)}\npublic key   {public} (Ed25519)")
    return 0
