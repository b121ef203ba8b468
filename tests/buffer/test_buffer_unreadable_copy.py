"""A second copy that is there and cannot be read is no empty one."""

# ruff: noqa: ASYNC240 - files are small here, and nothing else runs
from __future__ import annotations

import errno
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from meterkast.model.errors import StorageError
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import HALF_HOUR_MS, UtcMs
from meterkast.ports.store import Keep
from meterkast_buffer import SqliteStore
from meterkast_buffer.journal import Journal

Open = Callable[..., Awaitable[SqliteStore]]

START = UtcMs(1_790_812_800_000)


async def lived(opened: Open, path: Path) -> None:
    store = await opened(path)
    for number in range(20):
        end = UtcMs(START + number * HALF_HOUR_MS)
        row = HalfHour(property_id=PropertyId(1), end_ms=end, value=Quantity(number))
        await store.keep(Keep(now_ms=end, half_hours=[row], closed={(PropertyId(1), HALF_HOUR_MS): end}))
    await store.close()


async def values(store: SqliteStore) -> list[int | None]:
    rows = await store.half_hours(UtcMs(0), UtcMs(1 << 60))
    return [row.value.whole if row.value else None for row in rows]


@pytest.fixture(params=["read_bytes", "iterdir"])
def failing(request: pytest.FixtureRequest) -> Callable[[pytest.MonkeyPatch], None]:
    """The card fails where a file of the second copy, or its folder, is read."""

    def patch(patched: pytest.MonkeyPatch) -> None:
        read = getattr(Path, request.param)

        def fail(path: Path) -> object:
            if ".journal" in path.name:
                raise OSError(errno.EIO, "Input/output error", str(path))
            return read(path)

        patched.setattr(Path, request.param, fail)

    return patch


async def test_a_database_that_is_gone_is_not_begun_anew_while_its_copy_cannot_be_read(
    path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch, failing: Callable[..., None]
) -> None:
    await lived(opened, path)
    path.unlink()
    with monkeypatch.context() as patched:
        failing(patched)
        with pytest.raises(StorageError, match="second copy cannot be read"):
            await opened(path)
    assert not path.exists()
    assert await values(await opened(path)) == list(range(20)), "once it can be read, all is back"


async def test_a_sound_database_goes_on_and_says_that_its_copy_cannot_be_read(
    path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch, failing: Callable[..., None]
) -> None:
    await lived(opened, path)
    size = sum(one.stat().st_size for one in Journal.beside(path).folder.iterdir())
    with monkeypatch.context() as patched:
        failing(patched)
        store = await opened(path)
        assert await values(store) == list(range(20))
        assert "cannot be read: Input/output error" in store.storage().notices[0][0]
        await store.close()
    assert sum(one.stat().st_size for one in Journal.beside(path).folder.iterdir()) == size


async def test_a_wrong_row_is_not_given_up_while_the_copy_cannot_be_read(
    path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch, failing: Callable[..., None]
) -> None:
    await lived(opened, path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE half_hours SET whole = 70 WHERE whole = 7")
    connection.close()
    with monkeypatch.context() as patched:
        failing(patched)
        store = await opened(path)
        assert not [doubt for doubt in await store.doubts() if doubt.kind == "lost"]
        with pytest.raises(StorageError, match="1 damaged"):
            await values(store)
        await store.close()
    assert await values(await opened(path)) == list(range(20))


async def test_the_night_gives_no_row_up_while_the_copy_cannot_be_read(
    path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch, failing: Callable[..., None]
) -> None:
    await lived(opened, path)
    store = await opened(path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE half_hours SET whole = 70 WHERE whole = 7")
    connection.close()

    async def night() -> None:
        async for _ in store.scan(UtcMs(START + 40 * HALF_HOUR_MS)):
            pass

    with monkeypatch.context() as patched:
        failing(patched)
        await night()
    assert not [doubt for doubt in await store.doubts() if doubt.kind == "lost"]
    for _ in range(30):
        await night()
    assert await values(store) == list(range(20))
