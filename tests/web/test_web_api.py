"""What programs get."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace as replace_row
from datetime import datetime

import pytest
from msgspec.structs import replace

from meterkast.cli.status import as_text
from meterkast.model.epoch import Break, Epoch
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.pipeline.health import Snapshot
from meterkast.ports.store import Keep

from .house import ZONE, House

MakeDay = Callable[..., list[HalfHour]]


async def test_status_is_the_snapshot(house: House) -> None:
    status, body = await house.get("/api/status")
    told = json.loads(body)
    assert status == 200
    assert told["verdict"] == "ok"
    assert told["products"][0]["properties"][0]["value"] == "4821.337"
    assert told["uplinks"][0]["last_receipt"] == "code 10200 for message 6f1c"


async def test_half_hours_of_a_register_are_exact_text(house: House) -> None:
    status, body = await house.get("/api/half-hours?property=3&day=2025-11-21")
    told = json.loads(body)
    assert status == 200
    assert (told["property"], told["unit"], told["day"]) == (3, "kWh", "2025-11-21")
    assert told["zone"] == "Europe/Amsterdam"
    assert told["half_hours"][0] == {
        "end": "2025-11-21T00:30:00.000+01:00",
        "value": "10929.090",
        "difference": "0.090",
        "difference_since": "2025-11-21T00:00:00.000+01:00",
        "state": "measured",
        "cause": None,
        "revision": 0,
    }
    missing = [row for row in told["half_hours"] if row["state"] == "missing"]
    assert len(missing) == 3
    assert {(row["value"], row["difference"], row["cause"]) for row in missing} == {(None, None, "link lost")}
    assert told["half_hours"][-1]["end"] == "2025-11-21T14:30:00.000+01:00"


async def test_a_rollover_is_counted_by_what_is_kept_of_it(house: House, make_day: MakeDay) -> None:
    rows = make_day(4, 999_999_900, [60, -999_999_860], datetime(2025, 11, 21, tzinfo=ZONE))
    rows[-1] = replace_row(rows[-1], epoch=1)
    number, moment, begun = PropertyId(4), rows[-1].end_ms, Quantity(100, 0)
    first = Epoch(property_id=number, number=0, kind=Break.FIRST, at_ms=rows[0].end_ms, first=Quantity(0, 0))
    rolled = Epoch(
        property_id=number,
        number=1,
        kind=Break.ROLLOVER,
        at_ms=moment,
        first=begun,
        offset=Quantity(1_000_000_000, 0),
    )
    await house.store.keep(Keep(now_ms=moment, half_hours=rows, epochs=[first, rolled]))
    _, body = await house.get("/api/half-hours?property=4&day=2025-11-21")
    assert [row["difference"] for row in json.loads(body)["half_hours"]] == ["0.060", "0.140"]


@pytest.mark.parametrize(
    ("query", "status", "error"),
    [
        ("", 400, "`property` is missing"),
        ("?property=", 400, "`property` is not a number"),
        ("?property=-1", 400, "`property` is not a number"),
        ("?property=%D9%A3", 400, "`property` is not a number"),
        ("?property=3&day=21-11-2025", 400, "`day` is not a day"),
        ("?property=3&day=2025-13-01", 400, "`day` is not a day"),
        ("?property=3&day=9999-12-31", 400, "`day` is not a day"),
        ("?property=99", 404, "There is no property 99"),
    ],
)
async def test_a_wrong_question_is_told_what_is_wrong(
    house: House, query: str, status: int, error: str
) -> None:
    got, body = await house.get(f"/api/half-hours{query}")
    assert got == status
    assert error in json.loads(body)["error"]


async def test_healthz_fails_only_where_data_is_at_risk(house: House, trouble: Snapshot) -> None:
    assert await house.get("/healthz") == (200, "ok")
    house.change(verdict="attention")
    assert (await house.get("/healthz"))[0] == 200
    house.snapshot = trouble
    status, body = await house.get("/healthz")
    assert status == 503
    assert json.loads(body)["problems"][0]["where"] == "uplink wattics"


async def test_estimate_is_on_the_page_in_the_metrics_and_on_the_terminal(house: House) -> None:
    fine = house.snapshot
    reset = replace(fine.uplinks[0], state="sending", backlog=2976, half_hours=1488, left_s=1500.0)
    wattics = replace(reset, name="wattics", backlog=1488, left_s=240.0)
    house.snapshot = replace(fine, uplinks=(reset, wattics), left_s=1500.0)
    page = (await house.get("/"))[1]
    assert "1,488 half-hours waiting, about 25 minutes; 2976 items" in page
    assert "1,488 half-hours waiting, about 4 minutes" in page
    assert "All that waits is delivered in about 25 minutes." in page
    lines = (await house.get("/metrics"))[1].splitlines()
    assert 'meterkast_uplink_backlog_half_hours{uplink="reset"} 1488.0' in lines
    assert 'meterkast_uplink_backlog_left_seconds{uplink="wattics"} 240.0' in lines
    assert "meterkast_backlog_left_seconds 1500.0" in lines
    text = as_text(house.snapshot)
    assert "reset: sending, 1,488 half-hours waiting, about 25 minutes, last acknowledged" in text
    assert "all that waits is delivered in about 25 minutes" in text


async def test_metrics_follow_the_snapshot(house: House, trouble: Snapshot) -> None:
    house.snapshot = replace(trouble, refused={"no such property": 2})
    status, body = await house.get("/metrics")
    assert status == 200
    lines = set(body.splitlines())
    assert 'meterkast_build_info{device_id="mk-2f81",version="0.1.0"} 1.0' in lines
    assert 'meterkast_driver_telegrams_total{driver="p1 main",verdict="wrong checksum"} 3.0' in lines
    assert 'meterkast_uplink_backlog_items{uplink="wattics"} 1488.0' in lines
    assert not any("left_seconds{" in line for line in lines), "no estimate while nothing is delivered"
    assert 'meterkast_uplink_quarantined_items{uplink="reset"} 1.0' in lines
    assert 'meterkast_uplink_last_acknowledged_timestamp_seconds{uplink="reset"} 1.763731931e+09' in lines
    assert 'meterkast_readings_refused_total{reason="no such property"} 2.0' in lines
    assert "meterkast_clock_trusted 1.0" in lines
    assert (
        "meterkast_storage_free_bytes 1.14e+010" in lines or "meterkast_storage_free_bytes 1.14e+10" in lines
    )
    ages = [line for line in lines if line.startswith("meterkast_reading_age_seconds{")]
    assert 'meterkast_reading_age_seconds{key="volume",product="2",property="9"} 5400.0' in ages
    # Never read: no age at all, instead of an age of nothing.
    assert not any('key="export_total"' in line for line in ages)
