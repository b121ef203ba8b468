"""Telegrams of our own, each with a peculiarity of a real meter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meterkast_drivers.p1 import capture
from meterkast_drivers.p1.cipher import Opener
from meterkast_drivers.p1.profiles import detect

Telegram = Callable[[str], bytes]


def decoded(content: bytes) -> dict[str, Any]:
    found = capture.as_json(capture.read(content, Opener()))
    assert len(found["telegrams"]) == 1
    only: dict[str, Any] = found["telegrams"][0]
    return only


def values(telegram: dict[str, Any], reference: str) -> list[tuple[Any, ...]]:
    return [
        (reading["value"], reading["unit"], reading["datatype"], reading["at"])
        for reading in telegram["readings"]
        if reading["reference"] == reference
    ]


@pytest.mark.parametrize(
    ("name", "profile", "checksum", "at"),
    [
        ("nl-dsmr50.telegram", "NL 5.0", "ok", "2026-01-15T11:00:00Z"),
        ("nl-dsmr42-lf-only.raw", "NL 4.2", "ok", "2026-01-15T11:00:00Z"),
        ("nl-dsmr22.telegram", "NL 2.2", "none", None),
        ("nl-dsmr22-7e1.raw", "NL 2.2", "none", None),
        ("be-emucs17.telegram", "BE", "ok", "2026-07-15T10:00:03Z"),
        ("lu-smarty.telegram", "LU", "ok", "2026-01-15T11:00:00Z"),
        ("se-summer.telegram", "SE", "ok", "2026-07-15T11:00:00Z"),
        ("lt-eso.telegram", "LT", "ok", "2026-07-15T09:00:00Z"),
        ("hu-eon-ff.telegram", "HU", "ok", "2026-01-15T11:00:00Z"),
        ("hu-holley-x25.telegram", "HU", "ok", "2026-01-15T11:00:00Z"),
        ("at-integers.telegram", "AT", "ok", "2026-01-15T11:00:00Z"),
        ("ie-no-letter.telegram", "IE", "ok", "2026-07-15T11:00:00Z"),
        ("q3d-trailer.telegram", "Q3D", "none", None),
        ("warmtelink-three-digits.telegram", "WarmteLink", "ok", "2026-01-15T11:00:00Z"),
        ("nl-dsmr50-wrong-checksum.telegram", "NL 5.0", "bad", "2026-01-15T11:00:00Z"),
        ("nl-dsmr50-unset-clock.telegram", "NL 5.0", "ok", None),
    ],
)
def test_country_time_and_checksum(
    telegram: Telegram, name: str, profile: str, checksum: str, at: str
) -> None:
    found = decoded(telegram(name))
    assert (found["profile"], found["checksum"], found["at"]) == (profile, checksum, at)


@pytest.mark.parametrize(
    ("name", "reference", "value", "unit", "datatype"),
    [
        ("nl-dsmr50.telegram", "1-0:1.8.1", "123.456", "kWh", 39),
        ("nl-dsmr50.telegram", "1-0:2.8.2", "22.222", "kWh", 50),
        ("nl-dsmr50.telegram", "1-0:2.7.0", "0.000", "kW", 62),
        ("nl-dsmr50.telegram", "1-0:32.7.0", "231.4", "V", 88),
        ("nl-dsmr50.telegram", "0-0:96.7.21", "4", "", 54),
        ("nl-dsmr50.telegram", "0-1:24.2.1", "321.098", "m3", 51),
        ("nl-dsmr42-message.telegram", "0-0:96.13.0", "Maintenance / Sunday!", "", None),
        ("nl-dsmr22.telegram", "0-1:24.3.0", "987.654", "m3", 51),
        ("nl-dsmr22.telegram", "0-0:96.13.0", "test-/-test", "", None),
        ("be-emucs17.telegram", "0-2:24.2.1", "44.555", "m3", 52),
        ("be-emucs17.telegram", "1-0:31.7.0", "1.53", "A", 87),
        ("be-units-without-star.telegram", "1-0:1.7.0", "0.345", "kW", 18),
        ("lt-eso.telegram", "1-0:13.7.0", "-0.900", "", 56),
        ("lt-eso.telegram", "1-0:32.7.0", "0.234", "kV", 88),
        ("at-integers.telegram", "1-0:1.8.0", "6000777", "Wh", 39),
        ("hu-eon-ff.telegram", "1-0:15.8.0", "750.750", "kWh", 54),
        ("q3d-trailer.telegram", "1-0:1.8.0", "12345.6789012", "kWh", 39),
        ("lu-smarty.telegram", "1-0:3.8.0", "12.345", "kvarh", 54),
    ],
)
def test_values(telegram: Telegram, name: str, reference: str, value: str, unit: str, datatype: int) -> None:
    assert [found[:3] for found in values(decoded(telegram(name)), reference)] == [(value, unit, datatype)]


def test_two_limits_in_one_object(telegram: Telegram) -> None:
    found = values(decoded(telegram("lu-smarty.telegram")), "1-1:31.4.0")
    assert [value for value, *_ in found] == ["40", "-40"]


def test_meter_readings_have_their_own_time_and_their_meter(telegram: Telegram) -> None:
    found = decoded(telegram("be-emucs17.telegram"))
    assert values(found, "0-1:24.2.3")[0][3] == "2026-07-15T09:55:04Z"
    meters = {reading["reference"]: reading["meter"] for reading in found["readings"]}
    assert meters["0-1:24.2.3"] == "MKG0000000000001"
    assert meters["1-0:1.8.1"] == "MKT0000000000001"


def test_peaks_are_one_reading_each(telegram: Telegram) -> None:
    found = decoded(telegram("be-emucs17.telegram"))
    assert values(found, "0-0:98.1.0") == [
        ("3.210", "kW", None, "2026-05-31T22:00:00Z"),
        ("0.000", "kW", None, "2026-06-30T22:00:00Z"),
    ]
    assert values(found, "1-0:1.6.0") == [("4.321", "kW", 56, "2026-07-03T16:15:00Z")]


def test_tariffs_are_called_as_the_country_calls_them(telegram: Telegram) -> None:
    def name(file: str) -> str:
        readings = decoded(telegram(file))["readings"]
        return next(str(reading["name"]) for reading in readings if reading["reference"] == "1-0:1.8.1")

    assert "low" in name("nl-dsmr50.telegram")
    assert "day" in name("be-emucs17.telegram")


def test_dead_channels_give_reasons_and_no_values(telegram: Telegram) -> None:
    found = decoded(telegram("nl-dsmr50-dead-channels.telegram"))
    why = {refused["line"].partition("(")[0]: refused["why"] for refused in found["refused"]}
    assert set(why) == {"0-1:24.2.1", "0-3:24.2.1"}
    assert all("unset capture time" in reason for reason in why.values())
    assert values(found, "0-2:24.2.1")[0][0] == "321.098"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (b"(260115115500W)(00321.098)", "without unit"),
        (b"(000101010000W)(00321.098*m3)", "unset capture time"),
        (b"(260115115500W)", "instead of"),
        (b"(260115115500W)(00321.098*foo)", "unit foo"),
    ],
)
def test_a_meter_value_that_cannot_be_trusted_is_refused(
    telegram: Telegram, sealed: Callable[[bytes], bytes], given: bytes, reason: str
) -> None:
    data = telegram("nl-dsmr50.telegram").replace(b"(260115115500W)(00321.098*m3)", given)
    (refused,) = decoded(sealed(data))["refused"]
    assert reason in refused["why"]


def test_one_bad_line_costs_that_line(telegram: Telegram, sealed: Callable[[bytes], bytes]) -> None:
    whole = decoded(telegram("nl-dsmr50.telegram"))
    for bad in (
        b"1-0:1.7.0(abc)",
        b"1-0:1.7.0(*kW)",
        b"1-0:1.7.0(00.36\xfc*kW)",
        b"1-0:1.7.0(00.360*kW",
        b"1-0:1.7.0 !",
    ):
        found = decoded(sealed(telegram("nl-dsmr50.telegram").replace(b"1-0:1.7.0(00.360*kW)", bad)))
        assert len(found["refused"]) == 1, bad
        assert len(found["readings"]) == len(whole["readings"]) - 1, bad


def test_a_wrong_checksum_gives_no_readings(telegram: Telegram) -> None:
    found = decoded(telegram("nl-dsmr50-wrong-checksum.telegram"))
    assert found["readings"] == []
    assert "checksum" in found["refused"][0]["why"]


def test_unknown_objects_are_kept(telegram: Telegram) -> None:
    found = decoded(telegram("nl-unknown-object.telegram"))
    assert found["unknown"] == [{"reference": "1-0:99.99.9", "text": "(00042)"}]
    assert {refused["line"] for refused in found["refused"]} == {"0-0:1.2.3.4(9)", "1-0:1.8.6(xyz)"}


def test_bytes_behind_a_telegram_are_skipped(telegram: Telegram) -> None:
    found = capture.as_json(capture.read(telegram("q3d-trailer.telegram"), Opener()))
    assert found["skipped_bytes"] == 10 + 33


@pytest.mark.parametrize(
    ("references", "version", "name"),
    [
        (("0-0:42.0.0", "1-0:1.8.0"), "42", "LU"),
        (("1-0:1.8.1",), "42", "NL 4.2"),
        (("1-0:1.8.1",), "40", "NL 4.0"),
        (("1-0:1.8.1",), "50", "NL 5.0"),
        (("0-0:42.0.0", "1-0:1.8.0"), "", "HU"),
        (("1-0:1.8.0", "0-0:1.0.0"), "", "SE"),
        (("1-0:1.8.0", "0-0:1.0.0", "1-0:1.8.4"), "", "LT"),
        (("1-0:1.8.1", "0-0:96.1.4"), "", "BE"),
        (("1-0:1.8.1",), "", "NL 2.2"),
    ],
)
def test_a_meter_of_a_maker_that_is_not_known_is_told_by_its_objects(
    references: tuple[str, ...], version: str, name: str
) -> None:
    assert detect("XYZ5unheard-of", references, version).name == name
