"""`meterkast rig p1`: a P1 meter on a pty."""

from __future__ import annotations

import argparse
import asyncio
import math
from pathlib import Path

from meterkast.clock import FastClock, SystemClock
from meterkast.model.errors import ConfigError
from meterkast.model.time import UtcMs
from meterkast.ports.clock import Clock
from meterkast_rig.faults import parse_faults
from meterkast_rig.p1_capture import read_capture
from meterkast_rig.p1_faults import LINE_SWITCHES, METER_SWITCHES, SWITCHES, iso_time
from meterkast_rig.p1_line import P1Line
from meterkast_rig.p1_meter import SimulatedMeter
from meterkast_rig.p1_telegram import Dialect
from meterkast_rig.stopping import stop_event


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.description = "A P1 meter on a pty: a simulated one, or a capture played again."
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _faults_help()
    parser.add_argument("--link", type=Path, metavar="PATH", help="make a symbolic link to the pty")
    parser.add_argument(
        "--capture", type=Path, metavar="FILE", help="play this recording, a telegram per interval"
    )
    parser.add_argument("--once", action="store_true", help="play the capture once, then stay silent")
    parser.add_argument(
        "--speed", type=float, default=1.0, metavar="N", help="the clock runs N times as fast"
    )
    parser.add_argument("--start", metavar="ISO-UTC", help="when the clock begins (default: now)")
    parser.add_argument(
        "--interval", type=int, metavar="S", help="meter time between telegrams (default: 1 or 10)"
    )
    parser.add_argument("--faults", default="", metavar="NAME=VALUE,…", help="see below")
    parser.add_argument("--seed", type=int, default=1, help="which household, and which chances (default: 1)")
    parser.add_argument(
        "--dialect",
        choices=[str(dialect) for dialect in Dialect],
        default=str(Dialect.DSMR5),
        help="whose telegram",
    )
    parser.add_argument(
        "--gas-every",
        type=int,
        choices=(300, 900, 3600),
        help="seconds between captures of gas and water (default: 300, DSMR 2.2: 3600)",
    )
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="append what was shown, one JSON object per telegram"
    )


def run(args: argparse.Namespace) -> int:
    """Play the meter until SIGINT or SIGTERM.

    Returns:
        0.

    Raises:
        ConfigError: An argument will not do.
    """
    return asyncio.run(_serve(args))


async def _serve(args: argparse.Namespace) -> int:
    stop = stop_event()
    line = P1Line(
        _source(args),
        _clock(args),
        link=args.link,
        interval_s=args.interval,
        faults=args.faults,
        seed=args.seed,
        once=args.once,
        log=args.log,
    )
    line.open()
    playing = asyncio.create_task(line.run())
    stopping = asyncio.create_task(stop.wait())
    try:
        print(_announcement(line, args), flush=True)
        done, _ = await asyncio.wait((playing, stopping), return_when=asyncio.FIRST_COMPLETED)
        if playing in done:
            playing.result()  # only an error ends it
    finally:
        playing.cancel()
        stopping.cancel()
        line.close()
    return 0


def _source(args: argparse.Namespace) -> SimulatedMeter | list[bytes]:
    if args.capture is None:
        if args.once:
            raise ConfigError("--once without --capture", hint="A simulated meter has no end.")
        return SimulatedMeter(seed=args.seed, dialect=Dialect(args.dialect), gas_every_s=args.gas_every)
    for name in parse_faults(args.faults, SWITCHES):
        if name in METER_SWITCHES:
            raise ConfigError(
                f"fault {name!r} with --capture", hint=f"A capture can have {', '.join(LINE_SWITCHES)}."
            )
    return read_capture(args.capture)


def _clock(args: argparse.Namespace) -> Clock:
    if not 0 < args.speed < math.inf:
        raise ConfigError(
            f"--speed {args.speed:g}", hint="Give a number above 0; 60 makes a minute of a second."
        )
    if args.start is None:
        return SystemClock() if args.speed == 1 else FastClock(args.speed)
    text = args.start
    try:
        start_ms = iso_time(text if text.endswith("Z") or "+" in text else f"{text}Z")
    except ValueError as error:
        raise ConfigError(
            f"--start {text}: {error}", hint="Give a time such as 2026-03-29T00:00:00Z."
        ) from error
    return FastClock(args.speed, UtcMs(start_ms))


def _announcement(line: P1Line, args: argparse.Namespace) -> str:
    words = f"P1 meter on {args.link or line.port}"
    if args.speed != 1:
        words += f", its clock {args.speed:g} times as fast"
    return words


def _faults_help() -> str:
    sections = (("of the line", LINE_SWITCHES), ("of a simulated meter", METER_SWITCHES))
    return "\n\n".join(
        f"faults {whose}:\n" + "\n".join(f"  {name:<10} {row.help}" for name, row in switches.items())
        for whose, switches in sections
    )
