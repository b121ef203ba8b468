"""A stick that does not stop looking for devices: it is told of, and told to stop until it does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meterkast.model.errors import RefusedError

REFUSED = {"success": False}
COUNTED = "stick not stopped"


def warnings(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [one for one in caplog.records if one.message == "the stick may still be looking for devices"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (REFUSED, "the stick refused to stop"),
        (RefusedError("the stick is jammed", hint=""), "the stick is jammed"),
        (lambda _: asyncio.Event(), "stop: no answer"),
    ],
)
async def test_a_stick_that_goes_on_looking_is_told_of_and_stopped_again_later(
    site: Any, caplog: pytest.LogCaptureFixture, answer: Any, reason: str
) -> None:
    site.network.patience.again_s = 0.01
    site.server.looking = {"exclusion"}
    gate = asyncio.Event()
    site.server.answers["controller.stop_exclusion"] = [answer, gate]
    await site.connect()
    assert "pull the stick out" in site.network.problem
    assert site.devices.counters[COUNTED] == 1
    (warning,) = warnings(caplog)
    assert warning.reason == reason
    assert "It is told to stop again by itself" in warning.do
    site.network.patience.command_s = 30.0
    gate.set()
    await site.wait_for(lambda: not site.network.problem)
    assert site.server.looking == set()
    assert "the stick no longer looks for devices" in caplog.messages


async def test_whether_it_looks_cannot_be_asked_either(site: Any, caplog: pytest.LogCaptureFixture) -> None:
    site.server.answers["controller.get_state"] = RefusedError("the server is confused", hint="")
    await site.connect()
    assert [one.reason for one in warnings(caplog)] == ["the server is confused"]
    assert site.network.problem


async def test_a_stick_that_never_looked_is_no_problem(site: Any, caplog: pytest.LogCaptureFixture) -> None:
    await site.connect()
    assert (site.network.problem, site.devices.counters[COUNTED], warnings(caplog)) == ("", 0, [])


async def test_it_is_said_once_however_often_it_is_told_to_stop(
    site: Any, caplog: pytest.LogCaptureFixture
) -> None:
    site.network.patience.again_s = 0.01
    site.server.looking = {"inclusion"}
    site.server.answers["controller.stop_inclusion"] = REFUSED
    await site.connect()
    await site.wait_for(lambda: site.server.told.count("controller.stop_inclusion") > 3)
    assert len(warnings(caplog)) == site.devices.counters[COUNTED] == 1


@pytest.mark.parametrize("kind", ["include", "exclude"])
async def test_a_job_whose_stick_goes_on_looking_says_so_at_its_end(site: Any, kind: str) -> None:
    site.network.patience.again_s = 0.01
    await site.connect()
    job = await site.searching(kind)
    what = f"controller.stop_{'in' if kind == 'include' else 'ex'}clusion"
    site.server.answers[what] = REFUSED
    view = await site.network.cancel(job.id)
    assert "The stick may still be looking for devices" in site.last(view)[1]
    assert "pull the stick out" in site.last(view)[1]
    del site.server.answers[what]
    await site.wait_for(lambda: not site.server.looking and not site.network.problem)
    view = await site.network.cancel((await site.searching(kind)).id)
    assert "may still be looking" not in site.last(view)[1]


async def test_a_job_that_looks_on_purpose_is_left_alone_meanwhile(site: Any) -> None:
    site.network.patience.again_s = 0.01
    site.server.looking = {"exclusion"}
    site.server.answers["controller.stop_exclusion"] = REFUSED
    await site.connect()
    await site.searching()
    site.server.looking = {"inclusion"}
    site.server.told.clear()
    for _ in range(3):  # it would be told to stop at each of these
        timer = site.installation.tidying._again
        await site.wait_for(lambda timer=timer: site.installation.tidying._again is not timer)
    assert site.server.told == []
    assert site.server.looking == {"inclusion"}


async def test_a_job_that_is_just_beginning_is_not_stopped_by_it(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.network.patience.again_s, site.network.patience.command_s = 0.01, 30.0
    site.server.looking = {"exclusion"}
    known, stopped = asyncio.Event(), asyncio.Event()
    site.server.answers["controller.stop_inclusion"] = [REFUSED, stopped]
    site.server.answers["controller.stop_exclusion"] = [REFUSED]
    await site.connect()

    async def products() -> list[Any]:
        await known.wait()
        return []

    monkeypatch.setattr(site.shelf, "products", products)
    starting = asyncio.create_task(site.searching(product="Meter"))
    await site.wait_for(lambda: site.server.told.count("controller.stop_inclusion") == 2)
    known.set()
    await asyncio.sleep(0.05)  # a job that does not wait begins in this time
    stopped.set()
    await starting
    assert site.server.looking == {"inclusion"}


async def test_what_was_left_is_stopped_at_the_next_connection(site: Any) -> None:
    site.network.patience.again_s = 0.01
    site.server.looking = {"inclusion"}
    site.server.answers["controller.stop_inclusion"] = REFUSED
    await site.connect()
    site.network.detach()
    told, timer = list(site.server.told), site.installation.tidying._again
    await site.wait_for(lambda: asyncio.get_running_loop().time() > timer.when() + 0.01)
    assert site.server.told == told
    del site.server.answers["controller.stop_inclusion"]
    await site.connect()
    assert (site.server.looking, site.network.problem) == (set(), "")


async def test_a_connection_that_never_came_about_is_gone_without_a_word(site: Any) -> None:
    site.network.detach()
    with pytest.raises(RefusedError, match="not connected"):
        await site.start("include")
