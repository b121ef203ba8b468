"""The faults of a P1 line, as switches, and what they do to the bytes of a telegram."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from meterkast.model.time import UtcMs, parse_iso
from meterkast_rig.faults import Faults, Kind, probability
from meterkast_rig.p1_meter import SimulatedMeter
from meterkast_rig.p1_telegram import checked, crc16


def whole_seconds(text: str) -> int:
    """Seconds, ahead or (negative) behind."""
    return int(text)


def iso_time(text: str) -> int:
    """An instant from 2020 to 2040 in ISO 8601 with Z or an offset, as UTC ms; 0 is never.

    Raises:
        ValueError: No such text, or outside those years.
    """
    at_ms = UtcMs(int(text)) if text.isdigit() else parse_iso(text)
    if at_ms and not parse_iso("2020-01-02T00:00Z") <= at_ms < parse_iso("2040-12-31T00:00Z"):
        raise ValueError("not in 2020 to 2040")
    return at_ms


class Switch(NamedTuple):
    kind: Kind
    help: str


LINE_SWITCHES: Mapping[str, Switch] = {
    "cut": Switch(probability, "chance that a telegram breaks off before its end"),
    "noise": Switch(probability, "chance of random bytes before a telegram"),
    "flip": Switch(probability, "chance that one bit of a telegram is flipped"),
    "wrong_crc": Switch(probability, "chance that the checksum does not fit"),
    "garbage": Switch(probability, "chance of random bytes in place of a telegram, as at a wrong speed"),
    "non_ascii": Switch(probability, "chance of bytes above 0x7F in the text message; the checksum fits"),
    "silent": Switch(probability, "chance, per telegram, that the line falls silent for 2 to 20 telegrams"),
    "unplug": Switch(
        probability, "chance, per telegram, that the pty vanishes; a new one after 2 to 20 telegrams"
    ),
    "lf_only": Switch(bool, "lines end in LF; the checksum is that of CR LF"),
    "seven_bit": Switch(bool, "7 data bits and even parity, as bytes of 8"),
}
"""What happens on the wire, to a simulated meter and a capture alike."""

METER_SWITCHES: Mapping[str, Switch] = {
    "clock_off": Switch(whole_seconds, "the meter's clock is that many seconds ahead (negative: behind)"),
    "gas_dead": Switch(bool, "the gas channel is that of a removed meter: no id, no unit, 1970"),
    "mbus_late": Switch(whole_seconds, "gas and water captures appear that many seconds later"),
    "swap": Switch(iso_time, "at that time another meter is hung: new equipment id, registers from 0"),
    "reset": Switch(iso_time, "at that time the electricity registers begin again at 0"),
}
"""What happens in the meter; a capture cannot have them."""

SWITCHES: Mapping[str, Kind] = {
    name: row.kind for name, row in (*LINE_SWITCHES.items(), *METER_SWITCHES.items())
}

UNREADABLE = frozenset({"cut", "flip", "wrong_crc", "garbage"})
"""Damage after which nobody should believe the telegram."""


def afflicted(meter: SimulatedMeter, faults: Faults) -> SimulatedMeter:
    """The meter as the switches make it now; what no switch touches stays as it is."""
    if not any(faults.on(name) for name in METER_SWITCHES):
        return meter
    return replace(
        meter,
        clock_off_s=int(faults.number("clock_off")) or meter.clock_off_s,
        gas_dead=faults.on("gas_dead") or meter.gas_dead,
        mbus_late_s=int(faults.number("mbus_late")) or meter.mbus_late_s,
        swap_ms=int(faults.number("swap")) or meter.swap_ms,
        reset_ms=int(faults.number("reset")) or meter.reset_ms,
    )


class Spoiler:
    """Damages telegrams by the switches; where exactly comes from its seed."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self._faults = faults
        self._random = random.Random(seed)

    def spoil(self, telegram: bytes) -> tuple[bytes, list[str]]:
        """The bytes that go out instead of the telegram, and which faults they bear."""
        borne: list[str] = []
        faults = self._faults
        # Message and checksum are the meter's, so they come first; parity is the line's and comes last.
        for name, change in (
            ("non_ascii", self._with_high_bytes),
            ("wrong_crc", self._with_wrong_crc),
            ("lf_only", _without_cr),
            ("flip", self._flipped),
            ("cut", self._cut),
            ("garbage", self._garbage),
            ("noise", self._after_noise),
            ("seven_bit", with_even_parity),
        ):
            happens = faults.on(name) if SWITCHES[name] is bool else faults.chance(name)
            if happens and (spoilt := change(telegram)) != telegram:
                telegram = spoilt
                borne.append(name)
        return telegram, borne

    def some(self) -> int:
        """How many telegrams a silence or an absence lasts."""
        return self._random.randint(2, 20)

    def _with_high_bytes(self, telegram: bytes) -> bytes:
        message = b"0-0:96.13.0(%b)" % (b"\xff" * self._random.randint(1, 64))
        start, end = telegram.find(b"/"), _end(telegram)
        if start < 0 or end == len(telegram):
            return telegram
        body, count = re.subn(rb"0-0:96\.13\.0\([^)]*\)", lambda _: message, telegram[start:end])
        if not count:
            body += message + b"\r\n"
        tail = telegram[end:]
        return telegram[:start] + (checked(body + b"!") if _CRC.match(tail) else body + tail)

    def _with_wrong_crc(self, telegram: bytes) -> bytes:
        end = _end(telegram)
        if not _CRC.match(telegram[end:]):
            return telegram
        right = crc16(telegram[telegram.find(b"/") : end + 1])
        return telegram[: end + 1] + b"%04X\r\n" % (right ^ self._random.randint(1, 0xFFFF))

    def _flipped(self, telegram: bytes) -> bytes:
        place, bit = self._random.randrange(len(telegram)), self._random.randrange(8)
        return telegram[:place] + bytes([telegram[place] ^ (1 << bit)]) + telegram[place + 1 :]

    def _cut(self, telegram: bytes) -> bytes:
        return telegram[: self._random.randrange(1, max(2, _end(telegram)))]

    def _garbage(self, telegram: bytes) -> bytes:
        return self._random.randbytes(self._random.randint(20, max(21, len(telegram))))

    def _after_noise(self, telegram: bytes) -> bytes:
        return self._random.randbytes(self._random.randint(1, 60)) + telegram


def with_even_parity(data: bytes) -> bytes:
    """7E1 as an 8-bit port sees it: bit 7 makes the number of ones even."""
    return bytes((byte & 0x7F) | (((byte & 0x7F).bit_count() & 1) << 7) for byte in data)


_CRC = re.compile(rb"![0-9A-Fa-f]{1,4}\r\n")


def _end(telegram: bytes) -> int:
    # Where the end mark is; a piece of a capture may have none.
    found = telegram.rfind(b"\n!")
    return found + 1 if found >= 0 else len(telegram)


def _without_cr(telegram: bytes) -> bytes:
    return telegram.replace(b"\r\n", b"\n")
