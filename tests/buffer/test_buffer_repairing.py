"""Rows that went wrong long ago: what the second copy holds is never given up."""

# ruff: noqa: ASYNC240 - files are small here, and nothing else runs
from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from meterkast.cli import main
from meterkast.model.boot import Boot
from meterkast.model.errors import StorageError
from meterkast.model.half_hour import HalfHour, RowKey
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import DAY_MS, HALF_HOUR_MS, UtcMs
from meterkast.ports.store import Keep
from meterkast_buffer import SqliteStore, checking, completing, second, starting
from meterkast_buffer.frames import ROWS, frames_of, pack
from meterkast_buffer.journal import Journal

Open = Callable[..., Awaitable[SqliteStore]]

START = UtcMs(1_790_812_800_000)  # 1 October 2026
DAYS = 40


def day(number: int, properties: int = 1) -> Keep:
    ends = [UtcMs(START + number * DAY_MS + step * HALF_HOUR_MS) for step in range(1, 49)]
    return Keep(
        now_ms=ends[-1],
        half_hours=[
            HalfHour(property_id=PropertyId(one), end_ms=end, value=Quantity((end - START) // HALF_HOUR_MS))
            for end in ends
            for one in range(1, properties + 1)
        ],
        closed={(PropertyId(one), HALF_HOUR_MS): ends[-1] for one in range(1, properties + 1)},
    )


async def lived(opened: Open, path: Path, days: int = DAYS, properties: int = 1) -> None:
    store = await opened(path)
    for number in range(days):
        await store.keep(day(number, properties))
    await store.close()


def hurt(path: Path, sql: str) -> None:
    """What a card does: no trigger, no CRC."""
    connection = sqlite3.connect(path, isolation_level=None)
    assert connection.execute(sql).rowcount > 0
    connection.close()


def wholes(path: Path) -> list[int | None]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT whole FROM half_hours ORDER BY end_ms, revision").fetchall()
    connection.close()
    return [row[0] for row in rows]


ALL = list(range(1, 48 * DAYS + 1))


@pytest.fixture(params=["small", "large"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that is checked whole at each start, or one that is too large for that."""
    if request.param == "large":
        monkeypatch.setattr(checking, "WHOLE_BYTES", 4096)
    return str(request.param)


async def salvage(path: Path, *options: str) -> int:
    return await asyncio.to_thread(main, ["salvage", *options, str(path)])


@pytest.mark.parametrize(
    "sql", ["UPDATE half_hours SET whole = 1000 WHERE whole = 9", "DELETE FROM half_hours WHERE whole = 9"]
)
async def test_an_old_row_comes_back_from_the_second_copy_at_start(
    path: Path, opened: Open, sql: str
) -> None:
    await lived(opened, path)
    hurt(path, sql)
    store = await opened(path)
    assert [doubt.kind for doubt in await store.doubts()] == ["put back"]
    await store.close()
    assert wholes(path) == ALL


@pytest.mark.parametrize(
    "sql", ["UPDATE half_hours SET whole = 1000 WHERE whole = 9", "DELETE FROM half_hours WHERE whole = 9"]
)
async def test_salvage_compares_all_there_is_whatever_the_size(
    path: Path, opened: Open, size: str, sql: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await lived(opened, path)
    hurt(path, sql)
    before = path.read_bytes()
    assert await salvage(path, "--check") == 1
    looked = capsys.readouterr().out
    assert looked.startswith("Nothing was changed.")
    assert "1 half-hours can be put back" in looked
    assert path.read_bytes() == before
    assert not list(path.parent.glob("meterkast-check-*"))
    assert await salvage(path) == 0
    told = capsys.readouterr().out
    assert "1 half-hours were put back" in told
    assert "lost" not in told
    assert wholes(path) == ALL
    assert await salvage(path, "--check") == 0


async def test_a_large_database_gives_up_no_row_that_the_second_copy_may_hold(
    path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recent row that the copy holds in an old frame alone: the clock stood wrong when it was kept."""
    await lived(opened, path)
    [*_, segment] = Journal.beside(path).segments()
    data = b""
    for _, _, frame in frames_of(segment.read_bytes()):
        assert frame is not None
        newest = frame.kind == ROWS and f"|{48 * DAYS}|" in frame.body.decode()
        data += pack(frame.kind, frame.body, START if newest else frame.at_ms, frame.version)
    segment.write_bytes(data)
    monkeypatch.setattr(checking, "WHOLE_BYTES", 4096)
    hurt(path, f"UPDATE half_hours SET whole = 1 WHERE whole = {48 * DAYS}")
    store = await opened(path)
    assert {doubt.kind for doubt in await store.doubts()} == {"put back"}
    await store.close()
    assert wholes(path) == ALL


def gone(path: Path) -> None:
    path.unlink()


def no_copy(path: Path) -> None:
    shutil.rmtree(Journal.beside(path).folder)


def damaged_copy(path: Path) -> None:
    [*_, segment] = Journal.beside(path).segments()
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)


@pytest.mark.parametrize("harm", [gone, no_copy, damaged_copy])
async def test_what_is_held_at_once_does_not_grow_with_the_history(
    path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(second, "_BATCH", 500)
    monkeypatch.setattr(completing, "_PAGE", 500)
    most = {}
    for days in (5, 40):
        place = path.with_name(f"{days}.db")
        await lived(opened, place, days, properties=12)
        harm(place)
        tracemalloc.start()
        starting.make_ready(str(place), 10)
        most[days] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(wholes(place)) == days * 48 * 12
        assert len(kept_twice(place)) == days * 48 * 12
    assert most[40] < most[5] + 1_000_000  # some 50 bytes for each row more; their texts alone are 150


def kept_twice(path: Path) -> set[RowKey]:
    """What the second copy holds."""
    return {key for batch in second.kept_since(Journal.beside(path)) for key in batch}


async def test_what_was_added_to_the_second_copy_is_not_added_again(path: Path, opened: Open) -> None:
    await lived(opened, path)
    damaged_copy(path)
    await (await opened(path)).close()
    folder = Journal.beside(path).folder
    sizes = {one.name: one.stat().st_size for one in folder.iterdir()}
    frames = [frame for frame in Journal(folder).frames() if frame.kind == ROWS]
    assert len(frames) == DAYS, "no more than the damaged frame was added"
    assert all(f"|{frame.at_ms}|" in frame.body.decode() for frame in frames), "each has its rows' own time"
    await (await opened(path)).close()
    assert {one.name: one.stat().st_size for one in folder.iterdir()} == sizes


async def test_salvage_writes_damaged_files_of_the_second_copy_anew_however_old(
    path: Path, opened: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    await lived(opened, path, 100)
    first, *_ = segments = Journal.beside(path).segments()
    assert len(segments) > 3
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    await (await opened(path)).close()
    assert first.read_bytes() == data, "a start looks at the newest two"
    assert await salvage(path) == 0
    assert f"{first.name} is damaged" in capsys.readouterr().out
    assert await salvage(path, "--check") == 0
    assert len(kept_twice(path)) == 100 * 48


BAD_BOOT = "UPDATE boots SET offset_ms = offset_ms + (1 << 39) WHERE id = 'b'"


async def booted(opened: Open, path: Path) -> SqliteStore:
    store = await opened(path)
    for name in "abc":
        boot = Boot(id=name, first_ms=1, last_ms=2, offset_ms=START)
        await store.keep(Keep(now_ms=START, boot=boot))
    return store


async def test_a_boot_that_is_not_as_it_was_written_is_taken_out_at_start_whatever_the_size(
    path: Path, opened: Open, size: str
) -> None:
    await (await booted(opened, path)).close()
    hurt(path, BAD_BOOT)
    store = await opened(path)
    assert [boot.id for boot in await store.boots()] == ["a", "c"]
    [doubt] = await store.doubts()
    assert "1 rows of the table boots" in doubt.detail


async def test_a_boot_that_went_wrong_since_is_not_believed(
    path: Path, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    store = await booted(opened, path)
    hurt(path, BAD_BOOT)
    assert [boot.id for boot in await store.boots()] == ["a", "c"]
    assert "boots damaged" in caplog.text


GATEWAY = 65534
"""A user who is not root, as the gateway's own is."""


def given_to_the_gateway(path: Path) -> None:
    if os.geteuid():
        pytest.fail("needs to be root, as those who mount are")
    path.chmod(0o640)
    for one in (path.parent, *path.parent.rglob("*")):
        os.chown(one, GATEWAY, GATEWAY)


@pytest.mark.parametrize("harm", [gone, no_copy, damaged_copy])
async def test_what_root_salvages_stays_the_gateways(
    path: Path, opened: Open, harm: Callable[[Path], None]
) -> None:
    await lived(opened, path)
    given_to_the_gateway(path)
    harm(path)
    path.with_name(f"{path.name}.lock").unlink()
    assert await salvage(path) == 0
    assert {
        one.name: one.stat().st_uid for one in path.parent.rglob("*") if one.stat().st_uid != GATEWAY
    } == {}


async def test_a_rebuilt_database_has_the_owner_and_the_mode_of_the_damaged_one(
    path: Path, opened: Open
) -> None:
    await lived(opened, path)
    given_to_the_gateway(path)
    data = bytearray(path.read_bytes())
    data[:4096] = bytes(4096)
    path.write_bytes(data)
    assert await salvage(path) == 0
    assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (GATEWAY, 0o640)


async def test_a_database_of_another_user_is_told_from_a_failing_card(path: Path, opened: Open) -> None:
    await lived(opened, path, 1)
    given_to_the_gateway(path)
    os.chown(path, 0, 0)
    path.chmod(0o644)
    enter = stat.S_IXGRP | stat.S_IXOTH
    shut = [one for one in path.parents if not one.stat().st_mode & enter]
    try:
        for one in shut:
            one.chmod(one.stat().st_mode | enter)
        os.seteuid(GATEWAY)
        with pytest.raises(StorageError, match="cannot be written") as refused:
            await opened(path)
    finally:
        os.seteuid(0)
        for one in shut:
            one.chmod(one.stat().st_mode & ~enter)
    assert "belongs to user 0" in refused.value.hint
    assert "card" not in refused.value.hint
