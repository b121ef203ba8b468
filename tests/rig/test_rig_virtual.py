"""The virtual loop jumps instead of waiting, in its seed's order; SQLite runs in it, and dies with it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from meterkast.model.time import UtcMs
from meterkast_rig.virtual.inline_sqlite import Disk
from meterkast_rig.virtual.loop import DeadlockError, VirtualLoop
from meterkast_rig.virtual.weather import Span, Spans

YEAR_S = 365 * 86_400


def live(work: Coroutine[Any, Any, Any], seed: int = 1, now_us: int = 0) -> Any:
    loop = VirtualLoop(random.Random(seed), now_us)
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


def test_a_year_of_timers_passes_at_once_and_to_the_microsecond() -> None:
    async def wait() -> float:
        loop = asyncio.get_running_loop()
        # Far behind 2**23 s, where a float's steps are wider than asyncio's own resolution.
        await asyncio.sleep(YEAR_S)
        for _ in range(1000):
            await asyncio.sleep(0.001)
        return loop.time()

    assert live(wait()) == pytest.approx(YEAR_S + 1, abs=0.002)


def test_what_is_ready_together_runs_in_an_order_of_the_seed() -> None:
    async def order() -> list[int]:
        found: list[int] = []

        async def one(number: int) -> None:
            await asyncio.sleep(1)
            found.append(number)

        await asyncio.gather(*(one(number) for number in range(20)))
        return found

    first, again, other = live(order(), 1), live(order(), 1), live(order(), 2)
    assert first == again
    assert sorted(first) == sorted(other) == list(range(20))
    assert first != other
    assert first != list(range(20))


def test_work_for_a_thread_is_done_in_the_loop_and_its_error_comes_back() -> None:
    async def work() -> None:
        assert await asyncio.to_thread(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)

    live(work())


def test_waiting_for_what_never_comes_is_told() -> None:
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlockError, match="nothing is scheduled"):
        live(wait())


def test_spans_tell_where_an_instant_is_and_when_that_changes() -> None:
    spans = Spans()
    for begin, end in ((50, 60), (10, 20)):
        spans.add(Span(UtcMs(begin), UtcMs(end)))
    assert [at for at in range(0, 70, 5) if spans.at(at)] == [10, 15, 50, 55]
    assert [spans.next_change_ms(at, 100) for at in (0, 10, 20, 50, 60)] == [10, 20, 50, 60, 100]


# A process that ends: what it leaves on the disk.


async def opened(path: Path) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(str(path), isolation_level=None)
    await connection.execute_fetchall("PRAGMA journal_mode = WAL")
    await connection.execute("PRAGMA synchronous = FULL")
    await connection.execute("CREATE TABLE words (word TEXT)")
    return connection


async def write(connection: aiosqlite.Connection, word: str, *, durable: bool = True) -> None:
    await connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    await connection.execute("BEGIN IMMEDIATE")
    try:
        await connection.execute("INSERT INTO words VALUES (?)", (word,))
        await connection.commit()
    except BaseException:
        await connection.rollback()
        raise


def words(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as found:
        assert found.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [word for (word,) in found.execute("SELECT word FROM words")]


@pytest.mark.parametrize(
    ("durable", "power_cut", "expected"),
    [(True, True, ["one", "two"]), (False, False, ["one", "two"]), (False, True, ["one"])],
)
def test_power_cut_takes_what_was_not_fsynced_and_a_kill_does_not(
    tmp_path: Path, durable: bool, power_cut: bool, expected: list[str]
) -> None:
    disk, path = Disk(), tmp_path / "it.db"

    async def work() -> None:
        connection = await opened(path)
        await write(connection, "one")
        await write(connection, "two", durable=durable)

    with disk.in_use():
        live(work())
        disk.abandon(path, power_cut=power_cut)
    assert words(path) == expected


def test_process_that_ends_in_mid_transaction_leaves_nothing_of_it(tmp_path: Path) -> None:
    disk, path = Disk(), tmp_path / "it.db"
    loop = VirtualLoop(random.Random(1))

    async def work() -> None:
        connection = await opened(path)
        await write(connection, "one")
        disk.die_after, disk.died = 1, loop.stop  # after the statement, before the commit
        await write(connection, "two")

    with disk.in_use():
        task = loop.create_task(work())
        loop.run_forever()
        assert not task.done(), "not even its `except` runs"
        disk.abandon(path, power_cut=False)
    assert words(path) == ["one"]
    task.cancel()
    with pytest.raises(ValueError, match="no active connection"):
        loop.run_until_complete(task)
    loop.close()


def test_disk_that_refuses_is_a_full_disk(tmp_path: Path) -> None:
    disk = Disk()

    async def work() -> None:
        connection = await opened(tmp_path / "it.db")
        disk.refuses = lambda: True
        with pytest.raises(sqlite3.OperationalError, match="full") as refused:
            await write(connection, "one")
        assert refused.value.sqlite_errorcode == sqlite3.SQLITE_FULL
        disk.refuses = lambda: False
        await write(connection, "two")
        await connection.close()

    with disk.in_use():
        live(work())
    assert words(tmp_path / "it.db") == ["two"]
