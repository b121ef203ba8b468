"""A kept telegram read once more: by the project's own reader, and by dsmr_parser where that knows the meter.

dsmr_parser costs 20 MiB, so it is imported when it is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from meterkast.model.evidence import OPENED
from meterkast.model.quantity import Quantity
from meterkast.model.time import UtcMs
from meterkast.model.units import POWERS
from meterkast_drivers.p1.form import Form, form_of
from meterkast_drivers.p1.framing import Checksum, verified
from meterkast_drivers.p1.products import identity
from meterkast_drivers.p1.profiles import Profile
from meterkast_drivers.p1.telegram import decode, quantity

# Of dsmr-parser's descriptions, newest first: the first that finds an object is the meter's.
_SPECIFICATIONS = (
    "V5", "V4", "BELGIUM_FLUVIUS", "LUXEMBOURG_SMARTY", "SWEDEN", "EON_HUNGARY", "Q3D", "V3", "V2_2",
)  # fmt: skip
# The reference inside the pattern by which dsmr-parser finds an object.
_CODE = re.compile(r":(\d+\\\.\d+\\\.\d+)\.\+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A register in a telegram.

    Attributes:
        value: In its canonical unit.
        at: When it was measured: the telegram's own stamp, or the M-Bus meter's capture time; None where the
            telegram gives none.
        lines: The lines it comes from; several where it is the sum of tariffs.
        references: Of the objects on those lines.
        checksum: The telegram's.
        channel: Of the M-Bus; 0 for the electricity meter.
    """

    value: Quantity
    at: UtcMs | None
    lines: tuple[str, ...]
    references: tuple[str, ...]
    checksum: Checksum
    channel: int


def register_in(raw: bytes, meter: str, key: str, profile: Profile | None = None) -> Found | None:
    """A register as the project's own reader finds it; None where the telegram does not hold it.

    Args:
        raw: The telegram as it was kept.
        meter: The product's identity.
        key: The property's.
        profile: The country; None to find it.
    """
    frames = verified(raw.removeprefix(OPENED))
    if len(frames) != 1 or frames[0].checksum is Checksum.BAD:
        return None
    form = form_of(decode(frames[0], profile))
    telegram = form.telegram
    if identity(telegram.meter(0) or telegram.ident) == meter:
        for place, column in enumerate(form.columns):
            if column.key == key:
                parts = [form.columns[part] for part, _ in column.parts] or [column]
                return Found(
                    value=Quantity(form.values[place], column.decimals),
                    at=form.at,
                    lines=tuple(_line(form, part.line) for part in parts),
                    references=tuple(part.reading.line.reference for part in parts),
                    checksum=telegram.checksum,
                    channel=0,
                )
    for one in form.meters:
        reading = one.reading
        if identity(telegram.meter(reading.line.channel)) == meter and reading.key == key:
            return Found(
                value=Quantity(*quantity(reading)),
                at=reading.at,
                lines=(_line(form, one.line),),
                references=(reading.line.reference,),
                checksum=telegram.checksum,
                channel=reading.line.channel,
            )
    return None


def by_dsmr_parser(raw: bytes, found: Found) -> Decimal | None:
    """The same register as dsmr_parser reads it, in its canonical unit; None where it does not know it."""
    from dsmr_parser import telegram_specifications
    from dsmr_parser.parsers import TelegramParser

    text = raw.removeprefix(OPENED).decode("latin-1") + "\r\n"
    for name in _SPECIFICATIONS:
        specification = getattr(telegram_specifications, name)
        try:
            theirs = TelegramParser(specification, apply_checksum_validation=False).parse(text)
        except (
            Exception
        ):  # of many kinds: a telegram of another country; where none fits, the command says so
            continue
        values = [
            value
            for reference, channel, one in _objects(theirs)
            if (channel == found.channel if found.channel else reference in found.references)
            and (value := _canonical(one)) is not None
        ]
        if len(values) == len(found.references):
            return sum(values, Decimal(0))
    return None


def _objects(theirs: Mapping[str, Any]) -> Iterator[tuple[str, int, Any]]:
    """Reference, channel and object of what dsmr_parser found; values of the M-Bus by their channel."""
    for pattern, one in theirs.items():
        match = _CODE.search(pattern)
        if match is not None and not isinstance(one, list):
            yield "{}-{}:".format(*one.obis_id_code) + match[1].replace("\\", ""), 0, one
    for device in getattr(theirs, "MBUS_DEVICES", []):
        one = getattr(device, "MBUS_METER_READING", None)
        if one is not None:
            yield "", device.channel_id, one


def _canonical(one: Any) -> Decimal | None:
    if not isinstance(one.value, Decimal | int) or (one.unit or "") not in POWERS:
        return None
    return Decimal(one.value).scaleb(POWERS[one.unit or ""][1])


def _line(form: Form, number: int) -> str:
    return form.lines[number].decode("ascii", "replace")
