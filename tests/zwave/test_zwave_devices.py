"""What is known of the devices, from made-up nodes: what a stick cannot be made to do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meterkast.model.errors import RefusedError, StorageError
from meterkast.model.product import Medium, Product, ProductDescription
from meterkast.ports.driver import LinkState
from meterkast_drivers.zwave.devices import Devices
from meterkast_drivers.zwave.driver import ZwaveDriver
from meterkast_drivers.zwave.settings import NodeSettings, Settings

HOME = "zwave:00007e57"


@pytest.fixture
def devices(shelf: Any, still: Any) -> Devices:
    return Devices(Settings(stick="/dev/ttyACM0"), shelf, still)


async def filled(devices: Devices, made: Any) -> Product:
    """A meter is node 5; the product that it fills."""
    devices.attach(made.link(made.node(5, made.energy())))
    await devices.refresh(5)
    product: Product = devices.get(5).product
    return product


def again(shelf: Any, still: Any, **settings: Any) -> Devices:
    """The same store after a restart."""
    return Devices(Settings(stick="/dev/ttyACM0", **settings), shelf, still)


async def test_several_changes_in_a_moment_are_declared_once(
    devices: Devices, shelf: Any, made: Any, tools: Any
) -> None:
    devices.attach(made.link(made.node(5, made.energy(), made.temperature())))
    for _ in range(20):
        devices.schedule(5)
        await asyncio.sleep(0)
    await tools.until(lambda: not devices.get(5).unsettled, "settled")
    assert shelf.declared == 1
    assert {mapped.property.key for mapped in devices.get(5).properties.values()} == {
        "import_total",
        "temperature",
    }
    devices.detach()


async def test_a_change_in_the_moment_that_the_last_one_is_done_is_not_lost(
    devices: Devices, shelf: Any, made: Any, tools: Any
) -> None:
    again: list[int] = []

    def once_more(device: Any) -> None:
        if not again:
            again.append(device.node)
            # Runs when the task of the first declaring is over, before anything else.
            asyncio.get_running_loop().call_soon(devices.schedule, device.node)

    devices.on_settled.append(once_more)
    devices.attach(made.link(made.node(5, made.energy())))
    await tools.until(lambda: shelf.declared == 2, "declared for the second change too")
    devices.detach()


async def test_what_the_database_refuses_is_tried_again(
    devices: Devices, shelf: Any, made: Any, tools: Any
) -> None:
    shelf.refusing = True
    devices.attach(made.link(made.node(5, made.energy())))
    await tools.until(lambda: devices.counters["not stored, tried again"], "refused")
    assert devices.get(5).product is None
    shelf.refusing = False
    await tools.until(lambda: not devices.get(5).unsettled, "stored")
    assert list(shelf.product_rows) == [f"{HOME}:5"]
    devices.detach()


async def test_whoever_asked_for_it_what_was_refused_is_tried_again(
    devices: Devices, shelf: Any, made: Any, tools: Any
) -> None:
    devices.attach(made.link(made.node(5, made.energy(), ready=False)))
    devices.get(5).live.data["ready"] = True
    shelf.refusing = True
    with pytest.raises(StorageError):
        await devices.refresh(5)
    shelf.refusing = False
    await tools.until(lambda: not devices.get(5).unsettled, "stored")
    assert devices.by_property(next(iter(shelf.property_rows.values())).id) is not None
    devices.detach()


async def test_values_that_cannot_be_understood_leave_what_was_known(
    devices: Devices, made: Any, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices.attach(made.link(made.node(5, made.energy()), made.node(6, made.energy())))
    await tools.until(lambda: not any(device.unsettled for device in devices.all()), "settled")
    monkeypatch.setattr(devices.declaring, "_map", lambda *_: 1 / 0)
    devices.schedule(5)
    await tools.until(lambda: devices.counters["devices not understood"], "the fault")
    await tools.until(lambda: not devices.get(5).unsettled, "goes on")
    assert devices.get(5).properties
    assert "could not be understood" in devices.views()[0].detail
    devices.detach()


async def test_a_restart_keeps_product_properties_and_decimals(
    devices: Devices, shelf: Any, still: Any, made: Any
) -> None:
    devices.attach(made.link(made.node(5, made.temperature(20.25))))
    await devices.refresh(5)
    before = devices.get(5).properties["49-0-Air temperature"].property
    assert before.description.decimals == 2
    devices.detach()
    after = again(shelf, still)
    await after.load()
    assert [device.node for device in after.all()] == [5]
    assert after.get(5).product.id == before.product_id
    after.attach(made.link(made.node(5, made.temperature(21))))
    await after.refresh(5)
    found = after.get(5).properties["49-0-Air temperature"].property
    assert found == before
    after.detach()


async def test_another_stick_does_not_mix_the_networks(
    devices: Devices, shelf: Any, still: Any, made: Any
) -> None:
    devices.attach(made.link(made.node(5, made.energy())))
    await devices.refresh(5)
    devices.detach()
    other = again(shelf, still)
    await other.load()
    other.attach(made.link(made.node(6, made.energy()), home_id=0xABCD))
    assert [device.node for device in other.all()] == [6]
    assert (other.other_home_id, other.others()) == (0x7E57, 1)
    other.detach()
    other.attach(made.link(made.node(5, made.energy())))
    assert other.get(5).product is not None
    assert other.get(6) is None
    other.detach()


async def test_a_device_that_is_not_shown_stays_known(
    devices: Devices, shelf: Any, still: Any, made: Any
) -> None:
    devices.attach(made.link(made.node(5, made.energy()), made.node(6, made.energy())))
    await devices.refresh(5)
    devices.detach()
    devices.attach(made.link(made.node(6, made.energy())))
    assert devices.get(5).live is None
    assert "does not show it" in devices.views()[0].detail
    assert f"{HOME}:5" in shelf.node_rows
    devices.detach()


async def test_a_removed_node_leaves_its_product_and_history(devices: Devices, shelf: Any, made: Any) -> None:
    told: list[int] = []
    devices.on_change.append(told.append)
    product = await filled(devices, made)
    prop = next(iter(devices.get(5).properties.values())).property
    await devices.removed(devices.get(5))
    assert devices.get(5) is None
    assert devices.by_property(prop.id) is None
    assert shelf.node_rows == {}
    assert shelf.words(product.id)[-1] == "unreachable"
    assert told == [5]
    devices.adopt(5, made.node(5, made.temperature()))
    await devices.refresh(5)
    assert devices.get(5).product.description.identity == f"{HOME}:5.2"
    devices.detach()


async def test_other_hardware_under_the_same_number_is_another_product(
    devices: Devices, shelf: Any, made: Any
) -> None:
    first = await filled(devices, made)
    devices.adopt(5, made.node(5, made.energy(), productId=0x61))
    await devices.refresh(5)
    second = devices.get(5).product
    assert second.description.identity == f"{HOME}:5.2"
    assert second.id != first.id
    assert shelf.product_rows[f"{HOME}:5"] == first
    devices.detach()


async def test_a_device_that_replaces_another_fills_its_product_where_that_is_meant(
    devices: Devices, shelf: Any, made: Any
) -> None:
    first = await filled(devices, made)
    await devices.link_product(5, first)
    devices.adopt(5, made.node(5, made.energy(), productId=0x61))
    await devices.refresh(5)
    assert devices.get(5).product.id == first.id
    assert "0086:0003:0061" in devices.get(5).product.description.model
    devices.detach()


async def test_a_product_that_was_there_first_is_filled(devices: Devices, shelf: Any, made: Any) -> None:
    devices.attach(made.link(made.node(5, made.temperature(), ready=False)))
    product, _ = await shelf.declare(
        ProductDescription(identity="product:0123456789ab", name="Cellar", medium=Medium.OTHER), []
    )
    await devices.link_product(5, product)
    devices.get(5).live.data["ready"] = True
    await devices.refresh(5)
    found = devices.get(5).product
    assert found.id == product.id
    assert found.description.identity == "product:0123456789ab"
    assert found.description.name == "Cellar"
    assert found.description.medium is Medium.SENSOR
    assert shelf.node_rows[f"{HOME}:5"].description.product_id == product.id
    devices.detach()


async def test_how_often_values_are_expected(shelf: Any, still: Any, made: Any) -> None:
    wake_up = made.value(132, "wakeUpInterval", None, 3600, readable=False)
    devices = again(shelf, still, report_s=600, nodes={"7": NodeSettings(report_s=120)})
    devices.attach(
        made.link(
            made.node(5, made.energy()),
            made.node(6, made.temperature(), wake_up, isListening=False, status=1),
            made.node(7, made.temperature(), wake_up, isListening=False, status=1),
        )
    )
    for node in (5, 6, 7):
        await devices.refresh(node)
    assert [device.report_ms // 1000 for device in devices.all()] == [600, 3600, 120]
    fresh = [
        next(iter(device.properties.values())).property.description.fresh_ms // 1000
        for device in devices.all()
    ]
    assert fresh == [1200, 7200, 240]
    assert [device.wake_up_s for device in devices.all()] == [None, 3600, 3600]
    devices.detach()


async def test_a_number_that_is_given_out_before_the_removal_is_stored(
    devices: Devices, shelf: Any, made: Any
) -> None:
    devices.attach(made.link(made.node(5, made.energy())))
    await devices.refresh(5)
    old, row = devices.get(5), shelf.node_rows[f"{HOME}:5"]
    shelf.refusing = True
    with pytest.raises(StorageError):
        await devices.removed(devices.get(5))
    shelf.refusing = False
    devices.adopt(5, made.node(5, made.energy()))
    assert devices.get(5) is not old
    await devices.refresh(5)
    assert devices.get(5).product.description.identity == f"{HOME}:5.2"
    assert shelf.node_rows[f"{HOME}:5"].description.product_id == devices.get(5).product.id
    assert shelf.node_rows[f"{HOME}:5"].id != row.id
    devices.detach()


async def test_the_status_tells_an_empty_network_from_another_stick(
    shelf: Any, still: Any, made: Any
) -> None:
    driver = ZwaveDriver("zwave", Settings(stick="/dev/ttyACM0"), shelf, still)
    driver._say(LinkState.READING, "")
    driver.devices.attach(made.link())
    status = driver.status()
    assert status.state is LinkState.READING
    assert "no device yet" in status.detail
    driver.devices.adopt(5, made.node(5, made.energy()))
    await driver.devices.refresh(5)
    assert driver.status().detail == "Z-Wave stick /dev/ttyACM0: 1 device, 1 ready."
    driver.devices.detach()
    driver.devices.attach(made.link(home_id=0xABCD))
    status = driver.status()
    assert status.state is LinkState.SILENT
    assert "0000abcd" in status.detail
    assert "00007e57" in status.detail
    driver.devices.detach()


async def test_a_person_names_a_device(shelf: Any, still: Any, made: Any) -> None:
    devices = again(shelf, still, nodes={"6": NodeSettings(name="Boiler")})
    devices.attach(made.link(*(made.node(number, made.energy()) for number in (5, 6))))
    await devices.refresh(5)
    await devices.refresh(6)
    await devices.rename(5, " Heat pump ")
    await devices.refresh(5)
    assert devices.get(5).product.name == "Heat pump"
    for node, name, words in [
        (5, "Boiler", "is the name of another device"),
        (5, "  ", "is no name"),
        (6, "Oven", "stands in the configuration"),
        (7, "Oven", "no device 7"),
    ]:
        with pytest.raises(RefusedError, match=words):
            await devices.rename(node, name)
    devices.detach()


async def test_who_is_not_there_is_not_declared(devices: Devices, shelf: Any, made: Any) -> None:
    devices.attach(made.link())
    devices.schedule(99)
    await devices.refresh(99)
    assert devices._tasks == {}
    assert shelf.declared == 0


async def test_a_device_that_is_removed_while_it_is_declared_has_no_values_any_more(
    devices: Devices, shelf: Any, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices.attach(made.link(made.node(5, made.energy())))
    device = devices.get(5)
    keep = shelf.map_properties

    async def meanwhile(*told: Any) -> None:
        devices.leave(device)
        await keep(*told)

    monkeypatch.setattr(shelf, "map_properties", meanwhile)
    await devices.refresh(5)
    assert device.properties
    assert devices.by_property(next(iter(device.properties.values())).property.id) is None
    devices.detach()
