"""A meter's bytes as batches of readings, without a port: the driver's own framer and reader."""

from __future__ import annotations

from meterkast.model.reading import Batch
from meterkast.pipeline.inventory import DriverCatalog
from meterkast_drivers.p1.framing import Framer
from meterkast_drivers.p1.reader import Reader


class Wire:
    """What a driver does with the bytes of one meter, all of them good.

    Args:
        catalog: Gives meters and values their ids.
    """

    def __init__(self, catalog: DriverCatalog) -> None:
        self._catalog = catalog
        self._framer = Framer()
        self._reader = Reader()

    async def take(self, data: bytes, seen_ns: int) -> list[Batch]:
        """The batches of what came in at that instant of the boot clock."""
        found: list[Batch] = []
        for frame in self._framer.feed(data):
            batches = self._reader.take(frame, seen_ns)
            if self._reader.undeclared:
                await self._reader.declare(self._catalog)
                batches = self._reader.batches(seen_ns)
            found += batches
        return found
