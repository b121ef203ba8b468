"""What is on a line: decided by listening, never by asking.

The order and the signs are those of meters in the field: 115,200 baud first, then 9,600; seven data bits
are seen by the framer; and what is not P1 has signs of its own.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

from meterkast.model.errors import LinkLostError
from meterkast_drivers.p1.framing import Frame, Framer, Kind
from meterkast_drivers.p1.port import IDLE_S, Source, open_port

SPEEDS = (115_200, 9_600)
"""DSMR 4 and all later ones; DSMR 2.2, 3.0 and meters with a D0 head."""

LISTEN_S = 12.0
"""Slow meters send every 10 s."""

_ENOUGH = 2
SAMPLE = 8192
"""How many bytes of what is no telegram are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was heard.

    Attributes:
        readable: Whether P1 telegrams, plain or encrypted, come in.
        sentence: In plain words: what it is, and what to do if it is wrong.
        noise: Bytes came in, but nothing that is known.
        speed: At which speed; None where the port has none.
        telegrams: How many were heard.
    """

    readable: bool
    sentence: str
    noise: bool = False
    speed: int | None = None
    telegrams: int = 0


@dataclass(slots=True)
class Listener:
    """Gathers what comes in at one speed until it is clear what it is."""

    framer: Framer = field(default_factory=Framer)
    frames: list[Frame] = field(default_factory=list)
    sample: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> None:
        self.frames += self.framer.feed(data)
        self.sample += data[: max(0, SAMPLE - len(self.sample))]

    def idle(self) -> None:
        self.frames += self.framer.idle()

    @property
    def decided(self) -> bool:
        """Two telegrams that agree on what they are; one may be chance."""
        idents = [_what(frame) for frame in self.frames]
        return len(idents) >= _ENOUGH and idents[-1] == idents[-2]

    def verdict(self, speed: int | None = None) -> Verdict:
        if not self.frames:
            return _of_noise(bytes(self.sample), speed)
        last = self.frames[-1]
        at = f" at {speed} baud" if speed else ""
        if last.kind is Kind.CIPHER:
            return Verdict(
                readable=True,
                sentence=f"encrypted telegrams{at}. Ask the grid operator for the P1 key and set `key`.",
                speed=speed,
                telegrams=len(self.frames),
            )
        bits = ", seven data bits" if self.framer.seven_bits else ""
        return Verdict(
            readable=True,
            sentence=f"P1 telegrams of /{_what(last)}{at}{bits}.",
            speed=speed,
            telegrams=len(self.frames),
        )


def verdict(sample: bytes) -> Verdict:
    """What some bytes are."""
    listener = Listener()
    listener.feed(sample)
    listener.idle()
    return listener.verdict()


async def probe(name: str, *, seconds: float = LISTEN_S) -> Verdict:
    """Listen on a port at each speed until it is clear what it is.

    Args:
        name: A device, or `socket://host:port`.
        seconds: How long to listen at each speed.
    """
    heard = Verdict(readable=False, sentence=NO_DATA)
    noisy = 0
    speeds: tuple[int | None, ...] = (None,) if name.startswith("socket://") else SPEEDS
    for speed in speeds:
        try:
            found = await _listen(await open_port(name, speed or SPEEDS[0]), seconds, speed)
        except LinkLostError as error:
            return Verdict(readable=False, sentence=f"{error}. {error.hint}")
        if found.readable:
            return found
        noisy += found.noise
        if found.sentence != NO_DATA:
            heard = found
    if noisy == len(SPEEDS):
        return Verdict(readable=False, sentence=INVERTED, noise=True)
    return heard


async def _listen(source: Source, seconds: float, speed: int | None) -> Verdict:
    listener = Listener()
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    try:
        while not listener.decided and (left := until - loop.time()) > 0:
            wait_s = min(left, IDLE_S) if listener.framer.pending else left
            if data := await source.read(wait_s):
                listener.feed(data)
            else:
                listener.idle()
    except LinkLostError:
        if not listener.frames:
            raise
    finally:
        source.close()
    listener.idle()
    return listener.verdict(speed)


NO_DATA = (
    "no data. The meter sends only while its data request pin (2) is high: check the cable. In Belgium, "
    "Sweden, Austria and Luxembourg the operator has to activate the port first: ask for it."
)
INVERTED = (
    "noise at both speeds. P1 is an inverted signal, and the cable does not turn it round: use a P1 cable, "
    "or an inverter before the port."
)
_NOISE = (
    "bytes, but no telegram{at}: noise, or another speed. If it stays so, the cable does not invert the P1 "
    "signal: use a P1 cable, or an inverter before the port."
)


def _of_noise(sample: bytes, speed: int | None) -> Verdict:
    """What else it may be; each sign is the start of a frame of that protocol."""
    if not sample:
        return Verdict(readable=False, sentence=NO_DATA, speed=speed)
    for pattern, sentence in _OTHERS:
        if pattern.search(sample):
            return Verdict(readable=False, sentence=sentence, speed=speed)
    if _has_hdlc(sample):
        return Verdict(readable=False, sentence=_HDLC, speed=speed)
    at = f" at {speed} baud" if speed else ""
    return Verdict(readable=False, sentence=_NOISE.format(at=at), noise=True, speed=speed)


_OTHERS = (
    (
        re.compile(rb"\d-\d:\d{1,3}\.\d{1,3}\.\d{1,3}\("),
        "parts of P1 telegrams, but no whole one: a loose plug, a cable that is too long, or a meter that "
        "cannot feed the reader.",
    ),
    (
        re.compile(rb"\x68(.)\1\x68", re.DOTALL),
        "M-Bus frames, not P1: this is the meter's wired M-Bus (27 V, own adapter), or an M-Bus meter.",
    ),
    (
        re.compile(rb"\x1b\x1b\x1b\x1b\x01\x01\x01\x01"),
        "SML, not P1: a German meter's own language. It needs another reader.",
    ),
    (
        re.compile(rb"\xdb\x08[A-Za-z]{3}"),
        "the start of an encrypted telegram, but no whole one: check the cable, and ask for the key.",
    ),
)


_HDLC = "HDLC frames, not P1: DLMS as Norwegian and Danish meters push it. It needs another reader."


def _has_hdlc(sample: bytes) -> bool:
    """Whether a frame of format type 3 ends where its length says: noise has the flags, but not there."""
    for start in re.finditer(rb"\x7e(?=[\xa0-\xa7])", sample):
        header = sample[start.end() : start.end() + 2]
        if len(header) == 2:
            length = int.from_bytes(header, "big") & 0x7FF
            if length > 8 and sample[start.end() + length : start.end() + length + 1] == b"\x7e":
                return True
    return False


def _what(frame: Frame) -> str:
    if frame.kind is Kind.CIPHER:
        return frame.data[2:10].hex()
    return frame.data[1 : frame.data.find(b"\n")].decode("ascii", "replace").strip()
