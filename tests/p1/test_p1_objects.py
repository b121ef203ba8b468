"""The line reader: any line, never an exception."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterkast.model.time import iso_utc
from meterkast_drivers.p1 import objects
from meterkast_drivers.p1.framing import Checksum, Frame, Kind
from meterkast_drivers.p1.objects import Line, Number, Refused
from meterkast_drivers.p1.profiles import PROFILES
from meterkast_drivers.p1.telegram import decode


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("000123.456*kWh", "123.456", "kWh"),
        ("00.000*kW", "0.000", "kW"),
        ("000123.456kWh", "123.456", "kWh"),
        ("005A", "5", "A"),
        ("-063*A", "-63", "A"),
        ("-0.910", "-0.910", ""),
        ("00052185.7825309*kWh", "52185.7825309", "kWh"),
        ("00112.384*m3", "112.384", "m3"),
        ("00007137.694*kWh ", "7137.694", "kWh"),
        ("0002", "2", ""),
        ("000", "0", ""),
    ],
)
def test_numbers_keep_every_decimal(text: str, value: str, unit: str) -> None:
    assert objects.number(text) == Number(value, unit)


@pytest.mark.parametrize(
    "text", ["", "abc", "*kWh", "1.", ".5", "1,5*kW", "1.2.3", "--1", "1" * 13, "1 2", "٣"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    assert objects.number(text) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_line_or_refused(raw: bytes) -> None:
    assert isinstance(objects.read(1, raw), (Line, Refused))


@given(st.text(alphabet="0123456789-:.*()kWhmVA/!SW \xff", max_size=60))
def test_any_text_in_a_telegram_ends_in_exactly_one_place(text: str) -> None:
    raw = text.encode("latin-1")
    frame = Frame(Kind.TEXT, b"/XXX5\\T\r\n\r\n" + raw + b"\r\n1-0:1.8.0(000001.000*kWh)\r\n!", Checksum.NONE)
    telegram = decode(frame)
    numbers = (
        {reading.line.number for reading in telegram.readings}
        | {refused.number for refused in telegram.refused}
        | {line.number for line in telegram.unknown}
    )
    present = {number for number, line in enumerate(telegram.raw[1:-1], start=1) if line.strip()}
    assert numbers == present
    readings = {reading.line.number for reading in telegram.readings}
    assert not readings & {refused.number for refused in telegram.refused}


@given(
    st.integers(0, 255),
    st.integers(0, 255),
    st.lists(st.text("0123456789.*kWh", max_size=12), min_size=1, max_size=5),
)
def test_well_formed_objects_are_read_part_by_part(a: int, c: int, groups: list[str]) -> None:
    raw = f"{a}-0:{c}.8.0" + "".join(f"({group})" for group in groups)
    line = objects.read(7, raw.encode())
    assert isinstance(line, Line)
    assert (line.reference, line.groups) == (f"{a}-0:{c}.8.0", tuple(groups))


@given(st.decimals(min_value=0, max_value=999_999, places=3))
def test_padding_does_not_change_a_number(value: Decimal) -> None:
    number = objects.number(f"{value:010.3f}*kWh")
    assert number is not None
    assert Decimal(number.text) == value
    assert number.decimals == 3


def test_hexadecimal_is_text_only_where_it_can_be_printed() -> None:
    assert objects.printable("4D4B54303031") == "MKT001"
    assert objects.printable("00000000") == "00000000"
    assert objects.printable("ADC0000000000001") == "ADC0000000000001"
    assert objects.printable("test-/-test") == "test-/-test"
    assert objects.printable("") == ""


@pytest.mark.parametrize(
    ("profile", "stamp", "utc"),
    [
        ("NL 5.0", "260715120000S", "2026-07-15T10:00:00Z"),
        ("NL 5.0", "260115120000W", "2026-01-15T11:00:00Z"),
        ("NL 5.0", "260115120000S", "2026-01-15T10:00:00Z"),  # the letter counts, not the date
        ("NL 5.0", "261025023000S", "2026-10-25T00:30:00Z"),  # the doubled hour
        ("NL 5.0", "261025023000W", "2026-10-25T01:30:00Z"),
        ("NL 5.0", "260329023000W", "2026-03-29T01:30:00Z"),
        ("SE", "260715120000W", "2026-07-15T11:00:00Z"),  # normal time all year
        ("SE", "260715120000S", "2026-07-15T11:00:00Z"),
        ("LT", "260715120000S", "2026-07-15T09:00:00Z"),
        ("LT", "260115120000W", "2026-01-15T10:00:00Z"),
        ("IE", "260715120000", "2026-07-15T11:00:00Z"),
        ("NL 2.2", "260715120000", "2026-07-15T10:00:00Z"),
        ("NL 2.2", "2607151200", "2026-07-15T10:00:00Z"),
        ("NL 5.0", "700101010000W", "1970-01-01T00:00:00Z"),
    ],
)
def test_stamps_by_country(profile: str, stamp: str, utc: str) -> None:
    at = PROFILES[profile].time.utc(stamp)
    assert at is not None
    assert iso_utc(at) == utc


@pytest.mark.parametrize(
    "stamp",
    [
        "000000000000W",
        "632525252525W",
        "260015120000W",
        "260132120000W",
        "260115126000W",
        "",
        "W",
        "26011512000xW",
        "260115120000T",
    ],
)
def test_what_is_no_date_has_no_time(stamp: str) -> None:
    assert PROFILES["NL 5.0"].time.utc(stamp) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("50", "50"),  # a version, not "P"
        ("003", "003"),
        ("4D4B30303132333435", "MK0012345"),
        ("0000FFFF00", "0000FFFF00"),
        ("", ""),
    ],
)
def test_hexadecimal_is_shown_as_text_only_where_it_is_text(text: str, shown: str) -> None:
    assert objects.printable(text) == shown
