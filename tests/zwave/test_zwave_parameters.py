"""Configuration parameters that the settings ask for, with made-up nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from meterkast.model.errors import LinkLostError, RefusedError
from meterkast_drivers.zwave.devices import Devices
from meterkast_drivers.zwave.parameters import Parameters
from meterkast_drivers.zwave.settings import NodeSettings, Settings

ASLEEP, AWAKE = 1, 2
FAIL = 2
"""SetValueStatus of zwave-js."""
SETTINGS = Settings(
    stick="/dev/x",
    nodes={
        "5": NodeSettings(parameters={"111": 300, "112": 5, "113": 999}),
        "6": NodeSettings(parameters={"111": 60}),
    },
)


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
    link = made.link(configured(made, isListening=False, status=ASLEEP), configured(made, 6))
    bench.connect(link)
    bench.parameters.ready(5)
    bench.parameters.ready(6)  # looked at after 5
    await tools.until(lambda: bench.parameters.counters["parameters set"], "6 is set")
    assert link.asked == ["setting parameter 111 of node 6"]
    device = bench.devices.get(5)
    assert device is not None
    assert device.live is not None
    device.live.data["status"] = AWAKE
    bench.parameters.awake(5)
    await tools.until(lambda: "setting parameter 111 of node 5" in link.asked, "set after the wake-up")


async def test_who_has_no_parameters_in_the_settings_is_left_alone(
    bench: Bench, made: Any, tools: Any
) -> None:
    link = made.link(configured(made, 4), configured(made, 6))
    bench.connect(link)
    bench.parameters.ready(4)
    bench.parameters.awake(4)
    bench.parameters.ready(6)  # looked at after 4
    await tools.until(lambda: bench.parameters.counters["parameters set"], "6 is set")
    assert link.asked == ["setting parameter 111 of node 6"]


async def test_one_that_is_not_described_is_set_once_for_each_device(
    bench: Bench, made: Any, tools: Any
) -> None:
    link = made.link(made.node(5, made.energy()), configured(made, 6))
    bench.connect(link)
    bench.parameters.ready(5)
    await tools.until(lambda: bench.parameters.counters["parameters set"] == 3, "set")
    bench.parameters.ready(5)  # the connection was lost, and is back
    bench.parameters.ready(6)  # looked at after 5
    await tools.until(lambda: bench.parameters.counters["parameters set"] == 4, "6 is set")
    assert link.asked[3:] == ["setting parameter 111 of node 6"]
    bench.parameters.added(5)
    bench.parameters.ready(5)
    await tools.until(lambda: bench.parameters.counters["parameters set"] == 7, "the new device's are set")


async def test_odd_limits_of_one_parameter_cost_no_other(
    bench: Bench, made: Any, tools: Any, caplog: pytest.LogCaptureFixture
) -> None:
    odd = made.value(112, 111, None, 900, writeable=True, min="low", max={})
    good = made.value(112, 113, None, 0, writeable=True)
    link = made.link(made.node(5, made.energy(), odd, made.value(112, 112, None, 5), good))
    bench.connect(link)
    bench.parameters.ready(5)
    await tools.until(lambda: bench.parameters.counters["parameters set"], "the last one is set")
    assert link.asked == ["setting parameter 113 of node 5"]
    assert "Parameter 111 was not set to 300" in bench.detail()
    [told] = [record for record in caplog.records if record.exc_info]
    assert (vars(told)["node"], vars(told)["parameter"]) == (5, "111")


async def test_what_the_device_answers_no_to_is_told(bench: Bench, made: Any, tools: Any) -> None:
    link = made.link(configured(made))
    bench.connect(link)
    link.answer = SimpleNamespace(status=FAIL)
    bench.parameters.ready(5)
    await tools.until(lambda: bench.parameters.counters["parameters not set"] == 2, "told")
    assert "Parameter 111 was not set to 300: the device refused" in bench.detail()
    assert bench.parameters.counters["parameters set"] == 0


async def test_a_device_that_is_removed_or_interviewed_again_waits(
    bench: Bench, made: Any, tools: Any
) -> None:
    link = made.link(configured(made, ready=False), configured(made, 6))
    bench.connect(link)
    for node in (5, 6):
        bench.parameters.ready(node)
    await tools.until(lambda: bench.parameters.counters["parameters set"], "6 is set")
    assert link.asked == ["setting parameter 111 of node 6"]
    bench.parameters.awake(5)  # nothing waits for that
    device = bench.devices.get(5)
    assert device is not None
    assert device.live is not None
    device.live.data["ready"] = True
    bench.parameters.ready(5)
    await tools.until(lambda: bench.parameters.counters["parameters set"] == 2, "set once it is ready")


async def test_a_lost_connection_ends_it(bench: Bench, made: Any) -> None:
    link = made.link(configured(made))
    bench.connect(link)
    link.answer = LinkLostError("gone", hint="")
    bench.parameters.ready(5)
    assert bench.task is not None
    with pytest.raises(LinkLostError, match="gone"):
        await bench.task
