"""What the simulated devices measure and show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meterkast.model.errors import ConfigError

ALL = (
    "meter:2,strip:3,gas:4,water:5,air:6,scale:7,plug:8,thermostat:9,lock:11,climate:12,dimmer:13,heat:14,"
    "cooling:15,water_pulses:16,three_phase:17,fahrenheit:18,noise:19,unknown:20,s2meter:21,thermostat_f:22"
)
MEASURING = {2, 3, 4, 5, 6, 7, 9, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22}
METER, SENSOR = 50, 49


def nodes(records: list[dict[str, Any]]) -> set[int]:
    return {record["node"] for record in records if record["commandClass"] in (METER, SENSOR)}


async def test_all_kinds_are_interviewed_and_the_record_is_what_was_seen(tmp_path: Path, rig: Any) -> None:
    async with rig.network(tmp_path, devices=ALL) as (stick, seen):
        numbers = [each["id"] for each in await stick.verb("list")]
        await rig.ready(seen, *numbers)
        for number in numbers:
            assert seen.node(number).values
        seen.values.clear()
        before = len(await stick.shown())
        for number in numbers:
            await stick.verb("report", id=number)
        records = await rig.recorded(stick, before, lambda records: nodes(records) >= MEASURING)
        measured = [r for r in records if r["commandClass"] in (METER, SENSOR)]
        showed = {(r["node"], r["commandClass"], r["endpoint"], r["key"], r["value"]) for r in measured}
        await rig.until(lambda: showed <= set(seen.values), "all that was shown")
        assert nodes(measured) == MEASURING
        assert {r["decimals"] for r in measured if (r["node"], r["key"]) == (2, 0x10001)} == {3}
        assert seen.node(2).values["2-50-0-value-65537"].value in {r["value"] for r in measured}


async def test_the_same_seed_and_time_show_the_same(tmp_path: Path, rig: Any) -> None:
    runs = []
    for folder in ("one", "two"):
        options = {"devices": "meter:2,air:3", "start": 1_790_000_000_000, "speed": 1e-6}
        async with rig.network(tmp_path / folder, **options) as (stick, seen):
            await rig.ready(seen, 2, 3)
            await stick.verb("report", id=2)
            await stick.verb("report", id=3)
            before = len(await stick.shown())
            await seen.node(3).async_poll_value("3-49-0-Air temperature")
            # All goes to the host in its order: before this answer, all that was reported.
            await rig.recorded(stick, before, lambda records: any(r["asked"] for r in records))
            measured = [r for r in await stick.shown() if r["commandClass"] in (METER, SENSOR)]
            runs.append({(r["node"], r["key"]): r["value"] for r in measured})
    assert runs[0] == runs[1]
    assert len(runs[0]) > 10


async def test_what_happens_at_a_device_is_seen(tmp_path: Path, rig: Any) -> None:
    async with rig.network(tmp_path, devices="meter:2,water:5,scale:7,lock:11,contact:10,strip:3") as (
        stick,
        seen,
    ):
        await stick.verb("wake", id=10)
        await rig.ready(seen, 2, 5, 7, 10, 11, 3)
        value = lambda number, name: seen.node(number).values[f"{number}-{name}"].value  # noqa: E731
        await stick.verb("binary", id=10, value=True)
        await rig.until(lambda: value(10, "48-0-Door/Window") is True, "open")
        await stick.verb("notify", id=11, type=6, event=1)
        await rig.until(lambda: value(11, "98-0-currentMode") == 255, "locked by hand")
        await stick.verb("battery", id=10, level=42)
        await rig.until(lambda: value(10, "128-0-level") == 42, "battery")
        await stick.verb("button", id=3, value=True, endpoint=2)
        await rig.until(lambda: value(3, "37-2-currentValue") is True, "second socket on")
        await seen.node(3).async_poll_value("3-37-2-currentValue")
        assert (value(3, "37-1-currentValue"), value(3, "37-2-currentValue")) == (False, True)
        await stick.verb("empty", id=7)
        await rig.until(lambda: value(7, "49-0-Weight") < 1.3, "bin emptied")
        await stick.verb("fill", id=7, kg=30)
        await rig.until(lambda: value(7, "49-0-Weight") > 31, "bin filled")
        was = value(2, "50-0-value-65537")
        await stick.verb("wrong", id=2, by=1e9)
        await rig.until(lambda: value(2, "50-0-value-65537") > 9e8, "register jumped")
        await stick.verb("wrong", id=2, by=-1e9 - 100)
        await rig.until(lambda: value(2, "50-0-value-65537") < was, "register fell")
        await stick.verb("reset", id=2)
        await stick.verb("report", id=2)
        await rig.until(lambda: value(2, "50-0-value-65537") < 1, "register set back")
        await stick.verb("unit", id=5, type=23, scale=1)
        await rig.until(
            lambda: seen.node(5).values["5-49-0-Water temperature"].metadata.unit == "°F", "unit changed"
        )
        seen.values.clear()
        await stick.verb("extremes", id=7)
        await rig.until(lambda: len([v for v in seen.values if v[0] == 7]) >= 7, "extremes")
        assert {1.2345678, -2147483648, -1e-07} <= {v[4] for v in seen.values}
        for odd in ("unknown_cc", "nif", "battery_low"):
            await stick.verb(odd, id=2)
        await stick.verb("raw", id=2, cc=50, command=2, hex="21")
        assert await seen.node(2).async_ping()


async def test_a_parameter_changes_how_often_a_device_reports(tmp_path: Path, rig: Any) -> None:
    async with rig.network(tmp_path, devices="air:6", speed=1.0) as (stick, seen):
        await rig.ready(seen, 6)
        before = len(await stick.shown())
        name = next(v for v in seen.node(6).values if v.startswith("6-112-0-111"))
        await seen.node(6).async_set_value(name, 1)
        assert await stick.verb("parameters", id=6) == {"111": 1}
        await rig.until(
            lambda: len([v for v in seen.values if v[1] == SENSOR]) >= 12, "two rounds of reports"
        )
        assert len(await stick.shown(before)) >= 12


async def test_a_flood_arrives(tmp_path: Path, rig: Any) -> None:
    async with rig.network(tmp_path, devices="meter:2") as (stick, seen):
        await rig.ready(seen, 2)
        before = len(await stick.shown())
        seen.values.clear()
        await stick.verb("flood", id=2, count=1000, per_s=500)
        await rig.until(lambda: len(seen.values) >= 1000, "all 1000")
        assert len(await stick.shown(before)) >= 1000


async def test_pulses_are_counted_and_become_volumes(tmp_path: Path, rig: Any) -> None:
    options = {"devices": "gas:4,water:5,water_pulses:6", "speed": 1e-6}
    async with rig.network(tmp_path, **options) as (stick, seen):
        await rig.ready(seen, 4, 5, 6)
        values = ("4-50-0-value-131073", "4-50-0-value-131841", "5-50-0-value-196609", "6-50-0-value-197377")
        now = lambda: [seen.node(int(name[0])).values[name].value for name in values]  # noqa: E731
        for number in (4, 5, 6):
            await stick.verb("report", id=number)
        await rig.until(lambda: None not in now(), "all registers")
        before = now()
        for number in (4, 5, 6):
            await stick.verb("pulse", id=number, count=3)
        rose = lambda: [round(new - old, 6) for new, old in zip(now(), before, strict=True)]  # noqa: E731
        await rig.until(lambda: rose() == [0.03, 3, 0.003, 3], "three pulses each")


async def test_meter_in_a_scale_that_it_did_not_announce(tmp_path: Path, rig: Any) -> None:
    async with rig.network(tmp_path, devices="gas:4") as (stick, seen):
        await rig.ready(seen, 4)
        await stick.verb("unit", id=4, scale=1)
        shown = lambda records: {(r["key"], r["scale"]) for r in records if "scale" in r}  # noqa: E731
        await rig.recorded(stick, 0, lambda records: (0x20101, 1) in shown(records))
        assert await seen.node(4).async_ping()  # what came before its answer has been heard
        assert not [name for name in seen.node(4).values if name.startswith("4-50-0-value-131329")]
        with pytest.raises(ConfigError, match="nothing that has a scale 2"):
            await stick.verb("unit", id=4, scale=2)


async def test_alarms_of_motion_smoke_and_leak(tmp_path: Path, rig: Any) -> None:
    alarms = (
        (14, "motion", 7, 8, "Home Security-Motion sensor status"),
        (15, "smoke", 1, 2, "Smoke Alarm-Sensor status"),
        (16, "leak", 5, 2, "Water Alarm-Sensor status"),
    )
    devices = ",".join(f"{kind}:{number}" for number, kind, *_ in alarms)
    async with rig.network(tmp_path, devices=devices, speed=1.0) as (stick, seen):
        for number, _, kind, event, name in alarms:
            await stick.verb("wake", id=number)
            await rig.ready(seen, number)
            value = seen.node(number).values[f"{number}-113-0-{name}"]
            for happens in (event, 0):
                await stick.verb("notify", id=number, type=kind, event=happens)
                await rig.until(lambda value=value, what=happens: value.value == what, f"{name} {happens}")


async def test_what_a_hand_does_at_dimmer_and_thermostat(tmp_path: Path, rig: Any) -> None:
    async with rig.network(tmp_path, devices="dimmer:7,thermostat:9,thermostat_f:10") as (stick, seen):
        await rig.ready(seen, 7, 9, 10)
        before = len(await stick.shown())
        value = lambda number, name: seen.node(number).values[f"{number}-{name}"]  # noqa: E731
        await stick.verb("dim", id=7, value=33)
        await rig.until(lambda: value(7, "38-0-currentValue").value == 33, "dimmed")
        await stick.verb("operating", id=9, state=1)
        await rig.until(lambda: value(9, "66-0-state").value == 1, "heating")
        await stick.verb("setpoint", id=10, value=68.5)
        await rig.until(lambda: value(10, "67-0-setpoint-1").value == 68.5, "turned")
        told = value(10, "67-0-setpoint-1").metadata
        assert (told.unit, told.min, told.max) == ("°F", 41, 86)
        by_hand = [
            (r["node"], r["commandClass"], r["value"]) for r in await stick.shown(before) if not r["asked"]
        ]
        assert {(7, 38, 33), (9, 66, 1), (10, 67, 68.5)} <= set(by_hand)
