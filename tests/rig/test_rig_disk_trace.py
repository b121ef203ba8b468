"""The model of a disk: what a power cut can leave, and what it cannot."""

from __future__ import annotations

from random import Random

from meterkast_rig.disk.trace import Disk, File, made


def lengths(file: File) -> set[int]:
    """How long the file can be after a cut."""
    disk = Disk(live={"a": file}, durable={"a": file})
    return {len(made(disk.cut(Random(seed))[1])["a"]) for seed in range(60)}


def test_a_size_whose_flush_failed_does_not_come_back_once_the_file_grew_beyond_it() -> None:
    file = File(b"12345678")
    file.change((1, 4, None))
    file.forget()
    assert lengths(file) == {4, 8}
    file.change((2, 4, b"abcdef"))
    file.flush()
    assert lengths(file) == {10}


def test_a_write_whose_flush_failed_may_be_there_or_not_until_it_is_made_anew() -> None:
    file = File()
    file.change((1, 0, b"12"))
    file.forget()
    file.change((2, 2, b"34"))
    file.flush()
    assert lengths(file) == {4}
    disk = Disk(live={"a": file}, durable={"a": file})
    left = {made(disk.cut(Random(seed))[1])["a"] for seed in range(60)}
    assert {b"\0\x0034", b"1234"} <= left
    file.change((3, 0, b"12"))
    file.flush()
    assert {made(disk.cut(Random(seed))[1])["a"] for seed in range(60)} == {b"1234"}
