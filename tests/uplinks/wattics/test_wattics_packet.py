"""What goes to Wattics, byte for byte, and the time on it through both nights the clock changes."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from meterkast.config.decoding import decode
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import Grid, UtcMs, parse_iso, zone
from meterkast.ports.uplink import Binding, Wanted
from meterkast.uplinks.wattics import Settings
from meterkast.uplinks.wattics.packet import ELECTRICAL, Dst, packet, proven_ms, stamp
from meterkast.uplinks.wattics.settings import plans
from meterkast.uplinks.wattics.show import show

AMSTERDAM = zone("Europe/Amsterdam")
NOON = parse_iso("2026-01-15T12:00:00+01:00")


def plan(**meter: Any) -> Any:
    tree = {"meters": [{"id": "m1", "interval_min": 30, **meter}]}
    return plans(decode(Settings, tree, "uplinks.wattics"))[0]


def closed(key: str, value: Quantity | None, state: State = State.MEASURED) -> tuple[Binding, HalfHour]:
    product, _, name = key.rpartition("/")
    missing = value is None
    return Binding(product=product, key=name), HalfHour(
        property_id=PropertyId(1),
        end_ms=NOON,
        value=value,
        state=State.MISSING if missing else state,
        cause=Cause.METER_SILENT if missing else None,
    )


def made(meter: Any, *values: tuple[Binding, HalfHour]) -> str:
    return packet(meter.id, stamp(NOON, AMSTERDAM, Dst.OFFSET), meter.parameters, dict(values)).decode()


def test_electrical_packet_is_written_as_documented() -> None:
    meter = plan(
        meter="E",
        phases=3,
        readings={"v_1": "E/voltage_l1", "c_1": "E/current_l1", "rP_2": "E/reactive_l2"},
    )
    assert made(
        meter,
        closed("E/import_total", Quantity(84_276)),
        closed("E/power_import_l1", Quantity(1234)),
        closed("E/power_import_l2", Quantity(0)),
        closed("E/power_import_l3", Quantity(12_345, 1)),
        closed("E/voltage_l1", Quantity(2300, 1)),
        closed("E/current_l1", Quantity(543, 2)),
        closed("E/reactive_l2", Quantity(-7)),
    ) == (
        '{"id":"m1","tsISO8601":"2026-01-15T12:00:00.000+01:00",'
        '"aP_1":1234,"aP_2":0,"aP_3":1234.5,"rP_2":-7,"v_1":230.0,"c_1":5.43,"pC_1":84276}'
    )


def test_keys_come_in_the_order_of_the_document() -> None:
    readings = {key: f"E/{key}" for key in reversed(ELECTRICAL)}
    text = made(plan(readings=readings), *(closed(f"E/{key}", Quantity(123)) for key in ELECTRICAL))
    # "EXAMPLE electrical JSON packet" of the document.
    example = (
        "id tsISO8601 aP_1 aP_2 aP_3 rP_1 rP_2 rP_3 apP_1 apP_2 apP_3 v_1 v_2 v_3 "
        "c_1 c_2 c_3 pC_1 pC_2 pC_3 v_12 v_13 v_23"
    )
    assert list(json.loads(text)) == example.split()


@pytest.mark.parametrize(
    ("unit", "value", "written"),
    [
        ("m3", Quantity(1_234_567), "1234.567"),
        ("L", Quantity(1_234_567), "1234567"),
        ("GJ", Quantity(12), "0.012"),
        ("kWh", Quantity(84_276), "84.276"),
        ("°C", Quantity(-5, 1), "-0.5"),
        ("ppm", Quantity(0), "0"),
        ("m3", Quantity(0), "0.000"),
        # Where a float would have said 1152921504606846.9.
        ("MWh", Quantity((1 << 60) - 1), "1152921504606.846975"),
    ],
)
def test_single_value_packet_keeps_every_digit(unit: str, value: Quantity, written: str) -> None:
    meter = plan(kind="value", value="G/volume", unit=unit)
    assert made(meter, closed("G/volume", value)) == (
        f'{{"id":"m1","tsISO8601":"2026-01-15T12:00:00.000+01:00","value":{written}}}'
    )


def test_missing_and_suspect_parameters_are_left_out_and_nothing_known_is_no_packet() -> None:
    meter = plan(meter="E")
    missing = closed("E/power_import", None)
    assert made(meter, missing, closed("E/import_total", Quantity(5))).endswith('+01:00","pC_1":5}')
    assert made(meter, missing, closed("E/import_total", Quantity(5), State.SUSPECT)) == ""
    assert made(meter, missing, closed("E/import_total", Quantity(5), State.LATE)).endswith('"pC_1":5}')
    assert made(meter) == ""


def test_net_power_is_import_minus_export_and_needs_both() -> None:
    meter = plan(readings={"aP_1": "E/power_import - E/power_export"})
    bought, sold = closed("E/power_import", Quantity(2005, 1)), closed("E/power_export", Quantity(1500))
    assert made(meter, bought, sold).endswith('"aP_1":-1299.5}')
    assert made(meter, bought, closed("E/power_export", None)) == ""


def test_packet_is_one_line_whatever_the_id() -> None:
    assert packet('"é', stamp(NOON, AMSTERDAM, Dst.OFFSET), plan(meter="E").parameters, {}) == b""
    text = packet('"é', "t", plan(meter="E").parameters, dict([closed("E/import_total", Quantity(1))]))
    assert json.loads(text)["id"] == '"é'
    assert b"\n" not in text


def test_stamps_of_every_policy_in_the_night_that_is_an_hour_longer() -> None:
    ends = list(Grid(AMSTERDAM).ends(*Grid(AMSTERDAM).day(date(2026, 10, 25))))
    assert len(ends) == 50
    night = ends[3:8]
    assert [stamp(end, AMSTERDAM, Dst.OFFSET)[11:] for end in night] == [
        "02:00:00.000+02:00",
        "02:30:00.000+02:00",
        "02:00:00.000+01:00",
        "02:30:00.000+01:00",
        "03:00:00.000+01:00",
    ]
    assert [stamp(end, AMSTERDAM, Dst.STANDARD_TIME)[11:] for end in night] == [
        "01:00:00.000+01:00",
        "01:30:00.000+01:00",
        "02:00:00.000+01:00",
        "02:30:00.000+01:00",
        "03:00:00.000+01:00",
    ]
    assert stamp(night[0], AMSTERDAM, Dst.UTC_ENDPOINT) == "2026-10-25T00:00:00.000+00:00"
    for policy in (Dst.STANDARD_TIME, Dst.UTC_ENDPOINT):
        written = [stamp(end, AMSTERDAM, policy)[:19] for end in ends]
        assert written == sorted(set(written))


def test_stamps_in_the_night_that_is_an_hour_shorter() -> None:
    ends = list(Grid(AMSTERDAM).ends(*Grid(AMSTERDAM).day(date(2026, 3, 29))))
    assert len(ends) == 46
    assert [stamp(end, AMSTERDAM, Dst.OFFSET)[11:] for end in ends[2:5]] == [
        "01:30:00.000+01:00",
        "03:00:00.000+02:00",
        "03:30:00.000+02:00",
    ]
    assert stamp(ends[3], AMSTERDAM, Dst.STANDARD_TIME)[11:] == "02:00:00.000+01:00"


@pytest.mark.parametrize(
    ("name", "july", "standard"),
    [
        ("Asia/Kathmandu", "2026-07-01T12:30:00.000+05:45", "2026-07-01T12:30:00.000+05:45"),
        ("America/St_Johns", "2026-07-01T04:15:00.000-02:30", "2026-07-01T03:15:00.000-03:30"),
        ("Australia/Sydney", "2026-07-01T16:45:00.000+10:00", "2026-07-01T16:45:00.000+10:00"),
        ("Europe/Dublin", "2026-07-01T07:45:00.000+01:00", "2026-07-01T06:45:00.000+00:00"),
    ],
)
def test_stamps_of_other_zones(name: str, july: str, standard: str) -> None:
    at_ms = parse_iso("2026-07-01T06:45:00+00:00")
    assert stamp(at_ms, zone(name), Dst.OFFSET) == july
    assert stamp(at_ms, zone(name), Dst.STANDARD_TIME) == standard


@pytest.mark.parametrize(
    ("written", "policy", "proves"),
    [
        ("2026-01-15T12:00:00.000+01:00", Dst.OFFSET, True),
        ("2026-01-15T12:00:00.000+01:00", Dst.UTC_ENDPOINT, True),
        ("2026-07-15T12:00:00.000+01:00", Dst.STANDARD_TIME, True),
        ("2026-07-15T12:00:00.000+02:00", Dst.STANDARD_TIME, True),
        # A wall clock labelled anew looks an hour later than it is.
        ("2026-01-15T12:00:00.000+00:00", Dst.OFFSET, False),
        ("2026-01-15T12:00:00.000Z", Dst.OFFSET, False),
        ("2026-01-15T12:00:00.000", Dst.OFFSET, False),
        ("2026-01-15T12:00:00.000+00:00", Dst.UTC_ENDPOINT, False),
        ("yesterday", Dst.OFFSET, False),
        ("0001-01-01T00:00:00.000+01:00", Dst.OFFSET, False),
        (1768474800000, Dst.OFFSET, False),
        (None, Dst.OFFSET, False),
    ],
)
def test_only_a_stamp_with_the_sites_own_offset_proves_an_instant(
    written: object, policy: Dst, proves: bool
) -> None:
    at_ms = proven_ms(written, AMSTERDAM, policy)
    assert at_ms == (parse_iso(str(written)) if proves else None)


async def test_show_prints_the_exact_packet_and_marks_examples() -> None:
    tree = {
        "meters": [
            {"id": "m1", "interval_min": 30, "meter": "E"},
            {"id": "g", "interval_min": 60, "kind": "value", "value": "gas/volume", "unit": "m3"},
        ]
    }

    async def newest(wanted: Wanted) -> tuple[UtcMs, dict[Binding, HalfHour]] | None:
        return (NOON, dict([closed("E/import_total", Quantity(84_276))])) if wanted.name == "m1" else None

    settings = decode(Settings, tree, "uplinks.wattics")
    lines = await show(settings, AMSTERDAM, UtcMs(NOON + 90_000), newest)
    assert [line for line in lines if not line.startswith("#")] == [
        '{"id":"m1","tsISO8601":"2026-01-15T12:00:00.000+01:00","pC_1":84276}',
        '{"id":"g","tsISO8601":"2026-01-15T12:00:00.000+01:00","value":1234.567}',
    ]
    assert "EXAMPLE VALUES" in lines[-2]
    assert not any("EXAMPLE" in line for line in lines[:-2])
