"""Devices that are taken out, removed, replaced or set right again."""

from __future__ import annotations

from typing import Any

import pytest

from meterkast.model.errors import RefusedError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("zwave exclusion"),
]


async def test_exclusion_of_a_device_keeps_its_product(site: Any) -> None:
    product = site.running.product(8)
    view = await site.exclude(8)
    assert site.words(view) == [
        "deinst_start",
        "deinst_accepted",
        "deinst_searching",
        "deinst_found",
        "deinst_success",
    ]
    assert "Its product and all that was measured stay" in view.steps[-1].detail
    assert 8 not in site.numbers()
    assert product.id in {one.id for one in await site.store.products()}


async def test_wrong_device_is_excluded(site: Any) -> None:
    await site.include("plug", 50, product="Meant to go")
    await site.include("plug", 51, product="Innocent")
    view = await site.exclude(51, product="Meant to go")
    assert view.steps[-1].status == "deinst_wrong_dev"
    assert 'Device 51 "Innocent" was taken out, and not "Meant to go"' in view.steps[-1].detail


async def test_device_of_another_network_is_reset(site: Any) -> None:
    job = await site.start(kind="exclude")
    await site.until(job.id, "deinst_searching")
    await site.stick.verb("leave_stranger")
    view = await site.ended(job.id)
    assert (view.state, view.steps[-1].status) == ("done", "deinst_not_modified")
    assert "It can be added here now" in view.steps[-1].detail


async def test_only_a_dead_device_is_removed(site: Any) -> None:
    await site.include("plug", 52)
    job = await site.start(kind="remove", node=52)
    view = await site.ended(job.id)
    assert view.steps[-1].status == "deinst_aborted"
    assert "it answers. Take it out with `meterkast zwave exclude`" in view.steps[-1].detail
    await site.stick.verb("dead", id=52)
    job = await site.start(kind="remove", node=52)
    view = await site.ended(job.id)
    assert (view.state, view.steps[-1].status) == ("done", "deinst_success"), view
    assert 52 not in site.numbers()
    with pytest.raises(RefusedError, match="there is no device 52"):
        await site.start(kind="remove", node=52)


async def test_failed_device_is_replaced_and_the_product_goes_on(site: Any) -> None:
    await site.include("plug", 53, product="Fridge")
    product = await site.product("Fridge")
    job = await site.start(kind="replace", node=53)
    view = await site.ended(job.id)
    assert "Device 53 is not replaced: it answers" in view.steps[-1].detail
    await site.stick.verb("dead", id=53)
    job = await site.start(kind="replace", node=53)
    await site.until(job.id, "install_searching")
    await site.stick.verb("join", kind="plug", id=53)
    view = await site.ended(job.id)
    assert view.state == "done", view
    assert (view.product_id, site.running.product(53).id) == (product.id, product.id)


async def test_device_is_asked_everything_again(site: Any) -> None:
    job = await site.start(kind="interview", node=7)
    view = await site.ended(job.id)
    assert view.state == "done"
    assert site.words(view)[-2:] == ["install_configuring", "install_conf_success"]


async def test_routes_are_found_again(site: Any) -> None:
    job = await site.start(kind="heal", node=7)
    view = await site.ended(job.id)
    assert view.steps[-1].status in ("heal_success", "heal_fail"), view
    job = await site.start(kind="heal")
    view = await site.ended(job.id)
    assert any("devices are done" in step.detail for step in view.steps) or view.state == "done", view


async def test_backup_is_kept_and_only_its_owner_may_read_it(site: Any) -> None:
    for _ in range(2):
        job = await site.start(kind="backup")
        view = await site.ended(job.id)
        assert view.steps[-1].status == "backup_success"
    files = sorted((site.folder / "backups").iterdir())
    assert 1 <= len(files) <= 5
    assert str(files[-1]) in view.steps[-1].detail
    assert files[-1].name.endswith("-7e570001.bin")
    assert files[-1].stat().st_mode & 0o777 == 0o600
    assert files[-1].stat().st_size >= 1024
