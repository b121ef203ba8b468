"""The definitions of monitors as they go to RESET, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest

from meterkast.uplinks.reset.monitors import (
    CREATE,
    MODIFY,
    Acknowledged,
    account,
    compact,
    definition,
    monitor_message,
    unknown_monitor,
)
from meterkast.uplinks.reset.plan import plans


def test_energy_monitor_is_created_as_documented(settings: Any) -> None:
    [made] = plans(
        settings(
            label="Meter cupboard",
            module="energy",
            calibrated="2022-08-01T00:00:00+08:00",
            channels=[
                {"id": "c01", "label": "1st_floor", "readings": {"power_consumption": "E1/import_total"}},
                {"id": "c02", "readings": {"power_consumption": "E2/import_total"}},
            ],
        )
    )
    assert monitor_message(CREATE, definition(made), "mi_1") == (
        '{"message_type":"create","message_id":"mi_1","data":{"label":"Meter cupboard","connection_id":"M1",'
        '"module":"energy","meta":{"monitor_detail":{"monitor_brand":"b","monitor_sku":"s",'
        '"monitor_serial_id":"1","last_monitor_calibration_date":"2022-08-01T00:00:00+08:00"},'
        '"included_parameters":{"power_consumption":{"unit":"kWh"}}},"channels":[{"channel_id":"c01",'
        '"channel_label":"1st_floor"},{"channel_id":"c02"}]}}'
    )


def test_modify_is_create_without_module(plan: Any) -> None:
    made = plan("energy", {"power_consumption": "E1/import_total"})
    assert monitor_message(MODIFY, definition(made), "mi_2") == (
        '{"message_type":"modify","message_id":"mi_2","data":{"connection_id":"M1","meta":{"monitor_detail":'
        '{"monitor_brand":"b","monitor_sku":"s","monitor_serial_id":"1"},"included_parameters":'
        '{"power_consumption":{"unit":"kWh"}}},"channels":[{"channel_id":"c01"}]}}'
    )


def test_air_monitor_has_no_channels_and_the_documents_units_and_order(plan: Any) -> None:
    readings = {name: f"a/{name}" for name in ("pm10", "rh", "temp", "co2", "tvoc", "pm2p5")}
    told = definition(plan("air", readings=readings))
    assert compact(told["meta"]["included_parameters"]) == (
        '{"pm2p5":{"unit":"ug/m3"},"tvoc":{"unit":"ppb"},"co2":{"unit":"ppm"},"temp":{"unit":"C"},'
        '"rh":{"unit":"%RH"},"pm10":{"unit":"ug/m3"}}'
    )
    assert "channels" not in told


def test_water_monitor_declares_what_any_of_its_channels_measures(plan: Any) -> None:
    made = plan(
        "water",
        {"ph": "w/ph", "water_flow": "w/volume"},
        {"orp": "w/orp", "tds": "w/tds", "water_temp": "w/temp"},
    )
    assert compact(definition(made)["meta"]["included_parameters"]) == (
        '{"water_flow":{"unit":"L"},"water_temp":{"unit":"C"},"tds":{"unit":"ppm"},"orp":{"unit":"mv"},'
        '"ph":{"unit":"ph"}}'
    )


def test_channel_gone_from_the_configuration_stays_in_the_definition(plan: Any) -> None:
    before = definition(plan("energy", {"power_consumption": "a/i"}, {"power_consumption": "b/i"}))
    after = definition(plan("energy", {"power_consumption": "a/i"}), before)
    assert [channel["channel_id"] for channel in after["channels"]] == ["c01", "c02"]


def test_what_one_account_acknowledged_says_nothing_of_another(settings: Any, plan: Any) -> None:
    mine, other = account(settings(module="energy")), "other"
    told = definition(plan("energy", {"power_consumption": "a/i"}))
    kept = Acknowledged(mine, told).text()
    assert Acknowledged.of(kept, mine) == Acknowledged(mine, told)
    assert Acknowledged.of(kept, other) is None
    assert Acknowledged.of(None, mine) is None


@pytest.mark.parametrize(
    ("words", "unknown"),
    [
        ('data.connection_id: no monitor "M1"; create it first', True),
        ("Monitor not found", True),
        ("Monitor does not exist.", True),
        ("Unknown connection_id", True),
        ("A monitor must be created first before data can be pushed.", True),
        ("data.connection_id: monitor M1 is refused", False),
        ('data.readings[0].power_consumption[0].channel_id: "c9" is not a channel of monitor "M1"', False),
        ("reading_time is invalid", False),
        ("", False),
    ],
)
def test_only_words_about_an_unknown_monitor_lead_to_creating_it(words: str, unknown: bool) -> None:
    assert unknown_monitor(words) is unknown


def test_nan_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        compact({"reading": float("nan")})
