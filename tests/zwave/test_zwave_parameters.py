"""Configuration parameters that the settings ask for, with made-up nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from meterkast.model.errors import RefusedError
from meterkast_drivers.zwave.devices import Devices
from meterkast_drivers.zwave.parameters import Parameters
from meterkast_drivers.zwave.settings import NodeSettings, Settings

ASLEEP, AWAKE = 1, 2
SETTINGS = Settings(stick="/dev/x", nodes={"5": NodeSettings(parameters={"111": 300, "112": 5, "113": 999})})


def configured(made: Any, number: int = 5, **data: Any) -> Any:
    values = [
        made.value(112, 111, None, 900, writeable=True, min=30, max=3600),
        made.value(112, 112, None, 5, writeable=True, min=0, max=10),
        made.value(112, 113, None, 0, writeable=True, min=0, max=10),
    ]
    return made.node(number, made.energy(), *values, **data)


class Bench:
    def __init__(self, shelf: Any, clock: Any) -> None:
        self.devices = Devices(SETTINGS, shelf, clock)
        self.parameters = Parameters(self.devices, SETTINGS)
        self.task: asyncio.Task[None] | None = None

    def connect(self, link: Any) -> None:
        link.answer = SimpleNamespace(status=255)
        self.devices.attach(link)
        self.task = asyncio.create_task(self.parameters.run(link))

    def detail(self) -> str:
        return self.devices.views()[0].detail


@pytest.fixture
async def bench(shelf: Any, still: Any) -> AsyncIterator[Bench]:
    bench = Bench(shelf, still)
    yield bench
    if bench.task is not None:
        bench.task.cancel()
        await asyncio.gather(bench.task, return_exceptions=True)
    bench.devices.detach()


async def test_what_differs_is_set_and_what_cannot_be_is_told(bench: Bench, made: Any, tools: Any) -> None:
    link = made.link(configured(made))
    bench.connect(link)
    bench.parameters.ready(5)
    await tools.until(lambda: bench.parameters.counters["parameters not set"], "all were looked at")
    assert link.asked == ["setting parameter 111 of node 5"]
    assert bench.parameters.counters["parameters set"] == 1
    assert bench.detail() == "Parameter 113 was not set to 999: the device takes 0 to 10."


async def test_a_device_that_refuses_is_told(bench: Bench, made: Any, tools: Any) -> None:
    link = made.link(configured(made))
    bench.connect(link)
    link.answer = RefusedError("Node 5 did not answer", hint="")
    bench.parameters.ready(5)
    await tools.until(lambda: bench.parameters.counters["parameters not set"] == 2, "told")
    assert "Parameter 111 was not set to 300: Node 5 did not answer; Parameter 113" in bench.detail()


async def test_a_sleeping_device_is_set_when_it_wakes_up(bench: Bench, made: Any, tools: Any) -> None:
    link = made.link(configured(made, isListening=False, status=ASLEEP))
    bench.connect(link)
    bench.parameters.ready(5)
    await asyncio.sleep(0.1)
    assert link.asked == []
    device = bench.devices.get(5)
    assert device is not None
    assert device.live is not None
    device.live.data["status"] = AWAKE
    bench.parameters.awake(5)
    await tools.until(lambda: link.asked, "set after the wake-up")


async def test_who_has_no_parameters_in_the_settings_is_left_alone(
    bench: Bench, made: Any, tools: Any
) -> None:
    link = made.link(configured(made, 6))
    bench.connect(link)
    bench.parameters.ready(6)
    await asyncio.sleep(0.1)
    assert link.asked == []


async def test_one_that_is_not_described_is_set_once_for_each_device(
    bench: Bench, made: Any, tools: Any
) -> None:
    link = made.link(made.node(5, made.energy()))
    bench.connect(link)
    bench.parameters.ready(5)
    await tools.until(lambda: bench.parameters.counters["parameters set"] == 3, "set")
    bench.parameters.ready(5)  # the connection was lost, and is back
    await asyncio.sleep(0.1)
    assert len(link.asked) == 3
    bench.parameters.added(5)
    bench.parameters.ready(5)
    await tools.until(lambda: len(link.asked) == 6, "the new device's are set")
