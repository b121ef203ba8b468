"""A whole telegram: every object of it as a reading, refused, or unknown, and never in two of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from meterkast.model.datatypes import DatatypeId
from meterkast.model.time import UtcMs, iso_utc
from meterkast.model.units import POWERS, Unit
from meterkast_drivers.p1 import objects, profiles
from meterkast_drivers.p1.framing import Checksum, Frame
from meterkast_drivers.p1.mapping import Meaning, MeterKind, Role, meaning_of, meter_kind
from meterkast_drivers.p1.objects import Line, Number, Refused
from meterkast_drivers.p1.profiles import Profile
from meterkast_drivers.p1.stamps import EARLIEST_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One value of a telegram.

    Attributes:
        line: The object it comes from.
        key: Key of its property; empty where it is not kept as one.
        name: For a person.
        datatype: BeNext's; None for text.
        value: The meter's decimal text without padding zeros, or text.
        unit: As the meter writes it.
        stamp: Its own capture time as sent; empty where it has none.
        at: When it was measured; None where the meter gives no possible time.
        kind: What the meter counts, for a value from the M-Bus.
    """

    line: Line
    key: str
    name: str
    datatype: DatatypeId | None
    value: str
    unit: str = ""
    stamp: str = ""
    at: UtcMs | None = None
    kind: MeterKind | None = None


@dataclass(slots=True, kw_only=True)
class Telegram:
    """What a telegram says.

    Attributes:
        ident: Its identification.
        profile: The country.
        at: Its own time.
        checksum: The verdict; a telegram with a bad one has no readings.
        readings, refused, unknown: Its objects.
        meters: Equipment identifiers by channel, 0 for the meter itself; empty where nothing is connected.
        types: Device types by channel.
        raw: The lines as sent.
    """

    ident: str
    profile: Profile
    checksum: Checksum
    at: UtcMs | None = None
    readings: list[Reading] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    unknown: list[Line] = field(default_factory=list)
    meters: dict[int, str] = field(default_factory=dict)
    types: dict[int, str] = field(default_factory=dict)
    raw: list[bytes] = field(default_factory=list)

    def meter(self, channel: int) -> str:
        return self.meters.get(channel, "")


def decode(frame: Frame, profile: Profile | None = None) -> Telegram:
    """Every object of a telegram.

    Args:
        frame: A telegram in plain text.
        profile: The country; None to find it.
    """
    raw = objects.split(frame.data)
    ident = objects.identification(raw)
    lines: list[Line] = []
    refused: list[Refused] = []
    for number, text in enumerate(raw[1:-1], start=1):
        if not text.strip():
            continue
        line = objects.read(number, text)
        if isinstance(line, Line):
            lines.append(line)
        else:
            refused.append(line)
    found = profile or profiles.detect(ident, {line.reference for line in lines}, _version(lines))
    telegram = Telegram(ident=ident, profile=found, checksum=frame.checksum, raw=raw)
    telegram.at = next((found.time.utc(line.groups[0]) for line in lines if line.code == "0:1.0.0"), None)
    if frame.checksum is Checksum.BAD:
        given = frame.given.decode("ascii")
        telegram.refused.append(
            Refused(len(raw) - 1, f"!{given}", "wrong checksum: the whole telegram is refused")
        )
        return telegram
    telegram.refused.extend(refused)
    telegram.meters = _identifiers(lines)
    telegram.types = {line.channel: line.groups[0] for line in lines if line.code == "0:24.1.0"}
    for line in lines:
        _place(telegram, line)
    return telegram


def reread(telegram: Telegram, number: int, raw: bytes) -> Reading | Refused:
    """One line of a later telegram of the same form.

    Args:
        telegram: The telegram that the form was made of: its country, identifiers and device types hold.
        number: Which line.
        raw: As sent.
    """
    line = objects.read(number, raw)
    if isinstance(line, Refused):
        return line
    meaning = meaning_of(line.code)
    if meaning is None:
        return Refused(number, line.text, "unknown object")
    try:
        readings = list(_READERS[meaning.role](telegram, line, meaning))
    except _UnreadableError as error:
        return Refused(number, line.text, str(error))
    return readings[0] if len(readings) == 1 else Refused(number, line.text, f"{len(readings)} values")


def _place(telegram: Telegram, line: Line) -> None:
    meaning = meaning_of(line.code)
    if meaning is None:
        telegram.unknown.append(line)
        return
    try:
        telegram.readings.extend(list(_READERS[meaning.role](telegram, line, meaning)))
    except _UnreadableError as error:
        telegram.refused.append(Refused(line.number, line.text, str(error)))


class _UnreadableError(Exception):
    """The object is understood, but this one gives no value; the text says why."""


def _text(telegram: Telegram, line: Line, meaning: Meaning) -> Iterator[Reading]:
    value = objects.printable(line.groups[0])
    if len(line.groups) > 1:  # a log: (2)(0-0:96.7.19)(180417201458S)(0000000236*s)…
        value = line.text[line.text.index("(") :]
    yield Reading(line=line, key="", name=meaning.name, datatype=None, value=value, at=telegram.at)


def _clock(telegram: Telegram, line: Line, meaning: Meaning) -> Iterator[Reading]:
    at = telegram.profile.time.utc(line.groups[0])
    if at is None:
        raise _UnreadableError("not a date: the meter's clock is not set")
    yield Reading(line=line, key="", name=meaning.name, datatype=None, value=line.groups[0], at=at)


def _numbers(telegram: Telegram, line: Line, meaning: Meaning) -> Iterator[Reading]:
    groups, stamp, at = line.groups, "", telegram.at
    if len(groups) == 2 and line.code.split(".")[1] == "6":  # a peak: when it was, and how high
        stamp, groups = groups[0], groups[1:]
        at = _captured(telegram, stamp)
    if not 1 <= len(groups) <= (2 if line.code.endswith(".4.0") else 1):
        raise _UnreadableError(f"{len(groups)} values instead of one")
    names = (("", ""), ("_export", ", export"))
    for text, (ending, suffix) in zip(groups, names, strict=False):
        number = _number(text, meaning.unit)
        name = meaning.name + suffix
        if ".8." in line.code and line.code[-1] != "0" and telegram.profile.tariffs:
            tariff = int(line.code[-1])
            if tariff <= len(telegram.profile.tariffs):
                name = f"{name} ({telegram.profile.tariffs[tariff - 1]})"
        yield Reading(
            line=line,
            key=meaning.key + ending,
            name=name,
            datatype=meaning.datatype,
            value=number.text,
            unit=number.unit,
            stamp=stamp,
            at=at,
        )


def _meter_value(telegram: Telegram, line: Line, meaning: Meaning) -> Iterator[Reading]:
    if line.code == "0:24.3.0":
        # DSMR 2.2: (stamp)(status)(minutes)(1)(reference)(unit) and the value on the next line.
        if len(line.groups) != 7:
            raise _UnreadableError(f"{len(line.groups)} values instead of 7")
        stamp, status, _, _, _, unit, text = line.groups
        if not status.isalnum():
            raise _UnreadableError(f"state {status!r}")
        text = f"{text}*{unit}"
    elif len(line.groups) == 2:
        stamp, text = line.groups
    else:
        raise _UnreadableError(f"{len(line.groups)} values instead of capture time and value")
    at = _captured(telegram, stamp)
    number = _number(text, None)
    if not number.unit:
        raise _UnreadableError("value without unit")
    if telegram.meters.get(line.channel) == "":
        raise _UnreadableError("no equipment identifier: nothing is connected to this channel")
    kind = meter_kind(telegram.types.get(line.channel, ""), POWERS[number.unit][0])
    yield Reading(
        line=line,
        key=kind.key,
        name=kind.name,
        datatype=kind.datatype,
        value=number.text,
        unit=number.unit,
        stamp=stamp,
        at=at,
        kind=kind,
    )


def _history(telegram: Telegram, line: Line, meaning: Meaning) -> Iterator[Reading]:
    groups = line.groups
    if telegram.profile.time.utc(groups[0]) is not None:
        # Hungary: one month's end, with twenty values in a fixed order.
        at = telegram.profile.time.utc(groups[0])
        for place, text in enumerate(groups[1:], start=1):
            number = _number(text, None)
            yield Reading(
                line=line,
                key="",
                name=f"End of month, value {place}",
                datatype=None,
                value=number.text,
                unit=number.unit,
                stamp=groups[0],
                at=at,
            )
        return
    # Belgium: how many, what, what, and then for each month its end, when the peak was, and the peak.
    entries = groups[3:]
    count = groups[0]
    if not count.isdigit() or len(entries) != 3 * int(count):
        raise _UnreadableError(f"{len(entries)} values for {count} months of three")
    if not entries:
        yield Reading(line=line, key="", name="Peak history", datatype=None, value="", at=telegram.at)
    for end, occurred, text in zip(entries[0::3], entries[1::3], entries[2::3], strict=True):
        number = _number(text, Unit.WATT)
        was = telegram.profile.time.utc(occurred)
        yield Reading(
            line=line,
            key="",
            name=f"Peak of the month, {iso_utc(was) if was is not None else 'time unknown'}",
            datatype=None,
            value=number.text,
            unit=number.unit,
            stamp=end,
            at=telegram.profile.time.utc(end),
        )


_READERS = {
    Role.NUMBER: _numbers,
    Role.TEXT: _text,
    Role.STRUCTURE: _text,
    Role.CLOCK: _clock,
    Role.METER_VALUE: _meter_value,
    Role.HISTORY: _history,
}


def _number(text: str, unit: Unit | None) -> Number:
    number = objects.number(text)
    if number is None:
        raise _UnreadableError(f"({text}) is not a number" if text else "no value")
    if number.unit not in POWERS:
        raise _UnreadableError(f"unit {number.unit} is unknown")
    if unit is not None and POWERS[number.unit][0] is not unit:
        raise _UnreadableError(f"unit {number.unit or 'missing'}, expected one of {unit}")
    return number


def _captured(telegram: Telegram, stamp: str) -> UtcMs:
    at = telegram.profile.time.utc(stamp)
    if at is None or at < EARLIEST_MS:
        raise _UnreadableError(f"unset capture time {stamp}")
    return at


# Which object identifies the meter itself, best first: NL and BE, HU, LU and HU, Q3D.
_OWN_IDENTIFIERS = ("0:96.1.1", "0:96.1.0", "0:42.0.0", "0:96.1.255", "1:96.1.0", "1:96.1.1", "1:0.0.0")


def _identifiers(lines: list[Line]) -> dict[int, str]:
    meters: dict[int, str] = {}
    for code in reversed(_OWN_IDENTIFIERS):
        for line in lines:
            if line.code == code and (line.channel == 0 or code in ("0:96.1.1", "0:96.1.0")):
                text = objects.printable(line.groups[0])
                if text or line.channel:
                    meters[line.channel] = text or meters.get(line.channel, "")
    return meters


def _version(lines: list[Line]) -> str:
    return next((line.groups[0] for line in lines if line.reference == "1-3:0.2.8"), "")


def quantity(reading: Reading) -> tuple[int, int]:
    """A reading's value as a whole number and its decimals, in its canonical unit."""
    power = POWERS[reading.unit][1]
    number = Decimal(reading.value)
    _, _, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    decimals = max(0, -exponent - power)
    return int(number.scaleb(power + decimals)), decimals
