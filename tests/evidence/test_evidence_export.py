"""`meterkast export`: what is kept, as CSV, exactly; while the gateway writes; harmless in a spreadsheet."""

from __future__ import annotations

import asyncio
import csv
import io
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from meterkast.cli import main
from meterkast.cli.table import harmless
from meterkast.model.epoch import Break, Epoch
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import Medium, ProductDescription, PropertyDescription
from meterkast.model.quantity import Quantity
from meterkast.model.reading import Column, Frames
from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, SECOND_MS, UtcMs
from meterkast.model.units import Unit
from meterkast.ports.store import Keep
from meterkast_rig.p1_meter import SimulatedMeter

START = UtcMs(1_776_290_400_000)  # 2026-04-16T00:00 in Amsterdam
METER = SimulatedMeter(seed=3)
SPAN = ("--from", "2026-04-16", "--to", "2026-04-16T02:00")


def parsed(out: str) -> list[dict[str, str]]:
    assert out.count("\r\n") == out.count("\n")  # RFC 4180
    return list(csv.DictReader(io.StringIO(out, newline="")))


@pytest.fixture
async def read(reading: Callable[..., Any]) -> Any:
    async with reading() as it:
        await it.read(METER, START + 4 * HALF_HOUR_MS + 120 * SECOND_MS, every_s=5)
        yield it


async def exported(command: Any, *words: str) -> list[dict[str, str]]:
    status, out, err = await command("export", *words)
    assert (status, err) == (0, "")
    return parsed(out)


async def test_half_hours_are_as_the_meter_showed_them(read: Any, command: Any) -> None:
    rows = await exported(command, *SPAN, "--product", "electricity")
    mine = [row for row in rows if row["property"] == "import_t1"]
    assert [row["end"] for row in mine] == [
        f"2026-04-16T{hour}:00.000+02:00" for hour in ("00:30", "01:00", "01:30", "02:00")
    ]
    for row in mine:
        end_ms = int(row["end_utc [ms]"])
        assert int(row["value"]) == METER.registers(UtcMs(end_ms))["1-0:1.8.1"]
        assert (row["unit"], row["state"], row["cause"], row["revision"], row["epoch"]) == (
            "Wh", "measured", "", "0", "0",
        )  # fmt: skip
        assert row["taken_utc [ms]"] == row["end_utc [ms]"]
    assert {row["product"] for row in rows} == {"Electricity meter"}


async def test_samples_come_out_as_they_were_read(read: Any, command: Any) -> None:
    rows = await exported(command, *SPAN, "--what", "samples")
    kept = {
        (int(row["measured_utc [ms]"]), row["identity"], row["property"]): Decimal(row["value"])
        for row in rows
    }
    assert len(kept) == len(rows)
    products = {one.id: one.description.identity for one in await read.store.products()}
    names = {one.id: (products[one.product_id], one.key) for one in await read.store.properties()}
    compared = 0
    for batch in read.batches:
        if START < batch.device_ms <= START + 4 * HALF_HOUR_MS:
            for column, whole in zip(batch.layout, batch.values, strict=True):
                key = (batch.device_ms, *names[column.property_id])
                assert kept[key] == Quantity(whole, column.decimals).decimal()
                compared += 1
    assert compared == len(rows) > 10_000
    voltage = next(row["value"] for row in rows if row["property"] == "voltage_l1")
    assert len(voltage.partition(".")[2]) == 1  # every digit of the meter's, and no other


async def test_energy_entries_add_up_to_the_registers_difference(read: Any, command: Any) -> None:
    rows = await exported(command, *SPAN, "--what", "energy-entries")
    mine = [row for row in rows if row["property"] == "import_t1"]
    assert [row["start"][11:16] for row in mine] == [
        "00:00", "00:15", "00:30", "00:45", "01:00", "01:15", "01:30", "01:45"
    ]  # fmt: skip
    assert mine[0]["value"] == ""  # no half-hour was closed before it
    total = sum(Decimal(row["value"]) for row in mine[2:])
    shown = METER.registers(UtcMs(START + 4 * HALF_HOUR_MS)), METER.registers(UtcMs(START + HALF_HOUR_MS))
    assert total * 1000 == shown[0]["1-0:1.8.1"] - shown[1]["1-0:1.8.1"]
    assert {row["interpolated"] for row in mine[2:]} == {"no"}
    # Every quarter of an hour is there as it was read, not only as the half of a half-hour.
    for row in mine[2:]:
        at = int(row["start_utc [ms]"])
        rise = METER.registers(UtcMs(at + 900_000))["1-0:1.8.1"] - METER.registers(UtcMs(at))["1-0:1.8.1"]
        assert Decimal(row["value"]) * 1000 == rise
    assert {row["unit"] for row in rows} == {"kWh", "m3"}
    assert {row["datatype"] for row in rows} == {"39", "50", "51", "52"}


async def test_where_samples_are_gone_half_hours_are_enough(read: Any, command: Any) -> None:
    await read.store.database.transact(lambda connection: connection.execute("DELETE FROM blocks"))
    rows = await exported(command, *SPAN, "--what", "energy-entries", "--product", "electricity")
    mine = [row for row in rows if row["property"] == "import_t1"][2:]
    assert {row["interpolated"] for row in mine} == {"yes"}
    shown = METER.registers(UtcMs(START + 4 * HALF_HOUR_MS)), METER.registers(UtcMs(START + HALF_HOUR_MS))
    assert sum(Decimal(row["value"]) for row in mine) * 1000 == shown[0]["1-0:1.8.1"] - shown[1]["1-0:1.8.1"]


async def test_an_outlier_among_the_samples_is_corrected(read: Any, command: Any) -> None:
    _, prop = await read.prop("electricity/import_t1")
    wrong = Frames((Column(prop.id, 0),), [UtcMs(START + HALF_HOUR_MS + 900_000)], [(0,)])
    before = await exported(command, *SPAN, "--what", "energy-entries")
    await read.store.keep(Keep(now_ms=read.clock.now_ms(), frames=[wrong]))
    assert await exported(command, *SPAN, "--what", "energy-entries") == before


async def test_an_epoch_that_begins_between_two_half_hours_is_not_crossed(read: Any, command: Any) -> None:
    _, prop = await read.prop("electricity/import_t1")
    begun = [
        Epoch(property_id=prop.id, number=number, kind=kind, at_ms=UtcMs(at_ms), first=Quantity(0))
        for number, kind, at_ms in ((0, Break.FIRST, START), (1, Break.RESET, START + HOUR_MS + 60_000))
    ]
    await read.store.keep(Keep(now_ms=read.clock.now_ms(), epochs=begun))
    for number in (3, 4):
        row = await read.row("electricity/import_t1", START + number * HALF_HOUR_MS)
        newer = replace(row, epoch=1, revision=1)
        await read.store.keep(Keep(now_ms=read.clock.now_ms(), half_hours=[newer]))
    rows = await exported(command, *SPAN, "--what", "energy-entries")
    mine = {row["start"][11:16]: row["value"] for row in rows if row["property"] == "import_t1"}
    assert [at for at, value in mine.items() if not value] == ["00:00", "00:15", "01:00", "01:15"]


async def test_names_that_a_spreadsheet_would_calculate_are_harmless(read: Any, command: Any) -> None:
    product, _ = await read.prop("gas/volume")
    await read.store.rename_product(product.id, '=HYPERLINK("http://x","Gas, ""hot""")')
    rows = await exported(command, *SPAN, "--product", str(product.id))
    assert {row["product"] for row in rows} == {'\'=HYPERLINK("http://x","Gas, ""hot""")'}


@pytest.mark.parametrize("name", ["=1", "+1", "-1", "@A1", "\t=1", "\r=1", "\n=1"])
def test_each_beginning_of_a_formula(name: str) -> None:
    assert harmless(name) == "'" + name
    assert harmless("Meter " + name) == "Meter " + name


async def test_a_negative_number_stays_a_number(reading: Callable[..., Any], command: Any) -> None:
    async with reading() as it:
        _, known = await it.store.declare(
            ProductDescription(identity="p1:x", name="Outside", medium=Medium.SENSOR),
            [PropertyDescription(key="t", name="T", datatype=12, unit=Unit.CELSIUS, decimals=2)],
        )
        number = known["t"].id
        half_hour = HalfHour(
            property_id=number, end_ms=UtcMs(START + HALF_HOUR_MS), value=Quantity(-5, 2), count=1
        )
        frames = Frames((Column(number, 2),), [UtcMs(START + 1), UtcMs(START + 2)], [(-5,), (-12345,)])
        await it.store.keep(Keep(now_ms=START, half_hours=[half_hour], frames=[frames]))
        assert [row["value"] for row in await exported(command, *SPAN)] == ["-0.05"]
        rows = await exported(command, *SPAN, "--what", "samples")
        assert [row["value"] for row in rows] == ["-0.05", "-123.45"]


async def test_a_file_is_there_only_when_it_is_whole(read: Any, command: Any, tmp_path: Any) -> None:
    file = tmp_path / "out.csv"
    status, out, _ = await command("export", *SPAN, "--output", str(file))
    assert (status, out) == (0, "")
    assert file.read_bytes().startswith(b"end,end_utc [ms],product")
    status, _, err = await command("export", *SPAN, "--output", str(tmp_path / "no" / "out.csv"))
    assert status == 1
    assert "No such file" in err
    before = file.read_bytes()
    status, _, err = await command("export", *SPAN, "--output", str(file), "--product", "nobody")
    assert (status, file.read_bytes()) == (1, before)
    assert "no such product" in err
    assert list(tmp_path.glob("*.part")) == []


async def test_a_damaged_row_is_left_out_and_told(read: Any, command: Any) -> None:
    row = await read.row("electricity/import_t1", START + HALF_HOUR_MS)
    await read.store.database.transact(
        lambda connection: connection.execute(
            "UPDATE half_hours SET whole = whole + 1 WHERE property_id = ? AND end_ms = ?",
            (row.property_id, row.end_ms),
        )
    )
    status, out, err = await command("export", *SPAN)
    assert status == 2
    assert "left out, damaged: property" in err
    assert len([one for one in parsed(out) if one["property"] == "import_t1"]) == 3
    # Three days come near enough to ask for it.
    span = "--from", "2026-04-15", "--to", "2026-04-18"
    status, _, err = await command("export", "--what", "energy-entries", *span)
    assert (status, err.count("left out, damaged")) == (2, 1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--from", "2026-04-16", "--to", "2026-04-16"), "is not after"),
        (("--from", "yesterday", "--to", "2026-04-16"), "not a time"),
    ],
)
async def test_what_cannot_be_is_said(read: Any, command: Any, words: tuple[str, ...], told: str) -> None:
    status, _, err = await command("export", *words)
    assert status == 1
    assert told in err


@pytest.mark.parametrize("what", ["samples", "half-hours", "energy-entries"])
async def test_memory_does_not_grow_with_the_span(
    reading: Callable[..., Any], command: Any, tmp_path: Any, what: str
) -> None:
    async with reading() as it:
        _, known = await it.store.declare(
            ProductDescription(identity="p1:x", name="M", medium=Medium.ELECTRICITY),
            [PropertyDescription(key="e", name="E", datatype=39, unit=Unit.WATT_HOUR)],
        )
        number = known["e"].id
        for step in range(6 * 48):
            end = UtcMs(START + (step + 1) * HALF_HOUR_MS)
            times = [UtcMs(end - 1_799_000 + n * 10_000) for n in range(180)]
            frames = Frames((Column(number, 0),), times, [(step * 180 + n,) for n in range(180)])
            closed = HalfHour(
                property_id=number,
                end_ms=end,
                value=Quantity(step * 180 + 179),
                count=180,
                taken_ms=times[-1],
            )
            await it.store.keep(Keep(now_ms=end, frames=[frames], half_hours=[closed]))
        peaks = {}
        for days in (2, 6):
            until = f"2026-04-{16 + days}"
            given = ["export", "--config", str(tmp_path / "meterkast.toml"), "--what", what]
            given += ["--from", "2026-04-16", "--to", until, "--output", str(tmp_path / "out.csv")]
            await asyncio.to_thread(main, given)
            tracemalloc.start()
            await asyncio.to_thread(main, given)
            peaks[days] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert (tmp_path / "out.csv").stat().st_size > 6 * 48 * 50
        assert peaks[6] < 1.5 * peaks[2] + 100_000, peaks
