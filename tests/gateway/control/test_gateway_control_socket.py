"""The control socket itself: who may open it, and what it refuses."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meterkast.config.decoding import decode
from meterkast.config.sections import Config, control_socket
from meterkast.model.errors import ConfigError, LinkLostError
from meterkast.network import JobRequest
from meterkast.web import control

Serve = Callable[..., Any]


async def test_only_its_user_may_open_it_and_it_goes_with_the_gateway(
    cli: Any, folder: Path, serve: Serve
) -> None:
    assert stat.S_IMODE(os.stat(cli.socket).st_mode) == 0o600
    other = await serve({}, f"{folder}/other.sock")
    await other.close()
    assert not (folder / "other.sock").exists()


async def test_a_socket_left_by_a_killed_gateway_is_replaced(folder: Path, serve: Serve) -> None:
    path = f"{folder}/control.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    running = await serve({}, path)
    await running.close()


async def test_a_socket_or_file_of_somebody_else_is_left_alone(cli: Any, folder: Path, serve: Serve) -> None:
    with pytest.raises(ConfigError, match="in use"):
        await serve({}, cli.socket)
    assert (await cli.ask("GET", "/drivers"))[0] == 200
    letter = folder / "letter"
    letter.write_text("dear")
    with pytest.raises(ConfigError, match="no socket"):
        await serve({}, str(letter))
    assert letter.read_text() == "dear"
    with pytest.raises(ConfigError, match="cannot be made"):
        await serve({}, f"{folder}/no/control.sock")


def test_a_path_that_is_too_long_for_a_socket_names_its_cure() -> None:
    long = decode(Config, {"storage": {"path": f"/{'x' * 100}/meterkast.db"}})
    with pytest.raises(ConfigError, match="107 bytes") as caught:
        control_socket(long)
    assert "control.socket" in caught.value.hint
    assert control_socket(decode(Config, {"control": {"socket": "/run/m.sock"}})) == "/run/m.sock"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/zwave/jobs", b"{", 400, "not understood"),
        ("POST", "/zwave/jobs", b'{"kind": "explode"}', 400, "explode"),
        ("POST", "/zwave/jobs", b"{}", 400, "kind"),
        ("POST", "/zwave/write", b'{"property_id": "x", "value": "1"}', 400, "property_id"),
        ("POST", "/zwave/jobs/1/answer", b"[]", 400, "not understood"),
        ("POST", "/zwave/jobs", b"x" * 20_000, 413, "Too Large"),
        ("GET", "/zwave/nodes/x/values", None, 400, "not a number"),
        ("GET", "/zwave/nodes/99/values", None, 409, "no node 99"),
        ("GET", "/zwave/jobs/7", None, 409, "there is no job 7"),
        ("GET", "/zwave/jobs/1?seen=-1", None, 400, "seen"),
        ("GET", f"/zwave/jobs/1?seen={'9' * 5000}", None, 400, "seen"),
        ("GET", "/knx/nodes", None, 404, "knx"),
        ("GET", "/zwave/secrets", None, 404, "Not Found"),
        ("PUT", "/zwave/nodes", None, 405, "Not Allowed"),
    ],
)
async def test_odd_questions_are_refused_in_words(
    cli: Any, method: str, path: str, body: bytes | None, status: int, words: str
) -> None:
    answered, content = await cli.ask(method, path, body)
    assert (answered, set(content)) == (status, {"error", "hint"})
    assert words in content["error"]
    assert cli.network.made == []


async def test_a_fault_in_a_network_is_told_without_its_trace(
    cli: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cli.network.refuses = ZeroDivisionError("division by zero")
    assert (await cli.ask("GET", "/zwave/nodes"))[0] == 500
    assert "control failed" in caplog.text
    cli.network.refuses = LinkLostError("The stick is gone.", hint="Plug it in.")
    status, content = await cli.ask("GET", "/zwave/nodes")
    assert (status, content) == (503, {"error": "The stick is gone.", "hint": "Plug it in."})
    assert (await cli.ask("GET", "/drivers"))[0] == 200


async def test_a_long_question_is_answered_in_the_end(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "POLL_S", 0.05)
    job = await cli.network.start(JobRequest(kind="heal"))
    status, content = await cli.ask("GET", f"/zwave/jobs/{job.id}?seen=1")
    assert (status, len(content["steps"]), content["state"]) == (200, 1, "running")
