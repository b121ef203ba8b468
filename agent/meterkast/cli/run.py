"""`meterkast run`: the gateway itself."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from meterkast.clock import FastClock, system_clock
from meterkast.config.file import load
from meterkast.config.sections import ClockSettings
from meterkast.heap import one_heap
from meterkast.logs import set_up
from meterkast.model.errors import ConfigError
from meterkast.model.time import UtcMs, parse_iso
from meterkast.ports.clock import Clock

DEFAULT = Path("/etc/meterkast/meterkast.toml")


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "--config", type=Path, default=DEFAULT, help=f"configuration file (default {DEFAULT})"
    )
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    add_clock(parser)


def add_clock(parser: argparse.ArgumentParser) -> None:
    """`--speed` and `--start`, for every command that can run on a fast clock."""
    parser.add_argument(
        "--speed", type=float, default=1.0, help="rehearse on a clock that runs so many times as fast"
    )
    parser.add_argument(
        "--start", default="", metavar="ISO-UTC", help="where the fast clock begins (default now)"
    )


def clock_of(args: argparse.Namespace, settings: ClockSettings) -> Clock:
    """The clock that `--speed`, `--start` and `[clock]` ask for.

    Raises:
        ConfigError: They make no clock.
    """
    if args.speed <= 0:
        raise ConfigError(
            f"--speed {args.speed}: must be above 0", hint="Use 1 for real time, 120 for a demo."
        )
    if args.speed == 1 and not args.start:
        return system_clock(settings)
    return FastClock(args.speed, start_of(args.start))


def start_of(text: str) -> UtcMs | None:
    """The instant of `--start`; None where it is not given.

    Raises:
        ConfigError: It is no ISO 8601 instant.
    """
    if not text:
        return None
    try:
        return parse_iso(text)
    except ValueError as error:
        raise ConfigError(f"--start {text}: {error}", hint="Write it like 2026-03-29T00:00:00Z.") from error


def run(args: argparse.Namespace) -> int:
    """Run the gateway until it is told to stop."""
    one_heap()
    config = load(args.config)
    clock = clock_of(args, config.clock)
    set_up(args.log_level)
    from meterkast.app import main

    def ready(address: str) -> None:
        print(f"Meterkast runs. Page: {address or 'switched off'}", flush=True)

    asyncio.run(main(config, clock, ready))
    return 0
