"""The real gateway's core, read by the simulated meter on a stepped clock, and the commands beside it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from meterkast.app import Gateway
from meterkast.cli import main
from meterkast.config.decoding import decode
from meterkast.config.sections import Config
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import Product, Property
from meterkast.model.reading import Batch
from meterkast.model.time import HALF_HOUR_MS, SECOND_MS, UtcMs, parse_iso
from meterkast.pipeline.inventory import DriverCatalog
from meterkast.ports.clock import Trust
from meterkast_buffer.store import SqliteStore, open_store
from meterkast_rig import configuration
from meterkast_rig.p1_meter import SimulatedMeter
from meterkast_rig.p1_wire import Wire
from meterkast_rig.stepped import SteppedClock

START = parse_iso("2026-04-15T22:00:00Z")


@dataclass
class Reading:
    """A gateway's core: telegrams are handed to it, transactions are made when a test says so."""

    folder: Path
    store: SqliteStore
    clock: SteppedClock
    gateway: Gateway
    sent: dict[UtcMs, bytes] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wire = Wire(DriverCatalog(self.gateway.keeper, "p1"))

    async def telegram(self, data: bytes) -> None:
        """What a port hands over."""
        for batch in await self.wire.take(data, self.clock.boot_ns()):
            self.batches.append(batch)
            self.gateway.intake.emit(batch)

    async def read(
        self, meter: SimulatedMeter, until_ms: int, *, every_s: int = 10, late_ms: int = 300
    ) -> None:
        """Telegrams up to and with an instant, each a little after it was sent; a flush each minute."""
        at_ms = UtcMs(self.clock.now_ms() // SECOND_MS * SECOND_MS + every_s * SECOND_MS)
        while at_ms <= until_ms:
            self.clock.set(UtcMs(at_ms + late_ms))
            self.sent[at_ms] = meter.telegram(at_ms)
            await self.telegram(self.sent[at_ms])
            if at_ms % 60_000 < every_s * SECOND_MS:
                self.clock.pass_ms(2000 - late_ms)
                await self.gateway.keeper.flush()
            at_ms = UtcMs(at_ms + every_s * SECOND_MS)

    async def idle(self, seconds: int) -> None:
        """Time passes without a telegram."""
        self.clock.pass_ms(seconds * SECOND_MS)
        await self.gateway.keeper.flush()

    async def prop(self, channel: str) -> tuple[Product, Property]:
        medium, key = channel.split("/")
        products = {one.id: one for one in await self.store.products()}
        (found,) = [
            one
            for one in await self.store.properties()
            if one.key == key and products[one.product_id].description.medium == medium
        ]
        return products[found.product_id], found

    async def row(self, channel: str, end_ms: int) -> HalfHour:
        _, prop = await self.prop(channel)
        (row,) = await self.store.half_hours(UtcMs(end_ms - 1), UtcMs(end_ms), properties=[prop.id])
        return row


@pytest.fixture
def reading(tmp_path: Path) -> Callable[..., contextlib.AbstractAsyncContextManager[Reading]]:
    """Opens a gateway's core: `async with reading() as it`; again on the same database after a restart."""

    @contextlib.asynccontextmanager
    async def opened(
        start_ms: UtcMs = START, trust: Trust = Trust.TRUSTED, **storage: Any
    ) -> AsyncIterator[Reading]:
        tree = {**configuration.gateway(tmp_path), "drivers": {"p1": {"port": "/dev/null"}}}
        tree["storage"] = {**tree["storage"], **storage}
        configuration.write(tmp_path, tree)
        store = await open_store(tmp_path / "meterkast.db")
        try:
            clock = SteppedClock(start_ms)
            clock.trust = trust
            gateway = Gateway(decode(Config, {"page": {"enabled": False}}), clock, store, "mk-test")
            await gateway.keeper.load()
            yield Reading(tmp_path, store, clock, gateway)
        finally:
            await store.close()

    return opened


@dataclass
class Command:
    """Runs commands on that gateway's configuration."""

    folder: Path
    capsys: Any

    async def __call__(self, *words: str) -> tuple[int, str, str]:
        """Exit status, what it printed, what it complained of."""
        name, *rest = words
        arguments = [name, "--config", str(self.folder / "meterkast.toml"), *rest]
        status = await asyncio.to_thread(main, arguments)  # it has a loop of its own
        printed = self.capsys.readouterr()
        return status, printed.out, printed.err


@pytest.fixture
def command(tmp_path: Path, capsys: Any) -> Command:
    return Command(tmp_path, capsys)


def half_hour(number: int) -> UtcMs:
    """The end of the so-manieth half-hour after the start."""
    return UtcMs(START + number * HALF_HOUR_MS)
