"""Runs under valgrind: one process, a fork of it for each job, so that imports are paid for once.

    python -m meterkast_rig.bench.parse_run FILE SIDE… -- COUNT…

For each side and count a child reads that many telegrams and ends; valgrind tells its instructions.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from meterkast.model.product import (
    Product,
    ProductDescription,
    ProductId,
    Property,
    PropertyDescription,
    PropertyId,
)
from meterkast.model.time import UtcMs
from meterkast_buffer.block import encode
from meterkast_rig.bench import core, load

FLUSH = 60
"""Telegrams in a block."""


def main(arguments: Sequence[str]) -> int:
    """Run the jobs, one after the other; a line `pid side count` for each.

    The `parse` and `dsmr-parser` sides end with the values; `block` with them in an encoded block each
    minute; `stored` with the whole minute's transaction in SQLite. `+pure` has no compiled CRC.
    """
    end = arguments.index("--")
    path, *sides = arguments[:end]
    telegrams = load.read(Path(path))
    for side in sides:
        name, _, pure = side.partition("+")
        job = JOBS[name]
        if name == "dsmr-parser":
            _dsmr_parser()  # imported once, before the forks
        for count in map(int, arguments[end + 1 :]):
            child = os.fork()
            if not child:
                if pure:
                    sys.modules["fastcrc"] = None  # type: ignore[assignment]  # as where there is no wheel
                job(telegrams[:count], Path(path).stem)
                os._exit(0)
            print(child, side, count, flush=True)
            if os.waitpid(child, 0)[1]:
                return 1
    return 0


class _Catalog:
    """Gives ids and keeps nothing."""

    def __init__(self) -> None:
        self._last = 0

    def present(self, products: Sequence[ProductId]) -> None:
        """All the meters that the port shows now; nobody asks here."""

    async def declare(
        self, product: ProductDescription, properties: Sequence[PropertyDescription]
    ) -> tuple[Product, Mapping[str, Property]]:
        found = {}
        for described in properties:
            self._last += 1
            found[described.key] = Property(
                id=PropertyId(self._last), product_id=ProductId(1), description=described
            )
        return Product(id=ProductId(1), description=product), found


def _parse(telegrams: Sequence[bytes], dialect: str) -> None:
    asyncio.run(_read(telegrams, block=False))


def _block(telegrams: Sequence[bytes], dialect: str) -> None:
    asyncio.run(_read(telegrams, block=True))


async def _read(telegrams: Sequence[bytes], *, block: bool) -> None:
    from meterkast.pipeline.intake import Intake
    from meterkast_drivers.p1.framing import Framer
    from meterkast_drivers.p1.reader import Reader
    from meterkast_rig.stepped import SteppedClock

    clock, framer, reader, catalog = SteppedClock(load.START_MS), Framer(), Reader(), _Catalog()
    intake = Intake(clock)
    for number, telegram in enumerate(telegrams, start=1):
        clock.set(UtcMs(load.START_MS + number * 1000))
        for frame in framer.feed(telegram):
            batches = reader.take(frame, clock.boot_ns())
            if reader.undeclared:
                await reader.declare(catalog)
                batches = reader.batches(clock.boot_ns())
            if block:
                for batch in batches:
                    intake.emit(batch)
        if block and number % FLUSH == 0:
            encode(intake.take(), lambda layout: layout[0].property_id)


def _stored(telegrams: Sequence[bytes], dialect: str) -> None:
    asyncio.run(_keep(telegrams))


async def _keep(telegrams: Sequence[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with core.opened(Path(folder) / "bench.db", load.START_MS, uplinks=False) as it:
            for number, telegram in enumerate(telegrams, start=1):
                it.clock.set(UtcMs(load.START_MS + number * 1000))
                await it.telegram(telegram, it.gateway.intake.emit)
                if number % FLUSH == 0:
                    await it.gateway.keeper.flush()


def _dsmr_parser() -> tuple[Callable[..., None], Callable[..., None]]:
    # By name: the rule of the house is that one driver file alone may import it, and only for opening
    # encrypted telegrams; here it is the other side of a comparison.
    parsers = importlib.import_module("dsmr_parser.parsers")
    specifications = importlib.import_module("dsmr_parser.telegram_specifications")
    buffer = importlib.import_module("dsmr_parser.clients.telegram_buffer")

    def reader(specification: object) -> Callable[[Sequence[bytes]], None]:
        parser, taken = parsers.TelegramParser(specification), buffer.TelegramBuffer()

        def read(telegrams: Sequence[bytes]) -> None:
            for telegram in telegrams:
                taken.append(telegram.decode("ascii"))
                for text in taken.get_all():
                    parser.parse(text)

        return read

    return reader(specifications.V5), reader(specifications.BELGIUM_FLUVIUS)


def _theirs(telegrams: Sequence[bytes], dialect: str) -> None:
    dutch, belgian = _dsmr_parser()
    (belgian if dialect == "be" else dutch)(telegrams)


JOBS: Mapping[str, Callable[[Sequence[bytes], str], None]] = {
    "parse": _parse,
    "block": _block,
    "stored": _stored,
    "dsmr-parser": _theirs,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
