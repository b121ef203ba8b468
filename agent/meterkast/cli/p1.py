"""`meterkast p1`: read a capture, and find out what is wrong with a port."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from meterkast.config.secret import secret
from meterkast.model.errors import MeterkastError
from meterkast.model.time import iso_utc
from meterkast_drivers.p1 import capture, detect, port
from meterkast_drivers.p1.capture import Capture
from meterkast_drivers.p1.cipher import Opener
from meterkast_drivers.p1.profiles import PROFILES
from meterkast_drivers.p1.telegram import Telegram


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands and their arguments."""
    commands = parser.add_subparsers(dest="p1_command", required=True, metavar="COMMAND")
    decode = commands.add_parser(
        "decode", help="print every reading of a capture, and what was refused and why"
    )
    decode.add_argument(
        "file", metavar="FILE", help="telegrams as a port delivers them, or their hexadecimal text"
    )
    decode.add_argument(
        "--key", default="", metavar="HEX", help="the meter's key; env:NAME takes it from there"
    )
    decode.add_argument(
        "--auth-key", default="", metavar="HEX", help="authentication key, if not Luxembourg's public one"
    )
    decode.add_argument("--profile", choices=["auto", *PROFILES], default="auto", help="the country")
    decode.add_argument("--json", action="store_true", help="as JSON")
    ports = commands.add_parser("ports", help="list the serial ports, listen on each, and say what is wrong")
    ports.add_argument(
        "port", nargs="*", metavar="PORT", help="only these, such as /dev/ttyUSB0 or socket://host:23"
    )
    ports.add_argument(
        "--seconds", type=float, default=detect.LISTEN_S, help="how long to listen at each speed"
    )


def run(args: argparse.Namespace) -> int:
    """Do what was asked; 0 when it worked."""
    try:
        return _decode(args) if args.p1_command == "decode" else asyncio.run(_ports(args))
    except MeterkastError as error:
        print(f"{error}\n{error.hint}", file=sys.stderr)
        return 2


def _decode(args: argparse.Namespace) -> int:
    opener = Opener(
        secret(args.key, "", "--key") if args.key else "",
        secret(args.auth_key, "", "--auth-key") if args.auth_key else "",
    )
    try:
        content = Path(args.file).read_bytes()
    except OSError as error:
        print(f"{args.file}: {error.strerror}", file=sys.stderr)
        return 2
    found = capture.read(content, opener, PROFILES.get(args.profile))
    if args.json:
        json.dump(capture.as_json(found), sys.stdout, ensure_ascii=False, indent=1)
        print()
        return 0
    for telegram in found.telegrams:
        _print(telegram)
    _summarise(found, content)
    return 0


def _print(telegram: Telegram) -> None:
    at = iso_utc(telegram.at) if telegram.at is not None else "no time"
    print(f"/{telegram.ident}  {telegram.profile.name}  {at}  checksum {telegram.checksum.value}")
    for reading in telegram.readings:
        own = f"  at {iso_utc(reading.at)}" if reading.stamp and reading.at is not None else ""
        meter = telegram.meter(reading.line.channel) if reading.line.channel else ""
        behind = f"  [meter {meter}]" if meter else ""
        print(
            f"  {reading.line.reference:<14} {reading.name:<36} {reading.value} {reading.unit}{own}{behind}"
        )
    for refused in telegram.refused:
        print(f"  refused        {refused.line}: {refused.why}")
    for line in telegram.unknown:
        print(f"  unknown        {line.text}")


def _summarise(found: Capture, content: bytes) -> None:
    print(f"{len(found.telegrams)} telegrams, {found.skipped} bytes skipped, {found.framer.cut} cut")
    if not found.telegrams:
        print(detect.verdict(capture.unhex(content)).sentence)


async def _ports(args: argparse.Namespace) -> int:
    names = args.port or port.candidates()
    if not names:
        print("There is no serial port. Plug in the P1 cable and look again.")
        return 1
    heard = False
    for name in names:
        print(f"{name}: listening, up to {2 * args.seconds:.0f} s …", flush=True)
        found = await detect.probe(name, seconds=args.seconds)
        heard = heard or found.readable
        print(f"{name}: {found.sentence}")
    return 0 if heard else 1
