"""Devices that join after their job has ended get the product that they were listed for."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from meterkast.model.errors import RefusedError
from meterkast.model.product import Medium, ProductDescription
from meterkast.network import JobRequest

PLUG, LATE, METER = 5, 6, 7
MEANT = "made:1"
PRODUCT = "meterkastProduct"
LIST = "controller.get_provisioning_entry"


@pytest.fixture
async def home(cupboard: Any, kinds: Any) -> Any:
    """With a product that waits for its device."""
    await cupboard.connect(kinds.classed(kinds.plug(PLUG), "Switch"))
    description = ProductDescription(identity=MEANT, medium=Medium.OTHER, name="Kitchen plug")
    await cupboard.disk.declare(description, [])
    cupboard.server.answers[LIST] = {"entry": {PRODUCT: MEANT}}
    return cupboard


async def named(home: Any, node: int, name: str) -> None:
    await home.until(lambda: any(one.node == node and one.name == name for one in views(home)), name)


def views(home: Any) -> Any:
    return home.driver.network.nodes()


async def test_device_gets_the_product_that_it_was_listed_for(home: Any, kinds: Any) -> None:
    home.link.added(kinds.plug(LATE))
    await named(home, LATE, "Kitchen plug")


async def test_device_that_nothing_was_meant_for_gets_a_product_of_its_own(home: Any, kinds: Any) -> None:
    home.server.answers[LIST] = {}
    home.link.added(kinds.plug(LATE))
    await home.until(lambda: home.settled(LATE), "settled")
    assert "Kitchen plug" not in {one.name for one in views(home)}


async def test_device_that_takes_its_time_is_linked_when_it_is_ready(home: Any, kinds: Any) -> None:
    listed = (await home.disk.products())[0].description
    home.server.answers[LIST] = {"entry": {PRODUCT: listed.identity}}  # of a plug, not of any device
    home.link.added(kinds.classed(kinds.plug(LATE, ready=False), "Switch"))
    await home.until(lambda: LIST in home.server.told, "looked up")
    home.driver.devices.changed(LATE)  # it is not ready yet
    assert listed.name not in {one.name for one in views(home) if one.node == LATE}
    live = home.link.driver.controller.nodes[LATE]
    live.data["ready"] = True
    home.driver.devices.changed(LATE)
    await named(home, LATE, listed.name)


async def test_device_that_is_another_kind_than_the_one_meant_is_told(
    home: Any, kinds: Any, caplog: pytest.LogCaptureFixture
) -> None:
    listed = (await home.disk.products())[0].description
    home.server.answers[LIST] = {"entry": {PRODUCT: listed.identity}}
    home.link.added(kinds.classed(kinds.meter(LATE), "Meter"))
    await home.until(lambda: "late device is not the one meant" in caplog.messages, "told")
    (told,) = [one for one in caplog.records if one.message == "late device is not the one meant"]
    assert told.node == LATE  # type: ignore[attr-defined]


async def test_list_that_cannot_be_read_is_told(
    home: Any, kinds: Any, caplog: pytest.LogCaptureFixture
) -> None:
    home.server.answers[LIST] = RefusedError("the stick is busy", hint="")
    home.link.added(kinds.plug(LATE))
    await home.until(lambda: "late device not linked" in caplog.messages, "told")
    (told,) = [one for one in caplog.records if one.message == "late device not linked"]
    assert (told.node, told.reason) == (LATE, "the stick is busy")  # type: ignore[attr-defined]


async def test_answer_that_is_not_understood_is_told_with_what_it_was_about(
    home: Any, kinds: Any, caplog: pytest.LogCaptureFixture
) -> None:
    home.server.answers[LIST] = {"entry": 1}
    home.link.added(kinds.plug(LATE))
    await home.until(lambda: "late device not linked" in caplog.messages, "told")
    (told,) = [one for one in caplog.records if one.message == "late device not linked"]
    assert (told.levelno, told.node) == (logging.ERROR, LATE)  # type: ignore[attr-defined]
    assert told.exc_info is not None


async def test_device_that_left_before_it_was_linked_is_forgotten(home: Any, kinds: Any) -> None:
    listed = (await home.disk.products())[0].description
    home.server.answers[LIST] = {"entry": {PRODUCT: listed.identity}}
    home.link.added(kinds.classed(kinds.plug(LATE, ready=False), "Switch"))
    await home.until(lambda: LIST in home.server.told, "looked up")
    home.link.removed(LATE)
    await home.until(lambda: home.driver.devices.get(LATE) is None, "removed")
    home.server.answers[LIST] = {}
    home.link.added(kinds.classed(kinds.plug(LATE), "Switch"))
    await home.until(lambda: home.settled(LATE), "settled")
    home.driver.devices.changed(LATE)
    await home.until(lambda: home.server.told.count(LIST) == 2, "looked up")
    assert [one.name for one in views(home) if one.node == LATE] != [listed.name]


async def test_order_that_cannot_be_meant_is_refused(home: Any) -> None:
    for order, why in (
        ({"kind": "remove"}, "remove needs a device"),
        ({"kind": "include", "timeout_s": 0.5}, "0.5 s is no time to wait"),
        ({"kind": "include", "timeout_s": 3601}, "3601 s is no time to wait"),
        ({"kind": "include", "pin": "1234"}, '"1234" is no PIN'),
        ({"kind": "include", "pin": "１２３４５"}, "is no PIN"),
        ({"kind": "include", "product": " "}, "the product's name is empty or too long"),
        ({"kind": "include", "product": "x" * 101}, "the product's name is empty or too long"),
    ):
        with pytest.raises(RefusedError, match=why):
            await home.driver.network.start(JobRequest(**order))  # type: ignore[arg-type]
    assert home.driver.network.jobs() == []
