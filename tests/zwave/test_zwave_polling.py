"""Which value is asked for next, and which never."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meterkast.model.errors import RefusedError
from meterkast_drivers.zwave import polling as module
from meterkast_drivers.zwave.devices import Device, Devices
from meterkast_drivers.zwave.polling import Polling
from meterkast_drivers.zwave.settings import NodeSettings, Settings

SWITCH = "37-0-currentValue"


class Bench:
    def __init__(self, shelf: Any, clock: Any, settings: Settings) -> None:
        self.clock = clock
        self.devices = Devices(settings, shelf, clock)
        self.polling = Polling(self.devices, settings, clock)

    async def connect(self, link: Any) -> None:
        self.devices.attach(link)
        for device in self.devices.all():
            await self.devices.refresh(device.node)
            device.unsettled = False

    def next(self) -> tuple[int, str] | None:
        found = self.polling.next(0.0)
        return None if found is None else (found[0].node, found[1].property.key)

    def report(self, device: Device | None, *value_ids: str) -> None:
        assert device is not None
        for value_id in value_ids or tuple(device.properties):
            mapped = device.properties[value_id]
            mapped.heard, mapped.seen_ns = True, self.clock.boot_ns()


@pytest.fixture
def bench(shelf: Any, still: Any) -> Bench:
    return Bench(shelf, still, Settings(stick="/dev/ttyACM0", report_s=600))


def plug(made: Any, number: int, **data: Any) -> Any:
    switch = made.value(37, "currentValue", None, False, type="boolean", label="Current value")
    target = made.value(37, "targetValue", None, False, type="boolean", writeable=True)
    return made.node(number, switch, target, made.temperature(), made.energy(), **data)


async def test_registers_are_asked_for_first_and_states_last(bench: Bench, made: Any) -> None:
    await bench.connect(made.link(plug(made, 5)))
    order = []
    while (found := bench.polling.next(0.0)) is not None:
        order.append(found[1].property.key)
        found[1].polled_ns = bench.clock.boot_ns()
    assert order == ["import_total", "temperature", "switch"]
    bench.devices.detach()


async def test_who_reports_by_itself_is_left_alone(bench: Bench, made: Any, still: Any) -> None:
    await bench.connect(made.link(plug(made, 5)))
    device = bench.devices.get(5)
    bench.report(device)
    for _ in range(20):
        still.pass_s(600)
        assert bench.next() is None
        bench.report(device, "50-0-value-65537", "49-0-Air temperature")
    still.pass_s(700)
    bench.report(device, "50-0-value-65537")
    assert bench.next() == (5, "temperature")
    bench.devices.detach()


async def test_a_state_is_asked_for_twice_a_day(bench: Bench, made: Any, still: Any) -> None:
    await bench.connect(made.link(plug(made, 5)))
    device = bench.devices.get(5)
    bench.report(device)
    still.pass_s(13 * 3600)
    bench.report(device, "50-0-value-65537", "49-0-Air temperature")
    assert bench.next() is None
    still.pass_s(0.5 * 3600)
    bench.report(device, "50-0-value-65537", "49-0-Air temperature")
    assert bench.next() == (5, "switch")
    bench.devices.detach()


@pytest.mark.parametrize(
    "data", [{"status": 3}, {"ready": False}, {"isListening": False, "status": 2}], ids=str
)
async def test_who_cannot_answer_is_not_asked(bench: Bench, made: Any, data: dict[str, Any]) -> None:
    await bench.connect(made.link(plug(made, 5, **data)))
    assert bench.next() is None
    bench.devices.detach()


async def test_a_device_that_is_woken_by_a_beam_is_asked(bench: Bench, made: Any) -> None:
    await bench.connect(made.link(plug(made, 5, isListening=False, isFrequentListening="1000ms")))
    assert bench.next() == (5, "import_total")
    bench.devices.detach()


async def test_asking_can_be_switched_off(shelf: Any, still: Any, made: Any) -> None:
    bench = Bench(
        shelf, still, Settings(stick="/dev/ttyACM0", poll=False, nodes={"6": NodeSettings(poll=True)})
    )
    await bench.connect(made.link(plug(made, 5), plug(made, 6)))
    assert bench.next() == (6, "import_total")
    bench.devices.detach()


async def test_who_does_not_answer_is_left_alone_for_longer_and_longer(bench: Bench, made: Any) -> None:
    link = made.link(plug(made, 5))
    await bench.connect(link)
    link.answer = RefusedError("no answer", hint="")
    found = bench.polling.next(0.0)
    assert found is not None
    now_s = asyncio.get_running_loop().time()
    await bench.polling._ask(link, *found)
    assert bench.polling.next(now_s) is None
    assert bench.polling.next(now_s + module.BACKOFF_S + 1) is not None
    await bench.polling._ask(link, *found)
    assert bench.polling.next(now_s + module.BACKOFF_S + 1) is None
    assert bench.polling.counters["values asked for in vain"] == 2
    bench.devices.detach()


async def test_one_at_a_time_and_none_during_a_job(
    bench: Bench, made: Any, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "APART_S", 0.01)
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    link = made.link(plug(made, 5))
    await bench.connect(link)
    bench.devices.pause()
    task = asyncio.create_task(bench.polling.run(link))
    await asyncio.sleep(0.1)
    assert link.asked == []
    bench.devices.resume()
    await tools.until(lambda: len(link.asked) == 3, "each value once")
    await asyncio.sleep(0.1)
    assert len(link.asked) == 3
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    bench.devices.detach()
