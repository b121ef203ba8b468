"""Values for devices that sleep, count in °F or do not obey, on the simulated stick."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from meterkast.clock import SystemClock
from meterkast.model.errors import RefusedError
from meterkast.model.time import DAY_MS, UtcMs
from meterkast.network import PendingView, WriteRequest
from meterkast_buffer.store import open_store

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

VALVE, PLUG, DIMMER, AMERICAN = 12, 13, 14, 15
DEVICES = f"valve:{VALVE},plug:{PLUG},dimmer:{DIMMER},thermostat_f:{AMERICAN}"
SETPOINT = 67
ASLEEP = 1


class Clock(SystemClock):
    """A clock whose days can pass."""

    passed_ms = 0

    def now_ms(self) -> UtcMs:
        return UtcMs(super().now_ms() + self.passed_ms)


@dataclass
class House:
    """A gateway and its devices."""

    stick: Any
    running: Any
    tools: Any
    clock: Clock

    @property
    def network(self) -> Any:
        return self.running.driver.network

    async def write(self, node: int, key: str, text: str) -> PendingView:
        device = self.running.driver.devices.get(node)
        found = next(one.property.id for one in device.properties.values() if one.property.key == key)
        return await self.network.write(WriteRequest(property_id=found, value=text))

    async def sleeps(self) -> None:
        """The valve sleeps, and the server has noticed."""
        live = self.running.driver.devices.get(VALVE).live
        await self.stick.verb("sleep", id=VALVE)
        await live.async_ping()
        await self.tools.until(lambda: live.status == ASLEEP, "asleep")

    async def wakes(self) -> None:
        await self.stick.verb("wake", id=VALVE)

    async def setpoint(self, node: int = VALVE) -> Any:
        """What the device last said of its setpoint."""
        shown = [r for r in await self.stick.shown() if (r["node"], r["commandClass"]) == (node, SETPOINT)]
        return shown[-1]["value"]

    async def status_of(self, number: int) -> PendingView:
        return next(one for one in await self.network.pending() if one.id == number)

    async def ended(self, number: int) -> PendingView:
        async with asyncio.timeout(60):
            while (view := await self.status_of(number)).status in ("wakeup", "sending"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return view


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kept(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    store = await open_store(tmp_path_factory.mktemp("store") / "meterkast.db")
    clock = Clock()
    with tools.folder() as folder:
        async with (
            tools.serving(devices=DEVICES) as stick,
            tools.driving(stick.url, folder, store, clock, poll=False) as running,
        ):
            await running.settled(PLUG, DIMMER, AMERICAN)
            await stick.verb("wake", id=VALVE)
            await running.settled(VALVE)
            running.driver.network.patience.confirm_s = 1.0
            yield House(stick, running, tools, clock)
    await store.close()


@pytest_asyncio.fixture(loop_scope="module")
async def house(kept: House) -> AsyncIterator[House]:
    """As it was: asleep, obedient, today."""
    await kept.sleeps()
    yield kept
    kept.clock.passed_ms = 0
    for node in (PLUG, DIMMER):
        await kept.stick.verb("disobey", id=node, on=False)


async def test_value_for_a_sleeping_device_waits_and_is_done_when_it_wakes_up(house: House) -> None:
    before = await house.setpoint()
    waits = await house.write(VALVE, "setpoint_heating", "21")
    assert waits.status == "wakeup"
    assert waits.detail == "The device sleeps: the value is sent when it wakes up."
    assert waits.eta_ms is not None
    assert 0 < waits.eta_ms - waits.at_ms <= 3_600_000
    assert await house.setpoint() == before
    await house.wakes()
    assert (await house.ended(waits.id)).status == "done"
    assert await house.setpoint() == 21


async def test_newer_value_takes_the_place_of_the_one_that_waits(house: House) -> None:
    count = len(await house.stick.shown())
    older = await house.write(VALVE, "setpoint_heating", "19")
    newer = await house.write(VALVE, "setpoint_heating", "20")
    assert (await house.status_of(older.id)).status == "replaced"
    await house.wakes()
    assert (await house.ended(newer.id)).status == "done"
    said = {r["value"] for r in await house.stick.shown(count) if r["commandClass"] == SETPOINT}
    assert said == {20}


async def test_nobody_waits_for_more_than_a_week(house: House) -> None:
    before = await house.setpoint()
    waits = await house.write(VALVE, "setpoint_heating", "24")
    house.clock.passed_ms = 8 * DAY_MS
    await house.wakes()
    given_up = await house.ended(waits.id)
    assert given_up.status == "failed"
    assert "did not wake up for a week" in given_up.detail
    assert await house.setpoint() == before


async def test_waiting_value_is_taken_back(house: House) -> None:
    before = await house.setpoint()
    waits = await house.write(VALVE, "setpoint_heating", "25")
    assert (await house.network.forget(waits.id)).status == "cancelled"
    await house.wakes()
    live = house.running.driver.devices.get(VALVE).live
    await live.async_poll_value(f"{VALVE}-67-0-setpoint-1")
    assert await house.setpoint() == before
    with pytest.raises(RefusedError, match="does not wait"):
        await house.network.forget(waits.id)


async def test_fahrenheit_device_gets_its_own_unit_and_is_checked_in_it(house: House) -> None:
    done = await house.write(AMERICAN, "setpoint_heating", "21")
    assert (done.status, await house.setpoint(AMERICAN)) == ("done", 69.8)
    with pytest.raises(RefusedError, match="31 °C is not in its range") as caught:
        await house.write(AMERICAN, "setpoint_heating", "31")
    assert caught.value.hint == "It takes 5 to 30 °C."


async def test_device_that_does_not_obey(house: House) -> None:
    await house.stick.verb("disobey", id=PLUG)
    failed = await house.write(PLUG, "switch", "on")
    assert failed.status == "failed"
    assert failed.detail == "The device did not take the value: it still says Off."


async def test_device_that_refuses(house: House) -> None:
    await house.stick.verb("disobey", id=PLUG, how="refuse")
    failed = await house.write(PLUG, "switch", "on")
    assert (failed.status, failed.detail) == ("failed", "The device refused it (fail).")


async def test_radio_acknowledgement_alone_is_not_success(house: House) -> None:
    await house.stick.verb("disobey", id=DIMMER)
    failed = await house.write(DIMMER, "dimmer", "70")
    assert failed.status == "failed"
    assert "The device did not take the value" in failed.detail
    await house.stick.verb("disobey", id=PLUG, how="lie")
    assert (await house.write(PLUG, "switch", "on")).status == "done"


async def test_connection_lost_while_sending_is_not_success(house: House) -> None:
    await house.stick.verb("freeze")
    sending = asyncio.create_task(house.write(DIMMER, "dimmer", "55"))
    async with asyncio.timeout(60):
        while [one.status for one in await house.network.pending()][-1:] != ["sending"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await house.running.driver._service.kill()
    failed = await sending
    await house.stick.verb("freeze", on=False)
    await house.running.settled(DIMMER)
    assert failed.status == "failed"
    assert "The connection was lost while it was being sent" in failed.detail


async def interviewed(stick: Any, running: Any) -> None:
    """Wake the valve again and again: what it sends before the server listens is lost."""
    settled = asyncio.create_task(running.settled(VALVE))
    while not settled.done():
        await stick.verb("wake", id=VALVE)
        await asyncio.wait({settled}, timeout=5)
    await settled


async def test_what_waits_survives_a_restart_of_the_gateway(tools: Any, tmp_path: Path) -> None:
    store = await open_store(tmp_path / "meterkast.db")
    with tools.folder() as folder:
        async with tools.serving(devices=f"valve:{VALVE}") as stick:
            async with tools.driving(stick.url, folder, store, poll=False) as running:
                await tools.until(lambda: running.driver.devices.get(VALVE), "the valve is known")
                await interviewed(stick, running)
                first = House(stick, running, tools, Clock())
                await first.sleeps()
                waits = await first.write(VALVE, "setpoint_heating", "22")
                assert waits.status == "wakeup"
            async with tools.driving(stick.url, folder, store, poll=False) as running:
                await running.settled(VALVE)
                second = House(stick, running, tools, Clock())
                assert (await second.status_of(waits.id)).status == "wakeup"
                await second.wakes()
                assert (await second.ended(waits.id)).status == "done"
                assert await second.setpoint() == 22
    await store.close()
