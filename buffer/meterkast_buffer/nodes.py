"""Nodes, and which of their values are which properties (BeNext 5.3, 5.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import aiosqlite

from meterkast.model.product import (
    Node,
    NodeDescription,
    NodeId,
    NodeStatus,
    PendingStatus,
    ProductId,
    PropertyId,
    PropertyMapping,
    Protocol,
)
from meterkast.model.time import UtcMs
from meterkast_buffer.database import Database, Row, change, known
from meterkast_buffer.pendings import OPEN

_NODE = "id, identity, protocol, product_id, zwave_id, status, serial, version, security, last_seen_ms"
_STORE = (
    f"INSERT INTO nodes ({_NODE}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (identity) DO UPDATE "
    "SET protocol = excluded.protocol, product_id = excluded.product_id, zwave_id = excluded.zwave_id, "
    "status = excluded.status, serial = excluded.serial, version = excluded.version, "
    "security = excluded.security, last_seen_ms = excluded.last_seen_ms"
)
_MAPPING = "id, node_id, property_id, channel, command_class, parameter"
_MAP = (
    f"INSERT INTO property_mappings ({_MAPPING}) VALUES (NULL, ?, ?, ?, ?, ?) ON CONFLICT "
    "(node_id, property_id) DO UPDATE SET channel = excluded.channel, "
    "command_class = excluded.command_class, parameter = excluded.parameter"
)


class Nodes:
    """The tables `nodes` and `property_mappings`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Node]:
        """All nodes, by id."""
        rows = await self._database.rows(f"SELECT {_NODE} FROM nodes ORDER BY id")
        return [known(self._database, _node, row) for row in rows]

    async def declare(self, node: NodeDescription) -> Node:
        """The node of that identity, with its id; made or updated as needed.

        Where only the time it was last seen is new, that becomes durable with the next transaction that is.

        Raises:
            StorageError: The database refused, or there is no product of that id.
        """
        found = await self._find(node.identity)
        if found is None or found.description != node:
            seen_only = (
                found is not None and replace(found.description, last_seen_ms=node.last_seen_ms) == node
            )
            await self._database.transact(change(_STORE, _columns(node)), durable=not seen_only)
            found = await self._find(node.identity)
            assert found is not None, "what was just kept is not there"
        return found

    async def remove(self, identity: str) -> None:
        """Remove the node and its mappings; what was on its way to it has failed.

        That there is no such node is no error.
        """
        if (node := await self._find(identity)) is None:
            return
        number = node.id

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                f"UPDATE pending_data SET status = ?, eta_ms = NULL, detail = ? WHERE node_id = ? AND {OPEN}",
                (PendingStatus.FAILED.value, "The device was removed.", number),
            )
            await connection.execute("DELETE FROM nodes WHERE id = ?", (number,))

        await self._database.transact(work)

    async def map(self, node_id: NodeId, mappings: Sequence[PropertyMapping]) -> None:
        """Which values of the node are which properties, from now on; mappings that stay keep their ids.

        Raises:
            StorageError: The database refused, or there is no such node or property.
        """
        wanted = {one.property_id: one for one in mappings}
        rows = await self._database.rows(
            f"SELECT {_MAPPING} FROM property_mappings WHERE node_id = ?", (node_id,)
        )
        there = {row[2]: _mapping(row) for row in rows}
        if there == wanted:
            return

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.executemany(
                "DELETE FROM property_mappings WHERE node_id = ? AND property_id = ?",
                [(node_id, property_id) for property_id in there if property_id not in wanted],
            )
            await connection.executemany(
                _MAP,
                [
                    (node_id, one.property_id, one.channel, one.command_class, one.parameter)
                    for one in wanted.values()
                    if there.get(one.property_id) != one
                ],
            )

        await self._database.transact(work)

    async def mappings(self) -> dict[int, PropertyMapping]:
        """All mappings by their own ids, in their order."""
        rows = await self._database.rows(f"SELECT {_MAPPING} FROM property_mappings ORDER BY id")
        return {row[0]: _mapping(row) for row in rows}

    async def _find(self, identity: str) -> Node | None:
        rows = await self._database.rows(f"SELECT {_NODE} FROM nodes WHERE identity = ?", (identity,))
        return known(self._database, _node, rows[0]) if rows else None


def _columns(node: NodeDescription) -> tuple[object, ...]:
    return (
        node.identity,
        node.protocol.value,
        node.product_id,
        node.zwave_id,
        node.status.value,
        node.serial,
        node.version,
        node.security,
        node.last_seen_ms,
    )


def _node(row: Row) -> Node:
    number, identity, protocol, product_id, zwave_id, status, serial, version, security, last_seen_ms = row
    return Node(
        id=NodeId(number),
        description=NodeDescription(
            identity=identity,
            protocol=Protocol(protocol),
            product_id=None if product_id is None else ProductId(product_id),
            zwave_id=zwave_id,
            status=NodeStatus(status),
            serial=serial,
            version=version,
            security=security,
            last_seen_ms=None if last_seen_ms is None else UtcMs(last_seen_ms),
        ),
    )


def _mapping(row: Row) -> PropertyMapping:
    _, node_id, property_id, channel, command_class, parameter = row
    return PropertyMapping(
        node_id=NodeId(node_id),
        property_id=PropertyId(property_id),
        channel=channel,
        command_class=command_class,
        parameter=parameter,
    )
