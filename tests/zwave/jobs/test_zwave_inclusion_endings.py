"""How adding a device ends, in BeNext's words."""

from __future__ import annotations

from typing import Any

import pytest

from meterkast.model.errors import RefusedError


async def test_no_sis_and_no_space(site: Any) -> None:
    await site.connect(isPrimary=False, isSISPresent=False)
    view = await site.ended((await site.start("include")).id)
    assert site.last(view)[0] == "install_no_sis"
    assert "may not add devices" in site.last(view)[1]
    site.network.detach()
    await site.connect(*(site.described(node) for node in range(2, 233)))
    view = await site.ended((await site.start("include")).id)
    assert site.last(view)[0] == "install_no_space"
    assert "controller.begin_inclusion" not in site.server.told


async def test_busy_stick_is_waited_for_then_its_server_is_started_anew(site: Any) -> None:
    site.server.answers["controller.begin_inclusion"] = {"success": False}
    await site.connect()
    view = await site.ended((await site.start("include")).id)
    assert site.last(view)[0] == "install_busy"
    assert "its server was started anew" in site.last(view)[1]
    assert any("The stick is busy. It is waited for" in one.detail for one in view.steps)
    assert site.restarts == 1


async def test_stick_that_is_busy_for_a_moment_only(site: Any) -> None:
    site.network.patience.busy_s = 30.0
    site.server.answers["controller.begin_inclusion"] = [{"success": False}, {"success": False}]
    await site.connect()
    await site.searching()
    assert (site.restarts, site.server.looking) == (0, {"inclusion"})


async def test_device_that_tells_nothing_of_use(site: Any) -> None:
    link = await site.connect()
    job = await site.searching(security="none")
    link.added(site.described(5, ready=False))
    await site.said(job.id, "install_configuring")
    link.tell("ready", nodeId=5, nodeState=site.described(5))
    view = await site.ended(job.id)
    assert site.last(view)[0] == "install_unknown_dev"
    assert "nothing to read and nothing to switch" in site.last(view)[1]


async def test_a_device_is_added_where_it_will_stay_and_else_near_the_stick(site: Any) -> None:
    await site.connect()
    view = await site.searching()
    said = site.last(view)[1]
    assert "where it will stay" in said
    assert "If it is not heard there: add it within a metre of the stick" in said
    assert "`meterkast zwave heal NODE`" in said


async def test_no_name_is_longer_than_a_label(site: Any) -> None:
    await site.connect()
    for name in (" ", "x" * 101, "9" * 5000):
        with pytest.raises(RefusedError, match="product"):
            await site.start("include", product=name)
