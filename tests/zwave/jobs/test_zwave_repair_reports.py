"""Healing and backups: what is counted and told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from meterkast.model.errors import RefusedError


async def test_healing_that_is_cancelled_is_stopped(site: Any) -> None:
    site.network.patience.heal_s = 30.0
    site.server.answers["controller.begin_rebuilding_routes"] = {"success": True}
    site.server.answers["controller.stop_rebuilding_routes"] = {"success": True}
    link = await site.connect(site.described(7))
    job = await site.start("heal")
    await site.said(job.id, "heal_running")
    link.tell("rebuild routes progress", progress={"7": "pending"})
    view = await site.network.cancel(job.id)
    assert site.last(view) == ("heal_aborted", "Healing has stopped.")
    assert "controller.stop_rebuilding_routes" in site.server.told


LEFT_OUT = "left out (asleep, or no longer there)."


@pytest.mark.parametrize(
    ("outcome", "counted", "sentence"),
    [
        (
            {"7": "done", "8": "done", "9": "skipped"},
            "2 of 2 devices are done.",
            f"2 of 2 devices know their way to the stick again. 1 more was {LEFT_OUT}",
        ),
        (
            {"7": "done", "8": "skipped", "9": "skipped"},
            "1 of 1 devices is done.",
            f"1 of 1 devices knows its way to the stick again. 2 more were {LEFT_OUT}",
        ),
        (
            {"7": "done", "8": "failed", "9": "done"},
            "3 of 3 devices are done.",
            "2 of 3 devices know their way to the stick again. Not so: 8. Check their power and place.",
        ),
    ],
)
async def test_healing_counts_each_device_once(
    site: Any, outcome: dict[str, str], counted: str, sentence: str
) -> None:
    site.network.patience.heal_s = 30.0
    site.server.answers["controller.begin_rebuilding_routes"] = {"success": True}
    link = await site.connect(site.described(7), site.described(8), site.described(9))
    job = await site.start("heal")
    await site.said(job.id, "heal_running")
    begun = {node: status if status == "skipped" else "pending" for node, status in outcome.items()}
    link.tell("rebuild routes progress", progress=begun)
    link.tell("rebuild routes progress", progress=outcome)
    link.tell("rebuild routes done", result=outcome)
    view = await site.ended(job.id)
    assert [one.detail for one in view.steps if one.status == "heal_running"][1:] == [counted]
    assert site.last(view)[1] == sentence


async def test_a_backup_is_told_with_its_whole_path(site: Any, tmp_path: Path) -> None:
    site.server.answers["controller.backup_nvm_raw"] = {"nvmData": "AAECAw=="}
    await site.connect(supportedFunctionTypes=[0x2E])
    view = await site.ended((await site.start("backup")).id)
    (file,) = (tmp_path / "backups").iterdir()
    assert site.last(view) == ("backup_success", f"The stick's memory is saved as {file}.")
    await site.connect(site.described(7), supportedFunctionTypes=[0x2E])
    view = await site.searching()
    assert any(f"saved as {tmp_path}/backups/nvm-" in one.detail for one in view.steps)


async def test_backup_that_fails_is_told_and_stops_no_other_job(site: Any) -> None:
    site.server.answers["controller.backup_nvm_raw"] = RefusedError("the stick said no", hint="Try again.")
    await site.connect(supportedFunctionTypes=[0x2E])
    view = await site.ended((await site.start("backup")).id)
    assert site.last(view) == ("backup_fail", "No backup: the stick said no. Try again.")
    view = await site.searching()
    assert any(one.detail.startswith("Warning: the stick's memory could not be saved") for one in view.steps)


async def test_backup_that_is_never_answered(site: Any) -> None:
    site.server.answers["controller.backup_nvm_raw"] = asyncio.Event()
    await site.connect(supportedFunctionTypes=[0x2E])
    view = await site.ended((await site.start("backup")).id)
    assert (view.state, site.last(view)[0]) == ("failed", "backup_fail")


async def test_stick_that_gives_no_backup(site: Any) -> None:
    await site.connect(supportedFunctionTypes=[1, 2])
    view = await site.ended((await site.start("backup")).id)
    assert site.last(view)[1].startswith("No backup: this stick does not give its memory. Keep a list")
