"""`meterkast evidence`: what it shows, that it notices a changed value, what it says where there is none."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from meterkast.model.evidence import OPENED, Evidence
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import Medium, ProductDescription, PropertyDescription
from meterkast.model.quantity import Quantity
from meterkast.model.time import DAY_MS, HALF_HOUR_MS, SECOND_MS, UtcMs
from meterkast.model.units import Unit
from meterkast.ports.store import Keep
from meterkast_drivers.p1.evidence import by_dsmr_parser, register_in
from meterkast_drivers.zwave.device import Early
from meterkast_drivers.zwave.evidence import evidence_of
from meterkast_drivers.zwave.value import ZwaveValue
from meterkast_rig.p1_meter import SimulatedMeter
from meterkast_rig.p1_telegram import Dialect

START = UtcMs(1_776_290_400_000)  # 2026-04-16T00:00 in Amsterdam
METER = SimulatedMeter(seed=3)
EDGE = UtcMs(START + HALF_HOUR_MS)
KEYS = {
    "1.8.0": "import_total",
    "2.8.0": "export_total",
    "1.8.1": "import_t1",
    "1.8.2": "import_t2",
    "2.8.1": "export_t1",
    "2.8.2": "export_t2",
}


@pytest.fixture
async def read(reading: Callable[..., Any]) -> Any:
    async with reading() as it:
        await it.read(METER, EDGE + 180 * SECOND_MS)
        yield it


@pytest.mark.parametrize(
    ("channel", "reference"),
    [
        ("electricity/import_t1", "1-0:1.8.1"),
        ("electricity/export_t2", "1-0:2.8.2"),
        ("gas/volume", "0-1:24.2.1"),
        ("water/volume", "0-2:24.2.1"),
        ("1/import_t1", "1-0:1.8.1"),
    ],
)
async def test_it_shows_telegram_times_line_and_that_both_readers_agree(
    read: Any, command: Any, channel: str, reference: str
) -> None:
    status, out, err = await command("evidence", "--channel", channel, "--at", "2026-04-16T00:30")
    assert (status, err) == (0, "")
    raw = read.sent[EDGE].rstrip().decode().replace("\r\n", "\n")
    assert raw in out
    assert "measured    2026-04-16T00:30:00.000+02:00" in out
    assert "arrived     2026-04-16T00:30:00.300+02:00" in out
    (line,) = [line for line in raw.splitlines() if line.startswith(reference)]
    assert f"from line   {line}" in out
    assert out.count(": the same") == 2
    digits = METER.registers(EDGE)[reference]
    assert f"value       {digits} {'L' if 'volume' in channel else 'Wh'}" in out


async def test_a_sum_of_tariffs_shows_both_lines(read: Any, command: Any) -> None:
    status, out, _ = await command(
        "evidence", "--channel", "electricity/import_total", "--at", "2026-04-16T00:10"
    )
    assert status == 0
    assert "from line   1-0:1.8.1(" in out
    assert "from line   1-0:1.8.2(" in out
    assert out.count(": the same") == 2


@pytest.mark.parametrize("at", ["2026-04-15T22:30Z", "2026-04-16T00:30+02:00", "2026-04-16T00:12:13"])
async def test_any_way_to_write_an_instant_of_the_half_hour(read: Any, command: Any, at: str) -> None:
    status, out, _ = await command("evidence", "--channel", "electricity/import_t1", "--at", at)
    assert status == 0
    assert "half-hour   until 2026-04-16T00:30:00.000+02:00" in out


async def test_one_changed_digit_in_the_half_hour_is_noticed(read: Any, command: Any) -> None:
    row = await read.row("electricity/import_t1", EDGE)
    assert row.value is not None
    changed = replace(row, value=Quantity(row.value.whole + 1, 0))
    await read.store.database.transact(
        lambda connection: connection.execute(
            "UPDATE half_hours SET whole = ?, crc = ? WHERE property_id = ? AND end_ms = ? AND length_ms = ?",
            (row.value.whole + 1, changed.crc() - (1 << 31), row.property_id, EDGE, HALF_HOUR_MS),
        )
    )
    status, out, _ = await command(
        "evidence", "--channel", "electricity/import_t1", "--at", "2026-04-16T00:30"
    )
    assert status == 2
    assert out.count("DIFFERENT") == 2


@pytest.mark.parametrize(
    ("channel", "at", "words"),
    [
        ("electricity/nothing", "2026-04-16T00:30", "has no nothing yet"),
        ("import_t1", "2026-04-16T00:30", "not <product>/<property>"),
        ("electricity/import_t1", "half past", "not a time"),
        ("electricity/import_t1", "2026-10-25T02:30", "twice or never"),
        ("electricity/import_t1", "2026-04-16T09:00", "is not closed yet"),
        ("electricity/import_t1", "2026-04-01T09:00", "there is none"),
        ("electricity/power_import", "2026-04-16T00:30", "is no register"),
    ],
)
async def test_what_cannot_be_shown_is_said_clearly(
    read: Any, command: Any, channel: str, at: str, words: str
) -> None:
    status, out, err = await command("evidence", "--channel", channel, "--at", at)
    assert (status, out) == (1, "")
    assert words in err


async def test_a_missing_half_hour_says_its_cause(read: Any, command: Any) -> None:
    await read.idle(3600)
    status, _, err = await command(
        "evidence", "--channel", "electricity/import_t1", "--at", "2026-04-16T01:30"
    )
    assert status == 1
    assert "nothing was measured: meter silent" in err


async def test_what_retention_took_and_what_was_never_captured_are_told_apart(
    read: Any, command: Any
) -> None:
    execute = read.store.database.transact
    ask = ("evidence", "--channel", "electricity/import_t1", "--at", "2026-04-16T00:30")
    await execute(lambda connection: connection.execute("DELETE FROM evidence"))
    status, _, err = await command(*ask)
    assert status == 1
    assert "none is kept yet" in err
    early = Evidence(properties=(), at_ms=START, arrived_ms=START, raw=b"/")
    await read.store.keep(Keep(now_ms=START, evidence=[early]))
    status, _, err = await command(*ask)
    assert "its telegram was not captured" in err
    await execute(lambda connection: connection.execute("UPDATE evidence SET id = ?", (EDGE + DAY_MS,)))
    status, _, err = await command(*ask)
    assert "not there any more" in err
    assert "13 months" in err


async def test_no_database_is_said(reading: Callable[..., Any], command: Any, tmp_path: Any) -> None:
    async with reading():
        pass
    (tmp_path / "meterkast.db").unlink()
    status, _, err = await command(
        "evidence", "--channel", "electricity/import_t1", "--at", "2026-04-16T00:30"
    )
    assert status == 1
    assert "is not there" in err


async def test_it_changes_nothing(read: Any, command: Any) -> None:
    with closing(sqlite3.connect(read.folder / "meterkast.db")) as database:
        before = database.execute("PRAGMA data_version").fetchone()
        await command("evidence", "--channel", "gas/volume", "--at", "2026-04-16T00:30")
        assert database.execute("PRAGMA data_version").fetchone() == before


@pytest.mark.parametrize("dialect", list(Dialect))
def test_every_dialect_is_read_alike_by_both_readers(dialect: Dialect) -> None:
    meter = SimulatedMeter(seed=5, dialect=dialect)
    at = UtcMs(START + 7 * 3600_000)
    raw, compared = meter.telegram(at).rstrip(), 0
    for reference, value in meter.registers(at).items():
        key = KEYS.get(reference.partition(":")[2])
        # A Swedish meter does not say its number: its product is known by its identification.
        own = "ELL5\\200000005_A" if dialect is Dialect.SE else meter.equipment_id(at)
        found = key and register_in(OPENED + raw, f"p1:{own}", key)
        if found:
            assert (found.value, found.references) == (Quantity(value, 0), (reference,))
            assert by_dsmr_parser(OPENED + raw, found) == value
            compared += 1
    assert compared == (2 if dialect is Dialect.SE else 4)


async def test_a_report_is_shown_and_read_again(reading: Callable[..., Any], command: Any) -> None:
    value = ZwaveValue(
        command_class=50,
        endpoint=0,
        property="value",
        property_key=65537,
        unit="kWh",
        type="number",
        cc_specific={"meterType": 1, "scale": 0, "rateType": 1},
    )
    event = {"commandClass": 50, "endpoint": 0, "property": "value", "propertyKey": 65537, "newValue": 12.345}
    raw = evidence_of(5, value, Early(value.id, 12.345, 0, event=event))
    assert json.loads(raw)["args"] == event
    async with reading() as it:
        _, known = await it.store.declare(
            ProductDescription(identity="zwave:00000001:5", name="Plug", medium=Medium.SUBMETER),
            [PropertyDescription(key="import_total", name="Energy", datatype=39, unit=Unit.WATT_HOUR)],
        )
        number = known["import_total"].id
        row = HalfHour(
            property_id=number, end_ms=EDGE, value=Quantity(12_345, 0), taken_ms=UtcMs(EDGE - 77), count=1
        )
        kept = Evidence(properties=(number,), at_ms=UtcMs(EDGE - 77), arrived_ms=UtcMs(EDGE - 77), raw=raw)
        await it.store.keep(Keep(now_ms=EDGE, half_hours=[row], evidence=[kept]))
        ask = ("evidence", "--channel", "Plug/import_total", "--at", "2026-04-16T00:30")
        status, out, _ = await command(*ask)
        assert (status, raw.decode() in out, "own reader  12345: the same" in out) == (0, True, True)
        other = replace(kept, raw=raw.replace(b"12.345", b"12.346"))
        await it.store.database.transact(lambda connection: connection.execute("DELETE FROM evidence"))
        await it.store.keep(Keep(now_ms=EDGE, evidence=[other]))
        status, out, _ = await command(*ask)
        assert (status, "own reader  12346: DIFFERENT" in out) == (2, True)
