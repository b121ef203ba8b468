"""The RESET stand-in speaks Socket.IO v4 like the platform and checks by the document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meterkast_rig import reset

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOON = "2026-01-15T12:00:00.000+01:00"
HALF_PAST = "2026-01-15T12:30:00.000+01:00"
ONE = "2026-01-15T13:00:00.000+01:00"


async def test_wrong_secret_is_answered_10401_and_disconnected(
    server: reset.ResetStandIn, unconnected: Callable[..., Any]
) -> None:
    expected = {"code": "10401", "message": "Authentication failed.", "api_version": "v2"}
    async with unconnected(server) as client:
        await client.connect(secret="wrong")
        assert await client.answer() == ("auth", expected)
        assert (await client.answer())[0] == "disconnect"


async def test_message_before_auth_is_answered_10401(
    server: reset.ResetStandIn, draft: Any, unconnected: Callable[..., Any]
) -> None:
    async with unconnected(server) as client:
        await client.connect(secret=None)
        assert await client.send("monitors", draft.create()) == "10401"


async def test_readings_of_a_created_monitor_are_acknowledged_and_recorded(client: Any, draft: Any) -> None:
    message = draft.create()
    assert await client.ask("monitors", message) == {
        "code": "10200",
        "ack": True,
        "message_id": message["message_id"],
        "api_version": "v2",
    }
    assert (
        await client.send(
            "readings", draft.readings(draft.power(NOON, 84.276), draft.power(HALF_PAST, "84.300"))
        )
        == "10200"
    )
    received = await client.server.received()
    assert received["monitors"]["E1"]["module"] == "energy"
    assert [
        (one["reading_time"], one["value"], one["count"], one["seq"]) for one in received["readings"]
    ] == [
        (NOON, 84.276, 1, 1),
        (HALF_PAST, "84.300", 1, 2),
    ]
    assert received["refused"] == received["conflicts"] == received["out_of_order"] == received["falls"] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("message_type", "enable"),
        ("data", ...),
        ("data/connection_id", ""),
        ("data/module", ...),
        ("data/module", "Energy"),
        ("data/module", "gas"),
        ("data/module", "air"),  # with channels
        ("data/channels", ...),
        ("data/channels", []),
        ("data/channels/0/channel_id", 1),
        ("data/channels", [{"channel_id": "c"}, {"channel_id": "c"}]),
        ("data/meta", ...),
        ("data/meta/monitor_detail/monitor_sku", ...),
        ("data/meta/monitor_detail/monitor_serial_id", 7),
        ("data/meta/monitor_detail/last_monitor_calibration_date", "2026-01-01"),
        ("data/meta/monitor_detail/last_calibration_date", "2026-01-01T00:00:00+01:00"),
        ("data/meta/included_parameters", {}),
        ("data/meta/included_parameters/power_consumption/unit", "Wh"),
        ("data/meta/included_parameters/co2", {"unit": "ppm"}),
        ("data/unknown", 1),
    ],
)
async def test_monitor_the_document_does_not_allow_is_refused(
    client: Any, path: str, value: object, draft: Any
) -> None:
    answer = await client.ask("monitors", draft.changed(draft.create(), path, value))
    assert answer["code"] == "10400"
    assert answer["message"]
    assert (await client.server.received())["monitors"] == {}


async def test_modify_needs_a_monitor_and_keeps_module_and_channels(client: Any, draft: Any) -> None:
    modify = draft.changed(
        draft.changed(draft.create(channels=("c01", "c02")), "message_type", "modify"), "data/module", ...
    )
    assert await client.send("monitors", modify) == "10400"
    assert await client.send("monitors", draft.create()) == "10200"
    assert await client.send("monitors", modify) == "10200"  # adds c02
    assert (
        await client.send("monitors", draft.create()) == "10400"
    )  # c02 is gone, and channel_id is immutable
    assert await client.send("monitors", draft.changed(modify, "data/module", "energy")) == "10400"
    received = await client.server.received()
    assert [channel["channel_id"] for channel in received["monitors"]["E1"]["channels"]] == ["c01", "c02"]


READING = "data/readings/0/"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (READING + "reading_time", "2026-01-15T12:00:00.000Z"),
        (READING + "reading_time", "2026-01-15T12:00:00"),
        (READING + "reading_time", "2026-01-15T12:00:01.000+01:00"),
        (READING + "reading_time", "2026-01-15T12:15:00.000+01:00"),
        (READING + "reading_time", "2026-02-30T12:00:00.000+01:00"),
        (READING + "reading_time", ...),
        (READING + "connection_id", "E2"),
        (READING + "power_consumption", ...),
        (READING + "power_consumption", 1),
        (READING + "power_consumption", []),
        (READING + "power_consumption/0/channel_id", "c09"),
        (READING + "power_consumption/0/reading", ...),
        (READING + "power_consumption/0/reading", True),
        (READING + "power_consumption/0/reading", "many"),
        (READING + "power_consumption/0/reading", "NaN"),
        (READING + "co2", 500),
        ("data/connection_id", "E2"),
        ("data/readings", []),
        ("data/readings/1/reading_time", NOON),
        ("message_id", ...),
        ("message_id", 17),
    ],
)
async def test_readings_the_document_does_not_allow_are_refused_whole(
    client: Any, path: str, value: object, draft: Any
) -> None:
    await client.send("monitors", draft.create())
    message = draft.changed(draft.readings(draft.power(NOON), draft.power(HALF_PAST)), path, value)
    assert (await client.ask("readings", message))["code"] == "10400"
    assert (await client.server.received())["readings"] == []


async def test_more_than_48_reading_times_are_refused(client: Any, draft: Any) -> None:
    await client.send("monitors", draft.create())
    times = [
        f"2026-01-{day}T{hour:02}:{minute}:00.000+01:00"
        for day in (15, 16)
        for hour in range(24)
        for minute in ("00", "30")
    ]
    assert await client.send("readings", draft.readings(*map(draft.power, times[:48]))) == "10200"
    assert await client.send("readings", draft.readings(*map(draft.power, times[:49]))) == "10400"


@pytest.mark.parametrize("missing", [None, "", "None"])
async def test_air_needs_every_declared_parameter_and_takes_a_missing_value(
    client: Any, missing: object, draft: Any
) -> None:
    assert await client.send("monitors", draft.create("air", "A1")) == "10200"
    air = {"connection_id": "A1", "reading_time": NOON, "pm2p5": 1, "tvoc": "0.5", "co2": 500, "temp": -2.5}
    assert await client.send("readings", draft.readings(air, monitor="A1")) == "10400"
    assert await client.send("readings", draft.readings(air | {"rh": missing}, monitor="A1")) == "10200"


async def test_message_id_is_good_once(client: Any, draft: Any) -> None:
    message = draft.create()
    await client.ask("monitors", message)
    assert (await client.ask("monitors", message))["code"] == "10400"


async def test_wall_clock_of_a_quarter_hour_zone_is_on_the_half_hour(client: Any, draft: Any) -> None:
    await client.send("monitors", draft.create())
    assert (
        await client.send("readings", draft.readings(draft.power("2026-01-15T12:30:00.000+05:45"))) == "10200"
    )


async def test_repeats_conflicts_order_and_falls_are_told_apart(client: Any, draft: Any) -> None:
    await client.send("monitors", draft.create())
    sent = [
        (ONE, 10),
        (ONE, "10.0"),
        (NOON, 8),
        (ONE, 11),
        ("2026-01-15T12:30:00+00:00", 5),
    ]
    for time, value in sent:
        assert await client.send("readings", draft.readings(draft.power(time, value))) == "10200"
    received = await client.server.received()
    counts = {one["reading_time"]: one["count"] for one in received["readings"]}
    assert counts == {ONE: 3, NOON: 1, "2026-01-15T12:30:00+00:00": 1}
    assert [(one["was"], one["value"]) for one in received["conflicts"]] == [(10, 11)]
    assert [(one["reading_time"], one["after"]) for one in received["out_of_order"]] == [(NOON, ONE)]
    assert [(one["was"], one["value"]) for one in received["falls"]] == [(11, 5)]


async def test_bin_emptied_within_a_half_hour_is_a_second_reading_of_it(client: Any, draft: Any) -> None:
    await client.send("monitors", draft.create("circularity", "B1"))
    two = [
        {
            "connection_id": "B1",
            "reading_time": NOON,
            "bin_weight": [{"channel_id": "c01", "reading": weight}],
        }
        for weight in (30, 12)
    ]
    assert await client.send("readings", draft.readings(*two, monitor="B1")) == "10200"
    received = await client.server.received()
    assert [(one["emptying"], one["value"]) for one in received["readings"]] == [(0, 30), (1, 12)]
    assert received["conflicts"] == []


async def test_nan_closes_the_connection_as_the_real_server_does(client: Any, draft: Any) -> None:
    await client.send("monitors", draft.create())
    await client.emit("readings", draft.readings(draft.power(NOON, float("nan"))))
    assert (await client.answer())[0] == "disconnect"
