"""Encrypted telegrams, made here with a key of our own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from meterkast.model.errors import ConfigError
from meterkast_drivers.p1.cipher import LUXEMBOURG_AUTH_KEY, Opener, SealedError, meter_of
from meterkast_drivers.p1.framing import Checksum, Framer, Kind
from meterkast_drivers.p1.telegram import decode

Telegram = Callable[[str], bytes]
KEY = "4D65746572206B617374206B65792031"
OTHER_KEY = "00" * 16


def encrypted(
    text: bytes, *, key: str = KEY, auth_key: str = LUXEMBOURG_AUTH_KEY, short: bool = False
) -> bytes:
    """A general-glo-cipher frame, authenticated and encrypted (DLMS Green Book, 9.2.7)."""
    title, counter = b"MKT\x00\x00\x00\x00\x01", (7).to_bytes(4, "big")
    control = b"\x30"
    sealed = AESGCM(bytes.fromhex(key)).encrypt(title + counter, text, control + bytes.fromhex(auth_key))
    body = control + counter + sealed[:-4]  # the tag is 12 bytes, not 16
    length = b"\x81" + bytes([len(body)]) if short else b"\x82" + len(body).to_bytes(2, "big")
    return b"\xdb\x08" + title + length + body


@pytest.mark.parametrize("short", [False, True])
def test_both_forms_of_length(telegram: Telegram, sealed: Callable[[bytes], bytes], short: bool) -> None:
    text = (
        sealed(b"/MKT5\\1\r\n\r\n1-0:1.8.0(000001.234*kWh)\r\n!") if short else telegram("lu-smarty.telegram")
    )
    data = encrypted(text, short=short)
    for pieces in ([data + data], [data[at : at + 1] for at in range(len(data))]):
        framer = Framer()
        frames = [frame for piece in pieces for frame in framer.feed(piece)]
        assert {frame.kind for frame in frames} == {Kind.CIPHER}
        assert framer.skipped == 0
        opened = Opener(KEY).open(frames[0])
        assert opened.checksum is Checksum.OK
        assert decode(opened).readings


def test_an_own_authentication_key(telegram: Telegram) -> None:
    (frame,) = Framer().feed(encrypted(telegram("lu-smarty.telegram"), auth_key=OTHER_KEY))
    assert Opener(KEY, OTHER_KEY).open(frame).checksum is Checksum.OK


def test_an_unknown_authentication_key_is_replaced_by_the_checksum(telegram: Telegram) -> None:
    (frame,) = Framer().feed(encrypted(telegram("lu-smarty.telegram"), auth_key=OTHER_KEY))
    assert Opener(KEY).open(frame).checksum is Checksum.OK
    damaged = bytearray(frame.data)
    damaged[100] ^= 1
    (frame,) = Framer().feed(bytes(damaged))
    with pytest.raises(SealedError):
        Opener(KEY).open(frame)


def test_a_wrong_key_says_which_meter_and_what_to_do(telegram: Telegram) -> None:
    (frame,) = Framer().feed(encrypted(telegram("lu-smarty.telegram")))
    with pytest.raises(SealedError, match=r"MKT0000000001") as caught:
        Opener(OTHER_KEY).open(frame)
    assert "key" in caught.value.hint
    assert OTHER_KEY not in str(caught.value) + caught.value.hint
    assert meter_of(frame) == "MKT0000000001"


def test_no_key_says_that_one_is_needed(telegram: Telegram) -> None:
    (frame,) = Framer().feed(encrypted(telegram("lu-smarty.telegram")))
    with pytest.raises(SealedError, match="encrypted and no key is set"):
        Opener().open(frame)


@pytest.mark.parametrize("key", ["1234", "x" * 32, "00" * 17])
def test_what_is_no_key_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Opener(key)
    assert key not in str(caught.value) + caught.value.hint


def test_plain_telegrams_between_encrypted_ones(telegram: Telegram) -> None:
    plain, data = telegram("nl-dsmr50.telegram"), encrypted(telegram("lu-smarty.telegram"))
    framer = Framer()
    frames = framer.feed(plain + data + plain + data)
    assert [frame.kind for frame in frames] == [Kind.TEXT, Kind.CIPHER] * 2
