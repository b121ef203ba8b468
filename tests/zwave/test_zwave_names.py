"""What numbers are called where a person reads them."""

from __future__ import annotations

import pytest

from meterkast_drivers.zwave.mapping import Target, map_node
from meterkast_drivers.zwave.value import ZwaveValue
from meterkast_drivers.zwave.views import names_of

SWITCH = ZwaveValue(command_class=37, endpoint=0, property="currentValue", type="boolean")
MODE = ZwaveValue(
    command_class=64,
    endpoint=0,
    property="mode",
    type="number",
    states={"0": "Off", "1": "Heat", "11": "Energy heat"},
    writeable=True,
)
DIMMER = ZwaveValue(command_class=38, endpoint=0, property="currentValue", type="number", low=0, high=99)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (SWITCH, {"0": "Off", "255": "On"}),
        (MODE, {"0": "Off", "1": "Heat", "11": "Energy heat"}),
        (DIMMER, {}),
    ],
    ids=["switch", "mode", "dimmer"],
)
def test_names_of_numbers(value: ZwaveValue, names: dict[str, str]) -> None:
    found = map_node([value])[value.id]
    assert isinstance(found, Target)
    assert names_of(found) == names
