"""Adding and taking out that is cancelled at each of its stages: what is undone, and what is told to stay."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

DSK = "12345-11111-22222-33333-44444-55555-00000-12345"


@pytest.fixture
def patient(site: Any) -> Any:
    """So that nothing ends by itself."""
    patience = site.network.patience
    patience.exchange_s = patience.settle_s = patience.interview_s = patience.backup_s = 30.0
    return patience


@pytest.mark.parametrize("kind", ["include", "exclude"])
async def test_while_the_sticks_memory_is_saved(site: Any, patient: Any, kind: str) -> None:
    site.server.answers["controller.backup_nvm_raw"] = asyncio.Event()
    await site.connect(supportedFunctionTypes=[0x2E])
    job = await site.start(kind)
    await site.wait_for(lambda: "controller.backup_nvm_raw" in site.server.told)
    view = await site.network.cancel(job.id)
    assert site.last(view)[1] == "Nothing was changed."
    assert f"controller.begin_{kind[:2]}clusion" not in site.server.told


async def test_after_the_stick_has_stopped_and_before_it_names_a_device(site: Any, patient: Any) -> None:
    link = await site.connect()
    job = await site.searching()
    await site.wait_for(lambda: site.network.jobs()[-1].left_s is not None)
    link.tell("inclusion stopped")
    await site.wait_for(lambda: site.network.jobs()[-1].left_s is None)
    view = await site.network.cancel(job.id)
    assert "controller.cancel_secure_bootstrap_s2" in site.server.told
    assert site.last(view)[1].startswith("Nothing was added.")


@pytest.mark.parametrize("comes", [True, False])
async def test_during_the_key_exchange(site: Any, patient: Any, comes: bool) -> None:
    link = await site.connect()
    job = await site.searching()
    link.tell("node found", node={"id": 5})
    await site.said(job.id, "install_found")
    if not comes:
        patient.settle_s = 0.1
    cancelling = asyncio.create_task(site.network.cancel(job.id))
    await site.wait_for(lambda: "controller.cancel_secure_bootstrap_s2" in site.server.told)
    if comes:
        link.added(site.described(5, ready=False), lowSecurity=True, lowSecurityReason=0)
    view = await cancelling
    told = "Device 5 is in the network already, without security" if comes else "Nothing was added."
    assert told in site.last(view)[1]


async def test_while_the_new_device_is_asked_what_it_can_do(site: Any, patient: Any) -> None:
    link = await site.connect()
    job = await site.searching(security="none")
    link.added(site.described(5, ready=False))
    await site.said(job.id, "install_configuring")
    view = await site.network.cancel(job.id)
    assert "Device 5 is in the network, and was not asked what it can do to the end" in site.last(view)[1]
    assert "`meterkast zwave exclude`" in site.last(view)[1]


async def test_listed_device_that_is_just_joining_goes_off_the_list(site: Any, patient: Any) -> None:
    site.server.answers["controller.supports_feature"] = {"supported": True}
    link = await site.connect()
    job = await site.searching(code=DSK)
    link.tell("node found", node={"id": 5})
    await site.said(job.id, "install_found")
    patient.settle_s = 0.1
    view = await site.network.cancel(job.id)
    assert site.server.newest["controller.unprovision_smart_start_node"]["dskOrNodeId"] == DSK
    assert "controller.cancel_secure_bootstrap_s2" in site.server.told
    assert site.last(view)[1].startswith("Nothing was added.")


async def test_exclusion_that_the_stick_does_not_stop(site: Any, patient: Any) -> None:
    await site.connect()
    job = await site.searching("exclude")
    site.server.answers["controller.stop_exclusion"] = {"success": False}
    view = await site.network.cancel(job.id)
    assert "The stick could not be stopped: it is in the middle of something" in site.last(view)[1]


async def test_removal_that_has_begun(site: Any, patient: Any) -> None:
    patient.remove_s = 30.0
    site.server.answers["node.ping"] = {"responded": False}
    site.server.answers["controller.remove_failed_node"] = asyncio.Event()
    await site.connect(site.described(7))
    job = await site.start("remove", node=7)
    await site.wait_for(lambda: "controller.remove_failed_node" in site.server.told)
    view = await site.network.cancel(job.id)
    assert "A removal that has begun cannot be stopped" in site.last(view)[1]
