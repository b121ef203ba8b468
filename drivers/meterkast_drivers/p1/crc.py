"""The two checksums that P1 meters end a telegram with.

CRC-16/ARC (polynomial 0xA001, start 0) is what DSMR 4.0 (5.2) and all that followed it ask for; Holley
meters in Hungary send CRC-16/X-25 instead. The compiled `fastcrc` is used where its wheel is installed; else
a table of 16-bit words, and from the second telegram on only what changed.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from functools import cache, lru_cache
from typing import TypeAlias

Crc = Callable[[bytes], int]


def arc(data: bytes) -> int:
    """CRC-16/ARC of the bytes."""
    words, single = _arc_tables()
    crc = 0
    even = len(data) & ~1
    for word in memoryview(data)[:even].cast("H"):
        crc = words[crc ^ word]
    if len(data) & 1:
        crc = (crc >> 8) ^ single[(crc ^ data[-1]) & 255]
    return crc


def x25(data: bytes) -> int:
    """CRC-16/X-25 of the bytes."""
    table = _byte_table(0x8408)
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 255]
    return crc ^ 0xFFFF


class RunningArc:
    """CRC-16/ARC of telegrams that differ little from the one before.

    The checksum starts at 0 and is linear: of two texts of one length it differs by the checksum of their
    difference. That is zero but for the changed digits, and zeros are passed over in leaps. The result is
    exact.
    """

    def __init__(self) -> None:
        self._data = b""
        self._number = 0
        self._crc = 0

    def __call__(self, data: bytes) -> int:
        number = int.from_bytes(data, "big")
        if len(data) == len(self._data):
            difference = (number ^ self._number).to_bytes(len(data), "big")
            crc = self._crc ^ _arc_of_sparse(difference)
        else:
            crc = arc(data) if sys.byteorder == "little" else _arc_by_bytes(data)
        self._data, self._number, self._crc = data, number, crc
        return crc


def fastest_arc() -> Crc:
    """The compiled CRC-16/ARC where there is one; for one stream of telegrams."""
    try:
        from fastcrc import crc16
    except ImportError:
        return RunningArc()
    compiled: Crc = crc16.arc
    return compiled


def _arc_of_sparse(data: bytes) -> int:
    """CRC-16/ARC of bytes that are nearly all zero."""
    single = _byte_table(0xA001)
    crc, left = 0, len(data)
    while rest := data.lstrip(b"\0"):
        if crc:
            crc = _over_zeros(crc, left - len(rest))
        crc = (crc >> 8) ^ single[(crc ^ rest[0]) & 255]
        data = rest[1:]
        left = len(data)
    return _over_zeros(crc, left) if crc else 0


def _over_zeros(crc: int, count: int) -> int:
    """What a checksum becomes after so many zero bytes: a small leap and a large one."""
    if few := count & 15:
        low, high = _leap(few)
        crc = low[crc & 255] ^ high[crc >> 8]
    if count > 15:
        low, high = _leap(count - few)
        crc = low[crc & 255] ^ high[crc >> 8]
    return crc


_Leap: TypeAlias = "tuple[array[int], array[int]]"


@lru_cache(maxsize=128)  # telegrams of 2 kB need all of them: 16 small ones and 112 large ones, 130 KiB
def _leap(count: int) -> _Leap:
    """Tables for a leap over so many zero bytes: by the checksum's low byte, and by its high byte."""
    bits = [1 << place for place in range(16)]
    for low, high in (powers for place, powers in enumerate(_powers()) if count >> place & 1):
        bits = [low[bit & 255] ^ high[bit >> 8] for bit in bits]
    return _all_sums(bits[:8]), _all_sums(bits[8:])


@cache
def _powers() -> list[_Leap]:
    """Leaps over 1, 2, 4, … 8192 zero bytes."""
    low, high = _byte_table(0xA001), array("H", range(256))
    powers = [(low, high)]
    for _ in range(13):
        low, high = (array("H", (low[x & 255] ^ high[x >> 8] for x in table)) for table in (low, high))
        powers.append((low, high))
    return powers


def _all_sums(bits: list[int]) -> array[int]:
    """The XOR of every choice of eight numbers, at the index whose bits say which."""
    table = [0]
    for bit in bits:
        table += [bit ^ other for other in table]
    return array("H", table)


@cache
def _byte_table(polynomial: int) -> array[int]:
    table = array("H")
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ polynomial if crc & 1 else crc >> 1
        table.append(crc)
    return table


@cache
def _arc_tables() -> tuple[array[int], array[int]]:
    single = _byte_table(0xA001)
    # The step over a word is linear over XOR: entry(high, low) = entry(high) ^ entry(low), which makes the
    # 65,536 entries (128 KiB) cheap to build: 0.01 s, at the first telegram.
    low = array("H", (_two_steps(byte, single) for byte in range(256)))
    high = array("H", (_two_steps(byte << 8, single) for byte in range(256)))
    words = array("H")
    for upper in high:
        words.extend([upper ^ lower for lower in low])
    return words, single


def _two_steps(state: int, single: array[int]) -> int:
    crc = (state >> 8) ^ single[state & 255]
    return (crc >> 8) ^ single[crc & 255]


def _arc_by_bytes(data: bytes) -> int:
    single = _byte_table(0xA001)
    crc = 0
    for byte in data:
        crc = (crc >> 8) ^ single[(crc ^ byte) & 255]
    return crc
