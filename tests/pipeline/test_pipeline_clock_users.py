"""Who goes by the clock: chrony, commands, and those who wait for an instant."""

from __future__ import annotations

import socket
import struct
from dataclasses import replace
from pathlib import Path

import pytest

import meterkast.clock as clocks
from meterkast.cli.recalled import recalled_clock
from meterkast.model.boot import Boot
from meterkast.model.time import DAY_MS, HOUR_MS, UtcMs
from meterkast.ports.clock import Trust
from meterkast.ports.store import Keep
from meterkast.timing.chrony import ChronyFeed
from meterkast_buffer.store import open_store

from .machine import SECOND_NS, START, Machine, stamps, synchronised

AHEAD_MS = 3650 * DAY_MS


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_chrony_is_told_the_meters_time_and_reading_goes_on_without_it(
    machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = tmp_path / "chrony.sock"
    clock = machine.clock(feed=ChronyFeed(str(path)))
    stamps(clock, machine, 2_000, count=3)
    assert clock.refused == {"meter's time: chrony does not take it": 2}, "the first is not believed yet"
    assert [record.message for record in caplog.records if "chrony" in record.message] == [
        "chrony does not take the meter's time"
    ]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as chrony:
        chrony.bind(str(path))
        chrony.setblocking(False)
        stamps(clock, machine, 2_000, count=1)
        seconds, micros, ahead_s, pulse, leap, _, magic = struct.unpack("=qqdiiii", chrony.recv(100))
        assert (seconds, micros) == divmod(machine.utc_ns // 1000, 1_000_000)
        assert (round(ahead_s, 6), pulse, leap, magic) == (2.0, 0, 0, 0x534F434B)
        machine.passes(1)
        clock.offer(machine.true_ms(), machine.boot, "p1")
        with pytest.raises(BlockingIOError):
            chrony.recv(100)
        # Nobody reads: its buffer fills, and the gateway does not wait for it.
        stamps(clock, machine, count=3_000)
    assert clock.trust is Trust.METER
    assert "chrony takes the meter's time again" in caplog.text


@pytest.mark.parametrize("wrong", ["stopped", "too early", "a year ahead", "contradicted"])
def test_chrony_is_not_told_a_time_that_is_not_believed(machine: Machine, tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "chrony.sock"
    feed = ChronyFeed(str(path))
    clock = machine.clock(feed=feed)
    clock.recall([Boot(id="boot-0", first_ms=0, last_ms=0, offset_ms=START - HOUR_MS, trust="trusted")])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as chrony:
        chrony.bind(str(path))
        chrony.setblocking(False)
        if wrong == "contradicted":
            machine.good = True
            stamps(clock, machine, HOUR_MS, count=9)
        elif wrong == "stopped":
            for _ in range(9):
                machine.passes(10)
                clock.offer(START, machine.boot, "p1")
        else:
            stamps(clock, machine, -DAY_MS if wrong == "too early" else 365 * DAY_MS, count=9)
        with pytest.raises(BlockingIOError):
            chrony.recv(100)
        if wrong != "contradicted":
            stamps(clock, machine, count=3)
            assert chrony.recv(100)
    feed.close()


@pytest.mark.parametrize("ahead_ms", [-HOUR_MS, 0, 400 * DAY_MS])
async def test_command_shows_what_the_gateway_knows_else_the_likely_time(
    machine: Machine, tmp_path: Path, ahead_ms: int
) -> None:
    store = await open_store(tmp_path / "meterkast.db")
    known = Boot(id="boot-0", first_ms=0, last_ms=0, offset_ms=START, trust="trusted")
    await store.keep(Keep(now_ms=START, boot=known))
    machine.utc_ns += ahead_ms * 1_000_000
    unknown = await recalled_clock(store, machine)  # type: ignore[arg-type]  # it has all that is asked
    assert unknown.now_ms() == max(START, START + ahead_ms)
    assert unknown.trust is Trust.UNKNOWN
    machine.good = True
    synchronised_now = await recalled_clock(store, machine)  # type: ignore[arg-type]
    believed = Trust.UNKNOWN if ahead_ms < 0 else Trust.TRUSTED
    assert synchronised_now.trust is believed
    assert synchronised_now.now_ms() == max(START, START + ahead_ms)
    await store.keep(Keep(now_ms=START, boot=replace(known, id="boot-1", offset_ms=START - 5_000)))
    same_boot = await recalled_clock(store, machine)  # type: ignore[arg-type]
    assert same_boot.now_ms() == START - 5_000 + machine.boot // 1_000_000
    await store.close()


async def test_waiting_ends_when_its_time_has_passed_though_the_clock_was_ahead(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = machine.clock()
    began, slept = machine.boot, 0

    async def sleep(seconds: float) -> None:
        nonlocal slept
        machine.passes(seconds)
        if (slept := slept + 1) == 2:
            stamps(clock, machine, -2 * HOUR_MS)

    monkeypatch.setattr(clocks.asyncio, "sleep", sleep)
    await clock.sleep_until(UtcMs(clock.now_ms() + 100_000))
    monkeypatch.undo()
    assert clock.trust is Trust.METER
    assert 100 <= (machine.boot - began) / SECOND_NS <= 101


async def test_waiting_is_not_cut_short_by_the_drift_of_the_crystal(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = synchronised(machine)

    async def sleep(seconds: float) -> None:
        machine.passes(seconds)
        machine.utc_ns -= int(seconds * 100_000)  # it is 100 ppm fast

    monkeypatch.setattr(clocks.asyncio, "sleep", sleep)
    at_ms = UtcMs(clock.now_ms() + 3_600_000)
    await clock.sleep_until(at_ms)
    monkeypatch.undo()
    assert 0 <= clock.now_ms() - at_ms <= 1


async def test_waiting_until_an_instant_notices_that_the_clock_was_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Machine().clock()
    slept: list[float] = []
    now = [START]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] = UtcMs(now[0] + int(seconds * 1000) + (500_000 if len(slept) == 1 else 0))

    monkeypatch.setattr(clocks.asyncio, "sleep", sleep)
    monkeypatch.setattr(clock, "now_ms", lambda: now[0])
    await clock.sleep_until(UtcMs(START + 100_000))
    await clock.sleep(2.5)
    monkeypatch.undo()
    assert slept == [30, 2.5]
