"""Campaign `flips`: bits, pages, logs and the second copy damaged; every damage is found or harmless.

`make campaign-flips` runs all of it; a failure is replayed with the seed and the number it prints:
METERKAST_CAMPAIGN_SEED=… METERKAST_CAMPAIGN_ONLY=….
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meterkast.model.half_hour import HalfHour
from meterkast_buffer import half_hours, journal, repairing, salvage, sealed
from meterkast_buffer.database import Row
from meterkast_buffer.half_hours import half_hour_of

from .flips_base import Base, make
from .flips_damage import DAMAGES, judge

SIZE = int(os.environ.get("METERKAST_CAMPAIGN_SIZE", "500"))
SEED = int(os.environ.get("METERKAST_CAMPAIGN_SEED", "1"))
ONLY = os.environ.get("METERKAST_CAMPAIGN_ONLY", "")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Every damage is an error in the log: thousands of them help nobody."""
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is some: nothing here depends on a real disk."""
    where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where) as name:
        yield Path(name)


async def run(folder: Path, numbers: range | list[int], kinds: list[str], seed: int) -> dict[str, list[int]]:
    """Damage after damage; figures by kind: damages, reported, half-hours lost, items lost."""
    (folder / "base").mkdir()
    base: Base = await make(folder / "base", random.Random(seed))
    figures: dict[str, list[int]] = {kind: [0, 0, 0, 0] for kind in kinds}
    for number in numbers:
        chance = random.Random(f"{seed}/{number}")
        kind = kinds[number % len(kinds)]
        files, told = DAMAGES[kind](base, chance)
        place = folder / "case"
        place.mkdir()
        try:
            outcome = await judge(place, base, files, again=number % 40 < 10)
        except Exception as error:
            raise AssertionError(f"seed {seed}, damage {number}, {kind}: {told}: {error!r}") from error
        shutil.rmtree(place)
        figure = figures[kind]
        figure[0] += 1
        figure[1] += outcome.reported
        figure[2] += outcome.lost
        figure[3] += outcome.items
    return figures


async def test_every_damage_is_found_or_harmless(folder: Path) -> None:
    numbers = [int(ONLY)] if ONLY else range(SIZE)
    figures = await run(folder, numbers, list(DAMAGES), SEED)
    print(f"\nflips: seed {SEED}, {SIZE} damages")
    for kind, (damages, reported, lost, items) in figures.items():
        print(
            f"  {kind:10} {damages:6} damages, {reported:6} reported, {lost} half-hours lost and named, "
            f"{items} items composed anew"
        )
    if not ONLY:
        assert sum(figure[1] for figure in figures.values()) > SIZE // 3


def _believing(row: Row) -> HalfHour | None:
    """A row as it is, its own CRC unread."""
    one = half_hour_of((*row[:-1], 0))
    if one is not None:
        return one
    made: list[HalfHour] = []

    def take(**values: Any) -> HalfHour:
        made.append(HalfHour(**values))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(half_hours, "HalfHour", take)
        half_hour_of(row)
    return made[0] if made else None


@pytest.mark.parametrize(
    ("without", "kinds", "seen"),
    [
        ("row CRCs", ["bits"], "wrong value as good|silent"),
        ("the second copy", ["pages"], "not named|more than one|not recovered|StorageError"),
    ],
)
async def test_it_fails_without(
    folder: Path, monkeypatch: pytest.MonkeyPatch, without: str, kinds: list[str], seen: str
) -> None:
    if without == "row CRCs":
        monkeypatch.setattr(repairing, "half_hour_of", _believing)
        monkeypatch.setattr(half_hours, "half_hour_of", _believing)
    else:
        monkeypatch.setattr(journal.Journal, "frames", lambda *_, **__: iter(()))
    with pytest.raises(AssertionError, match=seen):
        await run(folder, range(40), kinds, SEED)


async def test_reading_around_a_damage_recovers_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "with").mkdir()
    (folder / "without").mkdir()
    figures = await run(folder / "with", range(30), ["page"], SEED)
    monkeypatch.setattr(salvage._Filling, "_table", _from_one_end)
    worse = await run(folder / "without", range(30), ["page"], SEED)
    assert worse["page"][3] > 1.5 * figures["page"][3]


def _from_one_end(self: Any, source: sqlite3.Connection, name: str) -> None:
    """Rows until the first that cannot be read."""
    columns, _ = sealed.layout_of(self._new, name)
    with contextlib.suppress(sqlite3.DatabaseError):
        for row in source.execute(f"SELECT {', '.join(map(sealed.quoted, columns))} FROM {name}"):
            sealed.insert(self._new, name, columns, [row])
