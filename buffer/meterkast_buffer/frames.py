"""The frames of the second copy (`journal.py`): how half-hours and tables are packed, and found among bytes.

    bytes 0-3    mark
    bytes 4-7    length of the body
    bytes 8-11   CRC-32 of all that follows
    bytes 12-19  when it was kept, UTC in ms
    byte  20     kind: 1 whose journal it is, 2 half-hours, 3 a table
    byte  21     version of the database
    bytes 22-    the body, raw deflate

Everything is little-endian. One that is damaged is skipped to the next mark whose CRC is right.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from meterkast.model.half_hour import HalfHour

MARK = b"\xd7MK\x01"
_HEAD = struct.Struct("<4sIIQBB")
_CHECKED_FROM = 12

OWNER, ROWS, TABLE = 1, 2, 3

_FRAME_ROWS = 500
_LONGEST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        at_ms: When it was kept, UTC.
        kind: OWNER, ROWS or TABLE.
        version: The database's version then.
    """

    at_ms: int
    kind: int
    version: int
    packed: bytes

    @property
    def body(self) -> bytes:
        """Unpacked; its CRC was right."""
        return zlib.decompress(self.packed, -zlib.MAX_WBITS)


@dataclass(frozen=True, slots=True)
class Copy:
    """A table as it was copied.

    Attributes:
        table: Its name.
        version: How often it had changed (`sealed.py`).
        crc: Of its rows.
        sequence: The highest id it ever gave; 0 where it gives none.
        columns: Names.
        rows: Values; blobs as {"hex": …}.
        at_ms: When it was kept.
    """

    table: str
    version: int
    crc: int
    sequence: int
    columns: tuple[str, ...]
    rows: list[list[Any]]
    at_ms: int


def pack(kind: int, body: bytes, at_ms: int, version: int) -> bytes:
    """A frame as bytes."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(body) + packer.flush()
    rest = struct.pack("<QBB", max(0, at_ms), kind, version & 0xFF) + packed
    return MARK + struct.pack("<II", len(packed), zlib.crc32(rest)) + rest


def pack_rows(half_hours: Sequence[HalfHour], at_ms: int, version: int) -> list[bytes]:
    """Half-hours as frames of their canonical texts."""
    texts = [one.canonical() for one in half_hours]
    return [
        pack(ROWS, "\n".join(texts[at : at + _FRAME_ROWS]).encode(), at_ms, version)
        for at in range(0, len(texts), _FRAME_ROWS)
    ]


def pack_table(copy: Copy, version: int) -> bytes:
    """A table as a frame."""
    tree = {
        "table": copy.table,
        "version": copy.version,
        "crc": copy.crc,
        "sequence": copy.sequence,
        "columns": copy.columns,
        "rows": copy.rows,
    }
    return pack(TABLE, json.dumps(tree, separators=(",", ":")).encode(), copy.at_ms, version)


def texts_of(frame: Frame) -> list[str]:
    """The canonical texts of a frame of half-hours."""
    return frame.body.decode().split("\n")


def copy_of(frame: Frame) -> Copy:
    """The table of a frame."""
    tree = json.loads(frame.body)
    return Copy(
        tree["table"],
        tree["version"],
        tree["crc"],
        tree["sequence"],
        tuple(tree["columns"]),
        tree["rows"],
        frame.at_ms,
    )


def frames_of(data: bytes) -> Iterator[tuple[int, int, Frame | None]]:
    """The frames in some bytes: (begin, end, frame); None where it is none.

    What is none ends where the next whole frame begins, or where the bytes end.
    """
    at = bad = 0
    while at < len(data):
        found = _frame_at(data, at)
        if found is not None:
            if bad < at:
                yield bad, at, None
            end, frame = found
            yield at, end, frame
            at = bad = end
            continue
        following = data.find(MARK, at + 1)
        at = len(data) if following < 0 else following
    if bad < len(data):
        yield bad, len(data), None


def _frame_at(data: bytes, at: int) -> tuple[int, Frame] | None:
    if len(data) - at < _HEAD.size or data[at : at + 4] != MARK:
        return None
    _, length, crc, at_ms, kind, version = _HEAD.unpack_from(data, at)
    end = at + _HEAD.size + length
    if length > _LONGEST or end > len(data) or zlib.crc32(data[at + _CHECKED_FROM : end]) != crc:
        return None
    return end, Frame(at_ms, kind, version, data[at + _HEAD.size : end])
