"""Healing and backups that fail, or are cancelled."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from meterkast.model.errors import RefusedError

BEGIN, STOP = "controller.begin_rebuilding_routes", "controller.stop_rebuilding_routes"
ONE = "controller.rebuild_node_routes"
SAVE = "controller.backup_nvm_raw"


async def healing(site: Any) -> Any:
    """The job that heals all, as soon as it has begun."""
    site.network.patience.heal_s = 30.0
    site.server.answers[BEGIN] = {"success": True}
    link = await site.connect(site.described(7))
    return link, await site.said((await site.start("heal")).id, "heal_running")


async def test_stick_that_heals_already(site: Any) -> None:
    site.server.answers[BEGIN] = {"success": False}
    await site.connect(site.described(7))
    view = await site.ended((await site.start("heal")).id)
    assert site.last(view)[0] == "heal_busy"


async def test_healing_in_which_no_device_moves_on_is_stopped(site: Any) -> None:
    site.server.answers[BEGIN] = site.server.answers[STOP] = {"success": True}
    await site.connect(site.described(7))
    view = await site.ended((await site.start("heal")).id)
    assert site.last(view) == ("heal_timeout", "No device moved on. Healing has stopped.")


@pytest.mark.parametrize("answer", [{"success": False}, RefusedError("no", hint="")])
async def test_healing_that_cannot_be_stopped(site: Any, answer: Any) -> None:
    _, job = await healing(site)
    site.server.answers[STOP] = answer
    view = await site.network.cancel(job.id)
    assert site.last(view) == ("heal_aborted", "Healing could not be stopped; it ends by itself.")


async def test_what_else_happens_is_no_end_of_healing(site: Any) -> None:
    link, job = await healing(site)
    link.added(site.described(8))
    link.tell("rebuild routes done", result={"7": "done"})
    view = await site.ended(job.id)
    assert site.last(view) == ("heal_success", "1 of 1 devices knows its way to the stick again.")


async def test_all_devices_are_asleep(site: Any) -> None:
    link, job = await healing(site)
    link.tell("rebuild routes done", result={"7": "skipped"})
    view = await site.ended(job.id)
    assert site.last(view)[1].endswith("1 was left out (asleep, or no longer there).")


@pytest.mark.parametrize("found", [True, False])
async def test_one_device_looks_for_its_way(site: Any, found: bool) -> None:
    site.server.answers[ONE] = {"success": found}
    await site.connect(site.described(7))
    view = await site.ended((await site.start("heal", node=7)).id)
    assert site.last(view)[0] == ("heal_success" if found else "heal_fail")


async def test_one_device_that_is_cancelled_goes_on(site: Any) -> None:
    site.network.patience.heal_s = 30.0
    site.server.answers[ONE] = asyncio.Event()
    await site.connect(site.described(7))
    job = await site.start("heal", node=7)
    await site.wait_for(lambda: ONE in site.server.told)
    view = await site.network.cancel(job.id)
    assert "A device that has begun goes on to its end" in site.last(view)[1]


async def test_backup_that_is_cancelled(site: Any) -> None:
    site.network.patience.backup_s = 30.0
    site.server.answers[SAVE] = asyncio.Event()
    await site.connect(supportedFunctionTypes=[0x2E])
    job = await site.start("backup")
    await site.wait_for(lambda: SAVE in site.server.told)
    view = await site.network.cancel(job.id)
    assert site.last(view)[1].startswith("No backup was made.")


async def test_empty_memory_is_no_backup(site: Any, tmp_path: Path) -> None:
    site.server.answers[SAVE] = {"nvmData": ""}
    await site.connect(supportedFunctionTypes=[0x2E])
    view = await site.ended((await site.start("backup")).id)
    assert site.last(view) == (
        "backup_fail",
        "No backup: the stick gave an empty memory. Try again; else try another stick.",
    )
    assert not (tmp_path / "backups").exists()


async def test_folder_that_cannot_be_written(site: Any, tmp_path: Path) -> None:
    (tmp_path / "backups").write_text("a file in the way")
    site.server.answers[SAVE] = {"nvmData": "AAECAw=="}
    await site.connect(supportedFunctionTypes=[0x2E])
    view = await site.ended((await site.start("backup")).id)
    assert site.last(view)[0] == "backup_fail"
    assert str(tmp_path / "backups") in site.last(view)[1]
    view = await site.searching()
    assert any("Look at the disk. The job goes on." in one.detail for one in view.steps)


async def test_the_newest_five_backups_are_kept(site: Any, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    for year in range(2001, 2008):
        (folder / f"nvm-{year}0101T000000Z-00000001.bin").write_bytes(b"old")
    site.server.answers[SAVE] = {"nvmData": "AAECAw=="}
    await site.connect(supportedFunctionTypes=[0x2E])
    await site.ended((await site.start("backup")).id)
    files = sorted(os.listdir(folder))
    assert [name[4:8] for name in files[:4]] == ["2004", "2005", "2006", "2007"]
    assert len(files) == 5
    assert (folder / files[-1]).read_bytes() == b"\x00\x01\x02\x03"


async def test_one_backup_is_enough_for_two_jobs(site: Any) -> None:
    site.server.answers[SAVE] = {"nvmData": "AAECAw=="}
    await site.connect(supportedFunctionTypes=[0x2E])
    await site.network.cancel((await site.searching()).id)
    await site.searching()
    assert site.server.told.count(SAVE) == 1


async def test_that_there_is_no_backup_is_said_once(site: Any) -> None:
    await site.connect(supportedFunctionTypes=[1])
    first = await site.searching()
    assert any(one.detail.startswith("No backup:") for one in first.steps)
    await site.network.cancel(first.id)
    second = await site.searching()
    assert not any("No backup:" in one.detail for one in second.steps)
