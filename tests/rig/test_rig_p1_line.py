"""The line of the simulated P1 meter, captures played on it, and the command."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from meterkast.clock import FastClock
from meterkast.model.errors import ConfigError
from meterkast.model.time import HALF_HOUR_MS, UtcMs, parse_iso
from meterkast_rig import p1
from meterkast_rig.p1_capture import read_capture
from meterkast_rig.p1_faults import LINE_SWITCHES, METER_SWITCHES
from meterkast_rig.p1_line import serving, step_s
from meterkast_rig.p1_meter import SimulatedMeter
from meterkast_rig.p1_telegram import Dialect, crc16

NOON = parse_iso("2026-06-03T10:00:00Z")
LIMIT_S = 60  # only against hanging
FRAME = re.compile(rb"/[^!]*![0-9A-F]{4}\r\n")


def fits(telegram: bytes) -> bool:
    body, _, checksum = telegram.rpartition(b"!")
    return int(checksum.decode(), 16) == crc16(body + b"!")


@contextmanager
def reading(port: str) -> Iterator[Callable[[], bytes]]:
    """Open a port as a driver does; the result reads what is there."""
    end = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def read() -> bytes:
        data = b""
        while True:
            try:
                more = os.read(end, 4096)
            except BlockingIOError:
                return data
            if not more:
                raise EOFError  # the pty is gone
            data += more

    try:
        yield read
    finally:
        os.close(end)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - the line knows nothing of its tests
            await asyncio.sleep(0.005)


# The line


async def test_a_reader_gets_every_telegram_as_it_was_and_each_half_hours_edge() -> None:
    meter, clock = SimulatedMeter(), FastClock(6000, parse_iso("2026-03-29T00:00:10Z"))
    async with serving(meter, clock) as line:
        with reading(line.port) as read:
            got = b""
            while len(line.sent) < 20:
                await asyncio.sleep(0.02)
                got += read()
    assert FRAME.findall(got) == [meter.telegram(at_ms) for at_ms, _ in line.sent][: len(FRAME.findall(got))]
    assert len(FRAME.findall(got)) >= 19
    assert all(registers == meter.registers(at_ms) for at_ms, registers in line.sent)
    edges = [at_ms for at_ms, _ in line.sent if at_ms % HALF_HOUR_MS == 0]
    assert edges == list(range(parse_iso("2026-03-29T00:30:00Z"), edges[-1] + 1, HALF_HOUR_MS))


async def test_at_the_speed_of_life_a_telegram_comes_in_packets_at_a_whole_second() -> None:
    meter, clock = SimulatedMeter(), FastClock(1, UtcMs(NOON - 50))
    async with serving(meter, clock) as line:
        with reading(line.port) as read:
            pieces: list[bytes] = []
            async with asyncio.timeout(LIMIT_S):
                while not line.sent:
                    await asyncio.sleep(0.003)
                    pieces.append(read())
            pieces.append(read())
    at_ms = line.sent[0][0]
    assert at_ms % 1000 == 0
    assert b"".join(pieces) == meter.telegram(at_ms)
    assert len([piece for piece in pieces if piece]) > 1


class CountingClock(FastClock):
    """No waiting at all; counts what is waited for."""

    waits = 0

    async def sleep_until(self, at_ms: UtcMs) -> None:
        self.waits += 1
        await asyncio.sleep(0)


class LateClock(FastClock):
    """A clock on a machine that had no time for us for 70 minutes of meter time."""

    now = parse_iso("2026-06-03T10:00:10Z")
    late_ms = 70 * 60_000

    def now_ms(self) -> UtcMs:
        return self.now

    async def sleep_until(self, at_ms: UtcMs) -> None:
        self.now = UtcMs(max(self.now, at_ms + self.late_ms))
        self.late_ms = 0
        await asyncio.sleep(0)


async def test_a_machine_too_slow_leaves_out_telegrams_but_no_half_hours_edge() -> None:
    async with serving(SimulatedMeter(), LateClock(3600)) as line:
        await until(lambda: len(line.sent) > 4)
    stamps = [f"2026-06-03T{clock}:00Z" for clock in ("10:03", "10:30", "11:00", "11:12", "11:15")]
    assert [at_ms for at_ms, _ in line.sent][:5] == [parse_iso(stamp) for stamp in stamps]


async def test_without_a_reader_the_line_goes_on_and_drops_whole_telegrams() -> None:
    meter, clock = SimulatedMeter(), FastClock(20_000, NOON)
    async with serving(meter, clock) as line:
        await until(lambda: line.counts["dropped"] > 1)
        with reading(line.port) as read:
            got = read()
            before = line.counts["sent"]
            async with asyncio.timeout(LIMIT_S):
                while line.counts["sent"] < before + 3:
                    await asyncio.sleep(0.01)
                    got += read()
            got += read()
    frames = FRAME.findall(got)
    assert b"".join(frames) == got
    assert all(map(fits, frames))


async def test_a_silent_line_says_nothing_and_goes_on() -> None:
    async with serving(SimulatedMeter(), FastClock(20_000, NOON), faults="silent=1") as line:
        await until(lambda: line.counts["silent"] > 2)
        assert line.counts["sent"] == 0
        line.faults.set({"silent": 0})
        await until(lambda: line.counts["sent"] > 0)


async def test_an_unplugged_line_comes_back_as_another_pty_under_its_link(tmp_path: Path) -> None:
    link = tmp_path / "p1"
    async with serving(SimulatedMeter(), FastClock(20_000, NOON), link=link) as line:
        assert os.readlink(link) == line.port
        with reading(str(link)) as read:
            line.faults.set({"unplug": 1})
            await until(lambda: not line.plugged)
            assert not link.is_symlink()
            with pytest.raises(EOFError):
                read()
            line.faults.set({"unplug": 0})
            await until(lambda: line.plugged)
        with reading(str(link)) as read:
            await until(lambda: b"/MTK5" in read())
    assert not link.is_symlink()


async def test_faults_of_the_meter_are_switches_too() -> None:
    faults: dict[str, bool | int | float | str] = {
        "clock_off": 3600,
        "gas_dead": True,
        "swap": "2026-06-03T10:00:00Z",
    }
    async with serving(SimulatedMeter(), FastClock(20_000, UtcMs(NOON - 1)), faults=faults) as line:
        await until(lambda: bool(line.sent))
        registers = line.sent[0][1]
    assert registers["1-0:1.8.1"] == 0
    assert "0-1:24.2.1" not in registers


async def test_damaged_telegrams_are_not_among_those_sent(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with serving(SimulatedMeter(), FastClock(20_000, NOON), faults="cut=1", log=log) as line:
        await until(lambda: line.counts["cut"] > 0)
    assert not line.sent
    assert json.loads(log.read_text().splitlines()[0])["faults"] == ["cut"]


async def test_a_capture_is_played_as_it_is(tmp_path: Path) -> None:
    first, second = (
        SimulatedMeter(dialect=dialect).telegram(NOON) for dialect in (Dialect.BE, Dialect.DSMR22)
    )
    capture = tmp_path / "capture"
    capture.write_bytes(b"tail of one\r\n!12AB\r\n" + first + b"noise" + second)
    pieces = [b"tail of one\r\n!12AB\r\n", first, b"noise" + second]
    assert read_capture(capture) == pieces
    capture.write_bytes((first + second).replace(b"\r", b""))
    assert read_capture(capture) == [first, second]
    clock = CountingClock(20_000, NOON)
    async with serving(pieces, clock, once=True) as line:
        with reading(line.port) as read:
            await until(lambda: line.counts["sent"] >= 3)
            assert read() == b"".join(pieces)
            for _ in range(50):  # it would play on at once
                await asyncio.sleep(0)
            assert (clock.waits, line.counts["sent"], read()) == (3, 3, b"")


@pytest.mark.parametrize("words", ["", "  \n"])
def test_a_capture_without_anything_is_refused(tmp_path: Path, words: str) -> None:
    (tmp_path / "capture").write_text(words)
    with pytest.raises(ConfigError, match="is empty"):
        read_capture(tmp_path / "capture")


async def test_the_link_replaces_a_stale_one_and_nothing_else(tmp_path: Path) -> None:
    link = tmp_path / "p1"
    link.symlink_to(tmp_path / "gone")
    async with serving(SimulatedMeter(), FastClock(1, NOON), link=link) as line:
        assert os.readlink(link) == line.port
        async with serving(SimulatedMeter(), FastClock(1, NOON), link=link) as other:
            assert os.readlink(link) == other.port
        link.symlink_to("/dev/null")
    assert os.readlink(link) == "/dev/null"  # not ours any more, so it stays
    link.unlink()
    link.write_text("a file")
    with pytest.raises(ConfigError, match="something else"):
        async with serving(SimulatedMeter(), FastClock(1, NOON), link=link):
            pass
    assert link.read_text() == "a file"
    with pytest.raises(ConfigError, match="No such file"):
        async with serving(SimulatedMeter(), FastClock(1, NOON), link=tmp_path / "no" / "p1"):
            pass


@pytest.mark.parametrize(
    ("interval_s", "speed", "step"),
    [
        (1, 1, 1),
        (10, 1, 10),
        (1, 60, 3),
        (1, 1000, 50),
        (10, 5000, 300),
        (1, 36_000, 1800),
        (1, 50_000, 3600),
    ],
)
def test_steps_always_meet_the_half_hours(interval_s: int, speed: float, step: int) -> None:
    assert step_s(interval_s, speed) == step


def test_an_interval_that_misses_the_half_hours_is_refused() -> None:
    with pytest.raises(ConfigError, match="interval of 7 s"):
        step_s(7, 1)


# The command

COMMAND = """
import argparse, sys
from meterkast_rig import p1
parser = argparse.ArgumentParser()
p1.configure(parser)
sys.exit(p1.run(parser.parse_args()))
"""


def test_the_command_runs_until_it_is_stopped_and_cleans_up(tmp_path: Path) -> None:
    link, log = tmp_path / "p1", tmp_path / "log"
    start = "2026-10-25T00:00:00Z"
    arguments = ["--link", str(link), "--speed", "3600", "--start", start, "--log", str(log)]
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments], stdout=subprocess.PIPE, text=True
    ) as rig:
        timer = threading.Timer(60, rig.kill)  # so that a failure below does not wait for ever
        timer.start()
        assert rig.stdout is not None
        assert rig.stdout.readline() == f"P1 meter on {link}, its clock 3600 times as fast\n"
        with open(link, "rb", buffering=0) as port:
            got = b""
            while not (found := FRAME.search(got)):
                got += port.read(4096)
        rig.send_signal(signal.SIGTERM)
        assert rig.wait() == 0
        timer.cancel()
    assert fits(found[0])
    assert not link.is_symlink()
    rows = [json.loads(row) for row in log.read_text().splitlines()]
    assert rows
    for row in rows:
        assert row["registers"] == SimulatedMeter().registers(parse_iso(row["at"]))


def test_the_help_names_every_fault() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "--help"], capture_output=True, text=True, check=True
    )
    for name in (*LINE_SWITCHES, *METER_SWITCHES):
        assert re.search(rf"^  {name} +\S", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--faults", "cat=1"], "no fault switch 'cat'"),
        (["--faults", "swap=yesterday"], "fault 'swap'"),
        (["--once"], "--once without --capture"),
        (["--speed", "0"], "--speed 0"),
        (["--start", "1999-01-01T00:00Z"], "--start 1999"),
        (["--capture", "nowhere"], "capture nowhere: No such file"),
        (["--capture", "nowhere", "--faults", "gas_dead"], "fault 'gas_dead' with --capture"),
    ],
)
def test_an_argument_that_will_not_do_is_named(arguments: list[str], message: str) -> None:
    parser = argparse.ArgumentParser()
    p1.configure(parser)
    with pytest.raises(ConfigError, match=re.escape(message)):
        p1.run(parser.parse_args(arguments))
