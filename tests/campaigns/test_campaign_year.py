"""Campaign `year`: the real pipeline lives through a stretch of time on a virtual clock, with all its faults.

`make campaign-year` lives the whole year. METERKAST_CAMPAIGN_SIZE is the number of days,
METERKAST_CAMPAIGN_SEED the seed of everything; a failure comes again with the seed that is printed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from meterkast.cli import main
from meterkast.clock import SystemClock
from meterkast.model.half_hour import HalfHour
from meterkast.model.register import RegisterGuard
from meterkast.model.time import DAY_MS, UtcMs, parse_iso
from meterkast.pipeline.commissioning import Commissioning
from meterkast.pipeline.meters import Meters
from meterkast.pipeline.outages import Outages
from meterkast.pipeline.recent import Recent
from meterkast.pipeline.replaying import Replaying
from meterkast.pipeline.series import Series
from meterkast.ports.clock import Trust
from meterkast.proof.ledger import Handed, Standing
from meterkast_buffer.database import Database
from meterkast_rig.virtual.oracle import Verdict, judge
from meterkast_rig.virtual.site import ELECTRICITY, ZONE_NAME
from meterkast_rig.virtual.stories import (
    ClockStep,
    GatewayOff,
    LinkLost,
    MeterSwap,
    Outlier,
    PlatformAway,
    RegisterReset,
    Rollover,
    Story,
    TimeNever,
)
from meterkast_rig.virtual.weather import Death, Span, Step, Swap, Weather
from meterkast_rig.virtual.year import Run, run

SIZE = int(os.environ.get("METERKAST_CAMPAIGN_SIZE", "40"))
SEED = int(os.environ.get("METERKAST_CAMPAIGN_SEED", "1"))

Switch = Callable[[pytest.MonkeyPatch], None]

SPRING = parse_iso("2026-03-05T00:00:00Z")
"""Forty days from here hold the night on which the clock goes forward."""

NEW_YEAR = parse_iso("2026-01-01T00:00:00Z")


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory: a year of fsyncs proves nothing here, for no power is really cut."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


def lived(seed: int, start_ms: UtcMs, days: int, folder: Path, weather: Weather | None = None) -> Verdict:
    return judged(run(seed, start_ms, days, folder, weather=weather))


def judged(made: Run) -> Verdict:
    verdict = judge(made)
    figures = ", ".join(f"{name} {count}" for name, count in verdict.counts.items())
    days = (made.end_ms - made.start_ms) // DAY_MS
    print(f"\nyear: seed {made.seed}, {days} days, {made.processes} processes, trace {made.trace}: {figures}")
    return verdict


def test_every_half_hour_is_right_or_missing_for_the_right_reason_and_delivered_once(memory: Path) -> None:
    made = run(SEED, NEW_YEAR if SIZE > 100 else SPRING, SIZE, memory)
    assert judged(made).wrong == []
    report = reported(memory, "2026-03")
    agrees(report, made)
    one_changed_digit_is_found(report)


def reported(memory: Path, month: str) -> Path:
    """The signed report of a month of what was lived."""
    config, report = memory / "meterkast.toml", memory / "report.json"
    config.write_text(f'[site]\ntime_zone = "{ZONE_NAME}"\n[storage]\npath = "{memory / "meterkast.db"}"\n')
    asked = ["report", "--month", month, "--format", "json", "--output", str(report)]
    assert main([*asked, "--config", str(config)]) == 2, "gaps were made, so it is not complete"
    return report


COUNTS = {"expected", *(one.name.lower() for one in (*Standing, *Handed))}


def agrees(report: Path, made: Run) -> None:
    """It counts, for each channel, what the ledger that was judged has of that month."""
    body = json.loads(report.read_text(encoding="utf-8"))["body"]
    assert body["status"] == "incomplete"
    told: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for part in body["channels"]:  # a meter that is swapped begins another one of the same name
        counts = {name: count for name, count in part.items() if name in COUNTS}
        told[part["stream"], part["name"]] += Counter(counts | part["causes"])
    assert told.keys() == made.entries.keys()
    for channel, entries in made.entries.items():
        month = [entry for entry in entries if body["after_ms"] < entry.end_ms <= body["until_ms"]]
        expected = Counter({"expected": len(month)})
        for entry in month:
            expected.update((entry.standing.name.lower(), entry.handed.name.lower()))
            if entry.cause is not None:
                expected[entry.cause.value] += 1
        assert expected["measured"] > 0
        assert told[channel] == expected, channel


def one_changed_digit_is_found(report: Path) -> None:
    assert main(["verify", str(report)]) == 0
    text = report.read_text(encoding="utf-8")
    rows = [found.span(1) for found in re.finditer(r"\|1800000\|(\d+)\|0\|", text)]
    place = rows[len(rows) // 2][1] - 1
    report.write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :], encoding="utf-8")
    with redirect_stdout(StringIO()) as out:
        assert main(["verify", str(report)]) == 1
    assert "WRONG" in out.getvalue()


def test_same_seed_leaves_the_same_trace_in_another_process() -> None:
    def trace(hash_seed: str, seed: int) -> Any:
        said = subprocess.run(
            [sys.executable, "-m", "meterkast_rig.virtual", "--days", "8", "--seed", str(seed)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        )
        return json.loads(said.stdout)["trace"]

    assert trace("1", SEED) == trace("2", SEED)
    assert trace("1", SEED) != trace("1", SEED + 1)


# Each protection switched off: the campaign has to notice.


def no_replay(patch: pytest.MonkeyPatch) -> None:
    """A restart does not read again what was kept."""

    async def nothing(*_: object) -> None: ...

    patch.setattr(Replaying, "replay", nothing)


def no_revision(patch: pytest.MonkeyPatch) -> None:
    """What comes late changes nothing."""

    def nothing(self: Recent) -> list[HalfHour]:
        self._late.clear()
        return []

    patch.setattr(Recent, "revise", nothing)


def no_guard(patch: pytest.MonkeyPatch) -> None:
    """A register is believed whatever it says."""

    def believe(self: RegisterGuard, at_ms: UtcMs, value: int) -> list[tuple[UtcMs, int]]:
        self.passed(at_ms, value)
        return [(at_ms, value)]

    patch.setattr(RegisterGuard, "accept", believe)


def no_fsync(patch: pytest.MonkeyPatch) -> None:
    """The store says that it is durable before it is."""
    transact = Database.transact

    async def careless(self: Database, work: Any, *, durable: bool = True, **more: Any) -> Any:
        return await transact(self, work, durable=False, **more)

    patch.setattr(Database, "transact", careless)


def no_clock_gate(patch: pytest.MonkeyPatch) -> None:
    """The time of day is believed from the start."""
    patch.setattr("meterkast_rig.virtual.clock.VirtualClock.trust", Trust.TRUSTED)


def no_answer_needed(patch: pytest.MonkeyPatch) -> None:
    """What was sent counts as delivered."""
    from meterkast.model.errors import NotDeliveredError
    from meterkast.uplinks.wattics.client import Client

    post = Client.post

    async def hopeful(self: Client, meter_id: str, packet: bytes) -> str:
        try:
            return await post(self, meter_id, packet)
        except NotDeliveredError:
            return "sent"

    patch.setattr(Client, "post", hopeful)


def no_hold(patch: pytest.MonkeyPatch) -> None:
    """Streams go on while a swap waits for a person's word."""
    patch.setattr(Meters, "_held", lambda self, bound: [])


def no_followed_ledger(patch: pytest.MonkeyPatch) -> None:
    """What is owed stays what the old meter had."""
    patch.setattr(Commissioning, "moved", lambda *_: None)


def no_rollover(patch: pytest.MonkeyPatch) -> None:
    """No register's size is known."""
    patch.setattr(Series, "_size", lambda self: 0)


def no_dispute(patch: pytest.MonkeyPatch) -> None:
    """What is sent is not held when clocks disagree."""
    patch.setattr(SystemClock, "dispute", "")


def no_untimed(patch: pytest.MonkeyPatch) -> None:
    """A boot that never knew the time leaves nothing behind."""
    patch.setattr(Outages, "clock_unknown", lambda self, until_ms, length_ms: until_ms)


def at(clock: str, day: int = 2) -> UtcMs:
    return parse_iso(f"2026-01-{day:02d}T{clock}Z")


def one_of_each() -> Weather:
    """Two days in which every protection is needed once."""
    weather = Weather()
    told: Sequence[Story] = (
        RegisterReset("plug", at("08:17:00"), Span(at("08:27:00"), at("08:50:00"))),
        Outlier(at("09:30:00")),
        GatewayOff(Death(at("10:47:00"), at("10:47:20"))),
        GatewayOff(Death(at("12:30:04"), at("13:10:00"), power_cut=True)),
        GatewayOff(
            Death(at("15:05:00"), at("15:20:00"), wrong_ms=-at("15:20:00"), synchronised_ms=at("17:03:00"))
        ),
        PlatformAway("wattics", Span(at("18:00:00"), at("23:00:00")), rough=True),
    )
    for story in told:
        story.inject(weather)
    return weather


def swap(source: str, channels: Sequence[str], at_ms: UtcMs, signed_ms: UtcMs) -> MeterSwap:
    silent = None if source == "plug" else Span(UtcMs(at_ms - 600_000), UtcMs(at_ms + 420_000))
    return MeterSwap(Swap(source, at_ms, signed_ms), dict.fromkeys(channels, 100), silent)


def meters_and_clocks() -> Weather:
    """Three days with three swaps of meters, a rollover, clocks that lie, and a boot that knows none."""
    weather = Weather()
    years_ms = 5 * 365 * 24 * 3_600_000
    told: Sequence[Story] = (
        swap("gas", ("gas",), at("10:00:00", 1), at("15:10:00", 1)),
        swap("electricity", ELECTRICITY, at("18:00:00", 1), at("22:10:00", 1)),
        swap("plug", ("plug",), at("05:03:00", 2), at("05:25:00", 2)),
        Rollover("water", at("12:00:00", 2)),
        ClockStep(Step(Span(at("14:05:00", 2), at("17:00:00", 2)), years_ms, synchronised=True)),
        ClockStep(Step(Span(at("17:05:00", 2), at("18:00:00", 2)), -years_ms, synchronised=False)),
        GatewayOff(
            Death(
                at("19:12:00", 2),
                at("22:40:00", 2),
                power_cut=True,
                wrong_ms=-at("22:40:00", 2),
                synchronised_ms=at("03:20:00", 3),
            ),
        ),
        # It is back before the time is known: the meter tells it.
        LinkLost(Span(at("22:40:00", 2), at("02:20:00", 3))),
        TimeNever(Span(at("10:10:00", 3), at("11:40:00", 3)), Span(at("11:40:00", 3), at("14:20:00", 3))),
    )
    for story in told:
        story.inject(weather)
    return weather


def test_three_days_of_swaps_and_clocks(memory: Path) -> None:
    assert lived(4, NEW_YEAR, 3, memory, meters_and_clocks()).wrong == []


def test_two_days_with_one_of_each(memory: Path) -> None:
    assert lived(4, NEW_YEAR, 2, memory, one_of_each()).wrong == []


@pytest.mark.parametrize(
    ("switch", "sign"),
    [
        (no_replay, "missing"),
        (no_revision, "taken at"),
        (no_guard, "taken at"),
        (no_fsync, "taken at|missing"),
        (no_answer_needed, "was never sent"),
    ],
)
def test_campaign_notices_a_protection_that_is_off(
    switch: Switch, sign: str, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch(monkeypatch)
    wrong = lived(4, NEW_YEAR, 2, memory, one_of_each()).wrong
    assert any(re.search(sign, words) for words in wrong), wrong[:10]


@pytest.mark.parametrize(
    ("switch", "sign"),
    [
        (no_hold, "was never sent"),
        (no_followed_ledger, "^ledger"),
        (no_rollover, "epoch .*ROLLOVER"),
        (no_clock_gate, "never handed in"),
        (no_dispute, "in a dispute"),
        (no_untimed, "instead of clock unknown"),
    ],
)
def test_campaign_notices_a_rule_of_meters_or_clocks_that_is_off(
    switch: Switch, sign: str, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch(monkeypatch)
    wrong = lived(4, NEW_YEAR, 3, memory, meters_and_clocks()).wrong
    assert any(re.search(sign, words) for words in wrong), wrong[:10]
