"""Power cuts at every point of every write of the real store, and a disk that fails at every operation.

`make campaign-cuts` runs it in full; `METERKAST_CAMPAIGN_SIZE` is the number of cuts and
`METERKAST_CAMPAIGN_SEED` replays what a failure printed. What is modelled, and what each cut checks:
docs/campaigns/cuts.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from meterkast_rig.disk.recorder import build, environment
from meterkast_rig.disk.trace import State, Trace

from .judge import Verdict, judge, write

CUTS = int(os.environ.get("METERKAST_CAMPAIGN_SIZE", 20_000))
SEED = int(os.environ.get("METERKAST_CAMPAIGN_SEED", 1))
FULL = "METERKAST_CAMPAIGN_SIZE" in os.environ

# One story is some 1,500 operations on the disk; each of them is cut about once.
CUTS_OF_A_STORY = 2000
STEPS = 80

# So many stories follow one another on one database: each begins with what a cut left of the one before, so
# that opening, salvaging and going on after a cut is cut as well.
GENERATIONS = 5

RUN = Path(__file__).with_name("run.py")


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("recorder"))


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory: a campaign writes gigabytes."""
    shm = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="meterkast-cuts-", dir=shm) as folder:
        yield Path(folder)


def told(recorder: Path, memory: Path, before: State, *arguments: object) -> str:
    """Run run.py on a folder of these files; the trace is in `memory`."""
    folder, trace = memory / "disk", memory / "trace"
    trace.unlink(missing_ok=True)
    write(before, folder)
    what, *more = map(str, arguments)
    done = subprocess.run(
        [sys.executable, str(RUN), str(folder), what, *more],
        env={**environment(recorder, folder, trace), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=3600,
    )
    assert done.returncode == 0, f"story {arguments}: {done.stderr}"
    return done.stdout


def campaign(
    recorder: Path, memory: Path, cuts: int, seed: int, switch: str = "none", stop_at: int = 1
) -> Verdict:
    """So many cuts over as many stories as it takes; stops when that many were wrong."""
    whole = Verdict()
    before: State = {}
    for number in range(-(-cuts // CUTS_OF_A_STORY)):
        if number % GENERATIONS == 0:
            before = {}
        name = f"{seed}.{number}"
        told(recorder, memory, before, "record", name, STEPS, switch)
        some = min(CUTS_OF_A_STORY, cuts - whole.cuts)
        verdict = judge(memory / "trace", memory / "disk", before, some, name, memory / "scratch")
        whole.cuts += verdict.cuts
        whole.states += verdict.states
        whole.opened += verdict.opened
        whole.calls += verdict.calls
        whole.wrong += verdict.wrong
        if len(whole.wrong) >= stop_at:
            break
        before = verdict.left
    return whole


@pytest.mark.slow
def test_no_power_cut_costs_what_was_promised(recorder: Path, memory: Path) -> None:
    verdict = campaign(recorder, memory, CUTS, SEED)
    calls = ", ".join(f"{name} {count:,}" for name, count in verdict.calls.most_common())
    print(
        f"\ncuts: seed {SEED}, {verdict.cuts:,} cuts, {verdict.states:,} different states, "
        f"{verdict.opened:,} opened by the store, {len(verdict.wrong)} wrong\nduring {calls}"
    )
    assert verdict.wrong == []
    assert verdict.states > verdict.cuts // 2, "most cuts must leave something of their own"
    assert min(verdict.calls[name] for name in ("open", "keep", "acknowledge", "reopen", "remove_node")) > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("switch", "cuts"),
    [
        ("NORMAL", 400),
        ("OFF", 400),
        ("not durable", 400),
        ("in two", 400),
        # A flush that fails, and a cut while that is mended, are rarer: until the first is noticed.
        ("not rewritten", 20_000),
        ("checkpoint at any time", 20_000),
    ],
)
def test_it_fails_where_a_protection_is_off(recorder: Path, memory: Path, switch: str, cuts: int) -> None:
    verdict = campaign(recorder, memory, cuts, 3, switch)
    assert verdict.wrong, f"{switch}: nothing was noticed in {verdict.cuts} cuts"


@pytest.mark.slow
def test_every_operation_on_the_disk_may_fail(recorder: Path, memory: Path) -> None:
    stride = 1 if FULL else 8
    found = json.loads(told(recorder, memory, {}, "faults", SEED, stride, "none"))
    print(
        f"\nfaults: seed {SEED}, {found['faults']:,} calls with {found['operations']:,} failing operations, "
        f"{found['refused']:,} refused, {len(found['wrong'])} wrong"
    )
    assert found["wrong"] == []
    assert found["refused"] > 50


def test_the_model_has_seen_every_change_of_the_files(recorder: Path, memory: Path) -> None:
    told(recorder, memory, {}, "record", SEED, STEPS, "none")
    played = Trace(memory / "trace", memory / "disk", {})
    for _ in played.steps():
        pass
    names = [path for path in (memory / "disk").rglob("*") if path.is_file()]
    assert any(path.parent.name == "meterkast.db.journal" for path in names), "the second copy"
    for path in names:
        name = str(path.relative_to(memory / "disk"))
        assert played.disk.live[name].live == path.read_bytes(), name
