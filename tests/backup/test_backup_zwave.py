"""The Z-Wave network keys are in the backup wherever the server keeps them, or a person is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from meterkast_drivers.zwave import settings


@pytest.fixture
def served(house: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The house with a server of its own account, as installed: the keys are in its folder."""
    folder = house.folder / "server"
    folder.mkdir(mode=0o700)
    (house.folder / "data/zwave/keys.json").rename(folder / "keys.json")
    monkeypatch.setattr(settings, "SERVER_FOLDER", str(folder))
    text = house.config.read_text()
    house.config.write_text(text.replace('stick = "/dev/null"', 'server = "/run/meterkast-zwave/zwave.sock"'))
    return folder


async def test_the_keys_of_an_installed_server_come_back(house: Any, served: Path) -> None:
    status, out, _ = await house.save()
    assert status == 0
    assert "keys.json" not in out
    house.lose()
    assert (await house.bring_back())[0] == 0
    assert (served / "keys.json").read_text() == "{}"


@pytest.mark.parametrize("lost", ["keys.json", "."])
async def test_keys_that_are_not_found_are_told(house: Any, served: Path, lost: str) -> None:
    (served / lost).rename(house.folder / "elsewhere")
    status, out, _ = await house.save()
    assert status == 0
    assert f"Not in it: {served / 'keys.json'}" in out
    assert "has to be added anew" in out


@pytest.mark.skipif(os.geteuid() != 0, reason="not root, and a second account is needed: sudo make test")
def test_a_folder_that_cannot_be_read_ends_it(tmp_path: Path) -> None:
    """In a process of an account that may not read it: root may read everything."""
    folder = tmp_path / "server"
    folder.mkdir(mode=0o700)
    (folder / "keys.json").touch()
    code = (
        "import os, pathlib, sys\n"
        "from meterkast.backup.contents import Contents, _add_folder\n"
        "os.setgid(12345), os.setuid(12345)\n"
        "found = Contents(pathlib.Path('a'), pathlib.Path('b'))\n"
        "os.chdir('/')\n"
        "_add_folder(found, pathlib.Path(sys.argv[1]), {})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False
    )
    assert "cannot be read: Permission denied" in done.stderr, done.stderr
