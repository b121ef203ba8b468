"""Times that no calendar holds are refused with a sentence, not with a traceback."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from meterkast.cli import main
from meterkast_buffer.store import open_store


@pytest.mark.parametrize(
    "words",
    [
        ("report", "--month", "9999-12"),
        ("report", "--month", "0001-01"),
        ("export", "--from", "0001-01-01", "--to", "2026-01-01"),
        ("evidence", "--channel", "1/import_total", "--at", "9999-12-31T23:59"),
        ("meter", "swap", "1", "2", "--at", "0001-01-01T00:00:00+05:00"),
        ("meter", "swap", "1", "2", "--at", "9999-12-31T23:59:00-05:00"),
    ],
)
def test_a_time_beyond_the_calendar_is_refused(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def made() -> None:
        await (await open_store(tmp_path / "meterkast.db")).close()

    asyncio.run(made())
    config = tmp_path / "meterkast.toml"
    config.write_text(f'[storage]\npath = "{tmp_path}/meterkast.db"\n', encoding="utf-8")
    place = 2 if words[0] == "meter" else 1
    assert main([*words[:place], "--config", str(config), *words[place:]]) == 1
    assert "year" in capsys.readouterr().err
