"""The checksums are the standard ones, in every way they are calculated."""

from __future__ import annotations

import importlib.util

from hypothesis import given
from hypothesis import strategies as st

from meterkast_drivers.p1 import crc


def test_check_values_of_the_catalogue() -> None:
    # The check value of a CRC is that of the nine digits (Greg Cook's catalogue of parametrised CRCs).
    assert crc.arc(b"123456789") == 0xBB3D
    assert crc.x25(b"123456789") == 0x906E


@given(st.binary(max_size=300))
def test_words_and_bytes_agree(data: bytes) -> None:
    assert crc.arc(data) == crc._arc_by_bytes(data)


@given(st.binary(max_size=300))
def test_the_compiled_one_agrees(data: bytes) -> None:
    # The tests' requirements hold the wheel; without it this would compare the same code with itself.
    assert importlib.util.find_spec("fastcrc") is not None
    assert crc.fastest_arc()(data) == crc.arc(data)


@given(st.lists(st.binary(max_size=120), max_size=6))
def test_the_difference_to_the_one_before_gives_the_same(parts: list[bytes]) -> None:
    running = crc.RunningArc()
    for data in parts:
        assert running(data) == crc.arc(data)


@given(
    st.binary(min_size=1, max_size=900),
    st.lists(st.tuples(st.integers(0, 899), st.integers(0, 255)), max_size=40),
)
def test_changed_bytes_change_it_rightly(data: bytes, changes: list[tuple[int, int]]) -> None:
    running = crc.RunningArc()
    assert running(data) == crc.arc(data)
    changed = bytearray(data)
    for at, byte in changes:
        changed[at % len(data)] = byte
    assert running(bytes(changed)) == crc.arc(bytes(changed))
