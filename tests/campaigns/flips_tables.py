"""Rows in every table that is not filled by closing half-hours."""

from __future__ import annotations

import random
from collections.abc import Sequence

from meterkast.model.boot import Boot
from meterkast.model.channel import Channel
from meterkast.model.clock_episode import ClockEpisode, RegisterSpan
from meterkast.model.evidence import Evidence
from meterkast.model.half_hour import RowKey
from meterkast.model.life import Life
from meterkast.model.product import (
    Availability,
    Installation,
    InstallationMessage,
    NodeDescription,
    PendingDescription,
    PendingStatus,
    Property,
    PropertyMapping,
)
from meterkast.model.product import Protocol as Network
from meterkast.model.quantity import Quantity
from meterkast.model.reading import Column, Frames, TimeSource
from meterkast.model.seal import Seal
from meterkast.model.time import DAY_MS, HALF_HOUR_MS, UtcMs
from meterkast.model.untimed import Untimed
from meterkast.ports.store import Keep
from meterkast_buffer import SqliteStore


async def furnish(
    store: SqliteStore, chance: random.Random, properties: Sequence[Property], now_ms: UtcMs
) -> None:
    """Some of everything; the second time some more of it."""
    await _devices(store, chance, properties, now_ms)
    await _times(store, chance, properties, now_ms)
    await _proof(store, chance, properties, now_ms)


async def _devices(
    store: SqliteStore, chance: random.Random, properties: Sequence[Property], now_ms: UtcMs
) -> None:
    one, other = properties[0], properties[-1]
    node = await store.declare_node(
        NodeDescription(
            identity=f"zwave:1:{chance.randrange(10**6)}",
            protocol=Network.ZWAVE,
            product_id=one.product_id,
            last_seen_ms=now_ms,
        )
    )
    mapping = PropertyMapping(node_id=node.id, property_id=one.id, channel=0, command_class=50, parameter="0")
    await store.map_properties(node.id, [mapping])
    for number in range(15):
        status = (Availability.AVAILABLE, Availability.UNREACHABLE)[number % 2]
        await store.available(one.product_id, status, UtcMs(now_ms + number))
        await store.report(
            InstallationMessage(
                kind=Installation.INSTALL,
                product_id=one.product_id,
                status="install_found",
                at_ms=UtcMs(now_ms + number),
                detail=chance.randbytes(20).hex(),
            )
        )
        await store.pend(
            PendingDescription(
                node_id=node.id,
                property_id=one.id,
                channel=0,
                command_class=112,
                parameter=str(number),
                value=str(chance.random()),
                status=PendingStatus.DONE,
                at_ms=UtcMs(now_ms + number),
            )
        )
    life = Life(product_id=other.product_id, source="p1", replaces=one.product_id, signed_ms=now_ms)
    channels = [
        Channel(uplink="far", stream=stream, name="e", properties=(one.id,), from_ms=now_ms)
        for stream in "abc"
    ]
    await store.keep(Keep(now_ms=now_ms, channels=channels, lives=[life]))


async def _times(
    store: SqliteStore, chance: random.Random, properties: Sequence[Property], now_ms: UtcMs
) -> None:
    columns = tuple(Column(one.id, 0) for one in properties)
    span = RegisterSpan(property_id=properties[0].id, first=Quantity(1), last=Quantity(2), total=None)
    episode = ClockEpisode(
        boot_id=chance.randbytes(8).hex(),
        after_ms=now_ms,
        before_ms=UtcMs(now_ms + 1),
        duration_ms=chance.randrange(10**6),
        readings=9,
        registers=(span,),
    )
    await store.database.transact(lambda connection: store._tables.boots.add_episode(connection, episode))
    stray = Frames(columns, [UtcMs(now_ms - DAY_MS)], [tuple(range(len(columns)))])
    await store.keep(Keep(now_ms=now_ms, frames=[stray]))
    for number in range(12):
        untimed = Untimed(columns, TimeSource.ARRIVAL)
        for step in range(60):
            untimed.seen_ms.append(number * 60_000 + step * 1000)
            untimed.device_ms.append(None)
            untimed.rows.append(tuple(chance.randrange(10**6) for _ in columns))
        offset_ms = now_ms if number % 2 else None
        boot = Boot(
            id=chance.randbytes(8).hex(), first_ms=1, last_ms=chance.randrange(10**6), offset_ms=offset_ms
        )
        await store.keep(Keep(now_ms=now_ms, boot=boot, untimed=[untimed]))  # fmt: skip


async def _proof(
    store: SqliteStore, chance: random.Random, properties: Sequence[Property], now_ms: UtcMs
) -> None:
    newest = await store.books.newest_seal()
    first = newest.number + 1 if newest else 1
    for number in range(first, first + 20):
        seal = Seal(
            number=number,
            day="2026-09-01",
            after_ms=UtcMs(number),
            until_ms=UtcMs(number + 1),
            rows=9,
            digest=chance.randbytes(32).hex(),
        )
        await store.books.add_seal(seal, [], [RowKey(HALF_HOUR_MS, number, one.id, 0) for one in properties])
        ids = tuple(one.id for one in properties)
        raw = b"/ISK5\\2M550T-1012\r\n" + chance.randbytes(300).hex().encode() + b"!0000\r\n"
        told = Evidence(
            properties=ids, at_ms=UtcMs(now_ms + number), arrived_ms=UtcMs(now_ms + number), raw=raw
        )
        await store.keep(Keep(now_ms=UtcMs(now_ms + number), evidence=[told]))
