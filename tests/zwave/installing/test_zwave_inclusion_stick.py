"""Adding devices: with a PIN, with S0, without encryption, for a product."""

from __future__ import annotations

from typing import Any

import pytest

from meterkast.model.errors import RefusedError
from meterkast.model.product import Medium, ProductDescription

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("zwave inclusion"),
]

PIN = ["S2_Authenticated", "S2_Unauthenticated"]


async def test_s2_device_asks_for_its_pin_and_is_told_to_be_encrypted(site: Any) -> None:
    job = await site.start(kind="include")
    await site.until(job.id, "install_searching")
    made = await site.stick.verb("join", kind="s2meter", id=20, classes=PIN)
    asking = await site.asked(job.id)
    assert (asking.state, asking.asks) == ("asking", "pin")
    assert asking.dsk == made["dsk"][6:]
    assert asking.left_s is not None
    assert 100 < asking.left_s <= 230
    assert "five digits that are underlined" in asking.steps[-1].detail
    with pytest.raises(RefusedError, match="is no PIN"):
        await site.network.answer(job.id, "12a45")
    await site.network.answer(job.id, made["pin"])
    view = await site.ended(job.id)
    assert site.words(view) == [
        "install_start",
        "install_accepted",
        "install_searching",
        "install_found",
        "install_configuring",
        "install_conf_success",
        "install_success",
    ]
    assert view.state == "done"
    assert "encrypted (S2_" in view.steps[-1].detail
    assert view.node == 20
    assert view.product_id == next(one.product_id for one in site.network.nodes() if one.node == 20)


async def test_steps_are_kept_for_the_installation_resource(site: Any) -> None:
    view = await site.include("plug", 21)
    kept = await site.store.installation_messages(50)
    told = [(one.status, one.detail) for one in kept][-len(view.steps) :]
    assert told == [(step.status, step.detail) for step in view.steps]
    assert "without encryption" in view.steps[-1].detail


async def test_s2_was_asked_for_and_the_device_has_none(site: Any, patience: Any) -> None:
    patience.rescue_s = 1.0
    view = await site.include("plug", 25, security="s2")
    assert "install_sec_hs_fail" in site.words(view)
    assert "The device has no S2 security" in site.said(view)
    assert (await site.exclude(25)).state == "done"


async def test_s0_device_is_added_with_s0(site: Any) -> None:
    view = await site.include("s0plug", 26, security="s0")
    assert view.state == "done"
    assert "encrypted (S0_Legacy)" in view.steps[-1].detail


async def test_without_encryption_comes_with_a_warning(site: Any) -> None:
    view = await site.include("s2meter", 27, security="none")
    assert view.state == "done"
    assert "whoever is near can read what the device sends" in site.said(view)
    assert "without encryption" in view.steps[-1].detail


async def test_product_first_then_its_device(site: Any) -> None:
    view = await site.include("water", 30, product="Water main")
    product = await site.product("Water main")
    assert view.state == "done"
    assert view.steps[-1].detail.startswith('Device 30 is "Water main"')
    assert (view.product_id, product.description.medium) == (product.id, Medium.WATER)
    assert product.description.identity.startswith("product:")
    assert site.running.product(30).id == product.id

    again = await site.start(kind="include", product=str(product.id))
    again = await site.ended(again.id)
    assert again.steps[-1].status == "install_node_mapped"
    assert '"Water main" has a device already: number 30' in again.steps[-1].detail

    assert (await site.exclude(30, product="Water main")).state == "done"
    assert (await site.product("Water main")).id == product.id

    wrong = await site.include("gas", 31, product="Water main")
    assert wrong.state == "failed"
    assert wrong.steps[-1].status == "install_wrong_dev"
    assert 'measures gas, but "Water main" was for water' in wrong.steps[-1].detail
    assert site.running.product(31).id != product.id
    assert (await site.product("Water main")).description.medium is Medium.WATER

    other = await site.include("plug", 32, product="Water main")
    assert other.steps[-1].status == "install_wrong_dev"
    assert "Binary" in other.steps[-1].detail

    right = await site.include("water", 33, product="water MAIN")
    assert (right.state, right.product_id) == ("done", product.id)


async def test_no_device_comes(site: Any) -> None:
    job = await site.start(kind="include", timeout_s=1.0)
    view = await site.ended(job.id)
    assert view.steps[-1].status == "install_timeout"
    assert "exclude it first" in view.steps[-1].detail
    job = await site.start(kind="exclude", timeout_s=1.0)
    view = await site.ended(job.id)
    assert view.steps[-1].status == "deinst_timeout"
    assert "zwave remove" in view.steps[-1].detail


async def test_cancel_while_searching_and_one_job_at_a_time(site: Any) -> None:
    job = await site.start(kind="include")
    await site.until(job.id, "install_searching")
    with pytest.raises(RefusedError, match=rf"job {job.id} \(include\) is running: Press the button"):
        await site.start(kind="exclude")
    view = await site.network.cancel(job.id)
    assert view.state == "failed"
    assert view.steps[-1].status == "install_aborted"
    assert view.steps[-1].detail == "The stick has stopped looking for devices. Nothing was changed."
    assert (await site.network.cancel(job.id)).steps == view.steps
    next_one = await site.start(kind="exclude")
    await site.until(next_one.id, "deinst_searching")
    view = await site.network.cancel(next_one.id)
    assert view.steps[-1].status == "deinst_aborted"


async def test_orders_that_cannot_be(site: Any) -> None:
    for request, why in (
        ({"kind": "remove"}, "remove needs a device"),
        ({"kind": "interview", "node": 99}, "there is no device 99"),
        ({"kind": "include", "pin": "123"}, "is no PIN"),
        ({"kind": "include", "code": "hello"}, "is no code of a Z-Wave device"),
        ({"kind": "include", "product": "4711"}, "there is no product 4711"),
        ({"kind": "exclude", "product": "Nothing of that name"}, "there is no product"),
        ({"kind": "include", "timeout_s": 0.0}, "is no time to wait"),
    ):
        with pytest.raises(RefusedError, match=why):
            await site.start(**request)
    with pytest.raises(RefusedError, match="there is no job 4711"):
        await site.network.changed(4711, 0)


async def test_product_of_another_driver_is_refused(site: Any) -> None:
    await site.store.declare(
        ProductDescription(identity="p1:E1", name="Mains", medium=Medium.ELECTRICITY), []
    )
    with pytest.raises(RefusedError, match="is not a Z-Wave product"):
        await site.start(kind="include", product="mains")
