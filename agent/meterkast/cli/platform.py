"""What the commands of all platforms share: `test` and `show`, and what they print."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from meterkast.cli.run import DEFAULT
from meterkast.config.decoding import decode
from meterkast.config.file import load
from meterkast.config.sections import Config
from meterkast.model.errors import ConfigError
from meterkast.ports.uplink import Check

S = TypeVar("S", bound=msgspec.Struct)


def add_test_and_show(parser: argparse.ArgumentParser, *, test: str, show: str) -> None:
    """The two subcommands, as `args.action`, with their `--config`.

    Args:
        test, show: What each does, for the help.
    """
    commands = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")
    for name, text in (("test", test), ("show", show)):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "--config", type=Path, default=DEFAULT, help="configuration file (default %(default)s)"
        )


def section(path: Path, name: str, kind: type[S]) -> tuple[Config, S]:
    """The configuration, and its section of one uplink.

    Raises:
        ConfigError: The file cannot be read, has no such section, or a value is wrong.
    """
    config = load(path)
    if name not in config.uplinks:
        raise ConfigError(f"{path} has no [uplinks.{name}]", hint="Add that section; the sample shows one.")
    return config, decode(kind, config.uplinks[name], f"uplinks.{name}")


def kept(config: Config) -> Path | None:
    """The database, where there is one already."""
    path = Path(config.storage.path)
    return path if path.exists() else None


def tell(steps: Sequence[Check]) -> int:
    """Print a test's steps; exit status 0 when all worked, 2 when one failed."""
    for step in steps:
        print(f"{'ok  ' if step.ok else 'FAIL'} {step.name}: {step.detail}")
    return 0 if all(step.ok for step in steps) else 2
