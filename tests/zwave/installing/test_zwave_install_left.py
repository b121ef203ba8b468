"""A stick that is left looking, and one that goes away in the middle."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meterkast.model.errors import RefusedError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("zwave left"),
]

LIMIT_S = 150.0


async def test_stick_left_looking_stops_when_a_gateway_is_there_again(site: Any) -> None:
    link = site.running.driver._link
    assert await link.driver.controller.async_begin_exclusion()
    site.network.detach()
    site.network.attach(link)
    tidying = site.network._installation.tidying.task
    await asyncio.wait_for(asyncio.shield(tidying), LIMIT_S)
    assert not await link.driver.controller.async_stop_exclusion()


async def test_connection_lost_ends_the_job_with_a_sentence(site: Any) -> None:
    job = await site.start(kind="include")
    await site.until(job.id, "install_searching")
    await site.stick.verb("unplug")
    view = await site.ended(job.id)
    assert (view.state, view.steps[-1].status) == ("failed", "install_internal")
    assert "look at the list of devices, then begin again" in view.steps[-1].detail
    with pytest.raises(RefusedError, match="not connected"):
        await site.start(kind="exclude")
    await site.stick.verb("plug")
    await site.running.settled(7)
    job = await site.start(kind="exclude")
    await site.until(job.id, "deinst_searching")
    await site.network.cancel(job.id)
