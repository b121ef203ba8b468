"""`meterkast init` beside a Z-Wave stick."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import pytest

from meterkast.cli import init
from meterkast_drivers.sticks import zwave_sticks

BY_ID = "/dev/serial/by-id/usb-"


@pytest.mark.parametrize(
    "name",
    [
        "Zooz_800_Z-Wave_Stick_533D004242-if00",
        "0658_0200-if00",
        "Nabu_Casa_ZWA-2_81B53EE1-if00",
        "Silicon_Labs_HubZ_Smart_Home_Controller_612-if00-port0",
        "Aeotec_Z-Stick_8-if00",
    ],
)
def test_a_stick_is_known_by_its_name(name: str) -> None:
    cable = BY_ID + "FTDI_P1_Converter_Cable_P1RBW1V1-if00-port0"
    assert zwave_sticks([cable, BY_ID + name, "/dev/ttyUSB1"]) == [BY_ID + name]


async def test_init_leaves_a_stick_alone_and_writes_its_section_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stick, cable = BY_ID + "Zooz_800_Z-Wave_Stick_1-if00", "/dev/ttyUSB9"
    listened: list[str] = []

    async def listen(port: str) -> tuple[init.Found, str]:
        listened.append(port)
        return init.Found(), "silent"

    monkeypatch.setattr("meterkast_drivers.p1.port.present", lambda: [stick, cable])
    monkeypatch.setattr(init, "_listen", listen)
    parser = argparse.ArgumentParser()
    init.configure(parser)
    file = tmp_path / "new.toml"
    await asyncio.to_thread(init.run, parser.parse_args(["--config", str(file)]))
    assert listened == [cable]
    assert stick in capsys.readouterr().out
    written = file.read_text()
    assert f'# [drivers.zwave]\n# stick = "{stick}"' in written
