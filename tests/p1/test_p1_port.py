"""Ports and sockets, with real ones."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from meterkast.model.errors import ConfigError, LinkLostError
from meterkast_drivers.p1 import detect, port

Telegram = Callable[[str], bytes]


async def received(source: port.Source, count: int) -> bytes:
    data = b""
    async with asyncio.timeout(10):
        while len(data) < count:
            data += await source.read(5)
    return data


async def test_bytes_of_a_serial_line_arrive_unchanged(line: tuple[int, str], telegram: Telegram) -> None:
    meter_end, name = line
    source = await port.open_port(name, 115_200)
    data = telegram("hu-eon-ff.telegram")
    os.write(meter_end, data)
    assert await received(source, len(data)) == data
    source.close()
    source.close()


async def test_silence_returns_nothing(line: tuple[int, str]) -> None:
    source = await port.open_port(line[1], 9_600)
    assert await source.read(0.01) == b""
    source.close()


async def test_a_port_is_not_shared(line: tuple[int, str]) -> None:
    source = await port.open_port(line[1], 115_200)
    with pytest.raises(LinkLostError, match="in use"):
        await port.open_port(line[1], 115_200)
    source.close()
    (await port.open_port(line[1], 9_600)).close()


async def test_a_port_that_vanishes_says_so(line: tuple[int, str]) -> None:
    meter_end, name = line
    source = await port.open_port(name, 115_200)
    waiting = asyncio.create_task(source.read(10))
    await asyncio.sleep(0)
    os.close(meter_end)
    with pytest.raises(LinkLostError, match="went away") as caught:
        await waiting
    assert caught.value.hint


async def test_a_missing_port_names_those_present(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "present", lambda: ["/dev/serial/by-id/usb-cable"])
    with pytest.raises(LinkLostError, match="no such port") as caught:
        await port.open_port("/dev/not-there", 115_200)
    assert "/dev/serial/by-id/usb-cable" in caught.value.hint


@pytest.mark.parametrize("name", ["http://host:1", "socket://host", "socket://host:x", "socket://:23"])
async def test_what_is_no_port_is_a_wrong_setting(name: str) -> None:
    with pytest.raises(ConfigError):
        await port.open_port(name, 115_200)


async def test_a_socket_delivers_and_its_end_is_noticed(telegram: Telegram) -> None:
    data = telegram("nl-dsmr50.telegram")

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        number = server.sockets[0].getsockname()[1]
        source = await port.open_port(f"socket://127.0.0.1:{number}", 115_200)
        assert await received(source, len(data)) == data
        with pytest.raises(LinkLostError, match="closed by the other side"):
            await source.read(5)


async def test_a_socket_that_nobody_serves(unused_tcp_port: int) -> None:
    with pytest.raises(LinkLostError) as caught:
        await port.open_port(f"socket://127.0.0.1:{unused_tcp_port}", 115_200)
    assert "one client only" in caught.value.hint


@pytest.mark.parametrize(
    ("sample", "sentence", "readable"),
    [
        (b"", "no data", False),
        (bytes(range(128, 256)) * 4, "no telegram", False),
        (b"\x68\x1f\x1f\x68\x53\xff" + b"\x00" * 30, "M-Bus", False),
        (b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01\x76\x05", "SML", False),
        (b"\x00\x7e\xa0\x0a\x01\x02\x03\x04\x05\x06\x07\x08\x7e", "HDLC", False),
        (b"\x7e\xa0\x27\x01\x02\x03\x04\x05\x7e\x81", "inverter", False),  # flags of chance
        (b"0-0:96.14.0(0002)\r\n1-0:1.7.0(00.1", "parts of P1", False),
    ],
)
def test_what_is_no_p1_is_called_by_its_name(sample: bytes, sentence: str, readable: bool) -> None:
    found = detect.verdict(sample)
    assert sentence in found.sentence
    assert found.readable is readable


def test_p1_is_recognised(telegram: Telegram) -> None:
    assert detect.verdict(telegram("nl-dsmr50.telegram")).readable
    assert "seven data bits" in detect.verdict(telegram("nl-dsmr22-7e1.raw")).sentence


async def test_probing_hears_the_meter(line: tuple[int, str], telegram: Telegram) -> None:
    meter_end, name = line
    talking = asyncio.create_task(talk(meter_end, telegram("nl-dsmr50.telegram")))
    found = await detect.probe(name, seconds=5)
    talking.cancel()
    assert found.readable
    assert (found.speed, found.telegrams >= 2) == (115_200, True)


async def test_probing_noise_at_both_speeds_means_inverted(line: tuple[int, str]) -> None:
    meter_end, name = line
    talking = asyncio.create_task(talk(meter_end, bytes(range(128, 256))))
    found = await detect.probe(name, seconds=0.4)
    talking.cancel()
    assert "inverted" in found.sentence
    assert not found.readable


async def test_probing_silence(line: tuple[int, str]) -> None:
    assert "no data" in (await detect.probe(line[1], seconds=0.05)).sentence


async def talk(meter_end: int, data: bytes) -> None:
    while True:
        os.write(meter_end, data)
        await asyncio.sleep(0.05)


def test_a_port_is_listed_once_and_under_its_lasting_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ttyUSB0", "ttyUSB1"):
        (tmp_path / name).touch()
    lasting = tmp_path / "usb-FTDI-if00"
    lasting.symlink_to(tmp_path / "ttyUSB1")
    monkeypatch.setattr(port, "_BY_ID", f"{tmp_path}/usb-*")
    monkeypatch.setattr(port, "_DEVICES", (f"{tmp_path}/ttyUSB*",))
    assert port.present() == [str(lasting), str(tmp_path / "ttyUSB0")]


def test_a_zwave_stick_is_no_candidate_for_a_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    stick = "/dev/serial/by-id/usb-Zooz_800_Z-Wave_Stick_533D004242-if00"
    monkeypatch.setattr(port, "present", lambda: [stick, "/dev/ttyUSB0"])
    assert port.candidates() == ["/dev/ttyUSB0"]
