"""The commands as a person types them: what they print, and with which exit status."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from meterkast.clock import SystemClock
from meterkast_rig.p1_line import serving as p1_line
from meterkast_rig.p1_meter import SimulatedMeter


async def meterkast(*arguments: str | Path) -> tuple[int, str, str]:
    """Run a command; exit status, standard output and standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "meterkast",
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a configuration with a database in the test's own folder."""

    def write(text: str) -> Path:
        path = tmp_path / "meterkast.toml"
        path.write_text(f'[storage]\npath = "{tmp_path}/meterkast.db"\n{text}', encoding="utf-8")
        return path

    return write


async def test_run_names_the_file_that_is_not_there(tmp_path: Path) -> None:
    status, _, err = await meterkast("run", "--config", tmp_path / "none.toml")
    assert status == 1
    assert "none.toml" in err
    assert "meterkast init" in err
    assert "Traceback" not in err


async def test_run_on_a_fast_clock_refuses_a_real_platform(written: Callable[[str], Path]) -> None:
    config = written(
        '[drivers.p1]\nport = "/dev/null"\n[uplinks.wattics]\nuser = "u"\npassword = "p"\n'
        '[[uplinks.wattics.meters]]\nid = "m"\ninterval_min = 30\nmeter = "electricity"\n'
    )
    status, _, err = await meterkast("run", "--config", config, "--speed", "120")
    assert status == 1
    assert "web-collector.wattics.com" in err
    assert "127.0.0.1" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[uplinks.resett]\n", "reset"),
        ("[drivers.p2]\n", "p1"),
        ('[drivers.p1]\nprot = "/dev/ttyUSB0"\n', "`port`"),
        ('[site]\ntime_zone = "Europe/Utrecht"\n[drivers.p1]\n', "IANA"),
        ("", "no meter is configured"),
    ],
)
async def test_check_says_what_is_wrong_and_what_to_write(
    written: Callable[[str], Path], text: str, said: str
) -> None:
    status, out, err = await meterkast("check", "--config", written(text))
    assert status == 1
    assert said in out + err
    assert "Traceback" not in err


async def test_check_passes_a_good_configuration_without_making_a_database(
    written: Callable[[str], Path], tmp_path: Path
) -> None:
    config = written(
        '[drivers.p1]\nport = "/dev/not-there"\n[uplinks.reset]\nurl = "https://reset.build:8069/v2"\n'
        'client_id = "c"\nclient_secret = "top-secret-canary"\n'
        '[[uplinks.reset.monitors]]\nconnection_id = "m"\nmodule = "energy"\nbrand = "b"\nsku = "s"\n'
        'serial = "n"\n[[uplinks.reset.monitors.channels]]\nid = "c1"\n'
        'readings = { power_consumption = "electricity/import_total" }\n'
    )
    status, out, err = await meterkast("check", "--config", config)
    assert (status, err) == (0, "")
    assert "streams: 1, to https://reset.build:8069/v2" in out
    assert "/dev/not-there is not there now" in out
    assert "top-secret-canary" not in out
    assert not (tmp_path / "meterkast.db").exists()


async def test_init_writes_what_it_finds_and_check_accepts_it(tmp_path: Path) -> None:
    async with p1_line(SimulatedMeter(seed=4), SystemClock(), link=tmp_path / "p1"):
        config = tmp_path / "made.toml"
        status, out, err = await meterkast("init", "--config", config, "--port", tmp_path / "p1")
        assert (status, err) == (0, "")
        for meter in ("Electricity meter", "Gas meter", "Water meter"):
            assert meter in out
        text = config.read_text(encoding="utf-8")
        assert f'port = "{tmp_path}/p1"' in text
        assert "/import_total" in text
        again, _, err = await meterkast("init", "--config", config, "--port", tmp_path / "p1")
        assert again == 1
        assert "--force" in err
    status, out, _ = await meterkast("check", "--config", config)
    assert status == 0, out


async def test_status_tells_how_a_running_gateway_is(cupboard: Callable[..., Any]) -> None:
    async with cupboard(speed=120) as it:
        config = it.configure(enabled=False)
        nobody, _, err = await meterkast("status", "--config", config)
        assert nobody == 1
        assert "page" in err
        with socket.socket() as deaf:  # held, so that nobody else listens there
            deaf.bind(("127.0.0.1", 0))
            it.configure(port=deaf.getsockname()[1])
            off, _, err = await meterkast("status", "--config", config)
        assert off == 1
        assert "no gateway answers" in err
        it.configure(port=0)
        said = await it.start()
        it.configure(port=urlsplit(said.split()[-1]).port)
        await it.until(lambda: it.half_hours("electricity/import_total"), limit_s=60)
        _, out, _ = await meterkast("status", "--config", config)
        assert "meter     Electricity meter: fresh" in out
        assert "uplink    reset" in out
        _, out, _ = await meterkast("status", "--config", config, "--json")
        snapshot = json.loads(out)
        assert snapshot["clock"]["speed"] == 120
        assert {uplink["name"] for uplink in snapshot["uplinks"]} == {"reset", "wattics"}
        assert await it.stop() == 0


async def test_the_demo_ends_by_itself_with_half_hours_at_both_platforms() -> None:
    status, out, err = await meterkast("rig", "demo", "--seconds", "30", "--port", "0", "--speed", "240")
    assert status == 0, out + err
    assert "Traceback" not in err
    assert "Page: http://127.0.0.1:" in out
    for platform in ("RESET energy monitor demo-energy", "Wattics meter demo-electricity"):
        count, _, _ = out.partition(platform)[0].rpartition("\n")[2].strip().partition(" ")
        assert int(count) > 0, out
    assert "\n     0  wrong" in out
