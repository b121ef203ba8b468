"""Campaign `clock`: no half-hour on a wrong time, none sent before trust, none doubled, none lost."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import clock_run
from .clock_story import tell

SIZE = int(os.environ.get("METERKAST_CAMPAIGN_SIZE", "500"))
SEED = int(os.environ.get("METERKAST_CAMPAIGN_SEED", "1"))
ONE = os.environ.get("METERKAST_CAMPAIGN_STORY", "")


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory: no power is really cut here, so an fsync proves nothing."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


@pytest.mark.slow
async def test_every_clock_story_ends_well(memory: Path) -> None:
    began = time.process_time()
    kinds: Counter[str] = Counter()
    figures: Counter[str] = Counter()
    bad: list[str] = []
    for number in [int(ONE)] if ONE else range(SIZE):
        story = tell(SEED, number)
        ran = await clock_run.run(story, memory)
        kinds[story.kind] += 1
        figures += ran.figures
        bad += [f"story {number} ({story.kind}): {wrong}" for wrong in ran.wrongs[:3]]
    print(
        f"\ncampaign clock: seed {SEED}, {kinds.total()} stories, "
        f"{figures['measured']} half-hours measured, {figures['missing']} missing with their cause, "
        f"{figures['episodes']} episodes, {len(bad)} wrong, {time.process_time() - began:.0f} s of CPU"
    )
    replay = f"replay: METERKAST_CAMPAIGN_SEED={SEED} METERKAST_CAMPAIGN_STORY=<number> make campaign-clock"
    assert not bad, "\n".join([*bad[:40], f"{len(bad)} in all", replay])
