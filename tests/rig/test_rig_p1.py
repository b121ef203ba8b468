"""The simulated P1 meter and its faults, held against the standards and an independent parser."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal

import pytest
from dsmr_parser import telegram_specifications as specifications
from dsmr_parser.parsers import TelegramParser

from meterkast.model.time import HALF_HOUR_MS, UtcMs, from_datetime, parse_iso
from meterkast_rig.p1_faults import Spoiler
from meterkast_rig.p1_household import Household
from meterkast_rig.p1_line import as_faults
from meterkast_rig.p1_meter import SimulatedMeter
from meterkast_rig.p1_telegram import Dialect, crc16

NOON = parse_iso("2026-06-03T10:00:00Z")
# That parser takes Swedish normal time for Dutch summer time: an hour off from March to October.
SHIFT = {Dialect.SE: -3_600_000}
FRAME = re.compile(rb"/[^!]*![0-9A-F]{4}\r\n")


def fits(telegram: bytes) -> bool:
    body, _, checksum = telegram.rpartition(b"!")
    return int(checksum.decode(), 16) == crc16(body + b"!")


# The meter


def test_checksum_is_crc16_arc() -> None:
    assert crc16(b"123456789") == 0xBB3D  # the published check value


@pytest.mark.parametrize(
    ("dialect", "specification", "objects"),
    [
        (Dialect.DSMR5, specifications.V5, 33),
        (Dialect.DSMR22, specifications.V2_2, 13),
        (Dialect.BE, specifications.BELGIUM_FLUVIUS, 30),
        (Dialect.SE, specifications.SWEDEN, 19),
    ],
)
def test_an_independent_parser_reads_what_the_registers_say(
    dialect: Dialect, specification: dict[str, object], objects: int
) -> None:
    meter = SimulatedMeter(dialect=dialect)
    for at_ms in range(NOON, NOON + 24 * HALF_HOUR_MS, 7_777_000):
        parsed = TelegramParser(specification).parse(meter.telegram(UtcMs(at_ms)).decode())
        assert len(list(parsed)) == objects
        found = [item for name, item in parsed if name.startswith("ELECTRICITY_")]
        for device in getattr(parsed, "MBUS_DEVICES", ()):
            found += [item for name, item in device if name.endswith("_READING")]
        values = [item.value * 1000 for item in found if isinstance(item.value, Decimal)]
        assert values == list(meter.registers(UtcMs(at_ms)).values())
        if dialect is not Dialect.DSMR22:  # it has no clock
            assert from_datetime(parsed.P1_MESSAGE_TIMESTAMP.value) == at_ms + SHIFT.get(dialect, 0)


@pytest.mark.parametrize("dialect", [Dialect.DSMR5, Dialect.BE, Dialect.SE])
def test_checksum_fits(dialect: Dialect) -> None:
    assert fits(SimulatedMeter(dialect=dialect).telegram(NOON))


@pytest.mark.parametrize("start", ["2026-03-26T00:00Z", "2026-10-22T00:00Z"])  # the clock changes that Sunday
def test_registers_never_fall_and_are_all_used_in_a_week(start: str) -> None:
    meter = SimulatedMeter(seed=7)
    first = earlier = meter.registers(parse_iso(start))
    for at_ms in range(parse_iso(start), parse_iso(start) + 7 * 48 * HALF_HOUR_MS, 295_000):
        now = meter.registers(UtcMs(at_ms))
        assert now.keys() == earlier.keys()
        assert all(now[reference] >= earlier[reference] for reference in now)
        earlier = now
    assert all(earlier[reference] > first[reference] for reference in first)


def test_registers_are_the_integral_of_the_power_shown() -> None:
    meter = SimulatedMeter()
    start = parse_iso("2026-06-03T04:50:00Z")  # tariff 1 becomes tariff 2 at 05:00Z
    for reference, power in (("1-0:1.8.1", "1-0:1.7.0"), ("1-0:2.8.2", "1-0:2.7.0")):
        after = start if reference.startswith("1-0:1") else NOON
        watt_seconds = 0
        for second in range(300):
            found = re.search(
                re.escape(power).encode() + rb"\((\d\d)\.(\d{3})",
                meter.telegram(UtcMs(after + second * 1000)),
            )
            assert found is not None
            watt_seconds += int(found[1] + found[2])
        moved = meter.registers(UtcMs(after + 300_000))[reference] - meter.registers(UtcMs(after))[reference]
        assert moved == pytest.approx(watt_seconds / 3600, abs=1.1)


def test_what_it_shows_depends_on_the_seed_and_the_instant_only() -> None:
    second = NOON // 1000
    assert Household(3).at(second) == Household(3).at(second)
    assert Household(3).at(second) != Household(4).at(second)
    assert SimulatedMeter(seed=3).equipment_id(NOON) != SimulatedMeter(seed=4).equipment_id(NOON)


@pytest.mark.parametrize("at", ["2020-01-01T00:00:00Z", "2040-12-31T22:59:59Z"])
def test_it_lives_from_2020_to_2040(at: str) -> None:
    assert fits(SimulatedMeter().telegram(parse_iso(at)))


@pytest.mark.parametrize("at", ["2019-12-31T22:59:59Z", "2040-12-31T23:00:00Z"])
def test_it_says_so_outside_those_years(at: str) -> None:
    with pytest.raises(ValueError, match="2020 to 2040"):
        SimulatedMeter().telegram(parse_iso(at))


@pytest.mark.parametrize(
    ("at", "dialect", "stamp"),
    [
        ("2026-10-25T00:30:00Z", Dialect.DSMR5, b"261025023000S"),
        ("2026-10-25T01:30:00Z", Dialect.DSMR5, b"261025023000W"),
        ("2026-03-29T01:00:00Z", Dialect.BE, b"260329030000S"),
        ("2026-07-15T11:00:00Z", Dialect.SE, b"260715120000W"),  # normal time all year
    ],
)
def test_stamps_are_those_of_the_country(at: str, dialect: Dialect, stamp: bytes) -> None:
    assert b"0-0:1.0.0(" + stamp + b")" in SimulatedMeter(dialect=dialect).telegram(parse_iso(at))


@pytest.mark.parametrize(
    ("at", "dutch", "belgian"),
    [
        ("2026-06-03T04:59:59Z", b"0001", b"0002"),  # Wednesday 06:59:59
        ("2026-06-03T05:00:00Z", b"0002", b"0001"),
        ("2026-06-03T21:00:00Z", b"0001", b"0002"),
        ("2026-06-06T10:00:00Z", b"0001", b"0002"),  # Saturday
        ("2026-12-02T06:00:00Z", b"0002", b"0001"),  # winter: 07:00
    ],
)
def test_tariff_follows_the_wall_clock(at: str, dutch: bytes, belgian: bytes) -> None:
    for dialect, tariff in ((Dialect.DSMR5, dutch), (Dialect.BE, belgian)):
        assert b"0-0:96.14.0(" + tariff + b")" in SimulatedMeter(dialect=dialect).telegram(parse_iso(at))


def test_gas_and_water_bear_the_time_of_their_capture() -> None:
    at = parse_iso("2026-06-03T10:07:31Z")
    assert SimulatedMeter().telegram(at).count(b"24.2.1(260603120500S)") == 2
    assert SimulatedMeter(gas_every_s=3600).telegram(at).count(b"24.2.1(260603120000S)") == 2
    assert SimulatedMeter(mbus_late_s=180).telegram(at).count(b"24.2.1(260603120000S)") == 2
    assert b"24.3.0(260603120000)" in SimulatedMeter(dialect=Dialect.DSMR22).telegram(at)
    captured = SimulatedMeter().registers(parse_iso("2026-06-03T10:05:00Z"))
    assert SimulatedMeter().registers(at)["0-1:24.2.1"] == captured["0-1:24.2.1"]


def test_belgian_peak_is_the_highest_quarter_hour_of_the_month() -> None:
    meter = SimulatedMeter(dialect=Dialect.BE)
    found = re.search(rb"1-0:1\.6\.0\((\d+S)\)\((\d\d)\.(\d{3})\*kW\)", meter.telegram(NOON))
    assert found is not None
    end = from_datetime(datetime.strptime(found[1].decode() + "+0200", "%y%m%d%H%M%SS%z"))

    def quarter_wh(end_ms: int) -> int:
        after, before = meter.registers(UtcMs(end_ms)), meter.registers(UtcMs(end_ms - 900_000))
        return sum(after[reference] - before[reference] for reference in ("1-0:1.8.1", "1-0:1.8.2"))

    ends = range(parse_iso("2026-05-31T22:15:00Z"), NOON + 1, 900_000)
    assert quarter_wh(end) == max(map(quarter_wh, ends))
    assert int(found[2] + found[3]) == pytest.approx(quarter_wh(end) * 4, abs=4)


def test_a_swap_brings_another_id_and_registers_from_nothing() -> None:
    meter = SimulatedMeter(swap_ms=NOON)
    before, at, later = (UtcMs(NOON + shift) for shift in (-1000, 0, HALF_HOUR_MS * 20))
    assert meter.registers(before) == SimulatedMeter().registers(before)
    assert meter.equipment_id(before) != meter.equipment_id(at)
    assert meter.equipment_id(at).encode().hex().upper().encode() in meter.telegram(at)
    assert [meter.registers(at)[f"1-0:{c}.8.{t}"] for c in (1, 2) for t in (1, 2)] == [0, 0, 0, 0]
    assert meter.registers(at)["0-1:24.2.1"] == SimulatedMeter().registers(at)["0-1:24.2.1"]
    assert 0 < meter.registers(later)["1-0:1.8.2"] < 20_000


def test_a_reset_keeps_the_id() -> None:
    meter = SimulatedMeter(reset_ms=NOON)
    assert meter.registers(NOON)["1-0:1.8.1"] == 0
    assert meter.equipment_id(UtcMs(NOON - 1)) == meter.equipment_id(NOON)


def test_a_dead_gas_channel_looks_like_one() -> None:
    meter = SimulatedMeter(gas_dead=True)
    assert b"0-1:96.1.0()\r\n0-1:24.2.1(700101010000W)(00000000)\r\n" in meter.telegram(NOON)
    assert "0-1:24.2.1" not in meter.registers(NOON)


def test_a_wrong_clock_moves_stamps_and_not_registers() -> None:
    meter = SimulatedMeter(clock_off_s=-3600)
    assert b"0-0:1.0.0(260603110000S)" in meter.telegram(NOON)
    assert meter.registers(NOON) == SimulatedMeter().registers(NOON)


# The faults of the line


def spoilt(switch: str, telegram: bytes) -> bytes:
    data, borne = Spoiler(as_faults(switch, 5), 5).spoil(telegram)
    assert borne == [switch.partition("=")[0]]
    return data


def test_faults_do_to_a_telegram_what_they_say() -> None:
    telegram = SimulatedMeter().telegram(NOON)
    cut = spoilt("cut=1", telegram)
    assert cut
    assert telegram.startswith(cut)
    assert b"!" not in cut
    assert spoilt("noise=1", telegram).endswith(telegram)
    flipped = spoilt("flip=1", telegram)
    assert sum((a ^ b).bit_count() for a, b in zip(flipped, telegram, strict=True)) == 1
    wrong = spoilt("wrong_crc=1", telegram)
    assert wrong[:-6] == telegram[:-6]
    assert not fits(wrong)
    assert not FRAME.search(spoilt("garbage=1", telegram))
    high = spoilt("non_ascii=1", telegram)
    assert b"\xff" in high
    assert fits(high)
    assert spoilt("lf_only=true", telegram).replace(b"\n", b"\r\n") == telegram
    parity = spoilt("seven_bit=true", telegram)
    assert bytes(byte & 0x7F for byte in parity) == telegram
    assert all(byte.bit_count() % 2 == 0 for byte in parity)


def test_a_telegram_without_checksum_or_message_can_be_spoilt_too() -> None:
    old, swedish = (
        SimulatedMeter(dialect=dialect).telegram(NOON) for dialect in (Dialect.DSMR22, Dialect.SE)
    )
    assert Spoiler(as_faults("wrong_crc=1", 1), 1).spoil(old) == (old, [])
    assert fits(spoilt("non_ascii=1", swedish))
    assert spoilt("non_ascii=1", old).endswith(b"!\r\n")


def test_no_fault_without_a_switch_and_the_same_faults_from_the_same_seed() -> None:
    telegram = SimulatedMeter().telegram(NOON)
    assert Spoiler(as_faults("", 1), 1).spoil(telegram) == (telegram, [])
    text = "cut=0.3,flip=0.3,noise=0.3,garbage=0.1"
    runs = []
    for seed in (1, 1, 2):
        spoiler = Spoiler(as_faults(text, seed), seed)
        runs.append([spoiler.spoil(telegram) for _ in range(30)])
    assert runs[0] == runs[1] != runs[2]
