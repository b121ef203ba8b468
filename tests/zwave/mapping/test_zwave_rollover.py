"""Where the registers of Z-Wave meters begin again at 0."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from meterkast.model.datatypes import Kind
from meterkast_drivers.zwave.describing import describe_property
from meterkast_drivers.zwave.mapping import map_node
from meterkast_drivers.zwave.scales import SCALES
from meterkast_drivers.zwave.target import Target


def test_register_of_a_meter_is_a_signed_number_of_32_bits(recorded: Any) -> None:
    registers = 0
    for device in recorded.nodes:
        values = {value.id: value for value in recorded.values(device)}
        for place, target in map_node(list(values.values())).items():
            if not isinstance(target, Target):
                continue
            size = describe_property(values[place], target, 0, 900_000).rolls_at
            if values[place].command_class != 50 or target.kind is not Kind.REGISTER:
                assert size is None, target.key
            elif target.conversion.factor in (1, 10, 1000):
                registers += 1
                assert size == 2**31, target.key
                gallons = replace(target, conversion=SCALES["gal"].conversion)
                assert describe_property(values[place], gallons, 3, 900_000).rolls_at is None
    assert registers > 0
