"""`meterkast report`: what was owed in a month, what was measured and delivered, and the proof of it."""

from __future__ import annotations

import argparse
import asyncio
import csv
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from meterkast.cli.output import whole_text
from meterkast.cli.run import DEFAULT
from meterkast.cli.table import harmless
from meterkast.config.file import load
from meterkast.config.sections import Config
from meterkast.model.errors import ConfigError
from meterkast.model.half_hour import Cause
from meterkast.model.quantity import text
from meterkast.model.time import DAY_MS, Grid, UtcMs, iso_local, iso_utc, zone

if TYPE_CHECKING:
    from meterkast_buffer.store import SqliteStore

FORMATS = ("text", "json", "csv", "html")


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("--month", required=True, help="such as 2026-10, at the site")
    parser.add_argument(
        "--format", choices=FORMATS, default="text", help="json is signed (default %(default)s)"
    )
    parser.add_argument("--language", choices=("en", "nl"), default="en", help="of text and html")
    parser.add_argument("--output", type=Path, help="file to write (default: standard output)")
    parser.add_argument(
        "--config", type=Path, default=DEFAULT, help="configuration file (default %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Write it; exit status 0 where the month is complete, a running one so far; 2 where it is not, or empty.

    Raises:
        ConfigError: It is no month, or no gateway has run with this configuration yet.
        RefusedError: The file cannot be written.
        StorageError: The database or the key cannot be read.
    """
    config = load(args.config)
    path = Path(config.storage.path)
    if not path.exists():
        raise ConfigError(f"{path} is not there", hint="No gateway has run with this configuration yet.")
    if args.output is None:
        return asyncio.run(_write(config, path, args, sys.stdout))
    with whole_text(args.output) as out:  # nobody should hand in half a report
        return asyncio.run(_write(config, path, args, out))


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[SqliteStore]:
    from meterkast_buffer.store import open_store

    store = await open_store(path, read_only=True)
    try:
        yield store
    finally:
        await store.close()


async def _write(config: Config, path: Path, args: argparse.Namespace, out: TextIO) -> int:
    from meterkast.cli.recalled import recalled_clock
    from meterkast.proof.gathering import Site, gather

    grid = Grid(zone(config.site.time_zone))
    async with _opened(path) as store:
        now_ms = (await recalled_clock(store)).now_ms()
        if args.format == "csv":
            return await _csv(store, config, grid, args.month, now_ms, out)
        site = Site(
            name=config.site.name,
            zone=config.site.time_zone,
            device=await store.get_state("gateway", "device_id") or "",
            grid=grid,
            samples_days=config.storage.samples_days,
        )
        body = await gather(store, site, args.month, now_ms)
    from meterkast.proof.key import device_key, fingerprint, key_path, public_hex
    from meterkast.proof.render import Wording, as_html, as_text
    from meterkast.proof.signed import signed

    key = device_key(key_path(path))
    if args.format == "json":
        out.write(signed(body, public_hex(key), key.sign))
    else:
        shown = Wording(body, args.language).shown(fingerprint(public_hex(key)))
        out.write(as_html(shown) if args.format == "html" else as_text(shown))
    return 0 if body.status == "complete" else 2


_HEADS = (
    "uplink,stream,channel,end_local,end_utc,state,cause,revision,epoch,value,unit,delivery,delivered_at,"
    "receipt,words"
)


async def _csv(store: SqliteStore, config: Config, grid: Grid, month: str, now_ms: UtcMs, out: TextIO) -> int:
    """The ledger itself: one line for each channel and interval."""
    from meterkast.proof.gathering import ledger_of, owed_in
    from meterkast.proof.ledger import Handed, Standing
    from meterkast.proof.month import month_of

    after_ms, until_ms = month_of(month, grid)
    channels = owed_in(await store.channels(), after_ms, until_ms)
    units = {one.id: one.unit.value for one in await store.properties()}
    aged_ms = UtcMs(now_ms - config.storage.samples_days * DAY_MS)
    ledger = await ledger_of(store, grid, now_ms=now_ms, aged_ms=aged_ms)
    lines = csv.writer(out, lineterminator="\r\n")
    lines.writerow(_HEADS.split(","))
    entry, whole = None, True
    async for entries in ledger.days(channels, after_ms, until_ms):
        for entry in entries:
            channel, item = entry.channel, entry.item
            values = [text(row.value.decimal()) for row in entry.rows if row.value is not None]
            lines.writerow(
                [
                    *map(harmless, (channel.uplink, channel.stream, channel.name)),
                    iso_local(entry.end_ms, grid.zone),
                    iso_utc(entry.end_ms),
                    entry.standing.value,
                    entry.cause.value if entry.cause else "",
                    entry.revision,
                    "/".join(str(row.epoch) for row in entry.rows),
                    " - ".join(values),
                    units.get(channel.properties[0], ""),
                    entry.handed.value,
                    iso_utc(item.delivered_ms) if item is not None and item.delivered_ms else "",
                    harmless(item.receipt) if item is not None else "",
                    harmless(item.words) if item is not None else "",
                ]
            )
            good = entry.standing in (Standing.MEASURED, Standing.LATE) and entry.handed is Handed.DELIVERED
            whole = whole and (good or entry.cause is Cause.NOT_DUE)
    return 0 if whole and entry is not None else 2
