"""What a gateway does with its store, drawn from a seed, and a digest of all that is kept."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from meterkast.model.datatypes import DatatypeId
from meterkast.model.delivery import ItemId, NewItem
from meterkast.model.epoch import Break, Epoch
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.product import (
    Availability,
    Installation,
    InstallationMessage,
    Medium,
    NodeDescription,
    PendingDescription,
    PendingStatus,
    ProductDescription,
    PropertyDescription,
    PropertyId,
    PropertyMapping,
    Protocol,
)
from meterkast.model.quantity import Quantity
from meterkast.model.reading import Column, Frames
from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, MINUTE_MS, UtcMs
from meterkast.model.units import Unit
from meterkast.ports.store import Keep
from meterkast_buffer import SqliteStore, open_store

NAME = "meterkast.db"
START = 1_767_225_600_000
PROPERTIES = 5
STREAMS = (("reset", "monitor"), ("wattics", "meter"))

Call = Callable[[], Awaitable[object]]
Step = tuple[str, bool, Call]
"""Its name, whether it is durable on return, and what is called: once more after a failure, too."""


def contents(rows: Callable[[str], list[tuple[Any, ...]]]) -> str:
    """A digest of all rows of all tables, the ids given out and the schema.

    But for `sums`, which follows from the others and is written anew where the store opens its file again.
    """
    schema = rows("SELECT type, name, sql FROM sqlite_schema ORDER BY name")
    digest = zlib.crc32(repr((rows("PRAGMA user_version"), schema)).encode())
    for kind, name, _ in schema:
        if kind == "table" and name != "sums":
            digest = zlib.crc32("".join(sorted(map(repr, rows(f"SELECT * FROM {name}")))).encode(), digest)
    return f"{digest:08x}"


class Story:
    """A store and what is done with it, drawn from a seed."""

    def __init__(self, path: Path, chance: Random) -> None:
        self.path = path
        self.chance = chance
        self.store: SqliteStore | None = None
        self.now = START
        self.end = START
        self.number = 0
        self.newest: dict[tuple[int, int], HalfHour] = {}

    async def open(self) -> None:
        """Open the store where it is closed; what a run before this one did is taken up."""
        if self.store is None:
            self.store = await open_store(self.path, samples_days=1)
            for sql in ("SELECT max(id) FROM blocks", "SELECT max(end_ms) FROM half_hours"):
                [(newest,)] = await self.store.database.rows(sql)
                self.now = max(self.now, newest or 0)
            self.end = self.now - self.now % HALF_HOUR_MS

    async def close(self) -> None:
        store, self.store = self.store, None
        if store is not None:
            await store.close()

    async def _reopen(self) -> None:
        await self.close()
        await self.open()

    def steps(self) -> Iterator[Step]:
        """What a gateway does, without end."""
        yield "open", True, self.open
        yield "declare", True, self._declare()
        yield "nodes", True, self._declare_node()
        for kind in ("keep", "map", "available", "report", "pend"):
            yield self.step(kind)
        kinds = ["keep"] * 9 + ["intend"] * 4 + ["acknowledge"] * 6 + list(OTHERS)
        while True:
            yield self.step(self.chance.choice(kinds))

    def step(self, kind: str) -> Step:
        made: Call = getattr(self, f"_{kind}")() if kind != "reopen" else self._reopen
        return kind, kind not in ("intend", "acknowledge"), made

    def _keep(self) -> Call:
        chance = self.chance
        self.number += 1
        # Days pass at times, so that retention has something to remove.
        self.now += chance.choice((MINUTE_MS, MINUTE_MS, HALF_HOUR_MS, HOUR_MS, 7 * HOUR_MS))
        what = Keep(now_ms=UtcMs(self.now), frames=self._frames())
        if self.now - self.end >= HALF_HOUR_MS:
            self.end = self.now - self.now % HALF_HOUR_MS
            what = self._closing(what)
        elif self.newest and chance.random() < 0.4:
            old = chance.choice([self.newest[key] for key in sorted(self.newest)])
            late = HalfHour(
                property_id=old.property_id, end_ms=old.end_ms, length_ms=old.length_ms, value=Quantity(7, 1)
            )
            what = Keep(now_ms=what.now_ms, frames=what.frames, half_hours=[old.revised(late)])
        self.newest |= {(row.property_id, row.length_ms): row for row in what.half_hours}

        async def call() -> None:
            await self._s.keep(what)

        return call

    def _frames(self) -> list[Frames]:
        layouts = [(Column(PropertyId(1), 3), Column(PropertyId(2), 0)), (Column(PropertyId(3), 1),)]
        if self.chance.random() < 0.1:
            layouts.append((Column(PropertyId(4), self.chance.randrange(6)),))
        times = [UtcMs(self.now - place * 1000) for place in range(self.chance.choice((3, 30, 300)), 0, -1)]
        return [
            Frames(layout, times, [tuple(self.chance.randrange(1 << 20) for _ in layout) for _ in times])
            for layout in layouts
        ]

    def _closing(self, what: Keep) -> Keep:
        rows = [
            HalfHour(
                property_id=PropertyId(number), end_ms=UtcMs(self.end), length_ms=length, **self._value()
            )
            for number in range(1, PROPERTIES + 1)
            for length in (HALF_HOUR_MS, HALF_HOUR_MS // 2)
        ]
        items = [
            NewItem(uplink=uplink, stream=name, at_ms=UtcMs(self.end), payload=self.chance.randbytes(size))
            for uplink, name in STREAMS
            for size in (self.chance.choice((40, 900, 6000)),)
        ]
        epochs = [
            Epoch(
                property_id=PropertyId(1),
                number=self.chance.randrange(3),
                kind=Break.RESET,
                at_ms=UtcMs(self.end),
                first=Quantity(self.number),
            )
        ]
        return Keep(
            now_ms=what.now_ms,
            frames=what.frames,
            half_hours=rows,
            epochs=epochs if self.chance.random() < 0.2 else (),
            items=items,
            composed={key: UtcMs(self.end) for key in STREAMS},
            closed={(row.property_id, row.length_ms): row.end_ms for row in rows},
        )

    def _value(self) -> dict[str, Any]:
        if self.chance.random() < 0.1:
            return {"value": None, "state": State.MISSING, "cause": Cause.LINK_LOST}
        return {"value": Quantity(self.chance.randrange(1 << 40), 3), "count": 30}

    @property
    def _s(self) -> SqliteStore:
        assert self.store is not None
        return self.store

    def _drawn(self) -> tuple[str, str, int]:
        return *self.chance.choice(STREAMS), self.chance.randrange(1, 4)

    def _intend(self) -> Call:
        uplink, stream, count = self._drawn()

        async def call() -> None:
            ids = [item.id for item in await self._s.pending(uplink, stream, count)]
            await self._s.intend(ids, UtcMs(self.now))

        return call

    def _acknowledge(self) -> Call:
        uplink, stream, count = self._drawn()
        chosen: list[ItemId] = []

        async def call() -> None:
            chosen[:] = chosen or [item.id for item in await self._s.pending(uplink, stream, count)]
            await self._s.acknowledge(chosen, f"receipt {self.number}", UtcMs(self.now))

        return call

    def _quarantine(self) -> Call:
        uplink, stream, _ = self._drawn()
        chosen: list[ItemId] = []

        async def call() -> None:
            chosen[:] = chosen or [item.id for item in await self._s.pending(uplink, stream, 1)]
            await self._s.quarantine(chosen, "422 no such channel", UtcMs(self.now))

        return call

    def _release(self) -> Call:
        async def call() -> None:
            await self._s.release([item.id for key in STREAMS for item in await self._s.quarantined(key[0])])

        return call

    def _set_state(self) -> Call:
        key, text = f"key {self.chance.randrange(5)}", f"text {self.chance.random()}"
        return lambda: self._s.set_state("gateway", key, text)

    def _declare(self) -> Call:
        product = ProductDescription(
            identity="p1:E1", name="Meter", medium=Medium.ELECTRICITY, serial=str(self.chance.randrange(100))
        )
        properties = [
            PropertyDescription(key=f"k{n}", name=f"K{n}", datatype=DatatypeId(39), unit=Unit.WATT_HOUR)
            for n in range(PROPERTIES + self.chance.randrange(3))
        ]
        return lambda: self._s.declare(product, properties)

    def _declare_node(self) -> Call:
        node = NodeDescription(
            identity="zwave:1:2", protocol=Protocol.ZWAVE, zwave_id=2, version=str(self.now)
        )
        return lambda: self._s.declare_node(node)

    def _map(self) -> Call:
        channel = self.chance.randrange(100)

        async def call() -> None:
            for node in await self._s.nodes():
                one = PropertyMapping(
                    node_id=node.id,
                    property_id=PropertyId(1),
                    channel=channel,
                    command_class=50,
                    parameter="65537",
                )
                await self._s.map_properties(node.id, [one])

        return call

    def _available(self) -> Call:
        status, now = self.chance.choice(list(Availability)), UtcMs(self.now)

        async def call() -> None:
            await self._s.available((await self._s.products())[0].id, status, now)

        return call

    def _report(self) -> Call:
        message = InstallationMessage(
            kind=next(iter(Installation)), product_id=None, status="install_searching", at_ms=UtcMs(self.now)
        )
        return lambda: self._s.report(message)

    def _pend(self) -> Call:
        value, now = str(self.chance.randrange(1000)), UtcMs(self.now)

        async def call() -> None:
            for node in await self._s.nodes():
                one = PendingDescription(
                    node_id=node.id,
                    property_id=PropertyId(1),
                    channel=0,
                    command_class=37,
                    parameter="",
                    value=value,
                    status=next(iter(PendingStatus)),
                    at_ms=now,
                )
                await self._s.pend(one)

        return call

    def _update_pending(self) -> Call:
        status = self.chance.choice(list(PendingStatus))

        async def call() -> None:
            for one in (await self._s.pendings(open_only=False))[-1:]:
                await self._s.update_pending(one.id, status, detail=f"{self.number}")

        return call

    def _remove_node(self) -> Call:
        return lambda: self._s.remove_node("zwave:1:2")

    def _rename(self) -> Call:
        name = f"name {self.chance.random()}"

        async def call() -> None:
            await self._s.rename_product((await self._s.products())[0].id, name)

        return call


OTHERS = [
    "quarantine",
    "release",
    "set_state",
    "declare",
    "declare_node",
    "map",
    "available",
    "report",
    "pend",
    "update_pending",
    "remove_node",
    "rename",
    "reopen",
]


def read(path: Path) -> str:
    """The digest as another connection sees it; the store's own may be closed."""
    connection = sqlite3.connect(f"file:{path}?mode=ro" if path.exists() else ":memory:", uri=True)
    try:
        return contents(lambda sql: connection.execute(sql).fetchall())
    finally:
        connection.close()


async def content(story: Story) -> str:
    if story.store is None:
        return read(story.path)
    rows = story.store.database.rows
    wanted: dict[str, list[tuple[Any, ...]]] = {}
    for sql in ("PRAGMA user_version", "SELECT type, name, sql FROM sqlite_schema ORDER BY name"):
        wanted[sql] = await rows(sql)
    for kind, name, _ in wanted["SELECT type, name, sql FROM sqlite_schema ORDER BY name"]:
        if kind == "table":
            wanted[f"SELECT * FROM {name}"] = await rows(f"SELECT * FROM {name}")
    return contents(wanted.__getitem__)
