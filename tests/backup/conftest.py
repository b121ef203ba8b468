"""A gateway's files, a backup of them, and the commands."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from meterkast.backup import sealed
from meterkast.cli import main
from meterkast.model.delivery import NewItem
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import Medium, ProductDescription, PropertyDescription
from meterkast.model.quantity import Quantity
from meterkast.model.time import UtcMs
from meterkast.model.units import Unit
from meterkast.ports.store import Keep
from meterkast_buffer.store import open_store

NOW = UtcMs(1_773_154_800_000)


@dataclass
class House:
    """A gateway that is not running, and commands on it."""

    folder: Path
    config: Path
    database: Path
    backup: Path
    words: Path
    capsys: Any

    async def run(self, *words: str) -> tuple[int, str, str]:
        """Exit status, what was printed, what was complained of; a command has a loop of its own."""
        status = await asyncio.to_thread(main, list(words))
        printed = self.capsys.readouterr()
        return status, printed.out, printed.err

    async def save(self, *more: str) -> tuple[int, str, str]:
        given = ("--config", str(self.config), "--passphrase-file", str(self.words))
        return await self.run("backup", str(self.backup), *given, *more)

    async def bring_back(self, *more: str) -> tuple[int, str, str]:
        return await self.run("restore", str(self.backup), "--passphrase-file", str(self.words), *more)

    def files(self, root: Path | None = None) -> dict[str, bytes]:
        """All files of the gateway and their contents, by path within it; not those of an empty log."""
        folder = self.folder if root is None else root / str(self.folder).lstrip("/")
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
            and not path.name.endswith("-shm")
            and (path.stat().st_size or "-wal" not in path.name)
        }

    def lose(self) -> None:
        """The card dies."""
        shutil.rmtree(self.folder)


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> House:
    monkeypatch.setattr(sealed, "SCRYPT_N", 16)
    folder = tmp_path / "house"
    for name in ("etc", "data", "data/zwave/backups", "data/meterkast.db.journal"):
        (folder / name).mkdir(parents=True)
    config = folder / "etc/meterkast.toml"
    config.write_text(
        f"""
[storage]
path = "{folder}/data/meterkast.db"
[drivers.zwave]
stick = "/dev/null"
folder = "{folder}/data/zwave"
[uplinks.reset]
url = "https://reset.example/v2"
client_id = "env:RESET_ID"
client_secret_file = "{folder}/etc/reset.secret"
monitors = []
"""
    )
    (folder / "etc/reset.secret").write_text("canary\n")
    (folder / "etc/reset.secret").chmod(0o600)
    (folder / "data/device.key").write_bytes(b"private")
    (folder / "data/device.key").chmod(0o400)
    (folder / "data/zwave/keys.json").write_text("{}")
    (folder / "data/zwave/backups/nvm-1.bin").write_bytes(os.urandom(200_000))
    (folder / "data/meterkast.db.journal/000001").write_bytes(os.urandom(1000))
    database = folder / "data/meterkast.db"
    await fill(database)
    words = tmp_path / "words"
    words.write_text("correct horse battery staple\n")
    return House(folder, config, database, tmp_path / "saved.mkb", words, capsys)


async def fill(database: Path) -> None:
    """A meter, half-hours and items, of which one was delivered."""
    store = await open_store(database)
    try:
        _, known = await store.declare(
            ProductDescription(identity="p1:1", name="Meter", medium=Medium.ELECTRICITY),
            [PropertyDescription(key="import_total", name="Energy", datatype=39, unit=Unit.WATT_HOUR)],
        )
        number = known["import_total"].id
        rows = [
            HalfHour(property_id=number, end_ms=UtcMs(NOW + n * 1_800_000), value=Quantity(n), count=1)
            for n in range(50)
        ]
        items = [
            NewItem(uplink="reset", stream="m", at_ms=UtcMs(NOW + n * 1_800_000), payload=b"%d" % n)
            for n in range(50)
        ]
        await store.set_state("gateway", "device_id", "mk-canary")
        await store.keep(Keep(now_ms=NOW, half_hours=rows, items=items))
        first = await store.pending("reset", "m", 1)
        await store.acknowledge([first[0].id], "yes", NOW)
    finally:
        await store.close()
