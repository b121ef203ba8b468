"""Damaged P1 lines: no crash, no wrong checksum taken, nothing invented, the next good telegram is read.

`make campaign-fuzz` runs all of this folder in full; METERKAST_CAMPAIGN_SEED replays what a failure printed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from meterkast.model.reading import Batch
from meterkast_drivers.p1.cipher import LUXEMBOURG_AUTH_KEY, Opener, SealedError
from meterkast_drivers.p1.framing import LONGEST_CIPHER, LONGEST_TEXT, Checksum, Frame, Framer, Kind
from meterkast_drivers.p1.reader import Reader

from ...p1.stub_catalog import StubCatalog
from .mutation import SEED, SIZE, damaged

DATA = Path(__file__).parents[2] / "data" / "p1"
SECOND_NS = 1_000_000_000
TOKENS = (
    b"/ABC5\r\n",
    b"\r\n!",
    b"!0000\r\n",
    b"\r\n",
    b"(",
    b")",
    b"*kWh",
    b"1-0:1.8.0(",
    b"\0",
    b"\xff" * 9,
    b"\x8d\n" * 3,
    b"\xdb\x08ABC12345\x82\x0f\xff\x30",
    b"\xdb\x08ABC12345\x81\x40\x20",
    b"9" * 30,
    b"0-1:24.2.1(700101010000W)(00000.001*m3)\r\n",
)
# These end in a checksum, so damage to them can be told.
PROVEN = sorted(
    path
    for path in DATA.glob("*.telegram")
    if re.search(rb"\n![0-9A-F]{2,4}[\0 ]*\r?\n\Z", path.read_bytes()) and "wrong" not in path.name
)


def crc(data: bytes, polynomial: int, start: int) -> int:
    """A checksum bit by bit, as the standard writes it down: nothing in common with the product's."""
    register = start
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (polynomial if register & 1 else 0)
    return register


def right(frame: Frame) -> bool:
    """Whether the telegram has one of the three checksums that meters are known to send."""
    given = int(frame.given or b"-1", 16)
    restored = re.sub(rb"(?<!\r)\n", b"\r\n", frame.data)
    return given in (
        crc(frame.data, 0xA001, 0),
        crc(restored, 0xA001, 0),
        crc(frame.data, 0x8408, 0xFFFF) ^ 0xFFFF,
    )


def sealed(text: bytes) -> bytes:
    """The telegram with the checksum that belongs to it."""
    body = text[: text.rindex(b"!") + 1]
    return body + b"%04X\r\n" % crc(body, 0xA001, 0)


class Line:
    """A meter's line as the driver reads it, and what came of it."""

    def __init__(self, catalog: StubCatalog) -> None:
        self.framer = Framer()
        self.reader = Reader()
        self.catalog = catalog
        self.now_ns = 0
        self.frames: list[Frame] = []
        self.values: set[tuple[str, int, int]] = set()

    async def hear(self, data: bytes) -> list[Frame]:
        """Bytes, and the silence after them."""
        self.now_ns += 10 * SECOND_NS
        frames = self.framer.feed(data) + self.framer.idle()
        self.frames += frames
        for frame in frames:
            if frame.checksum is Checksum.BAD or frame.kind is Kind.CIPHER:
                continue
            self._take(self.reader.take(frame, self.now_ns))
            if self.reader.undeclared:
                await self.reader.declare(self.catalog)
                self._take(self.reader.batches(self.now_ns))
        return frames

    def _take(self, batches: list[Batch]) -> None:
        for batch in batches:
            self.values |= {(name, *said) for name, said in self.catalog.named(batch).items()}


@pytest.mark.slow
async def test_damage_is_never_taken_for_a_telegram() -> None:
    chance = Random(f"damage {SEED}")
    total = collisions = 0
    for number in range(1500 * SIZE):
        path = chance.choice(PROVEN)
        good = path.read_bytes()
        line = Line(StubCatalog())
        await line.hear(good)
        await line.hear(good)
        known, true = set(line.values), line.frames[0].data
        where = f"seed {SEED}, line {number}, {path.name}"
        assert line.frames[0].checksum is Checksum.OK, where
        bad = b"".join(damaged(good, chance, TOKENS) for _ in range(chance.randint(1, 4)))
        total += len(bad)
        for frame in await line.hear(bad):
            if frame.checksum is Checksum.OK:
                assert right(frame), f"{where}: a wrong checksum was taken"
                collisions += frame.data != true
        if all(frame.data == true for frame in line.frames if frame.checksum is Checksum.OK):
            assert line.values == known, f"{where}: invented {line.values - known}"
        assert line.framer.pending == 0, where
        again = await line.hear(good) + await line.hear(good)
        assert any(frame.checksum is Checksum.OK and frame.data == true for frame in again), (
            f"{where}: not read again within two telegrams"
        )
    print(f"\nfuzz p1: seed {SEED}, {total:,} damaged bytes, {collisions} right by chance")
    assert collisions <= 3 + total / 2_000_000


@pytest.mark.slow
async def test_telegrams_of_right_checksum_and_odd_lines_are_read_or_refused() -> None:
    chance = Random(f"odd lines {SEED}")
    catalog = StubCatalog()
    read = 0
    for number in range(1200 * SIZE):
        good = chance.choice(PROVEN).read_bytes()
        end = good.index(b"\r\n\r\n")
        line = Line(catalog)
        for _ in range(3):
            body = damaged(good[end:], chance, TOKENS[5:], 4).replace(b"\r\n!", b"\r\n.")
            try:
                await line.hear(sealed(good[:end] + body + b"\r\n!"))
            except Exception as error:
                raise AssertionError(f"seed {SEED}, telegram {number}: {error!r}") from error
        read += len(line.values)
        for name, value, decimals in line.values:
            assert abs(value) < 1 << 63, f"{name} = {value}: does not fit the store"
            assert 0 <= decimals < 20
    assert read > 5000 * SIZE


def counted(pieces: list[bytes]) -> tuple[int, int]:
    """How many calls the framer makes for these pieces, Python's and C's, and how much it held at most."""
    framer, calls, held = Framer(), 0, 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    for piece in pieces:
        sys.setprofile(count)
        try:
            framer.feed(piece)
        finally:
            sys.setprofile(None)
        held = max(held, framer.pending)
    return calls, held


@pytest.mark.slow
def test_the_work_for_a_byte_is_bounded() -> None:
    chance = Random(f"work {SEED}")
    worst = 0.0
    for number in range(150 * SIZE):
        pieces: list[bytes] = []
        kind = chance.choice((*TOKENS, b"!\r\n", b"\n!", b"\n/ABC5\r\n", b"/ABC", b"x", b"\n", bytes(1)))
        while sum(map(len, pieces)) < 30_000:
            good = chance.choice(PROVEN).read_bytes()
            pieces.append(chance.choice((kind * chance.randint(1, 900), damaged(good, chance, TOKENS))))
        calls, held = counted(pieces)
        size = sum(map(len, pieces))
        worst = max(worst, calls / size)
        assert calls < 4 * size + 100 * len(pieces), f"seed {SEED}, stream {number}: {calls / size} a byte"
        assert held <= LONGEST_TEXT + max(map(len, pieces)), f"seed {SEED}, stream {number}: {held} held"
    print(f"\nfuzz p1: at most {worst:.2f} calls a byte")


@pytest.mark.slow
def test_without_a_pause_the_next_telegrams_are_read_as_well() -> None:
    chance = Random(f"no pause {SEED}")
    good = (DATA / "nl-dsmr50.telegram").read_bytes()
    most = (LONGEST_CIPHER + LONGEST_TEXT) // len(good) + 2
    for number in range(1500 * SIZE):
        framer = Framer()
        framer.feed(damaged(good, chance, TOKENS) + chance.randbytes(chance.choice((0, 5, 500))))
        frames = [frame for _ in range(most) for frame in framer.feed(good)]
        assert any(frame.checksum is Checksum.OK for frame in frames), f"seed {SEED}, start {number}"


@pytest.mark.slow
def test_damaged_encrypted_telegrams_stay_closed() -> None:
    key = "4D65746572206B617374206B65792031"
    title, head = b"MKT\x00\x00\x00\x00\x01", b"\x30" + (7).to_bytes(4, "big")
    text = (DATA / "lu-smarty.telegram").read_bytes()
    body = AESGCM(bytes.fromhex(key)).encrypt(
        title + head[1:], text, head[:1] + bytes.fromhex(LUXEMBOURG_AUTH_KEY)
    )
    body = head + body[:-4]
    good = b"\xdb\x08" + title + b"\x82" + len(body).to_bytes(2, "big") + body
    [whole] = Framer().feed(good)
    true = Opener(key).open(whole).data
    chance = Random(f"cipher {SEED}")
    shut = opened = 0
    for number in range(1500 * SIZE):
        framer = Framer()
        bad = damaged(good, chance, TOKENS, 2)
        for frame in framer.feed(bad) + framer.idle():
            if frame.kind is not Kind.CIPHER:
                continue
            try:
                found: Any = Opener(key).open(frame)
            except SealedError:
                shut += 1
                continue
            opened += 1
            assert found.data == true or right(found), f"seed {SEED}, frame {number}"
        assert [frame.kind for frame in framer.feed(good)] == [Kind.CIPHER]
    assert shut > 100 * SIZE
