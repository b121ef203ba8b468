"""The line reader: `A-B:C.D.E*F(…)(…)` into its parts, whatever the object is (IEC 62056-61, 62056-21)."""

from __future__ import annotations

import re
from typing import NamedTuple


class Line(NamedTuple):
    """One object of a telegram.

    Attributes:
        number: Which line of the telegram, the identification being 0.
        text: The line as sent.
        reference: OBIS reference without the `*255` that means "no billing period".
        channel: Its B: 0 for the meter itself, 1 to 4 for meters on its M-Bus.
        code: Its A and C.D.E, such as `1:1.8.0`: what the object is, on whatever channel.
        groups: What stands between the brackets, one by one.
    """

    number: int
    text: str
    reference: str
    channel: int
    code: str
    groups: tuple[str, ...]


class Refused(NamedTuple):
    """A line that gives nothing.

    Attributes:
        number: Which line of the telegram.
        line: As sent.
        why: In plain words.
    """

    number: int
    line: str
    why: str


class Number(NamedTuple):
    """A value as the meter writes it.

    Attributes:
        text: Without padding zeros, every decimal kept: `123.456`, `-0.910`.
        unit: As written; empty where there is none.
    """

    text: str
    unit: str

    @property
    def decimals(self) -> int:
        return len(self.text.partition(".")[2])


def split(telegram: bytes) -> list[bytes]:
    """The lines of a telegram, of which the first is its identification.

    Args:
        telegram: From "/" to "!".

    A line that begins with a bracket goes on where the one before it ended (DSMR 2.2: the gas value).
    """
    if b"\n(" in telegram:
        telegram = telegram.replace(b"\r\n(", b"(").replace(b"\n(", b"(")
    lines = telegram.split(b"\r\n")
    if b"\n" in telegram and telegram.count(b"\n") != len(lines) - 1:
        return telegram.replace(b"\r", b"").split(b"\n")
    return lines


def identification(lines: list[bytes]) -> str:
    """The identification of a telegram, without "/"."""
    return lines[0][1:].decode("ascii", "replace").strip()


def read(number: int, raw: bytes) -> Line | Refused:
    """One line; never fails."""
    text = raw.decode("ascii", "backslashreplace").rstrip()
    match = _LINE.match(text)
    if match is None:
        why = "not an object" if _REFERENCE.match(text) is None else "brackets do not fit"
        return Refused(number, text, why)
    a, b, code, period, values = match.groups()
    reference = f"{a}-{b}:{code}" + ("" if period in (None, "255") else f"*{period}")
    groups = tuple(values[1:-1].split(")("))
    # Only abstract objects (A = 0) have the M-Bus in B; 1-3:0.2.8 and 1-1:31.4.0 are the meter's own.
    channel = int(b) if a == "0" else 0
    line = Line(number, text, reference, channel, f"{a}:{code}" + reference[len(f"{a}-{b}:{code}") :], groups)
    if not raw.isascii():
        # A text message may hold anything (Sanxing fills it with 0xFF); a number may not.
        return line if code.startswith("96.13.") else Refused(number, text, "bytes above 0x7F")
    return line


def number(text: str) -> Number | None:
    """A value such as `000123.456*kWh`, `00.000`, or `005A` with the unit glued to it."""
    match = _NUMBER.match(text)
    if match is None:
        return None
    sign, whole, fraction, unit = match.groups()
    return Number(f"{sign}{whole.lstrip('0') or '0'}{fraction or ''}", unit or "")


def printable(text: str) -> str:
    """Hexadecimal as the text it stands for, where that can be printed; otherwise as given.

    Short ones are numbers that only look so: version 50 is not "P".
    """
    if len(text) < _SHORTEST_HEX:
        return text
    try:
        plain = bytes.fromhex(text).decode("ascii")
    except ValueError:
        return text
    return plain if plain and plain.isprintable() and " " not in text else text


_SHORTEST_HEX = 8

_REFERENCE = re.compile(r"\d{1,3}-\d{1,3}:\d{1,3}\.\d{1,3}\.\d{1,3}")
_LINE = re.compile(
    r"(\d{1,3})-(\d{1,3}):(\d{1,3}\.\d{1,3}\.\d{1,3})(?:\*(\d{1,3}))?(\([^()]*\)(?:\([^()]*\))*)\Z", re.ASCII
)
# Twelve digits, as much as any register has, and seven decimals (EasyMeter): fits 63 bits in every unit. A
# unit may have a blank behind it (`00007137.694*kWh `, Holley DTSD545).
_NUMBER = re.compile(r"(-?)(\d{1,12})(\.\d{1,7})?\*?(?:([A-Za-z%°][A-Za-z0-9/%°]{0,7}) *)?\Z", re.ASCII)
