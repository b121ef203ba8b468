"""The stick never goes on looking for devices, and every job ends."""

from __future__ import annotations

import asyncio
from typing import Any

from meterkast.model.errors import RefusedError
from meterkast.network import JobView
from meterkast_drivers.zwave import installation as jobs

LIMIT_S = 60.0


async def test_a_stick_left_looking_by_a_gateway_that_was_killed_is_stopped(site: Any) -> None:
    site.server.looking = {"inclusion", "exclusion"}
    await site.connect()
    assert site.server.looking == set()


async def test_a_job_begins_only_after_that(site: Any) -> None:
    gate = site.server.answers["controller.stop_inclusion"] = asyncio.Event()
    site.network.patience.command_s = 30.0
    link = site.made_link()
    site.devices.attach(link)
    site.network.attach(link)
    starting = asyncio.create_task(site.searching())
    await asyncio.sleep(0.05)
    assert "controller.begin_inclusion" not in site.server.told
    gate.set()
    await asyncio.wait_for(starting, LIMIT_S)
    assert site.server.looking == {"inclusion"}


async def test_stopping_the_gateway_ends_the_job_and_stops_the_stick(site: Any) -> None:
    await site.connect()
    job = await site.searching()
    await site.network.close()
    assert site.server.looking == set()
    assert site.last(await site.ended(job.id))[0] == "install_aborted"


async def test_stopping_does_not_wait_for_a_frozen_server(site: Any, monkeypatch: Any, caplog: Any) -> None:
    monkeypatch.setattr(jobs, "CLOSE_S", 0.1)
    await site.connect()
    await site.searching()
    site.network.patience.command_s = 3600.0
    site.server.answers["controller.stop_inclusion"] = asyncio.Event()
    await asyncio.wait_for(site.network.close(), LIMIT_S)
    assert any("the stick is told to stop looking at the next start" in one for one in caplog.messages)


async def test_cancelling_while_a_device_goes_out_again_stops_the_stick(site: Any) -> None:
    site.network.patience.rescue_s = 30.0
    link = await site.connect()
    job = await site.searching()
    link.added(site.described(5, ready=False), lowSecurity=True, lowSecurityReason=6)
    await site.said(job.id, "deinst_searching")
    assert site.server.looking == {"inclusion", "exclusion"}
    view = await site.network.cancel(job.id)
    assert site.server.looking == set()
    assert "Device 5 is in the network already, without security" in site.last(view)[1]


async def test_a_failed_exchange_does_not_leave_the_stick_looking(site: Any) -> None:
    link = await site.connect()
    job = await site.searching()
    link.tell("inclusion failed")
    assert site.last(await site.ended(job.id))[0] == "install_proto_fail"
    assert site.server.looking == set()


async def test_order_that_is_carried_out_after_its_job_is_stopped_again(site: Any) -> None:
    link = await site.connect()
    site.server.answers["controller.begin_exclusion"] = [asyncio.Event()]
    job = await site.start("exclude")
    view = await site.ended(job.id)
    assert (site.last(view)[0], site.restarts) == ("deinst_busy", 1)
    site.server.looking = {"exclusion"}
    link.tell("exclusion started")
    await site.wait_for(lambda: not site.server.looking)


async def test_cancelled_twice_at_once_it_still_stops_in_order(site: Any) -> None:
    await site.connect()
    job = await site.searching()
    gate = site.server.answers["controller.stop_inclusion"] = asyncio.Event()
    site.network.patience.command_s = 30.0
    site.server.told.clear()
    one = asyncio.create_task(site.network.cancel(job.id))
    await site.wait_for(lambda: "controller.stop_inclusion" in site.server.told)
    other = asyncio.create_task(site.network.cancel(job.id))
    await asyncio.sleep(0.05)
    gate.set()
    first, second = await asyncio.wait_for(asyncio.gather(one, other), LIMIT_S)
    assert site.last(first) == site.last(second)
    assert site.last(first)[0] == "install_aborted"
    assert (await site.searching("exclude")).state == "running"


async def test_cancelled_at_its_very_end_it_ends_all_the_same(site: Any, monkeypatch: Any) -> None:
    link = await site.connect()
    job = await site.searching("exclude")
    kept, gate = asyncio.Event(), asyncio.Event()

    async def report(message: Any) -> None:
        if message.status.endswith("not_modified"):
            kept.set()
            await gate.wait()

    monkeypatch.setattr(site.shelf, "report", report)
    link.tell("exclusion stopped")
    await asyncio.wait_for(kept.wait(), LIMIT_S)
    cancelling = asyncio.create_task(site.network.cancel(job.id))
    await asyncio.sleep(0.05)
    gate.set()
    view = await asyncio.wait_for(cancelling, LIMIT_S)
    assert (view.state, site.last(view)[0]) == ("done", "deinst_not_modified")


async def test_job_that_cannot_even_be_stopped_ends_all_the_same(site: Any, monkeypatch: Any) -> None:
    async def broken(self: Any) -> str:
        raise KeyError("odd")

    monkeypatch.setattr("meterkast_drivers.zwave.inclusion.Inclusion.abort", broken)
    await site.connect()
    job = await site.searching()
    view = await asyncio.wait_for(site.network.cancel(job.id), LIMIT_S)
    assert view.state == "failed"
    assert "could not be stopped in order (KeyError)" in site.last(view)[1]


async def test_of_two_jobs_at_once_one_is_refused(site: Any) -> None:
    await site.connect()
    outcomes = await asyncio.gather(site.start("include"), site.start("exclude"), return_exceptions=True)
    assert [type(one) for one in outcomes] == [JobView, RefusedError]
