"""Bytes in, telegrams out, whatever the line does."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from meterkast_drivers.p1.framing import LONGEST_TEXT, Checksum, Frame, Framer, Kind
from meterkast_drivers.p1.telegram import decode

Telegram = Callable[[str], bytes]


def frames_of(pieces: Iterable[bytes]) -> tuple[list[Frame], Framer]:
    framer = Framer()
    frames = [frame for piece in pieces for frame in framer.feed(piece)]
    return frames + framer.idle(), framer


def single(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def test_whole_and_byte_by_byte_are_the_same(own_files: list[Path]) -> None:
    for path in own_files:
        data = path.read_bytes()
        whole, framer = frames_of([data])
        bytewise, other = frames_of(single(data))
        assert whole == bytewise, path.name
        assert len(whole) == 1, path.name
        assert (framer.skipped, framer.cut) == (other.skipped, other.cut), path.name


def test_more_behind_it_changes_nothing(own_files: list[Path]) -> None:
    for path in own_files:
        data = path.read_bytes()
        alone, _ = frames_of([data])
        followed, _ = frames_of([data + data[:50]])
        assert followed[:1] == alone, path.name


def test_two_in_one_read(telegram: Telegram) -> None:
    data = telegram("nl-dsmr50.telegram")
    frames, framer = frames_of([data + data])
    assert [frame.checksum for frame in frames] == [Checksum.OK, Checksum.OK]
    assert framer.skipped == 0


def test_first_whole_telegram_after_a_start_in_the_middle(telegram: Telegram) -> None:
    data = telegram("nl-dsmr50.telegram")
    frames, framer = frames_of([data[300:] + data])
    assert [frame.checksum for frame in frames] == [Checksum.OK]
    assert framer.skipped == len(data[300:].translate(None, b"\r\n"))


@pytest.mark.parametrize("cut", [30, 200, 333, 400, 401, 402, 700])
def test_a_cut_telegram_does_not_cost_the_next(telegram: Telegram, cut: int) -> None:
    data = telegram("nl-dsmr50.telegram")
    frames, framer = frames_of([data[:cut] + data])
    assert [frame.checksum for frame in frames] == [Checksum.OK]
    assert framer.cut == 1


def test_a_cut_telegram_without_checksums_does_not_mix_with_the_next(telegram: Telegram) -> None:
    data = telegram("nl-dsmr22.telegram")
    frames, framer = frames_of([data[:150] + data])
    assert [frame.data for frame in frames] == [data[:-2]]
    assert framer.cut == 1


@pytest.mark.parametrize("ending", [b"%04x", b"%X", b"%04X"])
def test_checksums_in_lower_case_and_without_leading_zeros(telegram: Telegram, ending: bytes) -> None:
    data = telegram("warmtelink-three-digits.telegram")
    body, given = data[: data.index(b"!") + 1], int(data[data.index(b"!") + 1 :], 16)
    frames, _ = frames_of([body + ending % given + b"\r\n"])
    assert [frame.checksum for frame in frames] == [Checksum.OK]


def test_line_feeds_alone_still_have_a_right_checksum(telegram: Telegram) -> None:
    frames, _ = frames_of([telegram("nl-dsmr42-lf-only.raw") * 3])
    assert [frame.checksum for frame in frames] == [Checksum.OK] * 3


def test_x25_and_a_slash_in_the_identification(telegram: Telegram) -> None:
    frames, _ = frames_of([telegram("hu-holley-x25.telegram")])
    assert [frame.checksum for frame in frames] == [Checksum.OK]
    assert frames[0].data.startswith(b"/HLY5/")


def test_once_known_other_readings_of_the_checksum_do_not_pass(telegram: Telegram) -> None:
    framer = Framer()
    good = telegram("nl-dsmr50.telegram")
    assert [frame.checksum for frame in framer.feed(good)] == [Checksum.OK]
    assert [frame.checksum for frame in framer.feed(telegram("hu-holley-x25.telegram"))] == [Checksum.BAD]


def test_bytes_above_ascii_are_counted_and_harmless(telegram: Telegram) -> None:
    frames, framer = frames_of([telegram("hu-eon-ff.telegram") * 2])
    assert [frame.checksum for frame in frames] == [Checksum.OK] * 2
    assert framer.non_ascii == 2
    assert not framer.seven_bits


def test_seven_bits_with_parity_are_masked(telegram: Telegram) -> None:
    plain, _ = frames_of([telegram("nl-dsmr22.telegram")])
    for pieces in ([telegram("nl-dsmr22-7e1.raw")], single(telegram("nl-dsmr22-7e1.raw"))):
        masked, framer = frames_of(pieces)
        assert framer.seven_bits
        assert masked == plain


def test_parity_shows_which_line_was_damaged(telegram: Telegram) -> None:
    framer = Framer()
    data = telegram("nl-dsmr22-7e1.raw")
    framer.feed(data)
    damaged = bytearray(data)
    damaged[telegram("nl-dsmr22.telegram").index(b"01234.567")] ^= 0x02
    (frame,) = framer.feed(bytes(damaged)) + framer.idle()
    assert [refused.why for refused in decode(frame).refused] == ["bytes above 0x7F"]


def test_endless_garbage_is_bounded_and_the_next_telegram_is_read(telegram: Telegram) -> None:
    rng = random.Random(5)
    framer = Framer()
    total = 0
    for _ in range(200):
        garbage = rng.randbytes(1000).replace(b"!", b".")
        total += len(garbage)
        assert framer.feed(garbage) == []
        assert framer.pending <= LONGEST_TEXT + 1000
    assert framer.feed(b"/ABC" + b"x" * 20_000) == []
    assert framer.pending <= LONGEST_TEXT
    frames = framer.feed(b"\r\n" + telegram("nl-dsmr50.telegram"))
    assert [frame.checksum for frame in frames] == [Checksum.OK]
    assert framer.skipped > 0.9 * total


def test_garbage_that_looks_like_starts_is_bounded(telegram: Telegram) -> None:
    framer = Framer()
    for _ in range(50):
        framer.feed(b"\n/ABC5\r\n1-0:1.8.0(" * 50)
        assert framer.pending <= LONGEST_TEXT + 1000
    assert [f.checksum for f in framer.feed(b"\r\n" + telegram("nl-dsmr50.telegram"))] == [Checksum.OK]


def test_a_false_start_of_an_encrypted_frame_swallows_nothing(telegram: Telegram) -> None:
    data = telegram("nl-dsmr50.telegram")
    frames, _ = frames_of([b"\xdb\x08ABC12345\x82\x0f\xff\x30", data * 5])
    assert [frame.kind for frame in frames] == [Kind.TEXT] * 5


def test_damaged_telegrams_never_pass_as_good(telegram: Telegram) -> None:
    data = telegram("nl-dsmr50.telegram")
    good = frames_of([data])[0][0].data
    rng = random.Random(2026)
    for _ in range(400):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(damaged) - 2)] ^= 1 << rng.randrange(8)
        framer = Framer()
        framer.feed(data)  # the reading of the checksum is known
        for frame in framer.feed(bytes(damaged)) + framer.idle():
            assert frame.checksum is not Checksum.OK or frame.data == good


def test_after_silence_the_end_need_not_be_complete(telegram: Telegram) -> None:
    framer = Framer()
    assert framer.feed(telegram("nl-dsmr50.telegram").rstrip()) == []
    assert [frame.checksum for frame in framer.idle()] == [Checksum.OK]
    assert framer.pending == 0


def test_silence_in_mid_telegram_drops_it(telegram: Telegram) -> None:
    framer = Framer()
    assert framer.feed(telegram("nl-dsmr50.telegram")[:500]) == []
    assert framer.idle() == []
    assert (framer.cut, framer.pending) == (1, 0)
