"""Keys that are exchanged slowly, or not at all: the sentence names the cause and no other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meterkast.network import JobRequest, JobView

pytestmark = pytest.mark.slow

LIMIT_S = 150.0
PIN = ["S2_Authenticated", "S2_Unauthenticated"]


async def when(network: Any, job: int, ready: Any) -> JobView:
    """The job as soon as it is so."""
    seen = 0
    async with asyncio.timeout(LIMIT_S):
        while True:
            view: JobView = await network.changed(job, seen)
            if ready(view):
                return view
            assert view.state in ("running", "asking"), view
            seen = len(view.steps)


def said(view: JobView) -> str:
    return "\n".join(step.detail for step in view.steps)


async def test_device_that_goes_silent_after_its_pin_is_not_told_to_have_a_wrong_one(tools: Any) -> None:
    with tools.folder() as folder:
        async with (
            tools.serving(devices="plug:7") as stick,
            tools.driving(stick.url, folder, poll=False) as running,
        ):
            await running.settled(7)
            network = running.driver.network
            network.patience.exchange_s, network.patience.rescue_s = 4.0, 1.0
            job = await network.start(JobRequest(kind="include"))
            await when(network, job.id, lambda view: view.steps[-1].status == "install_searching")
            made = await stick.verb("join", kind="s2meter", id=20, classes=PIN)
            await when(network, job.id, lambda view: view.asks)
            await stick.verb("dead", id=20)
            await network.answer(job.id, made["pin"])
            view = await when(network, job.id, lambda view: view.state == "failed")
            assert "install_sec_hs_fail" in [step.status for step in view.steps]
            assert "lost each other during the key exchange" in said(view)
            assert "Wrong PIN" not in said(view)


async def test_pin_that_is_typed_slowly(tools: Any) -> None:
    with tools.folder() as folder:
        async with (
            tools.serving(devices="plug:7") as stick,
            tools.driving(stick.url, folder, poll=False) as running,
        ):
            await running.settled(7)
            network = running.driver.network
            job = await network.start(JobRequest(kind="include"))
            await when(network, job.id, lambda view: view.steps[-1].status == "install_searching")
            made = await stick.verb("join", kind="s2meter", id=20, classes=PIN)
            await when(network, job.id, lambda view: view.asks)
            await asyncio.sleep(1)
            await network.answer(job.id, made["pin"])
            view = await when(network, job.id, lambda view: view.state in ("done", "failed"))
            assert view.state == "done", view
            assert "encrypted (S2_" in view.steps[-1].detail
