"""A real database in a folder of the test's own."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import aiosqlite
import pytest

from meterkast_buffer import SqliteStore, open_store


class Opener(Protocol):
    """Opens a store as `open_store` does, and sees to it that it is closed when the test is over."""

    async def __call__(self, path: Path, **settings: Any) -> SqliteStore: ...


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is, or will be."""
    return tmp_path / "meterkast.db"


@pytest.fixture
async def opened() -> AsyncIterator[Opener]:
    """Opens stores; a failing test leaves none open, which would keep pytest from ending."""
    stores: list[SqliteStore] = []

    async def open_one(path: Path, **settings: Any) -> SqliteStore:
        stores.append(await open_store(path, **settings))
        return stores[-1]

    yield open_one
    for store in stores:
        await store.close()


@pytest.fixture
async def store(path: Path, opened: Opener) -> SqliteStore:
    """A new, empty store."""
    return await opened(path)


@pytest.fixture
def commit_fails(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """While the block lasts a commit fails with that error; `made`: and is there all the same."""

    @contextlib.contextmanager
    def failing(error: sqlite3.Error, code: int, *, made: bool = False) -> Iterator[None]:
        commit = aiosqlite.Connection.commit
        error.sqlite_errorcode = code

        async def fail(connection: aiosqlite.Connection) -> None:
            if made:
                await commit(connection)
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(aiosqlite.Connection, "commit", fail)
            yield

    return failing
