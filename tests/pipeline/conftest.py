"""What is driven over the real store: a delivery, a keeper with its meters; and a clock that a test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from meterkast_buffer.store import open_store

from .far_end import Bench, VirtualClock
from .meter_house import MeterHouse


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    store = await open_store(tmp_path / "meterkast.db")
    made = Bench(store)
    yield made
    await made.stop()
    await store.close()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[MeterHouse]:
    store = await open_store(tmp_path / "meterkast.db")
    yield MeterHouse(store)
    await store.close()
