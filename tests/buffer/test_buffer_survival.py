"""A damaged, full or failing disk: what is rebuilt, what is named, and that it goes on."""

# ruff: noqa: ASYNC240 - files are small here, and nothing else runs
from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meterkast.cli import main
from meterkast.model.boot import Boot
from meterkast.model.errors import StorageError
from meterkast.model.evidence import Evidence
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import Medium, ProductDescription, PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.reading import Column, Frames, TimeSource
from meterkast.model.time import HALF_HOUR_MS, UtcMs
from meterkast.model.untimed import Untimed
from meterkast.ports.store import Keep
from meterkast_buffer import SqliteStore
from meterkast_buffer.ballast import BYTES, Ballast
from meterkast_buffer.frames import ROWS, Frame, frames_of, pack, texts_of
from meterkast_buffer.journal import Damage, Journal

Open = Callable[..., Awaitable[SqliteStore]]

START = UtcMs(1_790_812_800_000)


def closing(number: int) -> Keep:
    end = UtcMs(START + number * HALF_HOUR_MS)
    return Keep(
        now_ms=end,
        frames=[Frames((Column(1, 0),), [end], [(number,)])],
        half_hours=[HalfHour(property_id=PropertyId(1), end_ms=end, value=Quantity(number))],
        closed={(PropertyId(1), HALF_HOUR_MS): end},
    )


async def values(store: SqliteStore) -> list[int | None]:
    rows = await store.half_hours(UtcMs(0), UtcMs(1 << 60))
    return [row.value.whole if row.value else None for row in rows]


async def lived(opened: Open, path: Path, count: int = 20) -> None:
    store = await opened(path)
    for number in range(count):
        await store.keep(closing(number))
    await store.close()


async def test_a_database_that_is_gone_comes_back_from_the_second_copy(path: Path, opened: Open) -> None:
    await lived(opened, path)
    path.unlink()
    store = await opened(path)
    assert await values(store) == list(range(20))
    assert {doubt.kind for doubt in await store.doubts()} >= {"damaged", "put back"}
    assert "put back" in store.storage().notices[0][0]


async def test_a_damaged_database_is_kept_aside_as_it_was(path: Path, opened: Open) -> None:
    await lived(opened, path)
    damaged = bytearray(path.read_bytes())
    damaged[:4096] = os.urandom(4096)
    path.write_bytes(damaged)
    store = await opened(path)
    assert await values(store) == list(range(20))
    [aside] = path.parent.glob("*.damaged-*")
    assert aside.read_bytes() == bytes(damaged)
    await store.keep(closing(20))
    assert await values(store) == list(range(21))


async def test_a_half_hour_that_both_copies_lost_is_missing_and_named(path: Path, opened: Open) -> None:
    await lived(opened, path)
    [segment] = Journal.beside(path).segments()
    data, kept = segment.read_bytes(), b""
    for begin, end, frame in frames_of(data):
        assert frame is not None
        if frame.kind != ROWS or "|7|" not in texts_of(frame)[0]:
            kept += data[begin:end]
    segment.write_bytes(kept)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE half_hours SET whole = 70 WHERE whole = 7")
    connection.commit()
    connection.close()
    store = await opened(path)
    assert await values(store) == [*range(7), None, *range(8, 20)]
    [doubt] = [one for one in await store.doubts() if one.kind == "lost"]
    assert (doubt.property_id, doubt.end_ms) == (1, START + 7 * HALF_HOUR_MS)


async def test_a_clean_start_finds_nothing_and_writes_nothing(path: Path, opened: Open) -> None:
    await lived(opened, path)
    await (await opened(path)).close()  # seals what was never touched
    before = path.read_bytes()
    store = await opened(path)
    assert not store.database.findings
    assert await store.doubts() == []
    await store.close()
    assert path.read_bytes() == before


async def test_what_was_kept_just_before_a_cut_is_added_to_the_second_copy(
    path: Path, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    await lived(opened, path)
    [segment] = Journal.beside(path).segments()
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-9])  # the newest frame is torn
    await (await opened(path)).close()
    texts = [
        text for frame in Journal.beside(path).frames() if frame.kind == ROWS for text in texts_of(frame)
    ]
    assert sum("|19|" in text for text in texts) == 1
    assert "torn end of the second copy removed" in caplog.text


@pytest.mark.parametrize("fails", [False, True])
async def test_what_is_declared_while_the_second_copy_is_written_is_in_it(
    path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    store = await opened(path)
    await store.keep(closing(0))
    append, begun, go_on = Journal.append, threading.Event(), threading.Event()

    def slow(journal: Journal, *given: Any) -> None:
        begun.set()
        go_on.wait(10)
        if fails:
            raise OSError(5, "Input/output error")
        append(journal, *given)

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", slow)
        first = ProductDescription(identity="p1:1", name="Meter", medium=Medium.ELECTRICITY)
        await store.declare(first, [])
        keeping = asyncio.create_task(store.keep(closing(1)))
        await asyncio.to_thread(begun.wait, 10)
        await store.declare(replace(first, identity="p1:2"), [])
        go_on.set()
        await keeping
    await store.close()
    path.unlink()
    again = await opened(path)
    assert {one.description.identity for one in await again.products()} == {"p1:1", "p1:2"}
    assert await values(again) == [0, 1]


async def test_the_second_copy_of_another_database_is_put_aside(path: Path, opened: Open) -> None:
    await lived(opened, path)
    other = path.with_name("other.db")
    await lived(opened, other, 3)
    os.rename(f"{path}.journal", f"{path}.journal.old")
    os.rename(f"{other}.journal", f"{path}.journal")
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM half_hours")
    connection.commit()
    connection.close()
    store = await opened(path)
    assert await values(store) == []
    assert len(list(path.parent.glob("*.journal.other-*"))) == 1
    # And once more, as where a folder of a backup is put there twice.
    await store.close()
    os.rename(f"{path}.journal", f"{path}.journal.own")
    shutil.copytree(next(path.parent.glob("*.journal.other-*")), f"{path}.journal")
    assert await values(await opened(path)) == []
    assert len(list(path.parent.glob("*.journal.other-*"))) == 2


def test_a_damaged_frame_costs_itself_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    frames = [pack(ROWS, f"row {number}".encode(), START + number, 1) for number in range(5)]
    journal.append(frames, START, pack(1, b"7", START, 1), 10)
    journal.close()
    [segment] = journal.segments()
    data = bytearray(segment.read_bytes())
    data[data.index(frames[2]) + 25] ^= 1
    segment.write_bytes(data)
    damage = Damage()
    found: list[Frame] = list(journal.frames(damage))
    assert [one.body for one in found[1:]] == [b"row 0", b"row 1", b"row 3", b"row 4"]
    assert len(damage.spans) == 1


async def test_one_who_looks_never_saves_the_log(path: Path, opened: Open) -> None:
    """SQLite's WAL-reset bug needs two connections that write or save the log; only the gateway does."""
    store = await opened(path)
    for number in range(5):
        await store.keep(closing(number))
    log = path.with_name(path.name + "-wal")
    before = path.read_bytes(), log.read_bytes()
    looking = await opened(path, read_only=True)
    assert await values(looking) == list(range(5))
    with pytest.raises(StorageError):
        await looking.database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    await looking.close()
    assert (path.read_bytes(), log.read_bytes()) == before
    # Also where it is the last one: the gateway was killed, and left its log.
    copy = path.parent / "killed" / path.name
    copy.parent.mkdir()
    copy.write_bytes(before[0])
    copy.with_name(log.name).write_bytes(before[1])
    looking = await opened(copy, read_only=True)
    assert await values(looking) == list(range(5))
    await looking.close()
    assert (copy.read_bytes(), copy.with_name(log.name).read_bytes()) == before


async def test_after_damage_at_run_time_the_file_is_opened_anew_and_what_waits_is_kept(
    opened: Open, path: Path, commit_fails: Callable[..., Any]
) -> None:
    store = await opened(path)
    for number in range(5):
        await store.keep(closing(number))

    keep = closing(5)
    damaged = sqlite3.DatabaseError("database disk image is malformed")
    with commit_fails(damaged, sqlite3.SQLITE_CORRUPT), pytest.raises(StorageError, match="damaged"):
        await store.keep(keep)
    assert store.database.broken
    await store.keep(keep)
    assert not store.database.broken
    assert await values(store) == list(range(6))


async def test_a_commit_that_failed_and_is_there_all_the_same_is_not_kept_twice(
    opened: Open, path: Path, commit_fails: Callable[..., Any]
) -> None:
    store = await opened(path)
    keep = closing(0)
    failed = sqlite3.OperationalError("disk I/O error")
    with commit_fails(failed, sqlite3.SQLITE_IOERR, made=True), pytest.raises(StorageError):
        await store.keep(keep)
    await store.set_state("gateway", "color", "green")
    await store.keep(keep)
    assert await store.database.rows("SELECT count(*) FROM blocks") == [(1,)]
    assert await values(store) == [0]


def samples_only(at_ms: int) -> Keep:
    return Keep(now_ms=UtcMs(at_ms), frames=[Frames((Column(1, 0),), [UtcMs(at_ms)], [(1,)])])


def without_time(at_ms: int) -> Keep:
    boot = Boot(id="a", first_ms=0, last_ms=at_ms)
    return Keep(
        now_ms=UtcMs(START + at_ms),
        untimed=[Untimed((Column(1, 0),), TimeSource.ARRIVAL, [at_ms], [None], [(1,)])],
        boot=boot,
    )


@pytest.mark.parametrize("keep", [closing(0), samples_only(START), without_time(1000)])
async def test_a_failed_commit_that_is_found_when_the_file_is_opened_anew_is_not_kept_twice(
    opened: Open, path: Path, commit_fails: Callable[..., Any], keep: Keep
) -> None:
    """The next transaction is that one again; the first try to open the file fails, too."""
    store = await opened(path)
    failed = sqlite3.OperationalError("disk I/O error")
    with commit_fails(failed, sqlite3.SQLITE_IOERR, made=True), pytest.raises(StorageError):
        await store.keep(keep)
    in_the_way = path.with_name(path.name + ".probe")
    in_the_way.mkdir()
    with pytest.raises(StorageError):
        await store.keep(keep)
    in_the_way.rmdir()
    await store.keep(keep)
    await store.keep(closing(1))
    assert await values(store) == [*[row.value.whole for row in keep.half_hours if row.value], 1]
    [(blocks,)] = await store.database.rows("SELECT count(*) FROM blocks")
    [(untimed,)] = await store.database.rows("SELECT count(*) FROM untimed")
    assert blocks + untimed == 2


async def test_a_failed_commit_is_recognized_after_its_samples_were_given_up(
    opened: Open, path: Path, commit_fails: Callable[..., Any]
) -> None:
    store = await opened(path)
    keep = closing(0)
    failed = sqlite3.OperationalError("disk I/O error")
    with commit_fails(failed, sqlite3.SQLITE_IOERR, made=True), pytest.raises(StorageError):
        await store.keep(keep)
    await store.keep(replace(keep, frames=()))
    await store.keep(closing(1))
    assert await values(store) == [0, 1]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 56 MiB: the log is 10 of it, the ballast 8, and it is made again where 32 are free."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=56m", "tmpfs", str(folder)], check=False
    ).returncode:
        pytest.fail("needs the right to mount, as the other tests of full disks do")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path, *, but: int = 0) -> None:
    """Fill the disk, but for so many bytes."""
    with contextlib.suppress(OSError), open(path, "ab", buffering=0) as other:
        while shutil.disk_usage(path.parent).free > but:
            other.write(bytes(4096))


async def test_a_full_disk_costs_the_ballast_then_samples_and_never_a_half_hour(
    small: Path, opened: Open
) -> None:
    store = await opened(small / "meterkast.db")
    await store.make_ballast()
    ballast = Ballast(store.database.path)
    assert os.stat(ballast.path).st_blocks * 512 >= BYTES
    fill(small / "other")
    chance = random.Random(5)
    for number in range(350):
        keep = closing(number)
        rows = [(chance.getrandbits(60),) for _ in range(5_000)]
        times = [UtcMs(keep.now_ms - step) for step in range(5_000)]
        frames = [Frames((Column(1, 0),), times, rows)]
        for _ in range(3):
            try:
                await store.keep(Keep(now_ms=keep.now_ms, frames=frames, half_hours=keep.half_hours))
                break
            except StorageError:
                continue
    assert not ballast.there()
    assert await values(store) == list(range(350))
    assert "minutes of the oldest samples" in store.storage().notices[-1][0]
    (small / "other").unlink()
    await store.keep(Keep(now_ms=UtcMs(START + 400 * HALF_HOUR_MS), frames=closing(0).frames))
    assert ballast.there()


async def test_a_disk_without_room_for_the_ballast_keeps_all_samples_until_it_is_nearly_full(
    small: Path, opened: Open
) -> None:
    store = await opened(small / "meterkast.db")
    fill(small / "other", but=20 << 20)
    await store.make_ballast()
    assert not Ballast(store.database.path).there()

    async def blocks() -> int:
        return int((await store.database.rows("SELECT count(*) FROM blocks"))[0][0])

    for number in range(300):
        await store.keep(closing(number))
    assert await blocks() == 300
    fill(small / "other", but=3 << 20)
    for number in range(300, 310):
        await store.keep(closing(number))
    assert 285 <= await blocks() <= 300  # the file does not grow any more
    assert store.storage().failures == 0


async def test_where_nothing_was_refused_no_evidence_goes_for_room(small: Path, opened: Open) -> None:
    store = await opened(small / "meterkast.db")
    fill(small / "other", but=3 << 20)
    await store.make_ballast()
    reading = Evidence(properties=(PropertyId(1),), at_ms=START, arrived_ms=START, raw=b"telegram")
    for number in range(20):
        await store.keep(replace(closing(number), evidence=[reading]))
    await store.keep(Keep(now_ms=UtcMs(START + 20 * HALF_HOUR_MS)))
    assert await store.database.rows("SELECT count(*) FROM evidence") == [(20,)]


async def test_the_command_finds_and_repairs(
    path: Path, opened: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    await lived(opened, path)
    data = bytearray(path.read_bytes())
    data[-4096:] = bytes(4096)
    path.write_bytes(data)
    assert await asyncio.to_thread(main, ["salvage", "--check", str(path)]) == 1
    assert path.read_bytes() == bytes(data)
    assert await asyncio.to_thread(main, ["salvage", str(path)]) == 0
    assert "rebuilt" in capsys.readouterr().out
    assert await asyncio.to_thread(main, ["salvage", "--check", str(path)]) == 0


async def test_a_folder_is_told_from_a_failing_disk(
    path: Path, opened: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    path.mkdir()
    assert main(["salvage", str(path)]) != 0
    assert "is a folder" in capsys.readouterr().err
    assert not path.with_name(f"{path.name}.lock").exists()
    with pytest.raises(StorageError, match="is a folder"):
        await opened(path)
