"""`meterkast p1` as a person or a script uses it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from meterkast.cli import p1
from meterkast_drivers.p1 import port

Run = Callable[..., int]


@pytest.fixture
def run() -> Run:
    def call(*words: str) -> int:
        parser = argparse.ArgumentParser()
        p1.configure(parser)
        return p1.run(parser.parse_args(words))

    return call


def test_json_has_the_promised_shape(
    run: Run, own_files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for path in own_files:
        assert run("decode", str(path), "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert set(found) == {"telegrams", "skipped_bytes"}
        for telegram in found["telegrams"]:
            assert set(telegram) == {"ident", "profile", "at", "checksum", "readings", "refused", "unknown"}
            assert telegram["checksum"] in ("ok", "bad", "none")
            for reading in telegram["readings"]:
                assert set(reading) == {"reference", "meter", "name", "datatype", "value", "unit", "at"}
                assert isinstance(reading["value"], str)
                assert reading["at"] is None or reading["at"].endswith("Z")
            assert all(set(refused) == {"line", "why"} for refused in telegram["refused"])
            assert all(set(unknown) == {"reference", "text"} for unknown in telegram["unknown"])


def test_text_shows_readings_and_refusals(
    run: Run, own_files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = (path for path in own_files if path.name == "nl-dsmr50-dead-channels.telegram")
    assert run("decode", str(path)) == 0
    out = capsys.readouterr().out
    assert "123.456 kWh" in out
    assert "unset capture time" in out
    assert "1 telegrams, 0 bytes skipped" in out


def test_hexadecimal_and_a_key_that_is_missing(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = b"\xdb\x08MKT12345\x82\x01\x00\x30" + bytes(range(256))[1:]
    file = tmp_path / "frame.hex"
    file.write_text(frame.hex(" ", 4))
    assert run("decode", str(file), "--json") == 0
    (telegram,) = json.loads(capsys.readouterr().out)["telegrams"]
    assert telegram["readings"] == []
    assert "encrypted" in telegram["refused"][0]["why"]


def test_what_is_wrong_is_said_and_keys_are_not_shown(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("decode", str(tmp_path / "nothing")) == 2
    file = tmp_path / "file"
    file.write_bytes(b"\x68\x1f\x1f\x68" + bytes(40))
    assert run("decode", str(file), "--key", "SECRET") == 2
    assert run("decode", str(file)) == 0
    out, err = capsys.readouterr()
    assert "M-Bus" in out
    assert "SECRET" not in out + err


def test_ports_when_there_is_none(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(port, "present", list)
    assert run("ports") == 1
    assert "no serial port" in capsys.readouterr().out


def test_ports_says_what_is_wrong(
    run: Run, line: tuple[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("ports", line[1], "/dev/not-there", "--seconds", "0.05") == 1
    out = capsys.readouterr().out
    assert "no data" in out
    assert "no such port" in out
