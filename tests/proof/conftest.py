"""Books in a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from meterkast_buffer.store import open_store

from .site import Site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    path = tmp_path / "meterkast.db"
    store = await open_store(path)
    yield await Site(store, path).load()
    await store.close()
