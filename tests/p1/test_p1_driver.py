"""The driver on a real line: pty, socket, unplugged, damaged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tty
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from meterkast.config.decoding import decode
from meterkast.model.errors import ConfigError, LinkLostError, StorageError
from meterkast.model.reading import Batch
from meterkast.ports.clock import Trust
from meterkast.ports.driver import LinkState
from meterkast_drivers import KINDS
from meterkast_drivers.p1 import detect, port
from meterkast_drivers.p1 import driver as p1

Telegram = Callable[[str], bytes]


class StubClock:
    """Time stands still; stamps offered are kept."""

    speed = 1.0
    trust = Trust.TRUSTED

    def __init__(self) -> None:
        self.offered: list[tuple[int, int]] = []

    def boot_ns(self) -> int:
        return 5_000_000_000

    def offer(self, stamp_ms: int, seen_ns: int, meter: str = "") -> None:
        self.offered.append((stamp_ms, seen_ns))


class Bench:
    """A driver, what it emitted, and the meter's end of its line."""

    def __init__(self, catalog: object, meter_end: int, **settings: object) -> None:
        self.clock = StubClock()
        self.meter_end = meter_end
        self.batches: list[Batch] = []
        chosen = decode(p1.Settings, settings)
        self.driver = p1.create("p1", chosen, catalog, self.clock)  # type: ignore[arg-type]
        self.task = asyncio.create_task(self.driver.run(self.batches.append))

    async def until(self, condition: Callable[[], bool], data: bytes = b"") -> None:
        """Let the meter talk until that is so; opening a port discards what was waiting on it."""
        async with asyncio.timeout(10):
            while not condition():
                assert not self.task.done(), self.task.exception()
                if data:
                    os.write(self.meter_end, data)
                await asyncio.sleep(0.02)

    @property
    def counters(self) -> dict[str, int]:
        return dict(self.driver.status().counters)


@pytest.fixture
async def bench(catalog: object, line: tuple[int, str]) -> AsyncIterator[Bench]:
    found = Bench(catalog, line[0], port=line[1])
    yield found
    found.task.cancel()
    with contextlib.suppress(asyncio.CancelledError, LinkLostError):
        await found.task


async def test_a_meter_is_read(bench: Bench, telegram: Telegram, catalog: object) -> None:
    await bench.until(lambda: len(bench.batches) >= 3, telegram("nl-dsmr50.telegram"))
    values = catalog.named(bench.batches[0])  # type: ignore[attr-defined]
    assert values["p1:MKT0000000000001/import_total"] == (358_023, 0)
    status = bench.driver.status()
    assert status.state is LinkState.READING
    assert "NL 5.0" in status.detail
    assert bench.counters["good"] >= 2
    assert bench.clock.offered[0] == (1_768_474_800_000, 5_000_000_000)
    assert bench.batches[0].seen_ns == 5_000_000_000


async def test_first_whole_telegram_after_a_bad_start(bench: Bench, telegram: Telegram) -> None:
    data = telegram("nl-dsmr50.telegram")
    damaged = telegram("nl-dsmr50-wrong-checksum.telegram")
    await bench.until(lambda: bool(bench.batches), data[500:] + damaged + data)
    assert bench.counters["wrong checksum"] >= 1
    assert bench.counters["bytes skipped"] > 0
    raw, why = bench.driver.rejected[-1]  # type: ignore[attr-defined]
    assert (raw, why) == (damaged.rstrip(), "wrong checksum")


async def test_only_the_newest_rejected_are_kept(bench: Bench, telegram: Telegram) -> None:
    damaged = telegram("nl-dsmr50-wrong-checksum.telegram")
    await bench.until(lambda: bench.counters["wrong checksum"] > 20, damaged)
    assert len(bench.driver.rejected) == 8  # type: ignore[attr-defined]


async def test_cancelling_closes_the_port(bench: Bench, telegram: Telegram, line: tuple[int, str]) -> None:
    await bench.until(lambda: bool(bench.batches), telegram("nl-dsmr50.telegram"))
    bench.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await bench.task
    (await port.open_port(line[1], 115_200)).close()


async def test_an_unplugged_port_ends_the_run_and_a_new_one_goes_on(
    catalog: object, telegram: Telegram, tmp_path: Path
) -> None:
    name = tmp_path / "by-id"

    def plug() -> int:
        meter_end, driver_end = os.openpty()
        tty.setraw(driver_end)
        name.unlink(missing_ok=True)
        name.symlink_to(os.ttyname(driver_end))
        ends.append(driver_end)
        return meter_end

    ends: list[int] = []
    bench = Bench(catalog, plug(), port=str(name))
    await bench.until(lambda: bool(bench.batches), telegram("nl-dsmr50.telegram"))
    os.close(bench.meter_end)
    with pytest.raises(LinkLostError, match="went away"):
        await asyncio.wait_for(bench.task, 5)
    assert bench.driver.status().state is LinkState.LOST
    bench.meter_end = plug()
    bench.batches.clear()
    bench.task = asyncio.create_task(bench.driver.run(bench.batches.append))
    await bench.until(lambda: bool(bench.batches), telegram("nl-dsmr50.telegram"))
    bench.task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await bench.task
    for end in (bench.meter_end, *ends):
        os.close(end)


async def test_a_meter_in_the_network(catalog: object, telegram: Telegram) -> None:
    data = telegram("nl-dsmr22.telegram")

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for at in range(0, 3 * len(data), 62):
            writer.write((data * 3)[at : at + 62])
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        address = f"socket://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        bench = Bench(catalog, -1, port=address)
        with pytest.raises(LinkLostError, match="closed"):
            await asyncio.wait_for(bench.task, 5)
    assert bench.counters["good"] == 2  # the first one only shows the form
    assert len(bench.batches) == 3


async def test_encrypted_without_a_key_says_what_is_needed(bench: Bench) -> None:
    frame = b"\xdb\x08MKT12345\x82\x01\x00\x30" + bytes(range(256))[1:]
    await bench.until(lambda: bench.counters["not opened"] >= 2, frame)
    status = bench.driver.status()
    assert status.state is LinkState.SILENT
    assert "no key is set" in status.detail
    assert not bench.batches


async def test_silence_is_told(
    catalog: object, line: tuple[int, str], telegram: Telegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(p1, "SILENT_S", 0.3)
    monkeypatch.setattr(detect, "LISTEN_S", 0.3)
    bench = Bench(catalog, line[0], port=line[1])
    await bench.until(lambda: bench.driver.status().state is LinkState.SILENT)
    assert "no data" in bench.driver.status().detail
    await bench.until(
        lambda: bench.driver.status().state is LinkState.READING, telegram("nl-dsmr50.telegram")
    )
    await bench.until(lambda: bench.driver.status().state is LinkState.SILENT)
    assert "no telegram for" in bench.driver.status().detail
    bench.task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await bench.task


async def test_auto_takes_the_port_with_p1(
    catalog: object, line: tuple[int, str], telegram: Telegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detect, "LISTEN_S", 0.3)
    monkeypatch.setattr(port, "present", lambda: ["/dev/not-there", line[1]])
    bench = Bench(catalog, line[0])
    await bench.until(lambda: bool(bench.batches), telegram("nl-dsmr50.telegram"))
    assert line[1] in bench.driver.status().detail
    bench.task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await bench.task


async def test_auto_without_any_port(catalog: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "present", list)
    bench = Bench(catalog, -1)
    with pytest.raises(LinkLostError, match="no serial port"):
        await bench.task


async def test_a_store_that_refuses_costs_nothing_but_time(
    bench: Bench, telegram: Telegram, catalog: object
) -> None:
    declare = catalog.declare  # type: ignore[attr-defined]
    refusals = [StorageError("full", hint="")] * 2

    async def refuse_twice(*args: object) -> object:
        if refusals:
            raise refusals.pop()
        return await declare(*args)

    catalog.declare = refuse_twice  # type: ignore[attr-defined]
    await bench.until(lambda: bool(bench.batches), telegram("nl-dsmr50.telegram"))
    assert not refusals


async def test_a_failure_of_ours_costs_one_telegram_and_is_logged_once(
    bench: Bench, telegram: Telegram, catalog: object, caplog: pytest.LogCaptureFixture
) -> None:
    declare = catalog.declare  # type: ignore[attr-defined]
    faults = [RuntimeError("a mistake")] * 3

    async def fail_thrice(*args: object) -> object:
        if faults:
            raise faults.pop()
        return await declare(*args)

    catalog.declare = fail_thrice  # type: ignore[attr-defined]
    await bench.until(lambda: bool(bench.batches), telegram("nl-dsmr50.telegram"))
    assert bench.counters["failed"] == 3
    traces = [record for record in caplog.records if record.exc_info]
    assert [trace.message for trace in traces] == ["telegram refused"]


def test_settings_are_checked(catalog: object) -> None:
    assert KINDS["p1"] == p1.__name__
    for settings in ({"profile": "XX"}, {"key": "12"}, {"key_file": "/not/there"}):
        with pytest.raises(ConfigError):
            p1.create("p1", decode(p1.Settings, settings), catalog, StubClock())  # type: ignore[arg-type]
    p1.create("p1", decode(p1.Settings, {"profile": "BE", "key": "00" * 16}), catalog, StubClock())  # type: ignore[arg-type]
