"""Files that commands write: a name that is none is told in one sentence, and before any work."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from meterkast.cli import main
from meterkast_buffer import open_store

COMMANDS = {
    "report": ("report", "--month", "2026-10", "--output"),
    "export": ("export", "--from", "2026-10-01", "--to", "2026-10-02", "--output"),
    "backup": ("backup",),
}


@pytest.mark.parametrize("name", ["/", ".", "", "folder", ".."])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_is_no_file_to_write(
    command: str,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    config = tmp_path / "meterkast.toml"
    config.write_text(f'[storage]\npath = "{tmp_path}/meterkast.db"\n')

    async def made() -> None:
        await (await open_store(tmp_path / "meterkast.db")).close()

    asyncio.run(made())
    (tmp_path / "words").write_text("correct horse battery staple\n")
    given = [*COMMANDS[command], name, "--config", str(config)]
    if command == "backup":
        given += ["--passphrase-file", str(tmp_path / "words")]
    before = sorted(tmp_path.rglob("*"))
    assert main(given) == 1
    assert "is a folder\n  Give the name of a file" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
