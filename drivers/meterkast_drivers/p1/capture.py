"""A capture in a file: what a serial port would have delivered, or the hexadecimal text of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from meterkast.model.time import iso_utc
from meterkast_drivers.p1.cipher import Opener, SealedError
from meterkast_drivers.p1.framing import Checksum, Frame, Framer, Kind
from meterkast_drivers.p1.objects import Refused
from meterkast_drivers.p1.profiles import PROFILES, Profile
from meterkast_drivers.p1.telegram import Telegram, decode

_CHUNK = 4096


@dataclass(slots=True)
class Capture:
    """What a capture holds.

    Attributes:
        telegrams: All of them, oldest first.
        skipped: Bytes that belong to no telegram.
        framer: Its counters.
    """

    telegrams: list[Telegram] = field(default_factory=list)
    framer: Framer = field(default_factory=Framer)

    @property
    def skipped(self) -> int:
        return self.framer.skipped


def read(content: bytes, opener: Opener, profile: Profile | None = None) -> Capture:
    """Everything in a capture."""
    capture = Capture()
    for frame in _frames(capture.framer, unhex(content)):
        capture.telegrams.append(_telegram(frame, opener, profile))
    return capture


def unhex(content: bytes) -> bytes:
    """The bytes that hexadecimal text stands for; anything else as it is."""
    digits = b"".join(content.split())
    if len(digits) < 8 or digits.translate(None, b"0123456789abcdefABCDEF"):
        return content
    return bytes.fromhex(digits[: len(digits) & ~1].decode("ascii"))


def as_json(capture: Capture) -> dict[str, Any]:
    """The capture as `meterkast p1 decode --json` prints it."""
    return {
        "telegrams": [_telegram_json(telegram) for telegram in capture.telegrams],
        "skipped_bytes": capture.skipped,
    }


def _frames(framer: Framer, content: bytes) -> Iterator[Frame]:
    for start in range(0, len(content), _CHUNK):
        yield from framer.feed(content[start : start + _CHUNK])
    yield from framer.idle()


def _telegram(frame: Frame, opener: Opener, profile: Profile | None) -> Telegram:
    if frame.kind is Kind.CIPHER:
        try:
            frame = opener.open(frame)
        except SealedError as error:
            sealed = Telegram(ident="", profile=profile or PROFILES["LU"], checksum=Checksum.NONE)
            sealed.refused.append(Refused(0, frame.data[:16].hex(), f"{error}. {error.hint}"))
            return sealed
    return decode(frame, profile)


def _telegram_json(telegram: Telegram) -> dict[str, Any]:
    return {
        "ident": telegram.ident,
        # One that could not be opened has no identification, and its country is not known.
        "profile": telegram.profile.name if telegram.ident else "",
        "at": None if telegram.at is None else iso_utc(telegram.at),
        "checksum": telegram.checksum.value,
        "readings": [
            {
                "reference": reading.line.reference,
                "meter": telegram.meter(reading.line.channel),
                "name": reading.name,
                "datatype": reading.datatype,
                "value": reading.value,
                "unit": reading.unit,
                "at": None if reading.at is None else iso_utc(reading.at),
            }
            for reading in telegram.readings
        ],
        "refused": [{"line": refused.line, "why": refused.why} for refused in telegram.refused],
        "unknown": [
            {"reference": line.reference, "text": line.text[line.text.index("(") :]}
            for line in telegram.unknown
        ],
    }
