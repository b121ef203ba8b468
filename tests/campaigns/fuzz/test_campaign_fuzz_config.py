"""Any configuration at all is a configuration, or refused with what is wrong and what to do."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from meterkast import app
from meterkast.clock import FastClock
from meterkast.config.decoding import decode
from meterkast.config.file import load
from meterkast.config.sections import Config
from meterkast.model.errors import ConfigError
from meterkast.model.time import Grid, UtcMs, zone
from meterkast.ports.store import Store
from meterkast.uplinks.context import Context

from ...uplinks.reset.monitor import MONITOR
from .mutation import SEED, SIZE, damaged, twisted

ROOT = Path(__file__).parents[3]
TOKENS = (
    b"[",
    b"]",
    b"=",
    b'"',
    b"'''",
    b"\n",
    b"\xef\xbb\xbf",
    b"\xff",
    b"inf",
    b"1979-05-27",
    b"\\u0000",
    b"{",
    b"#",
)

# Every section and many keys, so that what is twisted is nearly right.
WHOLE: dict[str, Any] = {
    "site": {"name": "Home", "time_zone": "Europe/Amsterdam"},
    "storage": {"path": "x.db", "samples_days": 35, "half_hours_years": 10},
    "page": {"host": "127.0.0.1", "port": 8080, "allowed_hosts": ["a"]},
    "control": {"socket": "x.sock"},
    "delivery": {},
    "drivers": {
        "p1": {
            "cellar": {"port": "/dev/ttyUSB0"},
            "roof": {"port": "socket://127.0.0.1:1", "key": "00" * 16},
        },
        "zwave": {
            "stick": "/dev/ttyACM0",
            "nodes": {"5": {"name": "Pump", "pulse": "1 L", "parameters": {"111": 300, "40-255": 1}}},
        },
    },
    "uplinks": {
        "reset": {
            "url": "https://reset.build:8069/v2",
            "client_id": "demo",
            "client_secret": "hunter2",
            "monitors": [
                MONITOR
                | {"channels": [{"id": "c01", "readings": {"power_consumption": "electricity/import_total"}}]}
            ],
        },
        "wattics": {
            "endpoint": "https://x.example/",
            "user": "u",
            "password": "hunter2",
            "meters": [{"id": "m1", "interval_min": 30, "meter": "electricity"}],
        },
    },
}
ODD_TOML = (
    datetime.date(1979, 5, 27),
    datetime.time(7, 32),
    datetime.datetime(1979, 5, 27, tzinfo=datetime.UTC),
)


def built(config: Config) -> None:
    """All that is made of a configuration before anything is opened."""
    context = Context(
        device_id="gw1",
        grid=Grid(zone("Europe/Amsterdam")),
        clock=FastClock(1, UtcMs(1_767_225_600_000)),
        store=cast(Store, None),
        random=lambda: 0.5,
    )
    app.make_uplinks(config, context)
    app.make_drivers(config, context.clock, lambda _: cast(Any, None))


def refused(make: Callable[[], object], where: str) -> bool:
    """Whether it was refused; with a message and a hint, and without any secret."""
    told: ConfigError | None = None
    try:
        make()
    except ConfigError as error:
        told = error
    except Exception as error:
        raise AssertionError(f"{where}: {error!r}") from error
    if told is not None:
        assert str(told), where
        assert told.hint, where
        assert "hunter2" not in f"{told} {told.hint}", f"{where}: a secret in a message: {told}"
    return told is not None


def test_the_whole_configuration_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    built(decode(Config, WHOLE))


@pytest.mark.slow
def test_twisted_trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    chance = Random(f"trees {SEED}")
    count = 0
    for number in range(4000 * SIZE):
        tree = twisted(WHOLE, chance)
        if chance.random() < 0.2 and isinstance(tree, dict) and tree:
            tree[chance.choice(sorted(tree))] = chance.choice(ODD_TOML)
        if isinstance(tree, dict):
            count += refused(lambda tree=tree: built(decode(Config, tree)), f"seed {SEED}, tree {number}")
    assert count > 1000 * SIZE
    assert os.listdir(tmp_path) == [], "a configuration that is looked at writes nothing"


@pytest.mark.slow
def test_damaged_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = Random(f"text {SEED}")
    count = 0
    # Most of the sample is comments; what stands in them is set as well.
    sample = (ROOT / "deploy" / "meterkast.example.toml").read_bytes()
    good = re.sub(rb"(?m)^# ?(?=\[[\w.]+\]|\w+ = )", b"", sample)
    path = tmp_path / "m.toml"
    monkeypatch.chdir(tmp_path)
    for number in range(1500 * SIZE):
        path.write_bytes(damaged(chance.choice((sample, good)), chance, TOKENS))
        count += refused(lambda: built(load(path)), f"seed {SEED}, text {number}")
    assert count > 300 * SIZE
