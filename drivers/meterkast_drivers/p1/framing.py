"""Bytes in, telegrams out: a class that opens nothing and never fails.

A telegram starts with "/" and three letters and ends with "!" at the start of a line, with or without a
checksum. Everything else here is about what real lines do to that: "/" and "!" inside a text message, line
feeds without carriage returns, cut telegrams with the next one right behind, 0xFF inside, seven data bits
with parity, encrypted frames, noise.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from meterkast_drivers.p1 import crc

LONGEST_TEXT = 8192
"""Longest telegram; the longest measured has 2.4 kB, a DSMR 5 text message alone may have 2 kB."""

LONGEST_CIPHER = 4096


class Kind(StrEnum):
    """What a frame is."""

    TEXT = "text"
    CIPHER = "cipher"  # DLMS general-glo-cipher, to be opened with a key


class Checksum(StrEnum):
    """What a telegram's checksum says of it."""

    OK = "ok"
    BAD = "bad"
    NONE = "none"  # the telegram ends without one, as DSMR 2.2 and 3.0 do


class Frame(NamedTuple):
    """One telegram.

    Attributes:
        kind: Text, or still encrypted.
        data: From "/" up to and including "!"; the whole frame where it is encrypted.
        checksum: The verdict.
        given: The checksum's digits as sent.
        opened: It came encrypted.
    """

    kind: Kind
    data: bytes
    checksum: Checksum = Checksum.NONE
    given: bytes = b""
    opened: bool = False


# Python 3.11 looks up a member of an enum by a function call; these are asked for with every telegram.
_TEXT, _CIPHERED = Kind.TEXT, Kind.CIPHER
_OK, _BAD, _NONE = Checksum.OK, Checksum.BAD, Checksum.NONE


class Framer:
    """Cuts a stream of bytes into telegrams.

    Attributes:
        skipped: Bytes that belong to no telegram; line ends between telegrams are not counted.
        cut: Telegrams whose end was never seen.
        non_ascii: Telegrams with bytes above 0x7F.
        seven_bits: Whether the line sends seven data bits with even parity in the eighth (7E1 read as 8N1).
    """

    def __init__(self) -> None:
        self.skipped = 0
        self.cut = 0
        self.non_ascii = 0
        self.seven_bits = False
        self._buffer = bytearray()
        self._inside: Kind | None = None
        self._scan = 0  # where the search for the end goes on
        self._check: _Check | None = None  # the reading of the checksum that fitted last
        self._checks: tuple[_Check, ...] = ()
        self._misfits = 0

    def feed(self, data: bytes) -> list[Frame]:
        """The telegrams that these bytes complete, oldest first."""
        self._buffer += data.translate(_SEVEN_BITS) if self.seven_bits else data
        # One byte is looked for much faster than two.
        if not self.seven_bits and 0x8D in self._buffer and _CR_WITH_PARITY in self._buffer:
            self._try_seven_bits()
        frames: list[Frame] = []
        while self._step(frames, ended=False):
            pass
        return frames

    def idle(self) -> list[Frame]:
        """The line has been quiet: what is unfinished either is a whole telegram or never will be."""
        frames: list[Frame] = []
        while self._step(frames, ended=True):
            pass
        if self._inside is not None:
            self.cut += 1
        self._drop(len(self._buffer))
        self._inside = None
        return frames

    def reset(self) -> None:
        """Another line, or another speed: forget what is unfinished and how this one was read."""
        self.idle()
        self.seven_bits = False

    @property
    def pending(self) -> int:
        """Bytes that wait for more."""
        return len(self._buffer)

    def _step(self, frames: list[Frame], *, ended: bool) -> bool:
        """Take one frame or one false start out of the buffer; False when more bytes are needed."""
        if self._inside is None:
            return self._find_start(ended=ended)
        if self._inside is _CIPHERED:
            return self._take_cipher(frames, ended=ended)
        return self._take_text(frames, ended=ended)

    def _find_start(self, *, ended: bool) -> bool:
        buffer = self._buffer
        if not buffer:
            return False
        match = _START.search(buffer)
        if match is None:
            # A start may have begun in the last bytes, or be one with parity bits that is not seen yet.
            self._drop(len(buffer) if ended else max(0, len(buffer) - 2 * _PARITY_SAMPLE))
            return False
        false = match[0][0] != _SLASH and _MBUS_BEFORE.search(buffer, 0, match.start()) is not None
        self._drop(match.start() + false)
        if false:
            return True
        self._inside = _TEXT if buffer[0] == _SLASH else _CIPHERED
        self._scan = 0
        return True

    def _take_text(self, frames: list[Frame], *, ended: bool) -> bool:
        buffer = self._buffer
        at = buffer.find(b"!", self._scan)
        while at > 0 and buffer[at - 1] != _LINE_FEED:
            at = buffer.find(b"!", at + 1)
        at -= 1  # the line feed before it; a text that begins with "/" has no "!" at 0
        if at < 0:
            self._scan = max(0, len(buffer) - 1)
            if len(buffer) <= LONGEST_TEXT:
                return ended and self._abandon_text()
            return self._abandon_text()
        match = _END.match(buffer, at)
        if match is None:
            if len(buffer) - at <= _END_BYTES and not ended:
                self._scan = at
                return False
            if not (ended and (match := _END_OF_ALL.match(buffer, at))):
                self._scan = at + 2
                return True
        if at + 2 > LONGEST_TEXT:
            return self._abandon_text()
        self._emit_text(frames, bytes(memoryview(buffer)[: at + 2]), bytes(match[1]))
        end = match.end()
        del match  # it holds the buffer, which could not shrink
        del buffer[:end]
        self._inside = None
        return True

    def _emit_text(self, frames: list[Frame], data: bytes, given: bytes) -> None:
        verdict = self._verdict(data, given)
        if verdict is not _OK:
            # Perhaps the telegram was cut and another one started inside it.
            for later in _later_starts(data):
                if not given or self._verdict(data[later:], given) is _OK:
                    self.cut += 1
                    self.skipped += later
                    data, verdict = data[later:], _OK if given else _NONE
                    break
        ident = data[: data.find(b"\n")]
        if verdict is not _OK and (b"(" in ident or b")" in ident):
            # The "/" was one inside a text message, the telegram's true start was not heard.
            self.cut += 1
            self.skipped += len(data)
            return
        if not data.isascii():
            self.non_ascii += 1
        frames.append(Frame(_TEXT, data, verdict, given))

    def _verdict(self, data: bytes, given: bytes) -> Checksum:
        if not given:
            return _NONE
        expected = int(given, 16)
        known = self._check
        if known is not None and known.calculate(data) == expected:
            self._misfits = 0
            return _OK
        # Every further reading of the checksum makes it 1 in 65,536 more likely that damage passes; once it
        # is known which one the meter uses, others are tried only after many telegrams that did not fit.
        if known is None or self._misfits >= _MISFITS:
            self._checks = self._checks or _checks()
            for check in self._checks:
                if check is not known and check.calculate(data) == expected:
                    self._check, self._misfits = check, 0
                    return _OK
        self._misfits += 1
        return _BAD

    def _abandon_text(self) -> bool:
        """Give up a telegram without end: go on at the next start inside it."""
        self.cut += 1
        self.seven_bits = False  # perhaps that was a mistake; the next bytes show it again
        match = _LATER_LINE.search(self._buffer, 1) or _LATER_IN_LINE.search(self._buffer, 1)
        self._drop(match.start(1) if match else len(self._buffer))
        self._scan = 0
        if not match:
            self._inside = None
        return bool(match)

    def _take_cipher(self, frames: list[Frame], *, ended: bool) -> bool:
        buffer = self._buffer
        match = _CIPHER.match(buffer)
        if match is None:
            if len(buffer) >= _START_BYTES or ended:
                return self._false_cipher()
            return False
        length = match.end(1) + int.from_bytes(match[2] or match[3], "big")
        if length > LONGEST_CIPHER:
            return self._false_cipher()
        if len(buffer) < length:
            return ended and self._false_cipher()
        frame = bytes(buffer[:length])
        # Ciphertext is as good as random, a third of it printable; telegrams are printable throughout.
        body = frame[match.end() :]
        if len(body.translate(None, _PRINTABLE)) * 4 < len(body):
            return self._false_cipher()
        frames.append(Frame(_CIPHERED, frame))
        del buffer[:length]
        self._inside = None
        return True

    def _false_cipher(self) -> bool:
        self._drop(1)
        self._inside = None
        return True

    def _drop(self, count: int) -> None:
        if count:
            self.skipped += len(self._buffer[:count].translate(None, b"\r\n"))
            del self._buffer[:count]

    def _try_seven_bits(self) -> None:
        """Every byte of a 7E1 line has even parity; of other text every second one has."""
        buffer = self._buffer
        if len(buffer) >= _PARITY_SAMPLE and len(buffer.translate(None, _EVEN)) * 20 < len(buffer):
            self.seven_bits = True
            self._buffer = buffer.translate(_SEVEN_BITS)
            self._inside, self._scan = None, 0


def verified(data: bytes) -> list[Frame]:
    """The telegrams in a text that is there as a whole, such as an opened encrypted frame."""
    framer = Framer()
    return framer.feed(data) + framer.idle()


def _later_starts(data: bytes) -> list[int]:
    """Where else the telegram may have started: the last start of a line, the last inside a cut line."""
    if data.find(b"/", 1) < 0:
        return []
    found = {
        max((match.start(1) for match in pattern.finditer(data)), default=0)
        for pattern in (_LATER_LINE, _LATER_IN_LINE)
    }
    return sorted(found - {0}, reverse=True)


class _Check:
    """One way to read a telegram's checksum."""

    def __init__(self, name: str, calculate: crc.Crc) -> None:
        self.name = name
        self.calculate = calculate


def _checks() -> tuple[_Check, ...]:
    arc = crc.fastest_arc()

    def restored(data: bytes) -> int:
        # A terminal or a file turned CR LF into LF; the meter calculated with both.
        return arc(_BARE_LF.sub(b"\r\n", data)) if _BARE_LF.search(data) else -1

    return (_Check("as received", arc), _Check("line feeds only", restored), _Check("X-25", crc.x25))


_MISFITS = 8

_SLASH = 0x2F
_START = re.compile(rb"/[A-Za-z]{3}|\xdb\x08[A-Za-z]{3}.{5}[\x81\x82]", re.DOTALL)
# An encrypted frame inside M-Bus frames is cut into pieces by them: not P1 (Austrian meters on wired M-Bus).
_MBUS_BEFORE = re.compile(rb"\x68(.)\1\x68.{5}\Z", re.DOTALL)
_START_BYTES = 24  # the longest header of an encrypted frame is 15, an M-Bus header before it 9
_CIPHER = re.compile(rb"(\xdb\x08[A-Za-z]{3}.{5}(?:\x81(.)|\x82(..)))[\x10\x20\x30]", re.DOTALL)
_END = re.compile(rb"\n!([0-9A-Fa-f]{0,4})[\0 ]*\r?\n")
_END_OF_ALL = re.compile(rb"\n!([0-9A-Fa-f]{0,4})[\0 \r]*\Z")
_END_BYTES = 16
# A start at the start of a line, and one in a line that broke off: the rest of that line is an
# identification, without the brackets that follow a "/" inside a text message.
_LATER_LINE = re.compile(rb"\n(/[A-Za-z]{3}[^()\r\n]*\r?\n)")
_LATER_IN_LINE = re.compile(rb"\n[^/\r\n][^/\r\n]*(/[A-Za-z]{3}[^()\r\n]*\r?\n)")
_BARE_LF = re.compile(rb"(?<!\r)\n")

_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\r\n"
_LINE_FEED = 0x0A
_CR_WITH_PARITY = b"\x8d\n"  # CR has three bits set and LF two, so on a 7E1 line only CR gets the eighth
_PARITY_SAMPLE = 48
_EVEN = bytes(byte for byte in range(256) if byte.bit_count() % 2 == 0)
# A byte of odd parity was damaged on the way; 0xFF makes its line unreadable instead of wrong.
_SEVEN_BITS = bytes(byte & 0x7F if byte.bit_count() % 2 == 0 else 0xFF for byte in range(256))
