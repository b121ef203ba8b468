"""Encrypted telegrams (Luxembourg, Lithuania, Austria): the one file that knows DLMS and its library.

The library costs 20 MiB of memory, so it is imported at the first encrypted frame for which there is a key.
"""

from __future__ import annotations

from typing import Any

from meterkast.model.errors import ConfigError, MeterkastError
from meterkast_drivers.p1.framing import Checksum, Frame, Kind, verified

LUXEMBOURG_AUTH_KEY = "00112233445566778899AABBCCDDEEFF"
"""Public and the same for all Smarty meters (Smarty P1 1.1.3, 3.2.4)."""


class SealedError(MeterkastError):
    """An encrypted telegram that cannot be opened: count it, tell the user, go on reading."""


class Opener:
    """Opens encrypted telegrams with a meter's key."""

    def __init__(self, key: str = "", auth_key: str = "") -> None:
        """Make an opener.

        Args:
            key: 32 hexadecimal digits; empty where there is none.
            auth_key: The same; empty for the public one of Luxembourg.

        Raises:
            ConfigError: A key is not 32 hexadecimal digits.
        """
        self._key = _bytes_of(key, "key") if key else None
        self._auth_key = _bytes_of(auth_key or LUXEMBOURG_AUTH_KEY, "auth_key")
        self._own_auth_key = bool(auth_key)

    def open(self, frame: Frame) -> Frame:
        """The telegram inside an encrypted frame.

        Raises:
            SealedError: There is no key, or it is not this meter's, or the frame is damaged.
        """
        meter = meter_of(frame)
        if self._key is None:
            raise SealedError(
                f"the telegrams of meter {meter} are encrypted and no key is set",
                hint="Ask the grid operator for the meter's P1 key and set `key` to its 32 digits.",
            )
        frames = verified(self._plain(frame.data)) or verified(self._unauthenticated(frame.data))
        for opened in frames:
            if opened.kind is Kind.TEXT:
                return opened._replace(opened=True)
        raise SealedError(
            f"the key does not open the telegrams of meter {meter}",
            hint="Check `key` against the operator's letter: 32 digits, this meter's and no other's.",
        )

    def _plain(self, data: bytes) -> bytes:
        apdu = _apdu(data)
        from dlms_cosem.exceptions import DecryptionError

        try:
            return bytes(apdu.to_plain_apdu(self._key, self._auth_key))
        except (DecryptionError, NotImplementedError, ValueError):  # not opened: `open` says so
            # In this order: another key's tag; no encryption at all; a key or title of another length.
            return b""

    def _unauthenticated(self, data: bytes) -> bytes:
        """The text without proof by the tag, where the authentication key is not known.

        Only a text whose own checksum is right is taken, so that damage does not pass.
        """
        if self._own_auth_key:
            return b""
        from dsmr_parser.parsers import _decrypt_without_verification

        apdu = _apdu(data)
        try:
            text = bytes(_decrypt_without_verification(apdu, self._key))
        except ValueError:  # a title of another length: not opened
            return b""
        return text if [frame.checksum for frame in verified(text)] == [Checksum.OK] else b""


def meter_of(frame: Frame) -> str:
    """The system title of an encrypted frame: three letters of the maker and a number."""
    title = frame.data[2:10]
    if title.isascii() and title.decode("ascii").isprintable():
        return title.decode("ascii")
    return title[:3].decode("ascii", "replace") + title[3:].hex().upper()


def _apdu(data: bytes) -> Any:  # the library has no types
    from dlms_cosem.protocol.xdlms import GeneralGlobalCipher

    try:
        return GeneralGlobalCipher.from_bytes(data)
    except (IndexError, ValueError) as error:
        raise SealedError(
            "a damaged encrypted telegram", hint="Check cable and plug if it happens often."
        ) from error


def _bytes_of(text: str, name: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 16:
        # The key itself is never in a message.
        raise ConfigError(
            f"`{name}` is not a key: {len(text.strip())} characters that are not 32 hexadecimal digits",
            hint="A P1 key has 32 digits of 0-9 and A-F, as the operator's letter gives it.",
        )
    return key
