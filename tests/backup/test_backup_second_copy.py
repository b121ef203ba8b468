"""A restored database and its second copy: they agree, and what the restore said stands."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from meterkast.model.time import UtcMs
from meterkast_buffer.copying import RESTORED, WAITING, copy_database, prepare_restored
from meterkast_buffer.frames import ROWS, texts_of
from meterkast_buffer.journal import Journal
from meterkast_buffer.store import open_store


async def test_a_restored_gateway_starts_without_a_doubt_and_with_its_second_copy(house: Any) -> None:
    assert (await house.save())[0] == 0
    house.lose()
    assert (await house.bring_back())[0] == 0
    store = await open_store(house.database)
    try:
        assert not store.database.findings, store.database.findings.lines()  # type: ignore[union-attr]
        assert await store.doubts() == []
        assert store.storage().notices == ()
        assert await store.get_state(*RESTORED) == WAITING
        half_hours = await store.half_hours(UtcMs(0), UtcMs(1 << 60))
    finally:
        await store.close()
    copied = [
        text
        for frame in Journal.beside(house.database).frames()
        if frame.kind == ROWS
        for text in texts_of(frame)
    ]
    assert {one.canonical() for one in half_hours} == set(copied)
    house.database.unlink()
    store = await open_store(house.database)
    try:
        assert await store.half_hours(UtcMs(0), UtcMs(1 << 60)) == half_hours
        assert await store.get_state("gateway", "device_id") == "mk-canary"
    finally:
        await store.close()


async def test_a_second_copy_that_is_newer_than_the_backup_does_not_undo_the_restore(
    house: Any, tmp_path: Path
) -> None:
    """The files are copied one after the other while the gateway goes on."""
    new = tmp_path / "new.db"
    store = await open_store(house.database)
    try:
        copy_database(str(house.database), str(new))
        for number in range(5):
            await store.set_state("some", "key", str(number))
    finally:
        await store.close()
    shutil.copytree(f"{house.database}.journal", f"{new}.journal")
    prepare_restored(str(new))
    store = await open_store(new)
    try:
        assert await store.get_state(*RESTORED) == WAITING
        assert await store.doubts() == []
    finally:
        await store.close()
