"""`make bench` works where little is installed: a smoke test of its parts, without a word about figures."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from meterkast.model.time import UtcMs
from meterkast_rig.bench import __main__ as bench
from meterkast_rig.bench import disk_run, load, load_zwave, parse, parse_run
from meterkast_rig.bench.figure import Figure, written
from meterkast_rig.p1_telegram import Dialect
from meterkast_rig.stepped import SteppedClock

MINUTES = 32


@pytest.fixture
def no_valgrind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse.shutil, "which", lambda name: None)


def test_noise_changes_momentary_values_and_leaves_registers(tmp_path: Path) -> None:
    for dialect in (Dialect.DSMR5, Dialect.BE):
        meter = load.NoisyMeter(dialect=dialect)
        telegrams = [one for _, one in load.stream(meter, load.START_MS, 30)]
        assert load.changes(telegrams) > 5
        registers = meter.registers(load.START_MS)
        shown = f"1-0:1.8.1({registers['1-0:1.8.1'] / 1000:010.3f}*kWh)".encode()
        assert shown in telegrams[0]
        load.save(tmp_path / "it.bin", telegrams)
        assert load.read(tmp_path / "it.bin") == telegrams


async def test_stepped_clock_wakes_in_order() -> None:
    clock, woken = SteppedClock(UtcMs(0)), []

    async def wait(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    tasks = [asyncio.create_task(wait(seconds)) for seconds in (3, 1, 2)]
    await asyncio.sleep(0)
    clock.set(UtcMs(2_000))
    await asyncio.wait(tasks[1:])
    assert woken == [1, 2]
    clock.set(UtcMs(3_000))
    await tasks[0]
    assert clock.utc_of(clock.boot_ns()) == 3_000


async def test_half_an_hour_goes_to_disk_and_comes_back_whole(tmp_path: Path) -> None:
    result = await disk_run.ours(tmp_path, "", MINUTES * 60)
    assert result["different"] == 0
    assert result["samples"]
    assert result["delivered"]
    assert result["undelivered"] == 0
    assert result["bytes"] is None  # there is no device to count on


async def test_reports_of_fifty_devices_go_to_disk_beside_the_meter(tmp_path: Path) -> None:
    result = await disk_run.zwave(tmp_path, "", MINUTES * 60)
    assert result["different"] == 0
    reports, half_hours = result["reports"], result["half_hours"]
    assert reports is not None
    assert half_hours is not None
    assert 4.5 < reports / (MINUTES * 60) < 5.5
    assert half_hours > 150, "one for nearly every value of every device"
    assert result["delivered"], "the meter's words mean the meter, not one of fifty devices"


async def test_network_is_the_same_with_the_same_seed() -> None:
    def day(seed: int) -> list[object]:
        network = load_zwave.NoisyNetwork(seed)
        network._layouts = [[()] * 4 for _ in range(load_zwave.DEVICES)]
        return [one for second in range(20) for one in network.second(UtcMs(load.START_MS + second * 1000))]

    assert day(1) == day(1)
    assert day(1) != day(2)


async def test_a_lost_sample_is_noticed(tmp_path: Path) -> None:
    told = disk_run.Told()
    async with disk_run.opened(tmp_path / "meterkast.db", load.START_MS) as core:

        def emit(batch: object) -> None:
            told.note(batch, core.clock.now_ms())  # type: ignore[arg-type]
            if core.clock.now_ms() != load.START_MS + 5_000:
                core.gateway.intake.emit(batch)  # type: ignore[arg-type]

        for at_ms, telegram in load.stream(load.NoisyMeter(), UtcMs(load.START_MS + 1000), 10):
            core.clock.set(at_ms)
            await core.telegram(telegram, emit)
        await core.gateway.keeper.finish()
    assert await told.differences(tmp_path / "meterkast.db")


@pytest.mark.parametrize("side", sorted(parse_run.JOBS))
def test_every_side_of_parsing_reads_the_telegrams(side: str) -> None:
    for dialect in (Dialect.DSMR5, Dialect.BE):
        telegrams = [one for _, one in load.stream(load.NoisyMeter(dialect=dialect), load.START_MS, 3)]
        parse_run.JOBS[side](telegrams, str(dialect))


@pytest.mark.usefixtures("no_valgrind")
def test_what_cannot_be_measured_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "docs" / "benchmarks.md"
    assert bench.main(["parse", "--quick", "--output", str(page)]) == 0
    assert "valgrind is missing" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert "valgrind is missing" in text
    assert bench.interpreter() in text
    assert "$" not in text


def test_what_is_missed_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    figure = Figure("A figure")
    figure.at_most("too much", 3.0, 2.0, "ms")
    figure.at_least("enough", 30, 20, "×")
    module = SimpleNamespace(measure=None)

    async def measure(quick: bool) -> Figure:
        return figure

    module.measure = measure
    monkeypatch.setattr(bench.importlib, "import_module", lambda name: module)
    assert bench.main(["start", "--quick"]) == 0
    assert "missed: too much" in capsys.readouterr().out
    text = bench.page([figure], quick=False, passed_s=60)
    assert "| too much | 3 ms | ≤ 2 ms | **no** |" in text
    assert "| enough | 30× | ≥ 20× | yes |" in text
    assert "1 targets are missed" in text


def test_unknown_figure_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(["pars"])
    assert "no figure 'pars'" in capsys.readouterr().err


def test_numbers_are_written_with_the_digits_that_count() -> None:
    assert [written(number) for number in (0.1234, 1.234, 123.4, 1234.5, 7)] == [
        "0.123",
        "1.23",
        "123.4",
        "1,234",
        "7",
    ]
    assert written(3, "MB") == "3 MB"
