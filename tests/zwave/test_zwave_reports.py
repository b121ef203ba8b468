"""Value events to batches, with made-up events."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meterkast.model.reading import Batch
from meterkast_drivers.zwave import reports as module
from meterkast_drivers.zwave.device import EARLY_REPORTS
from meterkast_drivers.zwave.devices import Device, Devices
from meterkast_drivers.zwave.reports import Reports
from meterkast_drivers.zwave.settings import Settings


class Bench:
    """Devices, their reports, and what came out."""

    def __init__(self, shelf: Any, clock: Any) -> None:
        self.devices = Devices(Settings(stick="/dev/ttyACM0"), shelf, clock)
        self.heard: list[int] = []
        self.reports = Reports(self.devices, clock, self._heard)
        self.batches: list[Batch] = []
        self.reports.emit = self.batches.append

    def _heard(self, device: Device, seen_ns: int) -> None:
        self.heard.append(device.node)

    def values(self) -> list[float]:
        return [batch.values[0] / 10 ** batch.layout[0].decimals for batch in self.batches]


@pytest.fixture
async def bench(shelf: Any, still: Any, made: Any, tools: Any) -> Any:
    bench = Bench(shelf, still)
    bench.devices.attach(
        made.link(made.node(5, made.energy(1.5), made.temperature(20), made.weight(1)), made.node(6))
    )
    await tools.until(lambda: not bench.devices.get(5).unsettled, "settled")
    yield bench
    bench.devices.detach()


async def test_what_the_server_remembers_is_no_reading(bench: Any) -> None:
    assert bench.batches == []


async def test_each_report_is_a_reading_at_its_arrival(bench: Any, made: Any, still: Any) -> None:
    for _ in range(2):
        still.pass_s(10)
        bench.reports.take(5, made.event(made.energy(), 1.5))
    assert bench.values() == [1500, 1500]
    assert [batch.seen_ns for batch in bench.batches] == [still.ns - 10_000_000_000, still.ns]
    assert bench.batches[0].layout is bench.batches[1].layout
    assert bench.heard == [5, 5]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "no value"),
        (float("nan"), "not a number"),
        (float("inf"), "not a number"),
        ("12", "text where a number is expected"),
        ({"type": "Buffer", "data": [1]}, "not a value that is known"),
        ([1], "not a value that is known"),
        (1e30, "too large"),
    ],
)
async def test_what_is_no_number_is_counted_and_not_kept(
    bench: Any, made: Any, raw: object, reason: str
) -> None:
    bench.reports.take(5, made.event(made.energy(), raw))
    assert bench.batches == []
    assert bench.reports.counters[f"refused: {reason}"] == 1
    assert bench.devices.get(5).refused[reason] == 1
    view = next(one for one in bench.devices.value_views(5) if one.key == "import_total")
    assert reason in view.why
    bench.reports.take(5, made.event(made.energy(), 2))
    assert bench.values() == [2000]


@pytest.mark.parametrize("args", [{}, {"commandClass": 50}, {"property": 1, "commandClass": None}, None])
async def test_a_malformed_event_never_raises(bench: Any, made: Any, tools: Any, args: Any) -> None:
    bench.reports.take(5, args)
    bench.reports.take(77, args)
    bench.reports.take(5, made.event(made.energy(), 2))
    await tools.until(lambda: bench.values() == [2000], "the good one")


async def test_an_odd_report_is_counted_and_each_value_is_told_once(
    bench: Any, made: Any, tools: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("nobody takes it")

    with monkeypatch.context() as patch:
        patch.setattr(bench.reports, "emit", fail)
        for _ in range(3):
            bench.reports.take(5, made.event(made.energy(), 1))
            bench.reports.take(5, made.event(made.weight(), 1))
        bench.devices.schedule(5)
        bench.reports.take(5, made.event(made.temperature(), 20))  # waits until the device is declared
        await tools.until(lambda: not bench.devices.get(5).unsettled, "settled")
    assert bench.reports.counters["reports not understood"] == 7
    told = [record for record in caplog.records if record.getMessage() == "report not understood"]
    assert [(vars(one)["node"], vars(one)["value"]) for one in told] == [
        (5, "50-0-value-65537"),
        (5, "49-0-Weight"),
        (5, "49-0-Air temperature"),
    ]
    bench.reports.take(5, made.event(made.temperature(), 21))
    assert bench.values() == [21]


async def test_a_number_that_grows_too_large_for_its_decimals_is_refused(
    bench: Any, made: Any, tools: Any
) -> None:
    bench.reports.take(5, made.event(made.energy(), 0.0000001))
    await tools.until(lambda: not bench.devices.get(5).unsettled, "its decimals are known")
    bench.reports.take(5, made.event(made.energy(), 999_999_999_999))
    assert len(bench.batches) == 1
    assert bench.reports.counters["refused: too large"] == 1


async def test_more_reports_than_can_wait_are_counted(bench: Any, made: Any, tools: Any, shelf: Any) -> None:
    shelf.refusing = True
    bench.devices.schedule(5)
    for number in range(EARLY_REPORTS + 3):
        bench.reports.take(5, made.event(made.energy(), number))
    assert bench.reports.counters["reports dropped: their device is not stored yet"] == 3
    shelf.refusing = False
    await tools.until(lambda: not bench.devices.get(5).unsettled, "stored")
    assert bench.values()[0] == 3000, "the oldest three were dropped"


async def test_a_report_of_a_value_that_is_not_kept_waits_for_nothing(
    bench: Any, made: Any, tools: Any
) -> None:
    parameter = made.value(112, 3, None, 1)
    live = bench.devices.get(5).live
    live._update_values([value.data for value in live.values.values()] + [parameter])
    bench.devices.schedule(5)
    bench.reports.take(5, made.event(parameter, 2))
    await tools.until(lambda: not bench.devices.get(5).unsettled, "settled")
    assert bench.devices.get(5).asides["112-0-3"].why == "configuration parameter"
    assert bench.batches == []
    assert bench.heard == [5]


async def test_kinds_of_refusals_do_not_fill_the_memory(bench: Any, made: Any) -> None:
    for number in range(2 * module._REASONS):
        bench.reports._count(f"kind {number}")
    assert len(bench.reports.counters) == module._REASONS
    bench.reports._count("kind 0")
    assert bench.reports.counters["kind 0"] == 2


async def test_a_write_that_is_confirmed_after_its_device_was_removed_is_no_reading(
    bench: Any, made: Any
) -> None:
    echo = bench.devices.expect_echo(5, "50-0-value-65537")
    bench.reports.take(5, made.event(made.energy(), 2))
    await bench.devices.removed(bench.devices.get(5))
    echo.end(confirmed=True)
    assert bench.batches == []


async def test_a_write_to_reset_is_no_reading(bench: Any, made: Any, tools: Any) -> None:
    reset = made.value(50, "reset", None, None, type="boolean", readable=False, writeable=True)
    live = bench.devices.get(5).live
    live._update_values([value.data for value in live.values.values()] + [reset])
    bench.devices.schedule(5)
    await tools.until(lambda: "50-0-reset" in bench.devices.get(5).properties, "known")
    await tools.until(lambda: not bench.devices.get(5).unsettled, "settled")
    bench.reports.take(5, made.event(reset, True))
    assert bench.batches == []
    assert not any(what.startswith("refused") for what in bench.reports.counters)


async def test_decimals_grow_and_stay(bench: Any, made: Any, tools: Any) -> None:
    sensor = made.temperature()
    bench.reports.take(5, made.event(sensor, 20))
    bench.reports.take(5, made.event(sensor, 20.25))
    await tools.until(lambda: not bench.devices.get(5).unsettled, "declared again")
    bench.reports.take(5, made.event(sensor, 21))
    assert [batch.layout[0].decimals for batch in bench.batches] == [0, 2, 2]
    assert bench.values() == [20, 20.25, 21]
    mapped = bench.devices.get(5).properties["49-0-Air temperature"]
    assert mapped.property.description.decimals == 2
    assert bench.batches[1].layout is bench.batches[2].layout


async def test_a_report_before_its_value_has_an_id_is_not_lost(
    bench: Any, made: Any, tools: Any, still: Any
) -> None:
    live = bench.devices.get(5).live
    humidity = made.value(49, "Humidity", None, 40, ccSpecific={"sensorType": 5, "scale": 0}, unit="%")
    live._update_values([value.data for value in live.values.values()] + [humidity])
    bench.reports.take(5, made.event(humidity, 41))
    bench.reports.take(5, made.event(made.energy(), 3))
    seen_ns = still.ns
    still.pass_s(5)
    assert bench.batches == []
    await tools.until(lambda: len(bench.batches) == 2, "both reports")
    assert bench.values() == [41, 3000]
    assert {batch.seen_ns for batch in bench.batches} == {seen_ns}


async def test_a_report_in_a_unit_that_changed_before_it_was_kept_is_refused(
    bench: Bench, made: Any, tools: Any
) -> None:
    live = bench.devices.get(5).live
    bench.devices.schedule(5)
    bench.reports.take(5, made.event(made.temperature(), 20))
    live._update_values([made.energy(), made.temperature(68, "°F"), made.weight()])
    bench.reports.take(5, made.event(made.temperature(), 68))
    await tools.until(lambda: bench.batches, "settled")
    assert bench.values() == [20]
    assert bench.batches[0].layout[0].property_id == _id(bench, "temperature")
    assert bench.reports.counters["refused: its unit changed meanwhile"] == 1
    assert bench.reports.counters["reports"] == 1


async def test_a_report_of_a_value_that_is_never_described_does_not_go_round(
    bench: Any, made: Any, tools: Any, shelf: Any
) -> None:
    strange = made.value(240, "strange")
    bench.reports.take(5, made.event(strange, 1))
    await tools.until(lambda: "240-0-strange" in bench.devices.get(5).asides, "put aside")
    declared = shelf.declared
    bench.reports.take(5, made.event(strange, 2))
    assert not bench.devices.get(5).unsettled
    assert shelf.declared == declared


async def test_a_flood_keeps_the_newest_and_a_weights_peak(bench: Any, made: Any, tools: Any) -> None:
    bench.reports.take(5, made.event(made.weight(), 0.1))
    await tools.until(lambda: not bench.devices.get(5).unsettled, "its decimals are known")
    await asyncio.sleep(module.WINDOW_S)
    bench.batches.clear()
    for number in range(100):
        bench.reports.take(5, made.event(made.weight(), 50 if number == 70 else number / 10))
        bench.reports.take(5, made.event(made.energy(), number))
    await tools.until(lambda: len(bench.batches) == 2 * module.BURST + 3, "the end of the second")
    weights = [batch for batch in bench.batches if batch.layout[0].property_id == _id(bench, "weight")]
    totals = [batch for batch in bench.batches if batch.layout[0].property_id == _id(bench, "import_total")]
    assert [_number(one) for one in weights[-2:]] == [50, 9.9]
    assert [_number(one) for one in totals[-2:]] == [4000, 99_000]
    bench.reports.take(5, made.event(made.energy(), 100))
    assert _number(bench.batches[-1]) == 100_000


async def test_a_write_that_nobody_ended_hides_nothing_for_ever(
    bench: Any, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from meterkast_drivers.zwave import echo

    bench.devices.expect_echo(5, "50-0-value-65537")
    bench.reports.take(5, made.event(made.energy(), 1))
    assert bench.batches == []
    monkeypatch.setattr(echo, "LONGEST_S", -1.0)
    bench.reports.take(5, made.event(made.energy(), 2))
    assert bench.values() == [2000]


def _id(bench: Any, key: str) -> int:
    return next(
        mapped.property.id
        for mapped in bench.devices.get(5).properties.values()
        if mapped.property.key == key
    )


def _number(batch: Batch) -> float:
    return batch.values[0] / 10 ** batch.layout[0].decimals
