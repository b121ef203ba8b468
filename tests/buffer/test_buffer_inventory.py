"""Nodes and their mappings, availabilities, installation messages and values on their way to devices."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from meterkast.model.datatypes import ENERGY_CONSUMED, VOLTAGE
from meterkast.model.errors import StorageError
from meterkast.model.product import (
    Availability,
    Installation,
    InstallationMessage,
    Medium,
    Node,
    NodeDescription,
    NodeId,
    NodeStatus,
    PendingDescription,
    PendingStatus,
    Product,
    ProductDescription,
    ProductId,
    Property,
    PropertyDescription,
    PropertyMapping,
    Protocol,
)
from meterkast.model.time import DAY_MS, HOUR_MS, UtcMs
from meterkast.model.units import Unit
from meterkast.ports.store import Keep
from meterkast_buffer import SqliteStore
from meterkast_buffer.retention import RECORDS

Open = Callable[..., Awaitable[SqliteStore]]

NOW = UtcMs(1_735_689_600_000)
YEAR_MS = 366 * DAY_MS
PLUG = ProductDescription(
    identity="zwave:d15a1e4d:5", name="Plug", medium=Medium.ELECTRICITY, type="Binary Switch"
)
ENERGY = PropertyDescription(
    key="import_total", name="Energy", datatype=ENERGY_CONSUMED, unit=Unit.WATT_HOUR, reference="50-0"
)
VOLTS = PropertyDescription(key="voltage", name="Voltage", datatype=VOLTAGE, unit=Unit.VOLT)
NODE = NodeDescription(
    identity="zwave:d15a1e4d:5",
    protocol=Protocol.ZWAVE,
    zwave_id=5,
    status=NodeStatus.UNSTABLE,
    serial="A1",
    version="1.7",
    security="S2_Authenticated",
    last_seen_ms=NOW,
)


async def plug(store: SqliteStore) -> tuple[Product, dict[str, Property], Node]:
    """A product with two properties, and its node."""
    product, properties = await store.declare(PLUG, [ENERGY, VOLTS])
    node = await store.declare_node(replace(NODE, product_id=product.id))
    return product, dict(properties), node


def mapping(node: Node, prop: Property, parameter: str = "0", channel: int = 0) -> PropertyMapping:
    return PropertyMapping(
        node_id=node.id, property_id=prop.id, channel=channel, command_class=50, parameter=parameter
    )


def pending(node: Node, prop: Property, value: str = "255") -> PendingDescription:
    return PendingDescription(
        node_id=node.id,
        property_id=prop.id,
        channel=0,
        command_class=37,
        parameter="",
        value=value,
        status=PendingStatus.WAKEUP,
        at_ms=NOW,
        eta_ms=UtcMs(NOW + HOUR_MS),
        detail="waits for the device to wake up",
    )


async def test_a_node_comes_back_as_described_after_a_restart(
    path: Path, store: SqliteStore, opened: Open
) -> None:
    product, _, node = await plug(store)
    assert node.description == replace(NODE, product_id=product.id)
    empty = await store.declare_node(NodeDescription(identity="p1:E1", protocol=Protocol.P1))
    await store.close()
    again = await opened(path)
    assert await again.nodes() == [node, empty]
    assert (await again.products())[0].description.type == "Binary Switch"


async def test_a_node_that_did_not_change_writes_nothing(store: SqliteStore) -> None:
    _, _, node = await plug(store)
    before = store.storage().writes
    assert await store.declare_node(node.description) == node
    assert store.storage().writes == before
    newer = replace(node.description, status=NodeStatus.NO_CONNECTION)
    assert await store.declare_node(newer) == replace(node, description=newer)
    assert store.storage().writes == before + 1


async def test_that_a_node_was_seen_costs_the_card_nothing_of_its_own(
    path: Path, store: SqliteStore, opened: Open
) -> None:
    _, _, node = await plug(store)
    before = store.storage().writes
    seen = replace(node.description, last_seen_ms=UtcMs(NOW + HOUR_MS))
    assert (await store.declare_node(seen)).description == seen
    assert store.storage().writes == before
    await store.close()
    assert [one.description for one in await (await opened(path)).nodes()] == [seen]


async def test_a_removed_node_goes_with_its_mappings_and_its_product_stays(store: SqliteStore) -> None:
    product, properties, node = await plug(store)
    await store.map_properties(node.id, [mapping(node, properties["import_total"])])
    waiting = await store.pend(pending(node, properties["voltage"]))
    await store.remove_node(node.description.identity)
    assert await store.nodes() == []
    assert await store.property_mappings() == {}
    assert await store.products() == [product]
    assert await store.properties() == list(properties.values())
    [ended] = await store.pendings(open_only=False)
    assert (ended.id, ended.description.status) == (waiting.id, PendingStatus.FAILED)
    assert ended.description.eta_ms is None
    before = store.storage().writes
    await store.remove_node(node.description.identity)
    assert store.storage().writes == before


async def test_no_id_is_ever_used_again(path: Path, store: SqliteStore, opened: Open) -> None:
    _, properties, node = await plug(store)
    await store.map_properties(node.id, [mapping(node, properties["import_total"])])
    sent = await store.pend(pending(node, properties["voltage"]))
    [number] = await store.property_mappings()
    await store.remove_node(node.description.identity)
    await store.database.rows("DELETE FROM pending_data")
    await store.close()
    again = await opened(path)
    newer = await again.declare_node(node.description)
    assert newer.id > node.id
    await again.map_properties(newer.id, [mapping(newer, properties["import_total"])])
    assert [one > number for one in await again.property_mappings()] == [True]
    assert (await again.pend(pending(newer, properties["voltage"]))).id > sent.id


async def test_mappings_are_replaced_and_those_that_stay_keep_their_ids(store: SqliteStore) -> None:
    _, properties, node = await plug(store)
    energy, volts = (
        mapping(node, properties["import_total"], "65537"),
        mapping(node, properties["voltage"], "66561"),
    )
    await store.map_properties(node.id, [energy, volts])
    first = dict(await store.property_mappings())
    assert list(first.values()) == [energy, volts]
    before = store.storage().writes
    await store.map_properties(node.id, [volts, energy])
    assert store.storage().writes == before
    moved = replace(energy, channel=2)
    await store.map_properties(node.id, [moved])
    assert await store.property_mappings() == {next(iter(first)): moved}


async def test_a_mapping_of_an_unknown_node_is_refused_and_leaves_the_rest(store: SqliteStore) -> None:
    _, properties, node = await plug(store)
    kept = mapping(node, properties["import_total"])
    await store.map_properties(node.id, [kept])
    with pytest.raises(StorageError):
        await store.map_properties(NodeId(99), [replace(kept, node_id=NodeId(99))])
    assert list((await store.property_mappings()).values()) == [kept]


async def test_availabilities_are_kept_when_they_change(path: Path, store: SqliteStore, opened: Open) -> None:
    product, _, _ = await plug(store)
    steps = [
        (Availability.AVAILABLE, 0),
        (Availability.AVAILABLE, 1),
        (Availability.RETRYING, 2),
        (Availability.UNREACHABLE, 3),
        (Availability.UNREACHABLE, 4),
        (Availability.AVAILABLE, 5),
    ]
    for status, hours in steps:
        await store.available(product.id, status, UtcMs(NOW + hours * HOUR_MS))
    await store.close()
    again = await opened(path)
    kept = await again.availabilities(UtcMs(0), UtcMs(NOW + DAY_MS))
    assert [(one.status, (one.at_ms - NOW) // HOUR_MS) for one in kept] == [steps[at] for at in (0, 2, 3, 5)]
    assert await again.newest_availabilities() == {product.id: kept[-1]}
    assert await again.availabilities(UtcMs(NOW + 2 * HOUR_MS), UtcMs(NOW + 3 * HOUR_MS)) == [kept[2]]
    before = again.storage().writes
    await again.available(product.id, Availability.AVAILABLE, UtcMs(NOW + DAY_MS))
    assert again.storage().writes == before


async def test_two_tasks_that_tell_the_same_make_one_row(store: SqliteStore) -> None:
    product, _, _ = await plug(store)
    await asyncio.gather(*(store.available(product.id, Availability.RETRYING, NOW) for _ in range(5)))
    assert len(await store.availabilities(UtcMs(0), NOW)) == 1


async def test_installation_messages_come_back_in_order(path: Path, store: SqliteStore, opened: Open) -> None:
    product, _, _ = await plug(store)
    told = [
        InstallationMessage(kind=Installation.INSTALL, product_id=None, status="install_start", at_ms=NOW),
        InstallationMessage(
            kind=Installation.INSTALL,
            product_id=product.id,
            status="install_success",
            at_ms=UtcMs(NOW + 1),
            detail="Plug is ready.",
        ),
        InstallationMessage(
            kind=Installation.DEINSTALL, product_id=product.id, status="deinst_start", at_ms=UtcMs(NOW + 2)
        ),
    ]
    for message in told:
        await store.report(message)
    await store.close()
    again = await opened(path)
    assert await again.installation_messages() == told
    assert await again.installation_messages(limit=2) == told[1:]


async def test_a_value_on_its_way_is_followed_until_it_is_through(
    path: Path, store: SqliteStore, opened: Open
) -> None:
    _, properties, node = await plug(store)
    first = await store.pend(pending(node, properties["voltage"]))
    second = await store.pend(pending(node, properties["import_total"], "0"))
    assert await store.pendings() == [first, second]
    await store.update_pending(first.id, PendingStatus.SENDING, eta_ms=NOW, detail="")
    before = store.storage().writes
    await store.update_pending(first.id, PendingStatus.SENDING, eta_ms=NOW, detail="")
    assert store.storage().writes == before
    await store.update_pending(first.id, PendingStatus.FAILED, detail="nobody answered")
    await store.close()
    again = await opened(path)
    assert await again.pendings() == [second]
    failed = replace(first.description, status=PendingStatus.FAILED, eta_ms=None, detail="nobody answered")
    assert await again.pendings(open_only=False) == [replace(first, description=failed), second]
    assert await again.pendings(open_only=False, limit=1) == [second]


async def test_an_unknown_word_in_a_row_is_an_error_that_names_it(store: SqliteStore) -> None:
    await plug(store)
    await store.database.rows("UPDATE nodes SET protocol = 'smoke signals'")
    with pytest.raises(StorageError, match="smoke signals"):
        await store.nodes()


async def test_old_records_go_and_the_newest_availability_stays(store: SqliteStore) -> None:
    product, properties, node = await plug(store)
    other, _ = await store.declare(replace(PLUG, identity="zwave:d15a1e4d:6"), [])
    await store.available(product.id, Availability.AVAILABLE, NOW)
    await store.available(product.id, Availability.RETRYING, UtcMs(NOW + 1))
    await store.available(other.id, Availability.UNREACHABLE, NOW)
    old = InstallationMessage(kind=Installation.INSTALL, product_id=None, status="install_busy", at_ms=NOW)
    await store.report(old)
    waits = await store.pend(pending(node, properties["voltage"]))
    done = await store.pend(pending(node, properties["voltage"]))
    await store.update_pending(done.id, PendingStatus.DONE)
    await store.keep(Keep(now_ms=UtcMs(NOW + 9 * YEAR_MS)))
    assert len(await store.availabilities(UtcMs(0), UtcMs(NOW + DAY_MS))) == 3
    assert await store.installation_messages() == [old]
    await store.keep(Keep(now_ms=UtcMs(NOW + 10 * YEAR_MS + DAY_MS)))
    left = await store.availabilities(UtcMs(0), UtcMs(NOW + DAY_MS))
    assert [(one.product_id, one.status) for one in left] == [
        (product.id, Availability.RETRYING),
        (other.id, Availability.UNREACHABLE),
    ]
    assert await store.installation_messages() == []
    assert await store.pendings(open_only=False) == [waits]


async def test_a_device_at_the_edge_of_reach_does_not_fill_the_card(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meterkast_buffer.retention.AVAILABILITIES", 10)
    product, _, _ = await plug(store)
    calm, _ = await store.declare(replace(PLUG, identity="zwave:d15a1e4d:6"), [])
    await store.available(calm.id, Availability.UNREACHABLE, NOW)
    words = (Availability.AVAILABLE, Availability.RETRYING)
    for number in range(30):
        await store.available(product.id, words[number % 2], UtcMs(NOW + number))
    await store.keep(Keep(now_ms=UtcMs(NOW + DAY_MS)))
    left = await store.availabilities(UtcMs(0), UtcMs(NOW + DAY_MS))
    assert [one.product_id for one in left] == [calm.id] + [product.id] * 10
    assert left[-1].at_ms == NOW + 29


async def test_the_newest_ten_thousand_messages_and_sent_values_stay(store: SqliteStore) -> None:
    _, properties, node = await plug(store)
    waits = await store.pend(pending(node, properties["voltage"]))
    await store.database.rows(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        "INSERT INTO installation_messages (kind, product_id, status, at_ms, detail) "
        "SELECT 'install', NULL, 'install_found', ? + i, '' FROM n",
        (RECORDS + 50, NOW),
    )
    await store.database.rows(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        "INSERT INTO pending_data (node_id, property_id, channel, command_class, parameter, value, status, "
        "at_ms, eta_ms, detail) SELECT ?, ?, 0, 37, '', '0', 'done', ? + i, NULL, '' FROM n",
        (RECORDS + 50, node.id, properties["voltage"].id, NOW),
    )
    await store.keep(Keep(now_ms=UtcMs(NOW + DAY_MS)))
    messages = await store.installation_messages(limit=2 * RECORDS)
    assert [messages[0].at_ms, len(messages)] == [NOW + 51, RECORDS]
    assert await store.pendings() == [waits]
    assert len(await store.pendings(open_only=False, limit=2 * RECORDS)) == RECORDS + 1


async def test_what_belongs_to_no_product_is_refused(store: SqliteStore) -> None:
    with pytest.raises(StorageError):
        await store.available(ProductId(7), Availability.AVAILABLE, NOW)
    with pytest.raises(StorageError):
        await store.declare_node(replace(NODE, product_id=ProductId(7)))
