"""A backup while something else happens to the files: a second one, a file that goes away."""

from __future__ import annotations

import io
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from meterkast.backup.contents import contents_of, write_backup
from meterkast.backup.copied import copied
from meterkast.cli.output import whole
from meterkast.config.file import load
from meterkast.model.errors import RefusedError
from meterkast.model.time import UtcMs

NOW = UtcMs(1_773_154_800_000)


def test_two_at_once_leave_one_another_their_copies(house: Any) -> None:
    with copied(house.database) as first:
        Path(f"{first}-journal").write_bytes(b"of the one that runs")
        with copied(house.database) as second:
            assert first.exists()
            assert Path(f"{first}-journal").exists()
            assert second.exists()
        assert first.exists()
    assert [path.name for path in house.database.parent.glob("*.backup-*")] == []


def test_what_a_killed_one_left_is_removed(house: Any) -> None:
    code = (
        "import os, pathlib, signal, sys\n"
        "from meterkast.backup.copied import copied\n"
        "with copied(pathlib.Path(sys.argv[1])):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(house.database)], check=False)
    [left] = house.database.parent.glob("*.backup-*")
    Path(f"{left}-journal").touch()
    house.database.with_name(f"{house.database.name}.backup-other-wal").touch()
    with copied(house.database) as copy:
        assert list(house.database.parent.glob("*.backup-*")) == [copy]


async def test_two_into_one_file_are_refused_and_the_first_is_whole(house: Any) -> None:
    with whole(house.backup) as file:
        file.write(b"all of ")
        status, _, err = await house.save()
        assert status == 1
        assert "being written by another command" in err
        file.write(b"it")
    assert house.backup.read_bytes() == b"all of it"
    assert (await house.save())[0] == 0
    assert house.backup.read_bytes() != b"all of it"
    assert list(house.backup.parent.glob("*.part")) == []


@pytest.mark.parametrize("which", ["etc/meterkast.toml", "etc/reset.secret", "data/device.key"])
def test_what_is_needed_may_not_go_away_meanwhile(house: Any, which: str) -> None:
    config = house.config
    contents = contents_of(config, load(config), tomllib.loads(config.read_text()))
    (house.folder / which).unlink()
    with pytest.raises(RefusedError, match="cannot be read"):
        write_backup(contents, io.BytesIO(), "correct horse", NOW)


def test_a_file_of_a_folder_may_go_away_meanwhile(house: Any) -> None:
    config = house.config
    contents = contents_of(config, load(config), tomllib.loads(config.read_text()))
    (house.folder / "data/zwave/keys.json").unlink()
    assert write_backup(contents, io.BytesIO(), "correct horse", NOW) == 7
