"""A device that is asked what it can do: what counts as its end, and what is of no concern."""

from __future__ import annotations

from typing import Any

import pytest


async def asked(site: Any, *others: dict[str, Any]) -> Any:
    """The job that adds device 5, as soon as that is asked what it can do."""
    site.network.patience.interview_s = 30.0
    link = await site.connect(*others)
    job = await site.searching(security="none")
    link.added(site.described(5, ready=False))
    return link, await site.said(job.id, "install_configuring")


@pytest.mark.parametrize(("listening", "word"), [(True, "conf_fail_l"), (False, "conf_fail_w")])
async def test_the_server_gives_up(site: Any, listening: bool, word: str) -> None:
    link, job = await asked(site)
    link.driver.controller.nodes[5].data["isListening"] = listening
    link.tell("interview failed", nodeId=5, args={"errorMessage": "timeout", "isFinal": True})
    view = await site.ended(job.id)
    assert site.last(view)[0] == f"install_{word}"
    assert "Device 5 did not tell all it can do" in site.last(view)[1]


async def test_it_is_taken_out_meanwhile(site: Any) -> None:
    link, job = await asked(site)
    link.removed(5)
    view = await site.ended(job.id)
    assert site.last(view) == ("install_internal", "Device 5 was taken out by somebody else meanwhile.")


async def test_neither_other_devices_nor_an_attempt_that_failed_are_its_end(site: Any) -> None:
    link, job = await asked(site, site.described(7), site.described(8))
    link.added(site.described(9, ready=False))
    link.tell("dead", nodeId=9)
    link.removed(7)
    link.tell("interview failed", nodeId=5, args={"errorMessage": "again", "isFinal": False})
    link.tell("interview stage completed", nodeId=5, stageName="ProtocolInfo")
    link.tell("sleep", nodeId=5)
    await site.until(job.id, lambda view: "Wake it up" in site.last(view)[1])
    link.tell("ready", nodeId=5, nodeState=site.described(5))
    view = await site.ended(job.id)
    assert site.last(view)[0] == "install_unknown_dev"
    assert any(one.status == "install_conf_success" for one in view.steps)


async def test_device_that_is_known_at_once(site: Any) -> None:
    link = await site.connect()
    job = await site.searching(security="none")
    link.added(site.described(5))
    view = await site.ended(job.id)
    assert any(one.status == "install_conf_success" for one in view.steps)


async def test_device_that_was_asked_again_and_is_ready_at_once(site: Any) -> None:
    site.network.patience.settle_s = 30.0
    link = await site.connect(site.described(7))
    job = await site.start("interview", node=7)
    await site.wait_for(lambda: "node.refresh_info" in site.server.told)
    link.tell("ready", nodeId=7, nodeState=site.described(7))
    view = await site.ended(job.id)
    assert (view.state, site.last(view)[0]) == ("done", "install_conf_success")


async def test_asking_again_that_is_cancelled(site: Any) -> None:
    site.network.patience.settle_s = 30.0
    await site.connect(site.described(7))
    job = await site.start("interview", node=7)
    await site.wait_for(lambda: "node.refresh_info" in site.server.told)
    view = await site.network.cancel(job.id)
    assert site.last(view) == (
        "install_aborted",
        "The server goes on asking the device by itself; nothing else was changed.",
    )
