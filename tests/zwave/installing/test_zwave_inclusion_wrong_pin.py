"""Wrong PINs, and none: the simulated stick takes no right one after a wrong one."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("zwave wrong pin"),
]

PIN = ["S2_Authenticated", "S2_Unauthenticated"]


async def test_wrong_pin_is_told_and_the_half_added_device_goes_out_again(site: Any) -> None:
    job = await site.start(kind="include", pin="00001")
    await site.until(job.id, "install_searching")
    await site.stick.verb("join", kind="s2meter", id=22, classes=PIN)
    view = await site.until(job.id, "deinst_searching")
    assert "install_sec_hs_fail" in site.words(view)
    assert "Wrong PIN: the five digits are underlined on the device's label" in site.said(view)
    assert "press" in view.steps[-1].detail.lower()
    assert view.left_s is not None
    await site.stick.verb("leave", id=22)
    view = await site.ended(job.id)
    assert view.state == "failed"
    assert view.steps[-1].status == "deinst_success"
    assert "begin anew" in view.steps[-1].detail
    assert 22 not in site.numbers()


async def test_wrong_pin_and_nobody_at_the_button_leaves_a_warning(site: Any, patience: Any) -> None:
    patience.rescue_s = 1.0
    job = await site.start(kind="include", pin="00001")
    await site.until(job.id, "install_searching")
    await site.stick.verb("join", kind="s2meter", id=23, classes=PIN)
    view = await site.ended(job.id)
    assert view.state == "failed"
    assert "Device 23 is still in the network, without security" in view.steps[-1].detail
    out = await site.exclude(23)
    assert out.state == "done"


async def test_nobody_gives_the_pin(site: Any, patience: Any) -> None:
    patience.pin_s, patience.rescue_s = 1.0, 1.0
    job = await site.start(kind="include")
    await site.until(job.id, "install_searching")
    await site.stick.verb("join", kind="s2meter", id=24, classes=PIN)
    view = await site.ended(job.id)
    assert "No PIN was given in time" in site.said(view)
    assert "install_sec_hs_fail" in site.words(view)
    assert (await site.exclude(24)).state == "done"


async def test_cancel_while_the_pin_is_asked_says_what_stays(site: Any) -> None:
    job = await site.start(kind="include")
    await site.until(job.id, "install_searching")
    await site.stick.verb("join", kind="s2meter", id=43, classes=PIN)
    await site.asked(job.id)
    view = await site.network.cancel(job.id)
    assert view.steps[-1].status == "install_aborted"
    assert "Device 43 is in the network already, without security" in view.steps[-1].detail
    assert (await site.exclude(43)).state == "done"
