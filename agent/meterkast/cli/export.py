"""`meterkast export`: half-hours, samples or energy entries as CSV, also while the gateway runs."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from meterkast.cli.instant import instant
from meterkast.cli.run import DEFAULT
from meterkast.cli.table import Table, harmless, table
from meterkast.config.file import load
from meterkast.model.errors import ConfigError
from meterkast.model.half_hour import RowKey
from meterkast.model.product import Product, Property, PropertyId
from meterkast.model.quantity import text
from meterkast.model.time import DAY_MS, UtcMs, iso_local, zone
from meterkast.pipeline.binding import named

if TYPE_CHECKING:
    from meterkast_buffer.store import SqliteStore

DAMAGED = 2
"""Exit status where something is not as it was written, and is therefore left out."""

_CHANNEL = ("product", "identity", "property")
HALF_HOURS = (
    "end", "end_utc [ms]", *_CHANNEL, "value", "unit", "taken", "taken_utc [ms]", "count", "state", "cause",
    "revision", "epoch",
)  # fmt: skip
SAMPLES = ("measured", "measured_utc [ms]", *_CHANNEL, "value", "unit")
ENERGY_ENTRIES = ("start", "start_utc [ms]", *_CHANNEL, "datatype", "value", "unit", "interpolated")


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "--config", type=Path, default=DEFAULT, help="configuration file (default %(default)s)"
    )
    parser.add_argument("--what", choices=tuple(_EXPORTS), default="half-hours", help="default %(default)s")
    parser.add_argument("--from", dest="start", required=True, metavar="ISO", help="local unless told")
    parser.add_argument("--to", required=True, metavar="ISO", help="likewise")
    parser.add_argument(
        "--product", action="append", default=[], metavar="NAME", help="only this one; may be given again"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")


def run(args: argparse.Namespace) -> int:
    """Write it; 0, or 2 where something was damaged and is left out.

    Raises:
        ConfigError: The configuration, an instant or a product is wrong, or there is no database.
        RefusedError: The file cannot be written.
        StorageError: The database cannot be read.
    """
    config = load(args.config)
    where = zone(config.site.time_zone)
    start_ms, end_ms = instant(args.start, "--from", where), instant(args.to, "--to", where)
    if end_ms <= start_ms:
        raise ConfigError(f"--to {args.to} is not after --from {args.start}", hint="Correct one of them.")
    path = Path(config.storage.path)
    if not path.exists():
        raise ConfigError(f"{path} is not there", hint="No gateway has run with this configuration yet.")
    with table(args.output) as rows:
        damaged = asyncio.run(_export(path, args.what, args.product, (start_ms, end_ms), where, rows))
    for line in damaged:
        print(f"left out, damaged: {line}", file=sys.stderr)
    return DAMAGED if damaged else 0


@dataclass(frozen=True, slots=True)
class _Channels:
    """What is asked for, by property."""

    products: dict[PropertyId, Product]
    properties: dict[PropertyId, Property]
    where: tzinfo

    def cells(self, number: PropertyId) -> tuple[str, str, str]:
        product = self.products[number]
        return (
            harmless(product.name),
            harmless(product.description.identity),
            harmless(self.properties[number].key),
        )

    def instant(self, at_ms: UtcMs | None) -> tuple[object, object]:
        return ("", "") if at_ms is None else (iso_local(at_ms, self.where), at_ms)


async def _export(
    path: Path, what: str, wanted: Sequence[str], span: tuple[UtcMs, UtcMs], where: tzinfo, rows: Table
) -> list[str]:
    from meterkast_buffer.store import open_store

    store = await open_store(path, read_only=True)
    try:
        channels = await _channels(store, wanted, where)
        header, export = _EXPORTS[what]
        rows.writerow(header)
        damaged: list[RowKey] = []
        async for row in export(store, channels, span, damaged):
            rows.writerow(row)
        problem = store.storage().problem if what != "half-hours" else ""
        return [*map(str, damaged), *([problem] if problem and not damaged else [])]
    finally:
        await store.close()


async def _channels(store: SqliteStore, wanted: Sequence[str], where: tzinfo) -> _Channels:
    products = list(await store.products())
    for name in wanted:
        if not any(_means(product, name) for product in products):
            known = ", ".join(f"{one.id} {one.description.identity}" for one in products) or "none yet"
            raise ConfigError(f"--product {name}: no such product", hint=f"There are: {known}.")
    chosen = {
        product.id: product
        for product in products
        if not wanted or any(_means(product, name) for name in wanted)
    }
    properties = {one.id: one for one in await store.properties() if one.product_id in chosen}
    return _Channels(
        {number: chosen[one.product_id] for number, one in properties.items()}, properties, where
    )


def _means(product: Product, name: str) -> bool:
    return named(product, name) or name in (str(product.id), product.description.medium.value)


async def _half_hours(
    store: SqliteStore, channels: _Channels, span: tuple[UtcMs, UtcMs], damaged: list[RowKey]
) -> AsyncIterator[Sequence[object]]:
    """Those that end in (from, to]; a day at a time."""
    after, until = span
    while after < until:
        step = UtcMs(min(until, after + DAY_MS))
        for one in await store.half_hours(after, step, properties=list(channels.properties), damaged=damaged):
            yield (
                *channels.instant(one.end_ms),
                *channels.cells(one.property_id),
                "" if one.value is None else text(one.value.decimal()),
                channels.properties[one.property_id].unit.value,
                *channels.instant(one.taken_ms),
                one.count,
                one.state.value,
                one.cause.value if one.cause else "",
                one.revision,
                one.epoch,
            )
        after = step


async def _samples(
    store: SqliteStore, channels: _Channels, span: tuple[UtcMs, UtcMs], damaged: list[RowKey]
) -> AsyncIterator[Sequence[object]]:
    """Those measured in (from, to], in the order in which they were kept; each minute in order of time."""
    start_ms, end_ms = span
    async for frames in store.samples(start_ms, end_ms):
        found = [
            (at_ms, column.property_id, row[place], column.decimals)
            for one in frames
            for place, column in enumerate(one.layout)
            if column.property_id in channels.properties
            for at_ms, row in zip(one.times, one.rows, strict=True)
            if start_ms < at_ms <= end_ms
        ]
        for at_ms, number, whole, decimals in sorted(found):
            yield (
                *channels.instant(at_ms),
                *channels.cells(number),
                _decimal(whole, decimals),
                channels.properties[number].unit.value,
            )


def _decimal(whole: int, decimals: int) -> str:
    """Exact and quick: a day has three million of them."""
    if not decimals:
        return str(whole)
    digits = f"{abs(whole):0{decimals + 1}d}"
    return f"{'-' if whole < 0 else ''}{digits[:-decimals]}.{digits[-decimals:]}"


async def _energy_entries(
    store: SqliteStore, channels: _Channels, span: tuple[UtcMs, UtcMs], damaged: list[RowKey]
) -> AsyncIterator[Sequence[object]]:
    """Those that start in [from, to), in BeNext's units; a day at a time."""
    from meterkast.proof.energy_entries import entries_of

    async for _, entries in entries_of(store, list(channels.properties.values()), *span, damaged):
        for start_ms, number, entry in sorted(
            ((one.start_ms, number, one) for number, found in entries.items() for one in found),
            key=lambda row: row[:2],
        ):
            datatype = channels.properties[number].datatype
            yield (
                *channels.instant(start_ms),
                *channels.cells(number),
                datatype.id,
                "" if entry.value is None else text(entry.value.decimal(datatype.power)),
                datatype.suffix,
                "" if entry.value is None else ("yes" if entry.interpolated else "no"),
            )


_Export = Callable[
    ["SqliteStore", _Channels, tuple[UtcMs, UtcMs], list[RowKey]], AsyncIterator[Sequence[object]]
]
_EXPORTS: dict[str, tuple[Sequence[str], _Export]] = {
    "half-hours": (HALF_HOURS, _half_hours),
    "samples": (SAMPLES, _samples),
    "energy-entries": (ENERGY_ENTRIES, _energy_entries),
}
