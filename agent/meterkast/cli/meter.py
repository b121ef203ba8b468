"""`meterkast meter`: the meters, signing a swap off, and retiring one; asks the running gateway."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from meterkast.cli.control import MeterControl
from meterkast.cli.run import DEFAULT
from meterkast.config.file import load
from meterkast.model.errors import ConfigError
from meterkast.model.time import iso_local, parse_iso, zone
from meterkast.pipeline.meter_desk import MeterView, RetireOrder, SwapOrder


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands and their arguments."""
    commands = parser.add_subparsers(dest="meter_command", required=True, metavar="COMMAND")
    for name, text in (
        ("list", "every meter, its registers, and where they did not go on"),
        ("swap", "sign off that a new meter took an old one's place"),
        ("retire", "wait for nothing of a meter any more"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "--config", type=Path, default=DEFAULT, help="configuration file (default %(default)s)"
        )
        if name == "list":
            command.add_argument("--json", action="store_true", help="as JSON")
        elif name == "retire":
            command.add_argument("meter", metavar="METER", help="serial, identity, name or number")
        else:
            _configure_swap(command)


def _configure_swap(command: argparse.ArgumentParser) -> None:
    command.add_argument("old", metavar="OLD", help="the meter that was taken down")
    command.add_argument("new", metavar="NEW", help="the meter that was hung")
    for name, text in (
        ("--old-reading", "what the old meter showed at the end"),
        ("--new-reading", "what the new meter showed at its begin"),
    ):
        command.add_argument(
            name,
            action="append",
            default=[],
            metavar="REGISTER=READING",
            help=f"{text}, in the unit on its face, such as import_t1=12345.678; may be given several times "
            "(default: as it was read)",
        )
    command.add_argument("--at", default="", metavar="TIME", help="when; 2026-11-03T10:20:00+01:00")
    command.add_argument("--by", default="", metavar="NAME", help="who signs it off")
    command.add_argument("--dry-run", action="store_true", help="only say what each platform would get")


def run(args: argparse.Namespace) -> int:
    """Do what was asked.

    Raises:
        ConfigError: An argument cannot be.
        LinkLostError: No gateway runs.
        RefusedError: The gateway does not do that; its words.
    """
    config = load(args.config)
    control = MeterControl(config)
    if args.meter_command == "list":
        meters = control.meters()
        if args.json:
            print(msgspec.json.format(msgspec.json.encode(meters)).decode())
        else:
            print("\n".join(_lines(meters, config.site.time_zone)) or "No meter was read yet.")
        return 0
    if args.meter_command == "retire":
        told = control.retire(RetireOrder(meter=args.meter))
    else:
        told = control.swap(_order(args))
    print("\n".join(told.lines))
    return 0


def _order(args: argparse.Namespace) -> SwapOrder:
    try:
        at_ms = parse_iso(args.at) if args.at else None
    except ValueError as error:
        raise ConfigError(
            f'--at "{args.at}" is no time with an offset, or of no year that can be',
            hint="Write it as 2026-11-03T10:20:00+01:00.",
        ) from error
    return SwapOrder(
        old=args.old,
        new=args.new,
        old_readings=_readings(args.old_reading),
        new_readings=_readings(args.new_reading),
        at_ms=at_ms,
        by=args.by,
        dry=args.dry_run,
    )


def _readings(written: list[str]) -> dict[str, str]:
    found = {}
    for one in written:
        key, equals, reading = one.partition("=")
        if not (key and equals and reading):
            raise ConfigError(f'"{one}" is no reading', hint="Write it as import_t1=12345.678.")
        found[key] = reading
    return found


def _lines(meters: list[MeterView], time_zone: str) -> list[str]:
    where = zone(time_zone)
    lines = []
    for meter in meters:
        place = f", in the place of {meter.replaces}" if meter.replaces else ""
        lines.append(f"{meter.id}  {meter.name} {meter.serial} ({meter.medium}): {meter.state}{place}")
        for register in meter.registers:
            at = "" if register.at_ms is None else f" at {iso_local(register.at_ms, where)}"
            lines.append(f"    {register.key}: {register.newest or 'not read since the start'}{at}")
            for one in register.breaks:
                by = f", signed off by {one.signed_by}" if one.signed_by else ""
                at = iso_local(one.at_ms, where)
                lines.append(f"        {one.kind} at {at}: from {one.last} to {one.first}{by}")
    return lines
