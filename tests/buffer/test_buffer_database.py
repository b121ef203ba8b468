"""How a database is opened, brought up to date, and refused."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from meterkast.model.errors import StorageError
from meterkast_buffer import SqliteStore
from meterkast_buffer.database import Database
from meterkast_buffer.migrate import APPLICATION_ID, Migration, migrate, migrations, newest_version

Open = Callable[..., Awaitable[SqliteStore]]


def pragma(path: Path, name: str) -> object:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]
    finally:
        connection.close()


def content(path: Path) -> bytes:
    return path.read_bytes()


def overwrite(path: Path, data: bytes) -> None:
    path.write_bytes(data)


async def test_a_new_database_is_ours_and_at_the_newest_version(path: Path, opened: Open) -> None:
    await (await opened(path)).close()
    assert pragma(path, "application_id") == APPLICATION_ID
    assert pragma(path, "user_version") == newest_version()
    assert pragma(path, "journal_mode") == "wal"
    assert pragma(path, "page_size") == 4096


async def test_what_is_promised_is_flushed(store: SqliteStore) -> None:
    assert await store.database.rows("PRAGMA synchronous") == [(2,)]  # FULL
    assert await store.database.rows("PRAGMA secure_delete") == [(0,)]
    assert await store.database.rows("PRAGMA foreign_keys") == [(1,)]


async def test_opening_again_migrates_nothing_and_loses_nothing(path: Path, opened: Open) -> None:
    store = await opened(path)
    await store.set_state("gateway", "color", "green")
    await store.close()
    for _ in range(2):
        store = await opened(path)
        assert await store.get_state("gateway", "color") == "green"
        await store.close()


async def test_migrations_run_once_each(path: Path) -> None:
    async with aiosqlite.connect(path, isolation_level=None) as connection:
        assert await migrate(connection, 0) == newest_version()
        assert await migrate(connection, newest_version()) == 0


async def test_a_migration_that_fails_leaves_the_version_before_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, opened: Open
) -> None:
    await (await opened(path)).close()
    number = newest_version() + 1
    broken = Migration(number, "broken.sql", "CREATE TABLE half (a);\nINSERT INTO nowhere VALUES (1);")
    monkeypatch.setattr("meterkast_buffer.migrate.migrations", lambda: (*MIGRATIONS, broken))
    with pytest.raises(StorageError, match="nowhere"):
        await opened(path)
    assert pragma(path, "user_version") == number - 1
    monkeypatch.setattr("meterkast_buffer.migrate.migrations", lambda: MIGRATIONS)
    store = await opened(path)
    assert await store.database.rows("SELECT name FROM sqlite_master WHERE name = 'half'") == []
    await store.close()


MIGRATIONS = migrations()


async def test_a_newer_database_is_refused_and_says_what_to_do(path: Path, opened: Open) -> None:
    await (await opened(path)).close()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE novelties (name TEXT)")
    connection.execute(f"PRAGMA user_version = {newest_version() + 41}")
    connection.close()
    before = content(path)
    with pytest.raises(StorageError) as caught:
        await opened(path)
    assert f"version {newest_version() + 41}" in str(caught.value)
    assert f"up to {newest_version()}" in str(caught.value)
    assert "Install that release again" in caught.value.hint
    assert content(path) == before


async def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(path: Path, opened: Open) -> None:
    overwrite(path, b"half-hours of ten years\n" * 400)
    before = content(path)
    with pytest.raises(StorageError, match="is no database") as caught:
        await opened(path)
    assert "left as it is" in caught.value.hint
    assert content(path) == before


async def test_another_programs_database_is_refused_and_left_as_it_is(path: Path, opened: Open) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.commit()
    connection.close()
    before = content(path)
    with pytest.raises(StorageError, match="another program"):
        await opened(path)
    assert content(path) == before


@pytest.mark.parametrize("damage", ["schema", "cut off"])
async def test_one_who_only_looks_repairs_nothing(path: Path, damage: str, opened: Open) -> None:
    store = await opened(path)
    await store.set_state("gateway", "color", "green")
    await store.close()
    whole = content(path)
    if damage == "schema":
        overwrite(path, whole[:100] + os.urandom(3996) + whole[4096:])
    else:
        overwrite(path, whole[: len(whole) // 2 // 4096 * 4096])
    before = content(path)
    with pytest.raises(StorageError, match="is damaged"):
        await opened(path, read_only=True)
    assert content(path) == before


async def test_a_missing_folder_is_named(tmp_path: Path, opened: Open) -> None:
    with pytest.raises(StorageError, match="nowhere") as caught:
        await opened(tmp_path / "nowhere" / "meterkast.db")
    assert "folder" in caught.value.hint


async def test_a_second_gateway_is_kept_away_until_the_first_is_gone(
    path: Path, store: SqliteStore, opened: Open
) -> None:
    with pytest.raises(StorageError, match="another gateway"):
        await opened(path)
    await store.close()
    await (await opened(path)).close()


async def test_one_may_look_while_the_gateway_runs_but_not_write(
    path: Path, store: SqliteStore, opened: Open
) -> None:
    await store.set_state("gateway", "color", "green")
    looking = await opened(path, read_only=True)
    assert await looking.get_state("gateway", "color") == "green"
    with pytest.raises(StorageError, match="cannot be written"):
        await looking.set_state("gateway", "color", "red")
    await looking.close()
    assert await store.get_state("gateway", "color") == "green"


async def test_looking_at_what_is_not_there_makes_nothing(path: Path, tmp_path: Path, opened: Open) -> None:
    with pytest.raises(StorageError, match="cannot be opened"):
        await opened(path, read_only=True)
    assert os.listdir(tmp_path) == []


async def test_a_closed_store_says_so(store: SqliteStore) -> None:
    await store.close()
    await store.close()
    with pytest.raises(StorageError, match="is closed"):
        await store.get_state("gateway", "color")
    with pytest.raises(StorageError, match="is closed"):
        await store.set_state("gateway", "color", "red")


async def put_twice(database: Database, key: str, pause: asyncio.Event | None = None) -> None:
    async def work(connection: aiosqlite.Connection) -> None:
        await connection.execute("INSERT INTO state VALUES ('a', ?, '1')", (key,))
        if pause is not None:
            await pause.wait()
        await connection.execute("INSERT INTO state VALUES ('b', ?, '2')", (key,))

    await database.transact(work)


async def test_a_reader_never_sees_half_a_transaction(store: SqliteStore) -> None:
    pause = asyncio.Event()
    writing = asyncio.create_task(put_twice(store.database, "x", pause))
    await asyncio.sleep(0.05)
    reading = asyncio.create_task(store.database.rows("SELECT count(*) FROM state"))
    await asyncio.sleep(0.05)
    pause.set()
    assert await reading == [(2,)]
    await writing


async def test_cancelling_does_not_cut_a_transaction_in_two(store: SqliteStore) -> None:
    pause = asyncio.Event()
    writing = asyncio.create_task(put_twice(store.database, "x", pause))
    await asyncio.sleep(0.05)
    writing.cancel()
    asyncio.get_running_loop().call_later(0.05, pause.set)
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await store.database.rows("SELECT count(*) FROM state") == [(2,)]


async def test_a_transaction_that_fails_leaves_nothing_and_is_shown_until_one_succeeds(
    store: SqliteStore,
) -> None:
    await put_twice(store.database, "x")
    with pytest.raises(StorageError, match="UNIQUE"):
        await put_twice(store.database, "x")
    status = store.storage()
    assert (status.writes, status.failures) == (1, 1)
    assert "UNIQUE" in status.problem
    assert await store.database.rows("SELECT count(*) FROM state") == [(2,)]
    await put_twice(store.database, "y")
    assert store.storage().problem == ""


async def test_after_a_failed_flush_everything_goes_to_the_file_before_more_is_promised(
    store: SqliteStore, path: Path, commit_fails: Callable[..., Any]
) -> None:
    await store.set_state("gateway", "color", "green")
    failed = sqlite3.OperationalError("disk I/O error")
    with (
        commit_fails(failed, sqlite3.SQLITE_IOERR_FSYNC),
        pytest.raises(StorageError, match="the disk failed"),
    ):
        await store.set_state("gateway", "color", "red")
    assert b"green" not in content(path)  # it is in the log only
    assert await store.get_state("gateway", "color") == "green"
    await store.set_state("gateway", "color", "blue")
    assert b"green" in content(path)
    assert await store.get_state("gateway", "color") == "blue"


async def test_the_structure_of_the_file_can_be_checked(store: SqliteStore) -> None:
    assert await store.database.check() == []


async def test_the_log_has_its_size_from_the_start(path: Path, store: SqliteStore) -> None:
    log = path.with_name(path.name + "-wal")
    size = log.stat().st_size
    assert size > 1_000_000
    for number in range(100):
        await store.set_state("gateway", "color", str(number))
    assert log.stat().st_size == size
    assert store.storage().file_bytes == size + len(content(path))
