"""`meterkast check`: validates everything it can without sending anything or opening a meter."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meterkast.cli.run import DEFAULT
from meterkast.clock import SystemClock
from meterkast.config.file import load
from meterkast.config.sections import Config, control_socket
from meterkast.model.errors import ConfigError, MeterkastError
from meterkast.model.time import Grid, zone
from meterkast.pipeline.binding import resolve, set_aside


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "--config", type=Path, default=DEFAULT, help=f"configuration file (default {DEFAULT})"
    )


def run(args: argparse.Namespace) -> int:
    """Print one line for each thing that was checked; exit status 1 where one is wrong."""
    config = load(args.config)
    report = Report()
    grid: Grid | None = None
    with report.part("site"):
        grid = Grid(zone(config.site.time_zone))
        report.good(f"{config.site.name}, {config.site.time_zone}")
    with report.part("storage"):
        report.good(_storage(Path(config.storage.path)))
    _drivers(config, report)
    if grid is not None:
        with report.part("storage"), tempfile.TemporaryDirectory() as empty:
            kept = Path(config.storage.path)
            database = kept if kept.exists() else Path(empty, "check.db")
            asyncio.run(_uplinks(config, grid, report, database))
    print("Nothing is wrong." if not report.wrong else f"{report.wrong} wrong.")
    return 1 if report.wrong else 0


class Report:
    """Prints what was checked and counts what is wrong."""

    def __init__(self) -> None:
        self.wrong = 0
        self._part = ""

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A part whose error is shown, and does not keep the other parts from being checked."""
        self._part = name
        try:
            yield
        except MeterkastError as error:
            self.wrong += 1
            print(f"wrong  {name}: {error}\n       {error.hint}")

    def good(self, text: str) -> None:
        """Something was found right."""
        print(f"ok     {self._part}: {text}")

    def note(self, text: str) -> None:
        """Something a person should know."""
        print(f"note   {self._part}: {text}")


def _storage(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        raise ConfigError(
            f'storage.path = "{path}": there is no folder {folder}',
            hint=f"Make it: mkdir -p {folder}, or set storage.path to another place.",
        )
    if not os.access(folder, os.W_OK):
        raise ConfigError(
            f'storage.path = "{path}": {folder} cannot be written',
            hint="Run as the gateway's user, or correct the folder's rights.",
        )
    return f"{path} ({'there' if path.exists() else 'will be made'})"


def _drivers(config: Config, report: Report) -> None:
    from meterkast.app import driver_sections
    from meterkast.cli.init import Found

    with report.part("drivers"):
        if not config.drivers:
            raise ConfigError("no meter is configured", hint="Add [drivers.p1], or run `meterkast init`.")
        for title, module, settings in driver_sections(config):
            driver = module.create(title, settings, Found(), SystemClock())
            for key in ("port", "stick", "server"):
                if not (place := getattr(settings, key, "")):
                    continue
                report.good(f"{title}, {key} {place}")
                if place.startswith("/") and not Path(place).exists():
                    report.note(f"{place} is not there now; the driver waits for it")
            if getattr(driver, "network", None) is not None:
                report.good(f"{title}, control socket {control_socket(config)}")


async def _uplinks(config: Config, grid: Grid, report: Report, database: Path) -> None:
    """Make every uplink from its settings; look its values up in the database where there is one."""
    from meterkast.app import make_uplinks
    from meterkast.uplinks.context import Context
    from meterkast_buffer.store import open_store

    store = await open_store(database, read_only=database == Path(config.storage.path))
    try:
        clock = SystemClock()
        context = Context(device_id="check", grid=grid, clock=clock, store=store, random=random.random)
        products, properties = await store.products(), await store.properties()
        aside = set_aside(await store.lives())
        with report.part("uplinks"):
            uplinks = make_uplinks(config, context)
            if not uplinks:
                report.note("none is configured: half-hours are kept and not sent")
            for uplink in uplinks.values():
                report.good(f"{uplink.name}, streams: {len(uplink.wanted())}, to {', '.join(uplink.urls)}")
                for warning in uplink.warnings:
                    report.note(warning)
                for wanted in uplink.wanted() if products else ():
                    for binding in wanted.bindings:
                        if reason := resolve(binding, products, properties, aside)[1]:
                            report.note(f"{wanted.name}: {reason}")
    finally:
        await store.close()
