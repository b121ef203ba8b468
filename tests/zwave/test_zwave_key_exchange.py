"""Keys that are exchanged slowly, or not at all: the sentence names the cause and no other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from meterkast.network import JobRequest, JobView

from .following import followed

pytestmark = pytest.mark.slow

PIN = ["S2_Authenticated", "S2_Unauthenticated"]


def said(view: JobView) -> str:
    return "\n".join(step.detail for step in view.steps)


@contextlib.asynccontextmanager
async def asked(tools: Any) -> AsyncIterator[tuple[Any, Any, int, str]]:
    """The stick, the network, a job that asks for a PIN, and that PIN."""
    with tools.folder() as folder:
        async with (
            tools.serving(devices="plug:7") as stick,
            tools.driving(stick.url, folder, poll=False) as running,
        ):
            await running.settled(7)
            network = running.driver.network
            job = await network.start(JobRequest(kind="include"))
            await followed(network, job.id, lambda view: view.steps[-1].status == "install_searching")
            made = await stick.verb("join", kind="s2meter", id=20, classes=PIN)
            await followed(network, job.id, lambda view: bool(view.asks))
            yield stick, network, job.id, made["pin"]


async def test_device_that_goes_silent_after_its_pin_is_not_told_to_have_a_wrong_one(tools: Any) -> None:
    async with asked(tools) as (stick, network, job, pin):
        network.patience.exchange_s, network.patience.rescue_s = 4.0, 1.0
        await stick.verb("dead", id=20)
        await network.answer(job, pin)
        view = await followed(network, job, lambda view: view.state == "failed")
        assert "install_sec_hs_fail" in [step.status for step in view.steps]
        assert "lost each other during the key exchange" in said(view)
        assert "Wrong PIN" not in said(view)


async def test_pin_that_is_typed_slowly(tools: Any) -> None:
    async with asked(tools) as (_, network, job, pin):
        # What the device sends first comes, and is ignored, before the PIN: it has to send it again.
        await asyncio.sleep(1)
        await network.answer(job, pin)
        view = await followed(network, job, lambda view: view.state in ("done", "failed"))
        assert view.state == "done", view
        assert "encrypted (S2_" in view.steps[-1].detail
