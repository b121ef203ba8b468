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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from meterkast.model.half_hour import HalfHour
from meterkast_buffer import comparing, half_hours, journal, salvage, sealed
from meterkast_buffer.database import Row
from meterkast_buffer.half_hours import half_hour_of

from .flips_base import Base, make
from .flips_damage import DAMAGES
from .flips_oracle import Outcome, judge

SIZE = int(os.environ.get("METERKAST_CAMPAIGN_SIZE", "500"))
SEED = int(os.environ.get("METERKAST_CAMPAIGN_SEED", "1"))
ONLY = os.environ.get("METERKAST_CAMPAIGN_ONLY", "")

WRONG = 10
"""After so many failures it ends."""

FULL = 5
"""One damage in so many is judged in full; `flips_oracle.py` says what that is."""


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


@dataclass(slots=True)
class Figure:
    """What became of the damages of one kind.

    Attributes:
        found: Damages that were reported at start.
        read: Not at start: rows of samples or evidence that are refused when they are read.
        harmless: Nothing was lost or changed.
        put_back, lost: Half-hours.
        items: Composed anew.
        unsure: Rows of small tables of which nobody can tell whether they are newer than the copy; named.
    """

    damages: int = 0
    found: int = 0
    read: int = 0
    harmless: int = 0
    put_back: int = 0
    lost: int = 0
    items: int = 0
    unsure: int = 0

    def add(self, outcome: Outcome) -> None:
        self.damages += 1
        self.found += outcome.reported
        self.read += not outcome.reported and bool(outcome.silent)
        self.harmless += not outcome.reported and not outcome.silent
        self.put_back += outcome.put_back
        self.lost += outcome.lost
        self.items += outcome.items
        self.unsure += outcome.unsure


async def run(
    folder: Path, numbers: range | list[int], kinds: list[str], seed: int, *, full: int = FULL
) -> dict[str, Figure]:
    """Damage after damage, one in `full` of each kind judged in full; figures by kind."""
    (folder / "base").mkdir()
    base: Base = await make(folder / "base", random.Random(seed))
    figures, wrong = {kind: Figure() for kind in kinds}, list[str]()
    for number in numbers:
        chance = random.Random(f"{seed}/{number}")
        kind = kinds[number % len(kinds)]
        files, told = DAMAGES[kind](base, chance)
        place = folder / "case"
        place.mkdir()
        try:
            outcome = await judge(place, base, files, full=number // len(kinds) % full == 0)
            figures[kind].add(outcome)
        except Exception as error:  # this damage was not survived: it is told when all is done
            wrong.append(f"seed {seed}, damage {number}, {kind}: {told}: {error!r}")
        shutil.rmtree(place)
        if len(wrong) == WRONG:
            break
    assert not wrong, "\n".join(wrong)
    return figures


async def test_every_damage_is_found_or_harmless(folder: Path) -> None:
    numbers = [int(ONLY)] if ONLY else range(SIZE)
    figures = await run(folder, numbers, list(DAMAGES), SEED, full=1 if ONLY else FULL)
    print(f"\nflips: seed {SEED}, {SIZE} damages, none wrong; one in {FULL} judged in full")
    print("  kind       damages  found  read  harmless  put back  lost  items anew  rows unsure")
    for kind, one in figures.items():
        print(
            f"  {kind:10} {one.damages:7} {one.found:6} {one.read:5} {one.harmless:9} {one.put_back:9} "
            f"{one.lost:5} {one.items:11} {one.unsure:12}"
        )
    if not ONLY:
        assert sum(figure.found for figure in figures.values()) > SIZE // 3


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
        monkeypatch.setattr(comparing, "half_hour_of", _believing)
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
    assert worse["page"].items > 1.5 * figures["page"].items


def _from_one_end(self: Any, source: sqlite3.Connection, name: str) -> None:
    """Rows until the first that cannot be read."""
    columns, _ = sealed.layout_of(self._new, name)
    with contextlib.suppress(sqlite3.DatabaseError):
        for row in source.execute(f"SELECT {', '.join(map(sealed.quoted, columns))} FROM {name}"):
            sealed.insert(self._new, name, columns, [row])
