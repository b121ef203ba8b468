"""A gateway before the RESET stand-in, and its settings."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import engineio.base_client
import pytest
import pytest_asyncio

from meterkast.clock import SystemClock
from meterkast.config.decoding import decode
from meterkast.model.delivery import Item, ItemId, Stream
from meterkast.model.errors import NotDeliveredError
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import HALF_HOUR_MS, Grid, UtcMs, parse_iso, zone
from meterkast.ports.uplink import Uplink
from meterkast.uplinks.context import Context
from meterkast.uplinks.reset import Settings, create
from meterkast.uplinks.reset.plan import Plan, plans
from meterkast_buffer.store import SqliteStore, open_store
from meterkast_rig import reset

LIMIT_S = 30.0  # only against hanging
SECRET = "s3cret-of-the-test"
FIRST = parse_iso("2026-01-15T12:00:00+01:00")
AMSTERDAM = Grid(zone("Europe/Amsterdam"))
# Each gateway begins its message ids at another place, as real ones do by chance.
BEGINNINGS = itertools.count(1)

ENERGY: dict[str, Any] = {
    "connection_id": "MK1-energy",
    "module": "energy",
    "brand": "Landis+Gyr",
    "sku": "E360",
    "serial": "E0012",
    "channels": [{"id": "c01", "readings": {"power_consumption": "E1/import_total"}}],
}
MONITORS: dict[str, dict[str, Any]] = {
    "energy": ENERGY,
    "circularity": ENERGY
    | {
        "connection_id": "MK1-bin",
        "module": "circularity",
        "emptyings": True,
        "channels": [{"id": "c01", "readings": {"bin_weight": "S1/weight"}}],
    },
    "water": ENERGY
    | {
        "connection_id": "MK1-water",
        "module": "water",
        "channels": [{"id": "c01", "readings": {"water_flow": "W1/volume", "water_temp": "W1/temp"}}],
    },
    "air": {
        "connection_id": "MK1-air",
        "module": "air",
        "brand": "b",
        "sku": "s",
        "serial": "1",
        "readings": {name: f"A1/{name}" for name in ("pm2p5", "tvoc", "co2", "temp", "rh", "pm10")},
    },
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[reset.ResetStandIn]:
    async with reset.serving(seed=1, client_secret=SECRET) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def server(shared: reset.ResetStandIn) -> reset.ResetStandIn:
    """The stand-in, empty and without faults.

    Starting Node takes most of a second, so a module's tests share one, and the event loop it was started in.
    """
    await shared.reset_state()
    await shared.set_faults(**dict.fromkeys(await shared.faults()))
    return shared


@pytest_asyncio.fixture(loop_scope="module")
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await open_store(tmp_path / "meterkast.db")
    yield opened
    await opened.close()


class Gateway:
    """Uplinks to the stand-in, and the items they are given."""

    secret = SECRET
    monitors = MONITORS

    def __init__(self, server: reset.ResetStandIn, store: SqliteStore) -> None:
        self.server, self.store = server, store
        self.uplinks: list[Uplink] = []
        self.numbers = itertools.count(1)

    def uplink(self, *monitors: dict[str, Any], **keys: Any) -> Uplink:
        """A gateway that has just started."""
        limits = {"connect_timeout_s": 5, "auth_timeout_s": 5, "ack_timeout_s": 5, "stray_wait_s": 0.3}
        tree = {
            "url": self.server.url,
            "client_id": "demo",
            "client_secret": SECRET,
            "monitors": list(monitors) or [ENERGY],
        }
        beginning = next(BEGINNINGS) / 1000
        context = Context(
            device_id="mk-test",
            grid=AMSTERDAM,
            clock=SystemClock(),
            store=self.store,
            random=lambda: beginning,
        )
        made = create(decode(Settings, tree | limits | keys, "uplinks.reset"), context)
        self.uplinks.append(made)
        return made

    def items(
        self, uplink: Uplink, count: int = 1, name: str = "MK1-energy", begin: int = 0, **value: Any
    ) -> list[Item]:
        """Half-hours of a monitor, oldest first, composed as the pipeline does."""
        [wanted] = [one for one in uplink.wanted() if one.name == name]
        stream = Stream(uplink="reset", name=name, properties=())
        found = []
        for number in range(begin, begin + count):
            end_ms = UtcMs(FIRST + number * HALF_HOUR_MS)
            half_hours = {
                binding: HalfHour(
                    property_id=PropertyId(1), end_ms=end_ms, value=Quantity(84_270 + number), **value
                )
                for binding in wanted.bindings
            }
            [payload] = uplink.compose(stream, half_hours, end_ms)
            found.append(
                Item(
                    id=ItemId(next(self.numbers)), uplink="reset", stream=name, at_ms=end_ms, payload=payload
                )
            )
        return found

    async def arrives(self, uplink: Uplink, items: Sequence[Item]) -> None:
        """Deliver as the engine does, again after each doubt: an answer in time is never certain."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                try:
                    await uplink.deliver("MK1-energy", items)
                    return
                except NotDeliveredError:
                    continue

    async def fails(self, uplink: Uplink, items: Sequence[Item]) -> NotDeliveredError:
        with pytest.raises(NotDeliveredError) as caught:
            await uplink.deliver("MK1-energy", items)
        return caught.value

    async def values(self) -> list[Any]:
        """What RESET has of all readings."""
        return [one["value"] for one in (await self.server.received())["readings"]]

    async def until(self, seen: Callable[[dict[str, Any]], object]) -> None:
        """Wait until RESET has received something."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                if seen(await self.server.received()):
                    return
                await asyncio.sleep(0.02)


@pytest_asyncio.fixture(loop_scope="module")
async def gateway(server: reset.ResetStandIn, store: SqliteStore) -> AsyncIterator[Gateway]:
    """A gateway; when the test is over, nothing of it may be left."""
    before = asyncio.all_tasks()
    made = Gateway(server, store)
    yield made
    for uplink in made.uplinks:
        await uplink.close()
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert left == set()
    assert engineio.base_client.connected_clients == []


def one_monitor(**monitor: Any) -> Settings:
    tree = {"connection_id": "M1", "brand": "b", "sku": "s", "serial": "1"} | monitor
    return decode(Settings, {"client_id": "id", "monitors": [tree]}, "uplinks.reset")


@pytest.fixture
def settings() -> Callable[..., Settings]:
    """Settings with one monitor, M1, of the given keys."""
    return one_monitor


@pytest.fixture
def plan() -> Callable[..., Plan]:
    """The plan of monitor M1: of a module, with a channel for each mapping."""

    def made(module: str, *channels: dict[str, str], **monitor: Any) -> Plan:
        listed = [{"id": f"c{n:02}", "readings": readings} for n, readings in enumerate(channels, 1)]
        [only] = plans(one_monitor(module=module, **({"channels": listed} if listed else {}), **monitor))
        return only

    return made
