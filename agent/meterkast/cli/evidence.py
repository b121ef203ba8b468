"""`meterkast evidence`: the telegram or report behind a half-hour, and whether it says what was kept."""

from __future__ import annotations

import argparse
import asyncio
from datetime import tzinfo
from pathlib import Path

from meterkast.cli.instant import instant, properties_of
from meterkast.cli.run import DEFAULT
from meterkast.config.file import load
from meterkast.config.sections import Config
from meterkast.model.datatypes import Kind
from meterkast.model.errors import ConfigError, RefusedError
from meterkast.model.evidence import OPENED, Evidence
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import Product, Property
from meterkast.model.time import HALF_HOUR_MS, Grid, UtcMs, iso_local, zone

DIFFERENT = 2
"""Exit status where the evidence does not say what was kept."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "--config", type=Path, default=DEFAULT, help="configuration file (default %(default)s)"
    )
    parser.add_argument(
        "--channel",
        required=True,
        metavar="PRODUCT/PROPERTY",
        help="as the configuration names it, such as electricity/import_total; a product's id will do",
    )
    parser.add_argument(
        "--at",
        required=True,
        metavar="ISO",
        help="an instant of the half-hour, or its end; local unless told",
    )


def run(args: argparse.Namespace) -> int:
    """Print it; 0 where it says what was kept, 2 where it does not.

    Raises:
        ConfigError: No such channel or instant.
        RefusedError: There is no half-hour, no value in it, or no evidence of it.
        StorageError: The database cannot be read.
    """
    config = load(args.config)
    if not Path(config.storage.path).exists():
        raise ConfigError(
            f"{config.storage.path} is not there", hint="No gateway has run with this configuration yet."
        )
    return asyncio.run(_show(config, args.channel, args.at))


async def _show(config: Config, channel: str, at: str) -> int:
    from meterkast_buffer.store import open_store

    grid = Grid(zone(config.site.time_zone))
    end_ms = grid.end_of(instant(at, "--at", grid.zone))
    store = await open_store(config.storage.path, read_only=True)
    try:
        meant = properties_of(channel, await store.products(), await store.properties(), await store.lives())
        wanted = [one.id for _, one in meant]
        rows = {
            one.property_id: one
            for one in await store.half_hours(UtcMs(end_ms - 1), end_ms, properties=wanted)
        }
        # Before a swap the name meant the meter that was read then.
        measured = [
            one for one in meant if (kept := rows.get(one[1].id)) is not None and kept.value is not None
        ]
        product, prop = (measured or meant)[0]
        closed = (await store.closed_until()).get((prop.id, HALF_HOUR_MS))
        row = _measured(rows.get(prop.id), channel, end_ms, closed, grid.zone)
        if prop.kind is not Kind.REGISTER or row.taken_ms is None:
            raise RefusedError(
                f"{channel} is no register: its half-hour is made of {row.count} readings",
                hint="`meterkast export --what samples` gives them; no single telegram is its evidence.",
            )
        found = await store.evidence(prop.id, row.taken_ms)
        if found is None:
            raise _none(channel, row, await store.oldest_evidence_ms(), config, grid.zone)
    finally:
        await store.close()
    _print(product, prop, row, found, grid.zone)
    same, lines = _checked(config, product, prop, row, found)
    print("\n".join(lines))
    return 0 if same else DIFFERENT


def _measured(
    row: HalfHour | None, channel: str, end_ms: UtcMs, closed_ms: UtcMs | None, where: tzinfo
) -> HalfHour:
    named = f"{channel}, half-hour until {iso_local(end_ms, where)}"
    if row is None and closed_ms is not None and end_ms > closed_ms:
        raise RefusedError(
            f"{named}: is not closed yet", hint=f"It is closed up to {iso_local(closed_ms, where)}."
        )
    if row is None:
        raise RefusedError(
            f"{named}: there is none", hint="The meter was not read yet, or its half-hours are removed."
        )
    if row.value is None:
        raise RefusedError(f"{named}: nothing was measured: {row.cause}", hint="There is no evidence of it.")
    return row


def _none(
    channel: str, row: HalfHour, oldest_ms: UtcMs | None, config: Config, where: tzinfo
) -> RefusedError:
    assert row.taken_ms is not None
    named = f"{channel}, reading of {iso_local(row.taken_ms, where)}"
    if oldest_ms is None or row.taken_ms < oldest_ms:
        since = "none is kept yet" if oldest_ms is None else f"the oldest is of {iso_local(oldest_ms, where)}"
        return RefusedError(
            f"{named}: its evidence is not there any more, or was never captured; {since}",
            hint=f"It is kept for {config.storage.evidence_months} months (storage.evidence_months).",
        )
    return RefusedError(
        f"{named}: its telegram was not captured",
        hint="The gateway was stopped or lost power between the reading and the closing of its half-hour, "
        "had no time for hours, or its disk was full. The value itself stands.",
    )


def _print(product: Product, prop: Property, row: HalfHour, found: Evidence, where: tzinfo) -> None:
    assert row.value is not None
    print(f"half-hour   until {iso_local(row.end_ms, where)}, {row.state}, revision {row.revision}")
    print(f"product     {product.id} {product.name} ({product.description.identity})")
    print(f"register    {prop.id} {prop.key} ({prop.description.reference})")
    print(f"value       {row.value.decimal():f} {prop.unit}")
    print(f"measured    {iso_local(found.at_ms, where)}  (UTC ms {found.at_ms})")
    print(f"arrived     {iso_local(found.arrived_ms, where)}  (UTC ms {found.arrived_ms})")
    report = found.raw.startswith(b"{")
    opened = ", came encrypted, shown as it was opened" if found.raw.startswith(OPENED) else ""
    raw = found.raw.removeprefix(OPENED)
    print(f"{'report' if report else 'telegram'}    {len(raw)} bytes{opened}\n")
    print(raw.decode("utf-8" if report else "latin-1", "replace").replace("\r\n", "\n"), end="\n\n")


def _checked(
    config: Config, product: Product, prop: Property, row: HalfHour, found: Evidence
) -> tuple[bool, list[str]]:
    """Whether the evidence says what was kept, and what is to be told of it."""
    if found.raw.startswith(b"{"):
        return _report_checked(config, row, found)
    return _telegram_checked(config, product, prop, row, found)


def _telegram_checked(
    config: Config, product: Product, prop: Property, row: HalfHour, found: Evidence
) -> tuple[bool, list[str]]:
    from meterkast_drivers.p1 import evidence
    from meterkast_drivers.p1.profiles import PROFILES

    assert row.value is not None
    names = {
        section.get("profile", "auto")
        for tree in [config.drivers.get("p1", {})]
        for section in (tree, *tree.values())
        if isinstance(section, dict)
    } - {"auto"}
    profile = PROFILES.get(names.pop()) if len(names) == 1 else None
    read = evidence.register_in(found.raw, product.description.identity, prop.key, profile)
    if read is None:
        return False, ["DIFFERENT   the register is not in this telegram, or its checksum is wrong"]
    lines = [f"from line   {line}" for line in read.lines]
    lines.append(f"checksum    {read.checksum.value}")
    same = read.value.decimal() == row.value.decimal()
    lines.append(_told("own reader", read.value.decimal(), same, prop))
    if read.at is not None and read.at != row.taken_ms:
        lines.append("note        the meter's own stamp differs: its clock was off, and arrival counted")
    oracle = evidence.by_dsmr_parser(found.raw, read)
    if oracle is None:
        lines.append("dsmr_parser does not read this object")
    else:
        agrees = oracle == row.value.decimal()
        same = same and agrees
        lines.append(_told("dsmr_parser", oracle, agrees, prop))
    return same, lines


def _report_checked(config: Config, row: HalfHour, found: Evidence) -> tuple[bool, list[str]]:
    from meterkast.app import driver_sections
    from meterkast_drivers.zwave import evidence

    assert row.value is not None
    try:
        node = evidence.node_of(found.raw)
        settings = [one for name, _, one in driver_sections(config) if name.partition(".")[0] == "zwave"]
        number = evidence.value_in(found.raw, settings[0].pulse(node) if len(settings) == 1 else None)
    except ValueError as error:
        return False, [f"DIFFERENT   {error}"]
    if number is None:
        return False, ["DIFFERENT   the report holds no number"]
    read = round(number, row.value.decimals)
    same = read == row.value.decimal()
    word = "the same" if same else "DIFFERENT"
    return same, [f"own reader  {read:f}: {word}"]


def _told(who: str, value: object, same: bool, prop: Property) -> str:
    return f"{who:<11} {value:f} {prop.unit}: {'the same' if same else 'DIFFERENT'}"
