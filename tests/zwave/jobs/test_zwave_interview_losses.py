"""Devices that are lost, or fall asleep, while they are asked what they can do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

ASLEEP = 1


@pytest.mark.parametrize(
    ("listening", "events", "word", "sentence"),
    [
        (True, ["dead"], "conf_fail_l", "Device 5 stopped answering. It is in the network. Check its power"),
        (False, ["dead"], "conf_fail_w", "Device 5 stopped answering."),
        (True, [], "conf_fail_l", "Device 5 did not answer in time."),
        (False, ["sleep"], "rwu_fail", "the rest is asked by itself whenever it wakes up"),
    ],
)
async def test_device_that_is_lost_while_it_is_asked(
    site: Any, listening: bool, events: list[str], word: str, sentence: str
) -> None:
    link = await site.connect()
    job = await site.searching(security="none")
    link.added(site.described(5, listening=listening, ready=False))
    await site.said(job.id, "install_configuring")
    for event in events:
        link.tell(event, nodeId=5)
    view = await site.ended(job.id)
    assert site.last(view)[0] == f"install_{word}"
    assert sentence in site.last(view)[1]


async def test_device_that_wakes_and_sleeps_for_ever_does_not_hold_the_job(site: Any) -> None:
    patience = site.network.patience
    patience.whole_interview_s, patience.interview_s, patience.wake_s = 0.5, 30.0, 30.0
    link = await site.connect()
    job = await site.searching(security="none")
    link.added(site.described(5, listening=False, ready=False))
    await site.said(job.id, "install_configuring")

    async def flap() -> None:
        while True:
            link.tell("sleep", nodeId=5)
            await asyncio.sleep(0.02)
            link.tell("wake up", nodeId=5)
            await asyncio.sleep(0.02)

    flapping = asyncio.create_task(flap())
    try:
        assert (await site.ended(job.id)).state == "failed"
    finally:
        flapping.cancel()


async def test_sleeping_device_that_is_asked_again_is_woken_by_a_person(site: Any) -> None:
    link = await site.connect(site.described(7, listening=False, status=ASLEEP))
    job = await site.start("interview", node=7)
    await site.wait_for(lambda: "node.refresh_info" in site.server.told)
    link.tell("interview started", nodeId=7)
    view = await site.ended(job.id)
    assert any("Wake it up: press its button" in one.detail for one in view.steps)
    assert site.last(view)[0] == "install_rwu_fail"


async def test_interview_that_the_server_does_not_begin_is_no_success(site: Any) -> None:
    await site.connect(site.described(7))
    view = await site.ended((await site.start("interview", node=7)).id)
    assert site.last(view)[0] == "install_busy"
