"""The real gateway without driver, page and processes: bytes in, and transactions when they are asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from meterkast.app import Gateway
from meterkast.config.decoding import decode
from meterkast.config.sections import Config
from meterkast.model.delivery import Item
from meterkast.model.reading import Batch
from meterkast.model.time import UtcMs
from meterkast.pipeline.inventory import DriverCatalog
from meterkast_buffer.store import SqliteStore, open_store
from meterkast_rig.configuration import electricity, single, wattics
from meterkast_rig.p1_wire import Wire
from meterkast_rig.stepped import SteppedClock

WATTICS = wattics(
    "http://127.0.0.1:9/",
    [
        electricity("electricity", meter="electricity", phases=3, interval_min=15),
        electricity("export", readings={"pC_1": "electricity/export_total"}),
        single("gas", "gas/volume", "m3"),
        single("water", "water/volume", "L"),
    ],
)
"""Four streams, one of them every quarter of an hour; nothing listens there, see `Core`."""


class Core:
    """Intake, closing, keeper, outbox and deliveries as `meterkast.app.Gateway` puts them together.

    Deliveries are acknowledged at once, so that the outbox's writes are part of what is measured and a
    network is not.
    """

    def __init__(self, store: SqliteStore, clock: SteppedClock, *, uplinks: bool = True) -> None:
        tree = {"delivery": {"spread_s": 0}, "uplinks": {"wattics": WATTICS} if uplinks else {}}
        self.store = store
        self.clock = clock
        self.gateway = Gateway(decode(Config, tree), clock, store, "mk-bench")
        for uplink in self.gateway.uplinks.values():
            uplink.deliver = _acknowledge  # type: ignore[method-assign]  # the one step that is left out
        self._wire = Wire(DriverCatalog(self.gateway.keeper, "p1"))

    async def telegram(self, data: bytes, emit: Callable[[Batch], None]) -> None:
        """A telegram's bytes, as the port hands them over: all at once, coalesced."""
        for batch in await self._wire.take(data, self.clock.boot_ns()):
            emit(batch)


async def _acknowledge(stream: str, items: Sequence[Item]) -> str:
    return "HTTP 200"


@asynccontextmanager
async def opened(path: Path, start_ms: UtcMs, *, uplinks: bool = True) -> AsyncIterator[Core]:
    """A gateway's core on a database of its own."""
    store = await open_store(path)
    try:
        core = Core(store, SteppedClock(start_ms), uplinks=uplinks)
        await core.gateway.keeper.load()
        yield core
    finally:
        await store.close()
