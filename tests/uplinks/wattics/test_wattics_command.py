"""`meterkast wattics`: what an installer sees before the first packet goes."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from meterkast.cli import main
from meterkast.model.boot import Boot
from meterkast.model.time import parse_iso
from meterkast.ports.store import Keep
from meterkast.uplinks import http
from meterkast_buffer.store import open_store
from meterkast_rig import wattics


def write(folder: Path, endpoint: str = "demo", password: str = "hunter2") -> str:
    file = folder / "meterkast.toml"
    file.write_text(f"""
        storage.path = "{folder / "meterkast.db"}"
        [uplinks.wattics]
        endpoint = "{endpoint}"
        user = "demo"
        password = "{password}"
        [[uplinks.wattics.meters]]
        id = "shop-main"
        interval_min = 30
        readings = {{ pC_1 = "electricity/import_total" }}
    """)
    return str(file)


@pytest.fixture
def endpoint(in_thread: Callable[..., Any]) -> Iterator[str]:
    with in_thread(wattics.serving(password="hunter2", meters=["shop-main"])) as server:
        yield server.url


def test_connection_test_says_what_it_saw(
    tmp_path: Path, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["wattics", "test", "--config", write(tmp_path, endpoint)]) == 0
    assert "ok   shop-main: user and meter are accepted" in capsys.readouterr().out
    assert main(["wattics", "test", "--config", write(tmp_path, endpoint, "wrong-one")]) == 2
    said = capsys.readouterr()
    assert "FAIL shop-main: Wattics does not accept user and password: 401" in said.out
    assert "wrong-one" not in said.out + said.err


def test_connection_test_reckons_with_the_time_that_the_gateway_knows(
    tmp_path: Path, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def learned() -> None:
        store = await open_store(tmp_path / "meterkast.db")
        known = parse_iso("2046-01-15T14:30:00+01:00")
        boot = Boot(id="earlier", first_ms=0, last_ms=0, offset_ms=known, trust="trusted")
        await store.keep(Keep(now_ms=known, boot=boot))
        await store.close()

    asyncio.run(learned())
    packet = b'{"id":"shop-main","tsISO8601":"2046-01-15T12:00:00.000+01:00","value":1}'
    sent = urllib.request.Request(endpoint, packet, {"Authorization": http.basic("demo", "hunter2")})
    urllib.request.urlopen(sent).close()
    assert main(["wattics", "test", "--config", write(tmp_path, endpoint)]) == 0
    assert "last packet 2046-01-15T12:00:00.000+01:00, 2 hours ago" in capsys.readouterr().out


def test_show_marks_example_values_while_nothing_is_closed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["wattics", "show", "--config", write(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "# POST https://demo-dc.wattics.com/measurements/v2/unifiedjson/" in said
    assert "EXAMPLE VALUES" in said
    assert '"pC_1":1234567}' in said
    assert "hunter2" not in said


def test_show_prints_the_newest_closed_interval(
    tmp_path: Path,
    fill: Callable[[Path], Coroutine[None, None, None]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    asyncio.run(fill(tmp_path / "meterkast.db"))
    assert main(["wattics", "show", "--config", write(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == '{"id":"shop-main","tsISO8601":"2026-01-15T12:00:00.000+01:00","pC_1":84276}'
    assert not any("EXAMPLE" in line for line in lines)


def test_configuration_without_wattics_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "meterkast.toml"
    file.write_text("")
    assert main(["wattics", "test", "--config", str(file)]) == 1
    assert "has no [uplinks.wattics]" in capsys.readouterr().err
