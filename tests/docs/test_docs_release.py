"""The day of a release is one day, wherever it is written: no gateway takes an earlier time for right."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import pytest

from meterkast import __released__, __version__
from meterkast.clock import BUILT_MS
from meterkast.model.time import iso_utc

CHANGES = Path(__file__).resolve().parents[2] / "CHANGELOG.md"


def wrong(changes: str, version: str, released: str) -> str:
    """What does not fit; empty where all does."""
    versions = re.findall(r"^## (\S+) \((.+)\)$", changes, re.MULTILINE)
    if not versions or versions[0][0] != version:
        return f"the newest of the changelog is not {version}"
    days = [day for _, day in versions if day != "unreleased"]
    if any(datetime.date.fromisoformat(day).isoformat() != day for day in days):
        return "a day is not written as 2026-10-31"
    if versions[0][1] != "unreleased" and released != versions[0][1]:
        return f"{version} is of {versions[0][1]}, and `__released__` says {released}"
    return "" if not days or released >= days[0] else f"{released} is before the release of {days[0]}"


def test_day_of_the_release_is_that_of_the_changelog() -> None:
    assert wrong(CHANGES.read_text(), __version__, __released__) == ""
    assert iso_utc(BUILT_MS) == f"{__released__}T00:00:00Z"


@pytest.mark.parametrize(
    ("heads", "released", "said"),
    [
        ("## 0.2.0 (2026-12-01)\n## 0.1.0 (2026-11-01)", "2026-12-01", ""),
        ("## 0.2.0 (2026-12-01)\n## 0.1.0 (2026-11-01)", "2026-11-01", "0.2.0 is of 2026-12-01"),
        ("## 0.2.0 (unreleased)\n## 0.1.0 (2026-11-01)", "2026-10-01", "before the release of 2026-11-01"),
        ("## 0.2.0 (unreleased)\n## 0.1.0 (2026-11-01)", "2026-11-01", ""),
        ("## 0.1.0 (2026-11-01)", "2026-11-01", "the newest of the changelog is not 0.2.0"),
    ],
)
def test_a_day_that_was_forgotten_is_found(heads: str, released: str, said: str) -> None:
    found = wrong(f"# Changes\n\n{heads}\n", "0.2.0", released)
    assert said in found
    assert bool(said) == bool(found)
