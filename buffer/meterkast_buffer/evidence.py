"""Evidence: one row for each closing, in which telegrams that are alike are compressed together.

A row is one byte for its form, and zlib's stream (which ends with a checksum) of a line of JSON and the
bytes one after the other: `[[[at_ms, arrived_ms, [property, …], which], …], [length, …]]`.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Sequence
from typing import Any

import aiosqlite

from meterkast.model.evidence import Evidence
from meterkast.model.product import PropertyId
from meterkast.model.time import HOUR_MS, UtcMs
from meterkast_buffer.database import Database

log = logging.getLogger(__name__)

_FORM = b"\1"

_PAGE_ROWS = 16

# A row is some kilobytes: 48 KiB of memory for packing it do as well as the 256 that zlib takes otherwise.
_WINDOW_BITS, _PACK_LEVEL = 13, 5

# Where the clock steps back a row has the id after the last one; where it is corrected while a telegram
# waits, a row may be kept a little before the instant it speaks of.
_EARLIER_MS = HOUR_MS

# What telegrams and reports have in common, the commonest last; see docs/evidence.md for what it saves. It
# is part of form 1: another one is another form.
_DICTIONARY = (
    b'{"node":,"unit":"kWh","type":"number","ccSpecific":{"meterType":1,"scale":0,"rateType":1},"args":'
    b'{"commandClassName":"Meter","commandClass":50,"endpoint":0,"property":"value","propertyKey":65537,'
    b'"newValue":,"prevValue":,"propertyName":"value","propertyKeyName":"Electric_kWh_Consumed"}}'
    b"1-0:99.97.0(1)(0-0:96.7.19)(0000000000*s)\r\n0-0:96.13.1()\r\n0-0:96.13.0()\r\n"
    b"0-0:96.7.21(00000)\r\n0-0:96.7.9(00000)\r\n1-0:32.32.0(00000)\r\n1-0:52.32.0(00000)\r\n"
    b"1-0:72.32.0(00000)\r\n1-0:32.36.0(00000)\r\n1-0:52.36.0(00000)\r\n1-0:72.36.0(00000)\r\n"
    b"1-3:0.2.8(50)\r\n0-0:96.1.4(50217)\r\n0-0:96.1.1(4530303)\r\n"
    b"1-0:32.7.0(230.0*V)\r\n1-0:52.7.0(231.0*V)\r\n1-0:72.7.0(229.0*V)\r\n"
    b"1-0:31.7.0(001*A)\r\n1-0:51.7.0(000*A)\r\n1-0:71.7.0(002*A)\r\n"
    b"1-0:21.7.0(00.000*kW)\r\n1-0:41.7.0(00.000*kW)\r\n1-0:61.7.0(00.000*kW)\r\n"
    b"1-0:22.7.0(00.000*kW)\r\n1-0:42.7.0(00.000*kW)\r\n1-0:62.7.0(00.000*kW)\r\n"
    b"0-1:24.1.0(003)\r\n0-1:96.1.0(4730303)\r\n0-2:24.1.0(007)\r\n0-2:96.1.0()\r\n"
    b"0-2:24.2.1(260101120000W)(00000.000*m3)\r\n0-1:24.2.1(260701120000S)(00000.000*m3)\r\n"
    b"0-0:1.0.0(260701120000S)\r\n0-0:96.14.0(0002)\r\n1-0:1.7.0(00.000*kW)\r\n1-0:2.7.0(00.000*kW)\r\n"
    b"1-0:1.8.1(000000.000*kWh)\r\n1-0:1.8.2(000000.000*kWh)\r\n"
    b"1-0:2.8.1(000000.000*kWh)\r\n1-0:2.8.2(000000.000*kWh)\r\n"
)


class EvidenceRows:
    """The table `evidence`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(
        self, connection: aiosqlite.Connection, evidence: Sequence[Evidence], now_ms: UtcMs
    ) -> None:
        """Add one row with all of it, in a transaction of the caller; none where there is none."""
        if evidence:
            times = [one.at_ms for one in evidence]
            await connection.execute(
                "INSERT INTO evidence (id, first_ms, last_ms, data) "
                "SELECT max(?, coalesce(max(id), 0) + 1), ?, ?, ? FROM evidence",
                (now_ms, min(times), max(times), pack(evidence)),
            )

    async def find(self, property_id: PropertyId, at_ms: UtcMs) -> Evidence | None:
        """What a register's reading of that instant was read from; None where it was not kept.

        Raises:
            StorageError: The database refused.
        """
        after = at_ms - _EARLIER_MS
        while rows := await self._database.rows(
            "SELECT id, data FROM evidence WHERE id > ? AND first_ms <= ? AND last_ms >= ? "
            f"ORDER BY id LIMIT {_PAGE_ROWS}",
            (after, at_ms, at_ms),
        ):
            for number, data in rows:
                try:
                    kept = unpack(data)
                except ValueError as error:
                    log.error("evidence damaged", extra={"row": number, "reason": str(error)})
                    continue
                for one in kept:
                    if one.at_ms == at_ms and property_id in one.properties:
                        return one
            after = rows[-1][0]
        return None

    async def oldest_ms(self) -> UtcMs | None:
        """When the oldest row was kept; None where there is none."""
        found = (await self._database.rows("SELECT min(id) FROM evidence"))[0][0]
        return None if found is None else UtcMs(found)


def pack(evidence: Sequence[Evidence]) -> bytes:
    """The row of what is kept together; bytes that several share are in it once."""
    raws = {id(one.raw): one.raw for one in evidence}
    place = {key: number for number, key in enumerate(raws)}
    entries = [[one.at_ms, one.arrived_ms, list(one.properties), place[id(one.raw)]] for one in evidence]
    head = json.dumps([entries, [len(raw) for raw in raws.values()]], separators=(",", ":"))
    packer = zlib.compressobj(9, zlib.DEFLATED, _WINDOW_BITS, _PACK_LEVEL, zdict=_DICTIONARY)
    parts = [packer.compress(head.encode() + b"\n"), *map(packer.compress, raws.values()), packer.flush()]
    return _FORM + b"".join(parts)


def unpack(data: bytes) -> list[Evidence]:
    """What is kept in a row.

    Raises:
        ValueError: It is not as it was written.
    """
    if data[:1] != _FORM:
        raise ValueError(f"form {data[:1].hex() or 'empty'} is not known")
    opener = zlib.decompressobj(zdict=_DICTIONARY)
    try:
        text = opener.decompress(data[1:]) + opener.flush()
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not opener.eof:
        raise ValueError("it is cut off")
    head, _, body = text.partition(b"\n")
    found: list[Any] = json.loads(head)
    raws, start = [], 0
    for length in found[1]:
        raws.append(body[start : start + length])
        start += length
    return [
        Evidence(
            properties=tuple(map(PropertyId, ids)),
            at_ms=UtcMs(at_ms),
            arrived_ms=UtcMs(arrived_ms),
            raw=raws[which],
        )
        for at_ms, arrived_ms, ids, which in found[0]
    ]
