"""What importing the library costs: pydantic is not loaded, and nothing of the stand-in stays."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
