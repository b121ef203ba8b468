"""The block codec: a minute of samples of all series in about two kilobytes, without losing a digit.

A block is a sequence of tables (`Frames`). Each column becomes its first number and the differences that
follow, in the narrowest integer type that holds them; a column that stays the same or rises evenly (most
registers, nearly all times) is one or two numbers. Numbers of one width lie together, their bytes split
by significance, and the whole is one deflate stream.

    byte 0      format, 1
    bytes 1-4   CRC-32 of all that follows
    bytes 5-    raw deflate of: counts, column codes, eight groups of numbers, texts

Everything is little-endian.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from operator import sub

from meterkast.model.reading import Column, Frames, Layout
from meterkast.model.time import UtcMs

FORMAT = 1
_ENVELOPE = struct.Struct("<BI")
_COUNTS = struct.Struct("<11I")  # frames, codes, then how many numbers are in each group, and bytes of text
_COLUMN = struct.Struct("<IH")

# A column's code: width of its first number + 4 × what follows it.
_TYPES = "bhiq"
_CONSTANT, _RAMP, _DELTAS = 0, 1, 5  # a ramp's step has width kind - 1, differences have width kind - 5
_TEXT = 255  # numbers that 64 bits do not hold: decimal text; no sane value gets here, but none may be lost

# 6 is where deflate stops gaining on these blocks; raw, because the CRC outside covers more than Adler-32.
_LEVEL = 6


class BlockError(ValueError):
    """The bytes are no block, or not as they were written."""


def pack_layout(layout: Layout) -> bytes:
    """A layout as the bytes that the table `layouts` holds."""
    return b"".join(_COLUMN.pack(column.property_id, column.decimals) for column in layout)


def unpack_layout(data: bytes) -> Layout:
    """The layout of such bytes.

    Raises:
        BlockError: They are not a whole number of columns.
    """
    if len(data) % _COLUMN.size:
        raise BlockError("a layout is cut off")
    return tuple(Column(*pair) for pair in _COLUMN.iter_unpack(data))


def encode(frames: Sequence[Frames], number: Callable[[Layout], int]) -> bytes:
    """The block of some frames.

    Args:
        frames: Any number of tables, rows in any order; several may share a layout.
        number: The lasting number of a layout.

    Raises:
        ValueError: A row is not as wide as its layout, or there are not as many times as rows.
    """
    writer = _Writer()
    writer.column([number(table.layout) for table in frames])
    writer.column([len(table.times) for table in frames])
    writer.column([table.times[0] if table.times else 0 for table in frames])
    for table in frames:
        times = table.times
        if len(times) != len(table.rows):
            raise ValueError(f"{len(times)} times for {len(table.rows)} rows")
        if not times:
            continue
        if len(times) > 1:
            first = times[0]
            writer.column([at - first for at in times])
        columns = list(zip(*table.rows, strict=True))
        if len(columns) != len(table.layout):
            raise ValueError(f"rows of {len(columns)} values for a layout of {len(table.layout)}")
        for values in columns:
            writer.column(values)
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(writer.payload(len(frames))) + packer.flush()
    return _ENVELOPE.pack(FORMAT, zlib.crc32(body)) + body


def decode(data: bytes, layouts: Mapping[int, Layout]) -> list[Frames]:
    """The frames of a block, exactly as they were given to `encode`.

    Args:
        data: The block.
        layouts: Layouts by their number.

    Raises:
        BlockError: The block was made by a newer release, is damaged, or names a layout that is unknown.
    """
    if len(data) < _ENVELOPE.size:
        raise BlockError("a block is cut off")
    version, crc = _ENVELOPE.unpack_from(data)
    if version != FORMAT:
        raise BlockError(f"a block has format {version}; this release reads {FORMAT}")
    body = data[_ENVELOPE.size :]
    if zlib.crc32(body) != crc:
        raise BlockError("a block's CRC is wrong")
    reader = _Reader(zlib.decompress(body, -zlib.MAX_WBITS))
    numbers = reader.column(reader.frames)
    counts = reader.column(reader.frames)
    starts = reader.column(reader.frames)
    frames: list[Frames] = []
    for number, count, start in zip(numbers, counts, starts, strict=True):
        if (layout := layouts.get(number)) is None:
            raise BlockError(f"a block names layout {number}, which is not known")
        if not count:
            frames.append(Frames(layout))
            continue
        offsets = reader.column(count) if count > 1 else [0]
        rows: list[tuple[int, ...]] = [()] * count
        if layout:
            rows = list(zip(*[reader.column(count) for _ in layout], strict=True))
        frames.append(Frames(layout, [UtcMs(start + offset) for offset in offsets], rows))
    return frames


def is_whole(data: bytes) -> bool:
    """Whether a block is as it was written; it is not unpacked."""
    if len(data) < _ENVELOPE.size:
        return False
    version, crc = _ENVELOPE.unpack_from(data)
    return bool(version == FORMAT and zlib.crc32(data[_ENVELOPE.size :]) == crc)


def span(frames: Iterable[Frames]) -> tuple[UtcMs, UtcMs]:
    """First and last instant of some frames.

    Raises:
        ValueError: There is no sample in them.
    """
    filled = [table.times for table in frames if table.times]
    return min(map(min, filled)), max(map(max, filled))


class _Writer:
    """Columns on their way into a block."""

    def __init__(self) -> None:
        self._codes = bytearray()
        self._heads: list[list[int]] = [[], [], [], []]  # first numbers and steps, by width
        self._deltas: list[list[int]] = [[], [], [], []]
        self._texts: list[str] = []

    def column(self, values: Sequence[int]) -> None:
        """Add a column; an empty one leaves nothing behind, its length is known from elsewhere."""
        if not values:
            return None
        first, count = values[0], len(values)
        wide = _width(first, first)
        if wide is None:
            return self._text(values)
        code = wide
        if values.count(first) == count:
            self._heads[wide].append(first)
            self._codes.append(code)
            return None
        steps = list(map(sub, values[1:], values))
        if (step_wide := _width(min(steps), max(steps))) is None:
            return self._text(values)
        self._heads[wide].append(first)
        if steps.count(steps[0]) == count - 1:
            self._heads[step_wide].append(steps[0])
            code += 4 * (_RAMP + step_wide)
        else:
            self._deltas[step_wide] += steps
            code += 4 * (_DELTAS + step_wide)
        self._codes.append(code)
        return None

    def _text(self, values: Sequence[int]) -> None:
        self._codes.append(_TEXT)
        self._texts.append(",".join(map(str, values)))

    def payload(self, frames: int) -> bytes:
        groups = [*self._heads, *self._deltas]
        text = "\n".join(self._texts).encode()
        counts = _COUNTS.pack(frames, len(self._codes), *map(len, groups), len(text))
        packed = [_pack(group, _TYPES[place % 4]) for place, group in enumerate(groups)]
        return b"".join((counts, self._codes, *packed, text))


class _Reader:
    """The same, read back in the order in which it was written."""

    def __init__(self, payload: bytes) -> None:
        self.frames, codes, *sizes, text = _COUNTS.unpack_from(payload)
        at = _COUNTS.size + codes
        self._codes = iter(payload[_COUNTS.size : at])
        groups: list[tuple[int, ...]] = []
        for place, size in enumerate(sizes):
            kind = _TYPES[place % 4]
            end = at + size * struct.calcsize("<" + kind)
            groups.append(_unpack(payload[at:end], kind))
            at = end
        self._heads: list[Iterator[int]] = [iter(group) for group in groups[:4]]
        self._deltas = groups[4:]
        self._at = [0, 0, 0, 0]
        self._texts = iter(payload[at : at + text].decode().split("\n"))

    def column(self, count: int) -> list[int]:
        if not count:
            return []
        code = next(self._codes)
        if code == _TEXT:
            return [int(number) for number in next(self._texts).split(",")]
        kind, wide = divmod(code, 4)
        first = next(self._heads[wide])
        if kind == _CONSTANT:
            return [first] * count
        if kind < _DELTAS:
            step = next(self._heads[kind - _RAMP])
            return list(range(first, first + count * step, step))
        place = kind - _DELTAS
        at = self._at[place]
        self._at[place] = end = at + count - 1
        return list(accumulate(self._deltas[place][at:end], initial=first))


def _width(low: int, high: int) -> int | None:
    """Which of the four integer types holds both; None where none does."""
    reach = max(high, -low - 1)
    if reach <= 0x7F:
        return 0
    if reach <= 0x7FFF:
        return 1
    if reach <= 0x7FFF_FFFF:
        return 2
    return 3 if reach <= 0x7FFF_FFFF_FFFF_FFFF else None


def _pack(numbers: Sequence[int], kind: str) -> bytes:
    plain = struct.pack(f"<{len(numbers)}{kind}", *numbers)
    size = struct.calcsize("<" + kind)
    # High bytes are nearly all alike: apart from the low ones they compress to almost nothing.
    return plain if size == 1 else b"".join(plain[place::size] for place in range(size))


def _unpack(data: bytes, kind: str) -> tuple[int, ...]:
    size = struct.calcsize("<" + kind)
    count = len(data) // size
    plain = bytearray(len(data))
    for place in range(size):
        plain[place::size] = data[place * count : (place + 1) * count]
    return struct.unpack(f"<{count}{kind}", plain)
