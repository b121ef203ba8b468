"""How taking out a device ends, and a device that was added wrongly and has to go out again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meterkast.model.errors import RefusedError


async def test_device_of_another_network_while_a_product_was_meant(site: Any) -> None:
    link = await site.connect(site.described(7))
    name = await site.named(7)
    job = await site.searching("exclude", product=name)
    link.tell("exclusion stopped")
    view = await site.ended(job.id)
    assert (view.state, site.last(view)[0]) == ("failed", "deinst_not_modified")
    assert f'"{name}" is still in.' in site.last(view)[1]


async def test_another_device_than_the_one_meant(site: Any) -> None:
    link = await site.connect(site.described(7), site.described(8))
    meant, other = await site.named(7), await site.named(8)
    job = await site.searching("exclude", product=meant)
    link.removed(8)
    view = await site.ended(job.id)
    assert site.last(view)[0] == "deinst_wrong_dev"
    assert f'Device 8 "{other}" was taken out, and not "{meant}"' in site.last(view)[1]


async def test_stick_that_fails(site: Any) -> None:
    link = await site.connect()
    job = await site.searching("exclude")
    link.tell("exclusion failed")
    view = await site.ended(job.id)
    assert site.last(view) == (
        "deinst_proto_fail",
        "The stick could not take the device out. Go closer, and try again.",
    )


async def test_nobody_presses(site: Any) -> None:
    await site.connect()
    view = await site.ended((await site.searching("exclude", timeout_s=1.0)).id)
    assert site.last(view)[0] == "deinst_timeout"
    assert site.last(view)[1].endswith("`meterkast zwave remove NODE`.")
    assert site.server.looking == set()


# ------------------------------------------------------------------------------------------- striking off


@pytest.mark.parametrize("ping", [RefusedError("no", hint=""), asyncio.Event, {"responded": False}])
async def test_device_whose_ping_fails_counts_as_gone(site: Any, ping: Any) -> None:
    site.network.patience.ping_s = 0.1
    site.server.answers["node.ping"] = (lambda _: asyncio.Event()) if ping is asyncio.Event else ping
    link = await site.connect(site.described(7))
    site.network.patience.settle_s = 30.0
    job = await site.start("remove", node=7)
    await site.wait_for(lambda: "controller.remove_failed_node" in site.server.told)
    link.removed(7, reason=2)
    view = await site.ended(job.id)
    assert (view.state, site.last(view)[0]) == ("done", "deinst_success")


@pytest.mark.parametrize("goes", [True, False])
async def test_removal_that_is_not_answered_counts_by_what_became_of_the_device(
    site: Any, goes: bool
) -> None:
    site.network.patience.remove_s = 0.1
    site.server.answers["node.ping"] = {"responded": False}
    link = await site.connect(site.described(7))

    def removing(_: Any) -> asyncio.Event:
        if goes:
            link.removed(7, reason=2)
        return asyncio.Event()  # for ever

    site.server.answers["controller.remove_failed_node"] = removing
    view = await site.ended((await site.start("remove", node=7)).id)
    assert site.last(view)[0] == ("deinst_success" if goes else "deinst_proto_fail")


# ---------------------------------------------------------------- a device that has to go out again


async def added_wrongly(site: Any) -> Any:
    """The job whose device came without security, at the moment that its button is waited for."""
    link = await site.connect(site.described(7))
    job = await site.searching()
    link.added(site.described(5, ready=False), lowSecurity=True, lowSecurityReason=3)
    return link, await site.said(job.id, "deinst_searching")


async def test_it_goes_out(site: Any) -> None:
    site.network.patience.rescue_s = 30.0
    link, job = await added_wrongly(site)
    link.removed(5)
    view = await site.ended(job.id)
    assert site.last(view)[0] == "deinst_success"
    assert "is out again. Now begin anew." in site.last(view)[1]


@pytest.mark.parametrize("stranger", [True, False])
async def test_another_one_goes_out_instead(site: Any, stranger: bool) -> None:
    site.network.patience.rescue_s = 30.0
    link, job = await added_wrongly(site)
    if stranger:
        link.tell("exclusion stopped")
    else:
        link.removed(7)
    view = await site.ended(job.id)
    assert site.last(view)[0] == "deinst_wrong_dev"
    gone = "A device of another network" if stranger else "Device 7"
    assert site.last(view)[1].startswith(gone)
    assert "Device 5 is still in the network, without security" in site.last(view)[1]


async def test_it_no_longer_answers_and_is_struck_off(site: Any) -> None:
    site.server.answers["node.ping"] = {"responded": False}
    site.network.patience.settle_s = 30.0
    link, job = await added_wrongly(site)
    await site.wait_for(lambda: "controller.remove_failed_node" in site.server.told)
    assert "exclusion" not in site.server.looking
    link.removed(5, reason=2)
    view = await site.ended(job.id)
    assert site.last(view)[0] == "deinst_success"
    assert "no longer answers and was removed" in site.last(view)[1]


async def test_it_no_longer_answers_and_cannot_be_struck_off(site: Any) -> None:
    site.server.answers["node.ping"] = {"responded": False}
    site.server.answers["controller.remove_failed_node"] = RefusedError("the stick is busy", hint="")
    _, job = await added_wrongly(site)
    view = await site.ended(job.id)
    assert site.last(view)[0] == "deinst_timeout"
    assert "Device 5 is still in the network, without security" in site.last(view)[1]


async def test_it_has_gone_by_itself_while_the_stick_failed(site: Any) -> None:
    site.network.patience.rescue_s = 30.0
    link, job = await added_wrongly(site)
    link.removed(5, reason=6)
    link.tell("exclusion failed")
    view = await site.ended(job.id)
    assert site.last(view)[0] == "deinst_success"
    assert "controller.remove_failed_node" not in site.server.told
