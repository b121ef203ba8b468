"""`meterkast init`: writes a commented configuration from what is found on the ports."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from meterkast.clock import SystemClock
from meterkast.logs import set_up
from meterkast.model.errors import ConfigError, MeterkastError
from meterkast.model.product import (
    Product,
    ProductDescription,
    ProductId,
    Property,
    PropertyDescription,
    PropertyId,
)
from meterkast.model.reading import Batch

_DATA = Path("/var/lib/meterkast")

LISTEN_S = 40.0
"""Long enough for two telegrams of a meter that sends every 10 s, at both speeds."""


@dataclass
class Found:
    """A catalog that only remembers what a driver declares; ids are made up."""

    products: dict[str, Product] = field(default_factory=dict)
    properties: dict[tuple[str, str], Property] = field(default_factory=dict)

    def present(self, products: Sequence[ProductId]) -> None:
        """All the meters that the port shows now; nobody asks here."""

    async def declare(
        self, product: ProductDescription, properties: Sequence[PropertyDescription]
    ) -> tuple[Product, Mapping[str, Property]]:
        made = self.products.setdefault(
            product.identity, Product(id=ProductId(len(self.products) + 1), description=product)
        )
        for one in properties:
            key = product.identity, one.key
            if key not in self.properties:
                number = PropertyId(len(self.properties) + 1)
                self.properties[key] = Property(id=number, product_id=made.id, description=one)
        return made, {one.key: self.properties[product.identity, one.key] for one in properties}


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("meterkast.toml"),
        help="the file to write (default meterkast.toml)",
    )
    parser.add_argument("--port", action="append", help="listen only here; may be given more than once")
    parser.add_argument("--force", action="store_true", help="replace the file if it is there")


def run(args: argparse.Namespace) -> int:
    """Listen on the ports, write the file, and say what was found.

    Raises:
        ConfigError: The file is there already, or cannot be written.
    """
    if args.config.exists() and not args.force:
        raise ConfigError(f"{args.config} is there already", hint="Use --force to replace it, or --config.")
    from meterkast_drivers.p1.port import present
    from meterkast_drivers.sticks import zwave_sticks

    set_up("error")

    there = present()
    sticks = zwave_sticks(there)
    for stick in sticks:
        print(f"Z-Wave stick {stick}: left alone, its section is written switched off")
    ports = args.port or [port for port in there if port not in sticks]
    if not ports:
        print("No serial port was found. Plug the P1 cable in, or give --port socket://host:23.")
    meters: dict[str, Found] = {}
    for port in ports:
        print(f"listening on {port} …", flush=True)
        found, said = asyncio.run(_listen(port))
        if found.products:
            meters[port] = found
        else:
            print(f"  {said}")
        for product in found.products.values():
            print(f"  {product.name} {product.description.serial}")
    try:
        args.config.write_text(document(meters, sticks, _database(args.config)), encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{args.config}: {error.strerror}", hint="Choose another place with --config."
        ) from error
    print(
        f"Wrote {args.config}. Next: add the platforms in it, then `meterkast check --config {args.config}`."
    )
    return 0 if meters else 2


async def _listen(port: str) -> tuple[Found, str]:
    """What the real driver finds on a port: its meters, or a sentence that says what is wrong."""
    from meterkast_drivers.p1.driver import P1Driver, Settings

    found, read = Found(), asyncio.Event()
    driver = P1Driver("init", Settings(port=port), found, SystemClock())

    def emit(batch: Batch) -> None:
        read.set()

    running = asyncio.create_task(driver.run(emit))
    reading = asyncio.create_task(read.wait())
    await asyncio.wait((running, reading), timeout=LISTEN_S, return_when=asyncio.FIRST_COMPLETED)
    said = driver.status().detail
    for task in (running, reading):
        task.cancel()
    for result in await asyncio.gather(running, reading, return_exceptions=True):
        if isinstance(result, MeterkastError):
            said = f"{result}. {result.hint}"
    return found, said


def document(meters: Mapping[str, Found], sticks: Sequence[str], database: Path) -> str:
    """The configuration's text for the meters found on each port, and for Z-Wave sticks that are there."""
    parts = [
        '[site]\nname = "My site"\n# Half-hours follow this wall clock, such as "Europe/Amsterdam".\n'
        f'time_zone = "{_time_zone()}"\n',
        f'[storage]\n# The folder must exist and be writable.\npath = "{database}"\n',
        '[page]\n# The installer\'s page; "0.0.0.0" opens it to the local network.\n'
        'host = "127.0.0.1"\nport = 8080\n',
    ]
    for number, (port, found) in enumerate(meters.items(), 1):
        name = "p1" if len(meters) == 1 else f"p1.meter{number}"
        lines = [f"# {product.name}, {product.description.serial}" for product in found.products.values()]
        parts.append("\n".join([*lines, f"[drivers.{name}]", f'port = "{port}"', ""]))
    if not meters:
        parts.append(
            '[drivers.p1]\n# "auto" takes the first port on which a P1 meter is heard.\nport = "auto"\n'
        )
    parts += [_zwave(stick, database) for stick in sticks]
    parts.append(_properties(meters))
    parts.append(_PLATFORMS)
    return "\n".join(parts)


def _zwave(stick: str, database: Path) -> str:
    return (
        "# Take the # away to read Z-Wave devices; add them with `meterkast zwave include`.\n"
        f'# [drivers.zwave]\n# stick = "{stick}"\n# Keep this folder: it holds the network\'s keys.\n'
        f'# folder = "{database.with_name("zwave")}"\n'
    )


def _properties(meters: Mapping[str, Found]) -> str:
    rows = [
        "# What can be sent, as <meter>/<value>; where a site has one meter of a kind,",
        "# electricity/… will do:",
    ]
    for found in meters.values():
        for product in found.products.values():
            label = product.description.serial or product.description.identity
            keys = [key for identity, key in found.properties if identity == product.description.identity]
            rows += [f"#   {label}/{key}" for key in keys]
    return (
        "\n".join([*rows, ""])
        if meters
        else "# Run `meterkast init` with the meter plugged in to see its values.\n"
    )


def _database(config: Path) -> Path:
    """Where a packaged gateway keeps its data, if this one may write there; else beside the configuration."""
    return (_DATA if os.access(_DATA, os.W_OK) else config.absolute().parent) / "meterkast.db"


def _time_zone() -> str:
    try:
        return Path("/etc/timezone").read_text(encoding="utf-8").strip() or "Europe/Amsterdam"
    except OSError:
        return "Europe/Amsterdam"


_PLATFORMS = """\
# [uplinks.reset]
# url = "https://reset.build:8069/v2"
# client_id = "from RESET's Data Provider Management page"
# client_secret_file = "/etc/meterkast/reset.secret"
#
# [[uplinks.reset.monitors]]
# connection_id = "unique-for-you-and-for-ever"
# module = "energy"
# brand = "maker of the meter"
# sku = "type of the meter"
# serial = "serial number of the meter"
#
# [[uplinks.reset.monitors.channels]]
# id = "import"
# readings = { power_consumption = "electricity/import_total" }

# [uplinks.wattics]
# endpoint = "production"
# user = "from Wattics"
# password_file = "/etc/meterkast/wattics.password"
#
# [[uplinks.wattics.meters]]
# id = "as registered with Wattics"
# interval_min = 30
# meter = "electricity"
"""
