"""The gateway keeps its books: channels from their first interval on, and a check each night."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from meterkast.model.quantity import Quantity
from meterkast.model.time import DAY_MS, HOUR_MS, UtcMs
from meterkast.night import SETTLE_S
from meterkast_rig.stepped import SteppedClock

from .conftest import METERS


async def test_channels_are_owed_from_their_first_interval_on(site: Callable[..., Any]) -> None:
    async with site() as it:
        await it.minutes(35)
        half, five = sorted(await it.store.channels(), key=lambda one: -one.length_ms)
        assert (half.uplink, half.stream, half.name, half.until_ms) == ("wattics", "half", "pC_1", None)
        assert (half.from_ms, five.name) == (it.end(0), "aP_1")
        assert five.from_ms >= it.end(0)


async def test_a_restart_writes_no_channel_again(site: Callable[..., Any]) -> None:
    async with site() as it:
        await it.minutes(35)
        before = await it.store.channels()
    async with site() as it:
        await it.minutes(35)
        assert await it.store.channels() == before


async def test_a_changed_configuration_ends_a_channel_where_the_next_begins(site: Callable[..., Any]) -> None:
    async with site() as it:
        await it.minutes(95)
        [kept] = [one for one in await it.store.channels() if one.stream == "half"]
    other = [{"id": "half", "interval_min": 30, "readings": {"aP_1": "electricity/power_import"}}]
    async with site(other) as it:
        await it.minutes(65)
        channels = {(one.stream, one.name): one for one in await it.store.channels()}
        old, new, gone = (channels[key] for key in (("half", "pC_1"), ("half", "aP_1"), ("five", "aP_1")))
        assert (old.from_ms, old.until_ms) == (kept.from_ms, it.end(3))
        assert (new.from_ms, new.until_ms) == (it.end(3), None)
        assert gone.until_ms is not None
        assert gone.until_ms > gone.from_ms
    async with site(METERS) as it:
        await it.minutes(35)
        again = [one for one in await it.store.channels() if (one.stream, one.name) == ("half", "pC_1")]
        assert [one.until_ms for one in again] == [it.end(3), None]
        assert again[1].from_ms == it.end(5)


async def nights(it: Any) -> None:
    """Let the night's task run while the clock moves on, until its work is done."""
    task = asyncio.create_task(it.gateway.night.run())
    try:
        for _ in range(3000):
            if await it.store.get_state("proof", "night"):
                return
            it.clock.pass_ms(1000)
        pytest.fail("the night's work was not done")
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_each_night_the_books_are_checked_and_the_day_is_sealed(
    site: Callable[..., Any], clock: SteppedClock
) -> None:
    async with site() as it:
        await it.minutes(60 * 10)
        clock.set(UtcMs(clock.now_ms() + DAY_MS - 8 * HOUR_MS))
        started = clock.now_ms()
        await nights(it)
        # Not at once: first come the meters and what waits for the platforms.
        assert clock.now_ms() - started >= SETTLE_S * 1000
        health = it.gateway.examiner.snapshot().books
        assert (health.rows > 15, health.wrong, health.unchecked) == (True, 0, 0)
        seal = await it.store.books.newest_seal()
        assert seal is not None
        assert (seal.day, seal.rows > 15) == (health.day, True)
        assert "books" not in it.problems()


async def planted(it: Any) -> None:
    """A half-hour gets a watt-hour too many."""
    row = (await it.half_hours())[2]
    wrong = replace(row, value=Quantity(row.value.whole + 1))

    async def plant(connection: Any) -> None:
        await connection.execute(
            "UPDATE half_hours SET whole = ?, crc = ? "
            "WHERE end_ms = ? AND property_id = ? AND length_ms = 1800000",
            (wrong.value.whole, wrong.crc() - (1 << 31), row.end_ms, row.property_id),
        )

    await it.store.database.transact(plant)


async def test_days_before_a_longer_absence_are_checked_after_it(
    site: Callable[..., Any], clock: SteppedClock
) -> None:
    async with site() as it:
        await it.minutes(60 * 3)
        await planted(it)
    clock.set(UtcMs(clock.now_ms() + 4 * DAY_MS))
    async with site() as it:
        await it.minutes(5)
        await nights(it)
        assert "do not agree with the readings" in it.problems(), "the day before the power was off"
        told = json.loads(await it.store.get_state("proof", "conservation"))
        assert told["checked"] == [["2026-03-10", "2026-03-13"]]
        assert await it.store.get_state("proof", "conservation 2026-03-10")
        clock.set(UtcMs(clock.now_ms() + DAY_MS))
        await it.store.set_state("proof", "night", "")
        await nights(it)
        told = json.loads(await it.store.get_state("proof", "conservation"))
        assert told["checked"] == [["2026-03-10", "2026-03-14"]]


async def test_books_that_do_not_add_up_are_shown(site: Callable[..., Any], clock: SteppedClock) -> None:
    async with site() as it:
        await it.minutes(60 * 3)
        await planted(it)
        clock.set(UtcMs(clock.now_ms() + DAY_MS - 3 * HOUR_MS))
        await nights(it)
        assert "do not agree with the readings" in it.problems()
        assert "Energy import" in it.problems()
        assert it.gateway.examiner.snapshot().verdict == "problem"
    async with site() as it:  # a restart does not forget it
        task = asyncio.create_task(it.gateway.night.run())
        for _ in range(500):
            if it.gateway.night.health.day:
                break
            await asyncio.sleep(0.01)
        task.cancel()
        assert it.gateway.night.health.wrong == 1


@pytest.mark.parametrize("method", ["get_state", "scan", "set_state"])
async def test_night_whose_work_fails_ends_nothing_is_shown_and_is_tried_again(
    site: Callable[..., Any], clock: SteppedClock, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    tries: list[UtcMs] = []

    def fails(*_: object) -> Any:
        tries.append(clock.now_ms())
        raise ZeroDivisionError("a fault in our own code")

    async with site() as it:
        await it.minutes(60 * 3)
        clock.set(UtcMs(clock.now_ms() + DAY_MS - 3 * HOUR_MS))
        task = asyncio.create_task(it.gateway.night.run())
        with monkeypatch.context() as patch:
            patch.setattr(it.store, method, fails)
            while len(tries) < 9:
                await asyncio.sleep(0)
                clock.pass_ms(10_000)
        assert not task.done()
        assert "The books were not checked to the end yet: internal error: ZeroDivision" in it.problems()
        assert tries[-1] - tries[-2] >= 3600_000, "less and less often"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await nights(it)
        assert "books" not in it.problems()
