"""A page on loopback, over the made-up house and a store in a file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path

import aiohttp
import pytest

from meterkast.model.datatypes import DATATYPES, DatatypeId
from meterkast.model.half_hour import Cause, HalfHour
from meterkast.model.product import Medium, ProductDescription, PropertyDescription
from meterkast.model.time import Grid
from meterkast.pipeline.health import Snapshot
from meterkast.web.server import application, serve
from meterkast_buffer.store import SqliteStore, open_store

from .house import ZONE, House, a_day, in_trouble, whole


@pytest.fixture
def make_day() -> Callable[..., list[HalfHour]]:
    return a_day


@pytest.fixture
def trouble() -> Snapshot:
    return in_trouble()


async def opened(folder: Path) -> SqliteStore:
    """A store that knows the made-up house's properties by the ids its snapshot has."""
    store = await open_store(folder / "meterkast.db")
    for product in whole().products:
        medium = Medium(product.medium)
        _, made = await store.declare(
            ProductDescription(identity=f"p1:{product.serial}", name=product.name, medium=medium),
            [
                PropertyDescription(
                    key=each.key,
                    name=each.name,
                    datatype=DatatypeId(each.datatype),
                    unit=DATATYPES[DatatypeId(each.datatype)].unit,
                )
                for each in product.properties
            ],
        )
        assert {each.key: each.id for each in product.properties} == {key: made[key].id for key in made}
    return store


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """The page as it is served, with a day of half-hours and a hole in it."""
    made = House(whole(), await opened(tmp_path))
    night = [90 + 40 * ((7 * step) % 5) for step in range(13)]
    hole = [Cause.LINK_LOST] * 3
    day: list[int | Cause] = [310, 520, 780, 640, 420, *hole, 380, 210, 0, 460, 390, 350, 610, 700]
    await made.keep(a_day(3, 10_929_000, [*night, *day], datetime(2025, 11, 21, tzinfo=ZONE)))
    app = application(made.page, snapshot=made.seen, store=made.store, grid=Grid(ZONE))
    made.running = await serve(app, made.page)
    async with aiohttp.ClientSession() as made.client:
        yield made
    await made.running.close()
    await made.store.close()
