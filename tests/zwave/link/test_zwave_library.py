"""Importing the library: no pydantic, nothing of the stand-in stays, and all events come to the same."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from meterkast_drivers.zwave import library

AS_IT_IS = """
import sys
import meterkast_drivers.zwave.link, meterkast_drivers.zwave.values
print([name for name in sys.modules if name.startswith("pydantic")])
"""

STILL_USABLE = """
import meterkast_drivers.zwave.link
from pydantic.v1 import BaseModel, ValidationError
class Model(BaseModel):
    number: int
try:
    Model(number="x")
except ValidationError:
    print("[]")
"""

THERE_BEFORE = """
import pydantic.v1, zwave_js_server.client
import meterkast_drivers.zwave.link
from zwave_js_server.event import BaseEventModel
print([] if issubclass(BaseEventModel, pydantic.v1.BaseModel) else "another")
"""


@pytest.mark.parametrize("program", [AS_IT_IS, STILL_USABLE, THERE_BEFORE])
def test_pydantic_stays_out_and_whole(program: str) -> None:
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "[]"


def test_pydantic_that_is_there_before_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    there = ModuleType("pydantic.v1")
    monkeypatch.setitem(sys.modules, "pydantic.v1", there)
    importlib.reload(library)
    assert sys.modules["pydantic.v1"] is there


KINDS = """
import json
import meterkast_drivers.zwave.link
from zwave_js_server.model.controller.event_model import CONTROLLER_EVENT_MODEL_MAP
from zwave_js_server.model.driver import DRIVER_EVENT_MODEL_MAP
from zwave_js_server.model.node.event_model import NODE_EVENT_MODEL_MAP
print(json.dumps([*NODE_EVENT_MODEL_MAP, *CONTROLLER_EVENT_MODEL_MAP, *DRIVER_EVENT_MODEL_MAP]))
"""


def printed(*arguments: str) -> Any:
    asked = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    return json.loads(asked.stdout)


def test_every_event_comes_to_the_same_with_and_without_pydantic() -> None:
    replay = str(Path(__file__).with_name("replay.py"))
    *published, counters, with_pydantic = printed(replay, "library")
    *ours, odd, there = printed(replay, "ours")
    assert (counters, with_pydantic) == ({}, True)
    assert (odd, there) == ({}, False)
    assert ours == published
    assert sorted(event["event"] for event in ours[0]) == sorted(printed("-c", KINDS))
