"""Channels: what each platform is owed, and since when."""

from __future__ import annotations

from collections.abc import Sequence

import aiosqlite

from meterkast.model.channel import Channel
from meterkast.model.product import PropertyId
from meterkast.model.time import UtcMs
from meterkast_buffer.database import Database, Row, known

_COLUMNS = "uplink, stream, name, from_ms, until_ms, length_ms, properties"
# Ending a channel is writing it once more; one that never owed anything gives way to what took its place.
_PUT = f"INSERT OR REPLACE INTO channels ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"


class Channels:
    """The table `channels`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, connection: aiosqlite.Connection, channels: Sequence[Channel]) -> None:
        """Add channels, or end those that are there, in a transaction of the caller."""
        await connection.executemany(_PUT, map(_row, channels))

    async def all(self) -> list[Channel]:
        """All channels there ever were, by uplink, stream, name and begin."""
        rows = await self._database.rows(
            f"SELECT {_COLUMNS} FROM channels ORDER BY uplink, stream, name, from_ms"
        )
        return [known(self._database, _channel, row) for row in rows]


def _row(channel: Channel) -> Row:
    return (
        channel.uplink,
        channel.stream,
        channel.name,
        channel.from_ms,
        channel.until_ms,
        channel.length_ms,
        ",".join(map(str, channel.properties)),
    )


def _channel(row: Row) -> Channel:
    uplink, stream, name, from_ms, until_ms, length_ms, properties = row
    return Channel(
        uplink=uplink,
        stream=stream,
        name=name,
        properties=tuple(PropertyId(int(one)) for one in properties.split(",")),
        from_ms=UtcMs(from_ms),
        until_ms=None if until_ms is None else UtcMs(until_ms),
        length_ms=length_ms,
    )
