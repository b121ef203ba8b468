"""How devices are declared to the store where something stands in the way, from made-up nodes."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from meterkast.model.errors import StorageError
from meterkast.model.product import Medium, NodeDescription, NodeStatus, ProductDescription, Protocol
from meterkast_drivers.zwave import mapping
from meterkast_drivers.zwave.devices import Devices
from meterkast_drivers.zwave.reports import Reports
from meterkast_drivers.zwave.settings import NodeSettings, Settings

HOME = "zwave:00007e57"


@pytest.fixture
def devices(shelf: Any, still: Any) -> Devices:
    return Devices(Settings(stick="/dev/ttyACM0"), shelf, still)


def again(shelf: Any, still: Any, **settings: Any) -> Devices:
    """The same store after a restart."""
    return Devices(Settings(stick="/dev/ttyACM0", **settings), shelf, still)


def fail(_: object) -> Any:
    raise ZeroDivisionError("a row that fails")


async def test_a_value_that_fails_in_the_table_costs_only_itself_and_is_told_once(
    devices: Devices,
    still: Any,
    made: Any,
    tools: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(mapping._CLASSES, 49, fail)
    reports = Reports(devices, still, lambda *_: None)
    devices.attach(made.link(made.node(5, made.energy(), made.temperature())))
    for _ in range(3):
        await devices.refresh(5)
    await tools.until(lambda: not devices.all()[0].unsettled, "settled")
    assert [mapped.property.key for mapped in devices.all()[0].properties.values()] == ["import_total"]
    assert devices.counters == {"values not understood": 1}
    [told] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert (vars(told)["node"], vars(told)["value"]) == (5, "49-0-Air temperature")
    aside = next(view for view in devices.value_views(5) if view.command_class == 49)
    assert "report this, with the log" in aside.why
    reports.take(5, made.event(made.temperature(), 21))
    assert not devices.all()[0].unsettled, "its reports do not make the device be declared again"
    devices.detach()


async def test_it_is_told_again_where_it_was_understood_meanwhile(
    devices: Devices, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices.attach(made.link(made.node(5, made.temperature())))
    for number in (1, 2):
        with monkeypatch.context() as patch:
            patch.setitem(mapping._CLASSES, 49, fail)
            await devices.refresh(5)
        assert devices.counters["values not understood"] == number
        assert devices.all()[0].properties == {}
        await devices.refresh(5)
        assert devices.all()[0].properties
    devices.detach()


async def test_a_device_is_told_of_when_it_is_not_understood_and_until_it_is(
    devices: Devices,
    made: Any,
    tools: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    devices.attach(made.link(made.node(5, made.energy())))
    with monkeypatch.context() as patch:
        patch.setattr("meterkast_drivers.zwave.declaring.resolve", lambda *_: 1 / 0)
        await devices.refresh(5)
        await devices.refresh(5)
        assert devices.counters["devices not understood"] == 2
        assert "could not be understood" in devices.views()[0].detail
        assert devices.all()[0].unsettled, "it never was understood: its reports wait"
    assert [vars(record)["node"] for record in caplog.records if record.exc_info] == [5]
    await devices.refresh(5)
    assert devices.views()[0].detail == ""
    devices.detach()


async def test_a_set_name_that_another_product_has_gets_the_nodes_number(
    shelf: Any, still: Any, made: Any
) -> None:
    await shelf.declare(ProductDescription(identity="p1:E001", name="Boiler", medium=Medium.ELECTRICITY), [])
    first = again(shelf, still)
    first.attach(made.link(made.node(5, made.energy())))
    await first.refresh(5)
    first.detach()
    devices = again(shelf, still, nodes={"5": NodeSettings(name="Boiler")})
    await devices.load()
    devices.attach(made.link(made.node(5, made.energy())))
    for _ in range(2):
        await devices.refresh(5)
        assert devices.all()[0].name == "Boiler (node 5)"
    devices.detach()


async def test_nodes_of_other_protocols_are_no_devices(devices: Devices, shelf: Any) -> None:
    await shelf.declare_node(
        NodeDescription(
            identity="p1:E001", protocol=Protocol.P1, product_id=None, status=NodeStatus.AVAILABLE
        )
    )
    await devices.load()
    assert devices.known() == []
    assert devices.home_id is None


async def test_the_network_that_was_heard_last_is_the_one_that_is_shown(
    shelf: Any, still: Any, made: Any
) -> None:
    for home_id, node in ((0xB, 6), (0xA, 5)):
        devices = again(shelf, still)
        devices.attach(made.link(made.node(node, made.energy()), home_id=home_id))
        device = devices.all()[0]
        device.last_seen_ms = still.now_ms() + home_id
        await devices.refresh(node)
        devices.detach()
    after = again(shelf, still)
    await after.load()
    assert [device.node for device in after.all()] == [6]
    assert len(after.known()) == 2
    after.attach(made.link(home_id=0xA))
    await after.load()
    assert after.home_id == 0xA, "the stick says which it is"


async def test_a_number_given_out_twice_before_any_removal_is_stored(
    devices: Devices, shelf: Any, made: Any
) -> None:
    devices.attach(made.link(made.node(5, made.energy())))
    await devices.refresh(5)
    removed = [devices.all()[0]]
    shelf.refusing = True
    for _ in range(2):
        with pytest.raises(StorageError):
            await devices.removed(removed[-1])
        removed.append(devices.adopt(5, made.node(5, made.energy(), ready=False)))
    shelf.refusing = False
    devices.all()[0].live.data["ready"] = True
    await devices.refresh(5)
    assert [row.description.product_id for row in shelf.node_rows.values()] == [devices.all()[0].product.id]
    assert [device.product for device in removed[:2]] == [None, None]
    assert shelf.words(shelf.product_rows[f"{HOME}:5"].id)[-1] == "unreachable"
    await devices.removed(removed[0])  # tried again: nothing is left to do
    assert len(shelf.node_rows) == 1
    devices.detach()


@pytest.mark.parametrize("refused", ["declare", "declare_node"])
async def test_what_the_database_refused_takes_the_same_identity_the_second_time(
    devices: Devices, shelf: Any, made: Any, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    await shelf.declare(ProductDescription(identity=f"{HOME}:5", name="Before", medium=Medium.OTHER), [])
    devices.attach(made.link(made.node(5, made.energy(), ready=False)))
    devices.all()[0].live.data["ready"] = True

    async def refuse(*_: object) -> Any:
        raise StorageError("the disk is full", hint="")

    with monkeypatch.context() as patch:
        patch.setattr(shelf, refused, refuse)
        with pytest.raises(StorageError):
            await devices.refresh(5)
    await devices.refresh(5)
    assert sorted(shelf.product_rows) == [f"{HOME}:5", f"{HOME}:5.2"]
    assert devices.all()[0].product.description.identity == f"{HOME}:5.2"
    devices.detach()


async def test_odd_metadata_costs_one_value_and_not_the_device(
    devices: Devices, shelf: Any, made: Any
) -> None:
    odd = [
        made.value(50, "value", 7, ccSpecific={"meterType": "x", "scale": None}, unit=["kWh"], label=7),
        made.value(49, "", None, ccSpecific=None, states=["a"], min="low", max={}),
        made.value(231, "x" * 100_000, None, value={"deep": [1]}, type=None),
        made.value(113, "Alarm", "x", ccSpecific={"notificationType": 10**30}, states={"y": None}),
    ]
    devices.attach(made.link(made.node(5, *odd, made.energy()), made.node(6, made.energy())))
    await devices.refresh(5)
    await devices.refresh(6)
    keys = {mapped.property.key for mapped in devices.get(5).properties.values()}
    assert "import_total" in keys
    assert devices.get(6).properties
    assert devices.value_views(5)
    devices.detach()


async def test_a_name_that_is_set_goes_before_the_device_databases(shelf: Any, still: Any, made: Any) -> None:
    devices = again(shelf, still, nodes={"5": NodeSettings(name="Heat pump")})
    config = {"manufacturer": "AEON Labs", "label": "ZW096", "description": "Smart Switch 6"}
    devices.attach(
        made.link(*(made.node(number, made.energy(), deviceConfig=config) for number in (5, 6, 7)))
    )
    await devices.refresh(5)
    await devices.refresh(6)
    await devices.refresh(7)
    names = [device.product.name for device in devices.all()]
    assert names == ["Heat pump", "Smart Switch 6", "Smart Switch 6 (node 7)"]
    told = devices.get(6).product.description
    assert (told.maker, told.model) == ("AEON Labs", "ZW096 (0086:0003:0060)")
    assert shelf.node_rows[f"{HOME}:5"].description.security == "S2_AccessControl"
    devices.detach()


async def test_a_name_that_is_set_later_renames_the_product(shelf: Any, still: Any, made: Any) -> None:
    first = again(shelf, still)
    first.attach(made.link(made.node(5, made.energy())))
    await first.refresh(5)
    before = first.get(5).product
    first.detach()
    second = again(shelf, still, nodes={"5": NodeSettings(name="Heat pump")})
    await second.load()
    second.attach(made.link(made.node(5, made.energy())))
    await second.refresh(5)
    assert second.get(5).product.id == before.id
    assert second.get(5).product.name == "Heat pump"
    assert before.name != "Heat pump"
    second.detach()


@pytest.mark.parametrize("odd", [{}, {"a": 1}, [], [[]], "x" * 300, True, 1.5, -7, 10**40])
@pytest.mark.parametrize(
    "field",
    ["highestSecurityClass", "manufacturerId", "productType", "productId", "firmwareVersion", "label"],
)
async def test_whatever_the_server_says_of_a_device_its_values_are_declared(
    shelf: Any, still: Any, made: Any, field: str, odd: object
) -> None:
    devices = again(shelf, still)
    devices.attach(made.link(made.node(5, made.energy(), **{field: odd})))
    await devices.refresh(5)
    (product,) = [device.product for device in devices.all()]
    (view,) = devices.views()
    told = (product.description.maker, product.description.model, view.security, view.firmware, view.name)
    assert all(isinstance(one, str) for one in told)
    assert {mapped.property.key for mapped in devices.get(5).properties.values()} == {"import_total"}
    devices.detach()
