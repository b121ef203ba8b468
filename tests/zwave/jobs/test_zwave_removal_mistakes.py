"""No device is taken out, or struck off, by mistake."""

from __future__ import annotations

from typing import Any

from meterkast.model.product import Medium, NodeStatus, ProductDescription

ASLEEP = 1


async def test_sleeping_device_is_not_struck_off_by_mistake(site: Any) -> None:
    await site.connect(site.described(7, listening=False, status=ASLEEP))
    site.server.answers["node.ping"] = {"responded": False}
    view = await site.ended((await site.start("remove", node=7)).id)
    assert site.last(view)[0] == "deinst_aborted"
    assert "it sleeps, and was heard not long ago" in site.last(view)[1]
    assert "controller.remove_failed_node" not in site.server.told
    for asleep, status in ((True, NodeStatus.AVAILABLE), (False, NodeStatus.NO_CONNECTION)):
        site.devices.get(7).status = status
        site.server.told.clear()
        await site.ended((await site.start("remove", node=7, asleep=asleep)).id)
        assert "controller.remove_failed_node" in site.server.told


async def test_device_that_stays_on_the_sticks_list_is_not_called_removed(site: Any) -> None:
    await site.connect(site.described(7))
    site.server.answers["node.ping"] = {"responded": False}
    view = await site.ended((await site.start("remove", node=7)).id)
    assert (view.state, site.last(view)[0]) == ("failed", "deinst_proto_fail")
    assert "could not be removed" in site.last(view)[1]


async def test_product_without_a_device_is_not_excluded(site: Any) -> None:
    await site.connect(site.described(7))
    await site.shelf.declare(ProductDescription(identity="product:1", name="Meter", medium=Medium.OTHER), [])
    view = await site.ended((await site.start("exclude", product="Meter")).id)
    assert site.last(view) == (
        "deinst_not_modified",
        '"Meter" has no device, so none is taken out. `meterkast zwave nodes` lists what is in the network.',
    )
    assert "controller.begin_exclusion" not in site.server.told


async def test_device_that_goes_by_itself_is_not_the_one_at_the_button(site: Any) -> None:
    link = await site.connect(site.described(7), site.described(8))
    job = await site.searching("exclude")
    link.removed(7, reason=6)
    link.tell("exclusion stopped")
    link.removed(8)
    assert "Device 8 is out" in site.last(await site.ended(job.id))[1]
