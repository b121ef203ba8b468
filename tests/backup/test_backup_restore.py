"""Backup and restore of a gateway's files: everything, on a new card, all of it or nothing."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from meterkast.backup import restoring
from meterkast_buffer.store import open_store

DATABASE = "data/meterkast.db"


def asked(database: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


async def test_everything_comes_back_under_its_path_with_its_rights(house: Any) -> None:
    before = house.files()
    status, out, _ = await house.save()
    assert status == 0
    assert "8 files" in out
    assert "RESET_ID comes from the environment" in out
    assert stat.S_IMODE(house.backup.stat().st_mode) == 0o600
    house.lose()
    status, out, err = await house.bring_back()
    assert (status, err) == (0, "")
    after = house.files()
    assert after.keys() == before.keys()
    for name in before.keys() - {DATABASE}:
        assert after[name] == before[name], name
    assert stat.S_IMODE((house.folder / "data/device.key").stat().st_mode) == 0o400
    assert stat.S_IMODE((house.folder / "etc/reset.secret").stat().st_mode) == 0o600
    store = await open_store(house.database)
    try:
        assert await store.get_state("gateway", "device_id") == "mk-canary"
        items = await store.pending("reset", "m", 100)
        assert [item.payload for item in items] == [b"%d" % n for n in range(1, 50)]
        assert all(item.tries > 0 for item in items)
    finally:
        await store.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="not root, and only root can give files away: sudo make test")
async def test_what_root_restores_belongs_to_the_gateway(house: Any) -> None:
    gateway = 12_345
    for path in (house.folder, *house.folder.rglob("*")):
        os.chown(path, gateway, gateway)
    await house.save()
    house.lose()
    assert (await house.bring_back())[0] == 0
    there = [house.folder, *house.folder.rglob("*")]
    assert {str(path): path.stat().st_uid for path in there} == {str(path): gateway for path in there}
    assert house.database.with_name(house.database.name + ".lock") in there


async def test_ids_go_on_beyond_those_that_may_have_been_given_out_since(house: Any) -> None:
    await house.save()
    before = dict(asked(house.database, "SELECT name, seq FROM sqlite_sequence"))
    house.lose()
    await house.bring_back()
    after = dict(asked(house.database, "SELECT name, seq FROM sqlite_sequence"))
    assert after["outbox"] >= before["outbox"] + 1_000_000
    tables = asked(house.database, "SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'")
    assert {name for (name,) in tables} == after.keys()
    assert all(after[name] >= before.get(name, 0) + 1000 for name in after)


async def test_nothing_of_it_can_be_read_in_the_file(house: Any) -> None:
    await house.save()
    content = house.backup.read_bytes()
    for word in (b"canary", b"private", b"reset.secret", b"meterkast.db", b"import_total"):
        assert word not in content


async def test_on_a_card_that_is_mounted_elsewhere(house: Any, tmp_path: Path) -> None:
    await house.save()
    before = house.files()
    card = tmp_path / "card"
    card.mkdir()
    status, out, _ = await house.bring_back("--to", str(card))
    assert status == 0
    assert f"configuration {card}{house.config}" in out
    assert house.files(card).keys() == before.keys()
    assert house.files() == before


async def test_a_gateway_that_is_there_is_not_overwritten_unless_forced(house: Any) -> None:
    await house.save()
    before = house.files()
    status, _, err = await house.bring_back()
    assert status == 1
    assert "there already" in err
    assert house.files() == before
    (house.folder / "data/meterkast.db-wal").write_bytes(b"an old log")
    (house.folder / "data/meterkast.db.journal/000002").write_bytes(b"newer than the backup")
    status, out, _ = await house.bring_back("--force")
    assert status == 0
    after = house.files()
    assert after["data/meterkast.db.before-restore"] == before[DATABASE]
    assert after["data/meterkast.db.before-restore-wal"] == b"an old log"
    assert after["data/meterkast.db.journal.before-restore/000002"] == b"newer than the backup"
    assert "data/meterkast.db.journal/000002" not in after
    assert "data/meterkast.db-wal" not in after
    assert out.count("Put aside") >= 7
    restored = after[DATABASE]
    status, _, _ = await house.bring_back("--force")  # once more, as after a power cut
    assert status == 0
    again = house.files()
    assert {name: again[name] for name in after if "before-restore" in name} == {
        name: content for name, content in after.items() if "before-restore" in name
    }
    assert again["data/meterkast.db.before-restore-2"] == restored
    assert "data/meterkast.db.journal.before-restore-2/000001" in again


async def test_a_running_gateway_is_never_overwritten(house: Any) -> None:
    await house.save()
    store = await open_store(house.database)
    try:
        before = house.files()
        status, _, err = await house.bring_back("--force")
        assert status == 1
        assert "in use by another gateway" in err
        assert house.files() == before
    finally:
        await store.close()


@pytest.mark.parametrize("what", ["passphrase", "cut", "changed", "last frame", "more behind", "other file"])
async def test_what_cannot_be_trusted_writes_nothing(house: Any, what: str) -> None:
    await house.save()
    content = bytearray(house.backup.read_bytes())
    if what == "passphrase":
        house.words.write_text("another one than before")
    elif what == "cut":
        del content[len(content) // 2 :]
    elif what == "changed":
        content[len(content) - 20_000] ^= 1
    elif what == "last frame":
        content[-1] ^= 1
    elif what == "more behind":
        content += b"x"
    else:
        content[:] = b"PK\3\4" + bytes(1000)
    house.backup.write_bytes(content)
    house.lose()
    status, _, err = await house.bring_back()
    assert status == 1
    assert (
        "passphrase does not open" in err if what == "passphrase" else "damaged" in err or "no backup" in err
    )
    assert not house.folder.exists()


async def test_the_log_of_a_restore_that_was_killed_is_not_taken_for_the_next_one(house: Any) -> None:
    await house.save()
    house.lose()
    part = house.database.with_name(house.database.name + restoring.PART)
    part.parent.mkdir(parents=True)
    code = (
        "import os, sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1])\n"
        "database.execute('PRAGMA journal_mode = WAL')\n"
        "database.execute('CREATE TABLE stale (x)')\n"
        "database.commit()\n"
        "os._exit(0)\n"
    )
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code, str(part)], check=True)
    assert part.with_name(part.name + "-wal").stat().st_size
    assert (await house.bring_back())[0] == 0
    assert asked(house.database, "SELECT * FROM sqlite_master WHERE name = 'stale'") == []
    assert asked(house.database, "SELECT count(*) FROM half_hours") == [(50,)]
    assert list(house.folder.rglob("*" + restoring.PART + "*")) == []


@pytest.mark.parametrize("failing", range(14))
async def test_a_card_that_fails_while_it_is_put_in_place_leaves_what_was_there(
    house: Any, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    await house.save()
    before = house.files()
    real, calls = Path.rename, 0

    def rename(self: Path, target: Any) -> Path:
        nonlocal calls
        calls += 1
        if calls == failing + 1:
            raise OSError(5, "Input/output error", str(self))
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    status, _, err = await house.bring_back("--force")
    assert status == 1
    assert "Input/output error" in err
    assert "Nothing was changed" in err
    assert house.files() == before


async def test_a_full_card_leaves_nothing_behind(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.save()
    house.lose()
    real, written = os.fsync, 0

    def fsync(handle: int) -> None:
        nonlocal written
        written += 1
        if written == 5:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(restoring.os, "fsync", fsync)
    status, _, err = await house.bring_back()
    assert status == 1
    assert "No space left" in err
    assert not house.folder.exists()


async def test_a_damaged_database_is_not_saved_as_if_it_were_sound(house: Any) -> None:
    with house.database.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(os.urandom(4096 * 4))
    status, _, err = await house.save()
    assert status == 1
    assert "damaged" in err
    assert not house.backup.exists()
    assert [path.name for path in house.database.parent.glob("*.backup-*")] == []


async def test_a_new_backup_replaces_the_old_one_only_when_it_is_whole(house: Any) -> None:
    await house.save()
    first = house.backup.read_bytes()
    house.words.write_text("short")
    status, _, err = await house.save()
    assert status == 1
    assert "shorter than 8" in err
    assert house.backup.read_bytes() == first
    assert list(house.backup.parent.glob("*.part")) == []


async def test_without_a_terminal_the_passphrase_file_is_asked_for(house: Any) -> None:
    status, _, err = await house.run("backup", str(house.backup), "--config", str(house.config))
    assert status == 1
    assert "--passphrase-file" in err


async def test_it_is_one_instant_while_the_gateway_writes(house: Any) -> None:
    """Every transaction adds a half-hour's text in two places; in the copy they must be equal."""
    store = await open_store(house.database)
    begun, stop = asyncio.Event(), asyncio.Event()

    async def write() -> int:
        number = 0
        while not stop.is_set():
            number += 1
            await store.database.transact(partial(_pair, number))
            begun.set()
        return number

    try:
        during = 0
        writing = asyncio.create_task(write())
        await begun.wait()  # else the copy may be of the instant before
        for _ in range(50):  # until the writer was seen to go on during a save: one takes some milliseconds
            before = store.database.writes
            status, _, err = await house.save()
            assert (status, err) == (0, "")
            during += store.database.writes - before
            if during > 3:
                break
        assert during > 3
        stop.set()
        await writing
        assert store.database.failures == 0
    finally:
        await store.close()
    card = house.folder.parent / "card"
    card.mkdir()
    await house.bring_back("--to", str(card))
    rows = asked(card / str(house.database).lstrip("/"), "SELECT key, text FROM state WHERE scope = 'pair'")
    assert len(rows) == 2
    assert rows[0][1] == rows[1][1]


async def _pair(number: int, connection: Any) -> None:
    for key in ("a", "b"):
        await connection.execute(
            "INSERT OR REPLACE INTO state (scope, key, text) VALUES ('pair', ?, ?)", (key, str(number) * 500)
        )


async def test_it_never_checkpoints(house: Any) -> None:
    """The log's frames stay in the log: only the gateway's one connection moves them."""
    store = await open_store(house.database)
    try:
        await store.set_state("some", "key", "text")
        wal = house.database.with_name(house.database.name + "-wal")
        log = wal.read_bytes()
        main = house.database.read_bytes()
        assert (await house.save())[0] == 0
        assert wal.read_bytes() == log
        assert house.database.read_bytes() == main
    finally:
        await store.close()
