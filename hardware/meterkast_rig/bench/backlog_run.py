"""Runs as a process of its own: fills an outbox, or drains one with the real engine and uplink.

    python -m meterkast_rig.bench.backlog_run fill|drain|restart PLATFORM URL FOLDER DAYS

`drain` and `restart` print one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from meterkast.app import make_uplinks
from meterkast.clock import SystemClock
from meterkast.config.decoding import decode
from meterkast.config.sections import Config
from meterkast.model.delivery import NewItem, Stream
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import DAY_MS, HALF_HOUR_MS, Grid, UtcMs, zone
from meterkast.pipeline.delivery import Delivery
from meterkast.ports.clock import Clock, Trust
from meterkast.ports.store import Keep
from meterkast.ports.uplink import Binding, Uplink
from meterkast.uplinks.context import Context
from meterkast_buffer.store import SqliteStore, open_store
from meterkast_rig import configuration
from meterkast_rig.bench.load import START_MS
from meterkast_rig.bench.process import own_rss_kib
from meterkast_rig.configuration import Section

CHANNELS = 20
PARALLEL = 20
MONITORS = 4
_PAGE = 2_000
_STUCK_S = 60.0


class OutageClock(SystemClock):
    """The machine's clock moved to before the outage, and taken for right; `end` moves it to after it."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead_ms = START_MS - super().now_ms()

    def end(self, days: int) -> None:
        """The platform can be reached again."""
        self._ahead_ms += (days + 1) * DAY_MS

    def now_ms(self) -> UtcMs:
        return UtcMs(super().now_ms() + self._ahead_ms)

    @property
    def trust(self) -> Trust:
        return Trust.TRUSTED


def settings(platform: str, url: str) -> Section:
    """The configuration of 20 channels: 20 meters at Wattics, four monitors of five channels at RESET."""
    if platform == "wattics":
        meters = [configuration.single(f"meter-{n}", f"bench/register_{n}", "kWh") for n in range(CHANNELS)]
        return configuration.wattics(url, meters, parallel=PARALLEL)
    each = CHANNELS // MONITORS
    monitors = []
    for m in range(MONITORS):
        registers = range(m * each, (m + 1) * each)
        channels = [
            configuration.channel(f"{n}", f"Register {n}", power_consumption=f"bench/register_{n}")
            for n in registers
        ]
        monitors.append(configuration.monitor(f"monitor-{m}", "energy", "bench", channels=channels))
    return configuration.reset(url, monitors)


def uplink_of(platform: str, url: str, store: SqliteStore, clock: Clock) -> Uplink:
    """The real uplink."""
    config = decode(Config, {"uplinks": {platform: settings(platform, url)}})
    grid = Grid(zone(config.site.time_zone))
    context = Context(
        device_id="mk-bench", grid=grid, clock=clock, store=store, random=random.Random(1).random
    )
    return make_uplinks(config, context)[platform]


async def fill(platform: str, url: str, folder: Path, days: int) -> None:
    """What an outage of so many days leaves in the outbox, composed by the uplink itself."""
    store = await open_store(folder / f"{platform}.db")
    try:
        uplink = uplink_of(platform, url, store, OutageClock())
        items: list[NewItem] = []
        for end_ms in range(START_MS + HALF_HOUR_MS, START_MS + days * DAY_MS + 1, HALF_HOUR_MS):
            for wanted in uplink.wanted():
                half_hours = {binding: _half_hour(binding, UtcMs(end_ms)) for binding in wanted.bindings}
                ids = tuple(half_hour.property_id for half_hour in half_hours.values())
                stream = Stream(uplink=platform, name=wanted.name, properties=ids)
                items += [
                    NewItem(uplink=platform, stream=wanted.name, at_ms=UtcMs(end_ms), payload=payload)
                    for payload in uplink.compose(stream, half_hours, UtcMs(end_ms))
                ]
        for first in range(0, len(items), _PAGE):
            await store.keep(Keep(now_ms=START_MS, items=items[first : first + _PAGE]))
    finally:
        await store.close()


def _half_hour(binding: Binding, end_ms: UtcMs) -> HalfHour:
    number = int(binding.key.rpartition("_")[2])
    wh = 1_000_000 * number + (end_ms - START_MS) // HALF_HOUR_MS * (137 + number)
    return HalfHour(
        property_id=PropertyId(number + 1), end_ms=end_ms, value=Quantity(wh, 0), taken_ms=end_ms, count=1800
    )


async def drain(platform: str, url: str, folder: Path, days: int, restarted: bool) -> Mapping[str, float]:
    """Deliver all of it; the time runs from the first message to the last acknowledgement.

    Args:
        restarted: The gateway started after the outage, and not before it. Then anything in the outbox may
            be at the platform already.
    """
    store = await open_store(folder / f"{platform}.db")
    try:
        clock = OutageClock()
        if restarted:
            clock.end(days)
        uplink = uplink_of(platform, url, store, clock)
        delivery = Delivery(uplink, store, clock, slot_ms=0, random=random.Random(2).random)
        items = sum(status.pending for status in store.streams().values())
        running = asyncio.create_task(delivery.run())
        if not restarted:
            await asyncio.sleep(0.3)  # it runs, and nothing is due yet
            clock.end(days)
            delivery.announce()
        # The library and the connection are there from the first message on.
        async with asyncio.timeout(_STUCK_S):
            while not delivery.delivered:  # noqa: ASYNC110 - the engine tells nobody
                await asyncio.sleep(0.005)
        already, began_s, cpu_s = delivery.delivered, time.monotonic(), time.process_time()
        before_kib = peak_kib = own_rss_kib()
        while any(status.pending for status in store.streams().values()):
            await asyncio.sleep(0.05)
            peak_kib = max(peak_kib, own_rss_kib())
        wall_s = time.monotonic() - began_s
        cpu_s = time.process_time() - cpu_s
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        # A receipt names its message.
        grouped = "SELECT count(*) AS together FROM outbox GROUP BY stream_id, receipt"
        [(messages, largest)] = await store.database.rows(f"SELECT count(*), max(together) FROM ({grouped})")
        return {
            "items": items,
            "messages": messages,
            "largest": largest,
            "timed": items - already,
            "wall_s": wall_s,
            "cpu_s": cpu_s,
            "grown_kib": peak_kib - before_kib,
        }
    finally:
        await store.close()


def main(arguments: Sequence[str]) -> int:
    """One step."""
    step, platform, url, folder, days = arguments
    if step == "fill":
        asyncio.run(fill(platform, url, Path(folder), int(days)))
    else:
        restarted = step == "restart"
        print(json.dumps(asyncio.run(drain(platform, url, Path(folder), int(days), restarted))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
