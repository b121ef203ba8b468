"""After a swap the configuration's names mean the same to every command as to the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from meterkast.cli import main
from meterkast.model.product import Medium
from meterkast.model.time import iso_utc
from meterkast_buffer.store import open_store

from ..pipeline.meter_house import POWER_NOW, MeterHouse, Platform
from ..pipeline.sites import START

NAME = "electricity/import_total"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[MeterHouse]:
    store = await open_store(tmp_path / "meterkast.db")
    house = MeterHouse(store)
    house.meter("OLD", 84_000_000, Medium.ELECTRICITY, POWER_NOW)
    house.meter("NEW", 100, Medium.ELECTRICITY, POWER_NOW)
    yield house
    await store.close()


@pytest.mark.parametrize("signed", [True, False])
async def test_a_name_means_the_meter_that_is_read_now(
    house: MeterHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str], signed: bool
) -> None:
    await house.start(Platform("wattics", NAME, continues=False))
    await house.replace("OLD", "NEW", minute=100)
    await house.minutes(60)
    if signed:
        await house.swap("OLD", "NEW", old_readings={"import_total": "84001.01"})
        await house.minutes(60)
    config = tmp_path / "meterkast.toml"
    config.write_text(
        f'[storage]\npath = "{house.store.database.path}"\n[uplinks.wattics]\nuser = "u"\npassword = "p"\n'
        '[[uplinks.wattics.meters]]\nid = "m1"\ninterval_min = 30\nmeter = "electricity"\n',
        encoding="utf-8",
    )

    async def said(*words: str) -> str:
        await asyncio.to_thread(main, [*words, "--config", str(config)])
        out, err = capsys.readouterr()
        return out + err

    shown = await said("wattics", "show")
    assert "EXAMPLE" not in shown
    # Until it is signed off nothing is sent of the new one, and the old one is not there any more.
    assert ("all of it is missing" if not signed else '"pC_1":') in shown
    assert "such devices" not in await said("check")
    for minute in (45, 135):  # read from the old meter, and from the new one
        at = iso_utc(START + minute * 60_000)
        assert "never captured" in (told := await said("evidence", "--channel", NAME, "--at", at)), told
