"""Every capture of real meters, where they are at hand; dsmr-parser is the independent opinion."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from meterkast.model.time import from_datetime
from meterkast_drivers.p1 import capture, telegram
from meterkast_drivers.p1.cipher import Opener
from meterkast_drivers.p1.framing import Checksum, Framer, Kind

FOLDER = os.environ.get("METERKAST_CAPTURES", "")
SUFFIXES = (".telegram", ".raw", ".hex", ".bin")
FILES = sorted(path for path in Path(FOLDER).rglob("*") if path.suffix in SUFFIXES) if FOLDER else []

pytestmark = pytest.mark.skipif(
    not FILES, reason="METERKAST_CAPTURES does not name a folder with P1 captures"
)

_OBJECT = re.compile(rb"^\d+-\d+:\d+\.\d+\.\d+[^\r\n]*", re.MULTILINE)


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def content(request: pytest.FixtureRequest) -> bytes:
    return capture.unhex(request.param.read_bytes())


def texts(content: bytes) -> Iterator[telegram.Telegram]:
    framer = Framer()
    for frame in framer.feed(content) + framer.idle():
        if frame.kind is Kind.TEXT and frame.checksum is not Checksum.BAD:
            yield telegram.decode(frame)


def test_every_object_is_in_exactly_one_place(content: bytes) -> None:
    framer = Framer()
    for frame in framer.feed(content) + framer.idle():
        if frame.kind is not Kind.TEXT or frame.checksum is Checksum.BAD:
            continue
        found = telegram.decode(frame)
        read = {reading.line.number for reading in found.readings}
        refused = {line.number for line in found.refused}
        unknown = {line.number for line in found.unknown}
        assert len(read) + len(refused) + len(unknown) == len(_OBJECT.findall(frame.data))
        assert not unknown
        assert all(reading.unit == "" or reading.value for reading in found.readings)


def test_whole_and_in_small_pieces_are_the_same(content: bytes) -> None:
    whole, pieces = Framer(), Framer()
    expected = whole.feed(content) + whole.idle()
    found = [frame for at in range(0, len(content), 7) for frame in pieces.feed(content[at : at + 7])]
    assert found + pieces.idle() == expected


def test_a_long_capture_without_carriage_returns() -> None:
    long = [path for path in FILES if "capture-566" in path.name]
    if not long:
        # The folder is the user's own, and need not hold this one.
        pytest.skip("METERKAST_CAPTURES has no capture of 566 telegrams")
    found = capture.read(long[0].read_bytes(), Opener())
    assert len(found.telegrams) == 566
    assert {one.checksum for one in found.telegrams} == {Checksum.OK}


def test_dsmr_parser_reads_the_same_values(content: bytes) -> None:
    compared = 0
    for found in list(texts(content))[:40]:
        text = b"\r\n".join(found.raw).decode("latin-1")
        for specification in _specifications():
            compared += _compare(found, specification, text)
    ours = any(reading.datatype for found in texts(content) for reading in found.readings)
    # It raises an exception for units without their star.
    assert compared or not ours or re.search(rb"\dkWh\)", content)


def _specifications() -> list[dict[str, Any]]:
    from dsmr_parser import telegram_specifications as all_of_them

    names = ("V2_2", "V4", "V5", "BELGIUM_FLUVIUS", "LUXEMBOURG_SMARTY", "SWEDEN", "Q3D", "EON_HUNGARY")
    return [getattr(all_of_them, name) for name in names]


def _compare(found: telegram.Telegram, specification: dict[str, Any], text: str) -> int:
    """How many values of ours the other reader has too."""
    from dsmr_parser.parsers import TelegramParser

    try:
        theirs = TelegramParser(specification, apply_checksum_validation=False).parse(text + "\r\n")
    except Exception:  # it has exceptions of many kinds: the wrong country, a unit without its star
        return 0
    ours = {
        reading.line.reference: reading
        for reading in found.readings
        if (reading.datatype is not None and len(reading.line.groups) != 2) or reading.stamp
    }
    compared = 0
    for pattern, one in theirs.items():
        match = _CODE.search(pattern)
        if match is not None and not isinstance(one, list):
            reference = "{}-{}:".format(*one.obis_id_code) + match[1].replace("\\", "")
            compared += _same(found, ours.get(reference), one)
    for device in getattr(theirs, "MBUS_DEVICES", []):
        one = getattr(device, "MBUS_METER_READING", None)
        for reading in found.readings if one is not None else ():
            if reading.kind is not None and reading.line.channel == device.channel_id:
                compared += _same(found, reading, one)
    return compared


# The reference inside the pattern by which dsmr-parser finds an object.
_CODE = re.compile(r":(\d+\\\.\d+\\\.\d+)\.\+")


def _same(found: telegram.Telegram, ours: telegram.Reading | None, theirs: Any) -> int:
    if ours is None:
        return 0
    value = theirs.value
    if isinstance(value, str) and value.isdigit():
        value = Decimal(value)  # tariffs and states
    if not isinstance(value, (Decimal, int)):
        return 0
    assert Decimal(ours.value) == value, ours.line.text
    assert (theirs.unit or "") == ours.unit, ours.line.text
    stamp = getattr(theirs, "datetime", None)
    # It takes every country for the Netherlands.
    if stamp is not None and found.profile.name.startswith(("NL", "BE", "LU", "Warmte")):
        assert ours.at == from_datetime(stamp), ours.line.text
    return 1
