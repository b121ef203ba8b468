"""The encrypted stream: what goes in comes out, and nothing else than what was written ever does."""

from __future__ import annotations

import io
import json
import random
import struct
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meterkast.backup import sealed
from meterkast.backup.sealed import FRAME_BYTES, MAGIC, SealedReader, SealedWriter
from meterkast.model.errors import RefusedError

WORDS = "correct horse battery staple"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cheap key: what makes guessing dear is not what is tested."""
    monkeypatch.setattr(sealed, "SCRYPT_N", 16)


def written(data: bytes, words: str = WORDS, piece: int = 10_000) -> bytes:
    file = io.BytesIO()
    writer = SealedWriter(file, words, 1234)
    for start in range(0, len(data), piece):
        writer.write(data[start : start + piece])
    writer.close()
    return file.getvalue()


def read(content: bytes, words: str = WORDS, piece: int = 7_001) -> bytes:
    reader = SealedReader(io.BytesIO(content), words, "the file")
    found = b"".join(iter(lambda: reader.read(piece), b""))
    reader.finish()
    return found


@pytest.mark.parametrize(
    "size", [0, 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 5 * FRAME_BYTES, 400_001]
)
def test_what_was_written_comes_back(size: int) -> None:
    data = random.Random(size).randbytes(size)
    content = written(data)
    assert read(content) == data
    assert size < 8 or data[:8] not in content


@pytest.fixture(scope="module")
def content() -> bytes:
    before, sealed.SCRYPT_N = sealed.SCRYPT_N, 16
    try:
        return written(random.Random(1).randbytes(3 * FRAME_BYTES + 77))
    finally:
        sealed.SCRYPT_N = before


def test_another_passphrase_opens_nothing_and_is_said(content: bytes) -> None:
    with pytest.raises(RefusedError, match="passphrase does not open"):
        read(content, WORDS + ".")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(st.data())
def test_one_changed_bit_anywhere_is_noticed(content: bytes, data: st.DataObject) -> None:
    place = data.draw(st.one_of(st.integers(0, 400), st.integers(0, len(content) - 1)))
    changed = bytearray(content)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(RefusedError):
        read(bytes(changed))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(st.data())
def test_a_cut_anywhere_is_noticed(content: bytes, data: st.DataObject) -> None:
    with pytest.raises(RefusedError):
        read(content[: data.draw(st.integers(0, len(content) - 1))])


FRAME = 4 + FRAME_BYTES + 16


def _start(content: bytes) -> int:
    return len(MAGIC) + 4 + struct.unpack(">I", content[len(MAGIC) : len(MAGIC) + 4])[0] + 32


@pytest.mark.parametrize(
    "change",
    [
        lambda head, frames: head + b"".join([frames[1], frames[0], *frames[2:]]),
        lambda head, frames: head + b"".join([frames[0], *frames]),
        lambda head, frames: head + b"".join(frames[:-1]),
        lambda head, frames: head + b"".join([frames[0], *frames[2:]]),
        lambda head, frames: head + b"".join(frames) + b"x",
        lambda head, frames: head + frames[-1],
        lambda head, frames: head,
    ],
    ids=["moved", "twice", "last missing", "one missing", "more behind", "last alone", "none"],
)
def test_moved_missing_and_additional_frames_are_noticed(
    content: bytes, change: Callable[[bytes, list[bytes]], bytes]
) -> None:
    start = _start(content)
    frames = [content[at : at + FRAME] for at in range(start, len(content), FRAME)]
    assert len(frames) == 4
    with pytest.raises(RefusedError):
        read(change(content[:start], frames))


def test_frames_of_two_files_under_one_passphrase_do_not_fit_one_another() -> None:
    one, other = written(b"a" * 10), written(b"a" * 10)
    assert one != other
    with pytest.raises(RefusedError, match="frame 0"):
        read(one[: _start(one)] + other[_start(other) :])


@pytest.mark.parametrize(
    "change",
    [
        {"n": 1 << 30},
        {"r": 1 << 20},
        {"p": 1 << 20},
        {"n": 3},
        {"n": 0},
        {"salt": ""},
        {"kdf": "none"},
        {"n": "x"},
    ],
)
def test_a_header_that_asks_for_all_memory_is_refused_before_it_is_done(
    content: bytes, change: dict[str, object]
) -> None:
    length = struct.unpack(">I", content[len(MAGIC) : len(MAGIC) + 4])[0]
    header = json.loads(content[len(MAGIC) + 4 :][:length]) | change
    text = json.dumps(header).encode()
    with pytest.raises(RefusedError, match="header"):
        read(MAGIC + struct.pack(">I", len(text)) + text + bytes(32))


@pytest.mark.parametrize("data", [b"", b"MKBACK", b"SQLite format 3\0" * 10, MAGIC + b"\xff\xff\xff\xff"])
def test_what_is_no_backup_is_said(data: bytes) -> None:
    with pytest.raises(RefusedError, match=r"no backup|damaged"):
        read(data)


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(RefusedError, match="shorter than 8"):
        written(b"", "1234567")
