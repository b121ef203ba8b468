"""`meterkast reset`: what an installer sees before the first message goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from meterkast.cli import main
from meterkast_rig import reset


def write(folder: Path, url: str = "https://reset.build:8069/v2", secret: str = "hunter2") -> str:
    file = folder / "meterkast.toml"
    file.write_text(f"""
        storage.path = "{folder / "meterkast.db"}"
        [uplinks.reset]
        url = "{url}"
        client_id = "demo"
        client_secret = "{secret}"
        [[uplinks.reset.monitors]]
        connection_id = "MK0001-energy"
        module = "energy"
        brand = "Landis+Gyr"
        sku = "E360"
        serial = "E0012"
        [[uplinks.reset.monitors.channels]]
        id = "c01"
        readings = {{ power_consumption = "electricity/import_total" }}
    """)
    return str(file)


@pytest.fixture
def url(in_thread: Callable[..., Any]) -> Iterator[str]:
    with in_thread(reset.serving(client_secret="hunter2")) as server:
        yield server.url


def test_connection_test_says_what_it_saw(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reset", "test", "--config", write(tmp_path, url)]) == 0
    said = capsys.readouterr().out
    assert "ok   NAMESPACE: /v2 is joined over websocket" in said
    assert "ok   AUTH: answered 10200 Authentication succeeded." in said
    assert "ok   ROUND TRIP: " in said
    assert main(["reset", "test", "--config", write(tmp_path, url, "wrong-one")]) == 2
    refused = capsys.readouterr()
    assert "FAIL AUTH: RESET does not accept client_id and client_secret: 10401" in refused.out
    assert "wrong-one" not in refused.out + refused.err


def test_show_needs_no_secret_and_marks_example_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reset", "show", "--config", write(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "# Socket.IO https://reset.build:8069, namespace /v2, websocket" in said
    assert '{"client_id":"demo","client_secret":"…"}' in said
    assert "EXAMPLE VALUES" in said
    assert "hunter2" not in said


def test_show_prints_the_newest_closed_half_hour_and_what_is_acknowledged(
    tmp_path: Path, fill: Callable[[Path], Coroutine[None, None, None]], capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(fill(tmp_path / "meterkast.db"))
    assert main(["reset", "show", "--config", write(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith('{"message_id":"mk-0123456789ab_')
    assert lines[-1].endswith(
        '"data":{"connection_id":"MK0001-energy","readings":[{"connection_id":"MK0001-energy",'
        '"reading_time":"2026-01-15T12:00:00.000+01:00",'
        '"power_consumption":[{"channel_id":"c01","reading":84.276}]}]}}'
    )
    assert any(line.startswith('{"message_type":"create"') for line in lines)
    assert not any("EXAMPLE" in line for line in lines)


def test_configuration_without_reset_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "meterkast.toml"
    file.write_text("")
    assert main(["reset", "test", "--config", str(file)]) == 1
    assert "has no [uplinks.reset]" in capsys.readouterr().err
