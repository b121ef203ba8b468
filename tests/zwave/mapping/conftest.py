"""Devices that were recorded from zwave-js, and what the mapping makes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from meterkast_drivers.zwave.mapping import Target, map_node, number_of
from meterkast_drivers.zwave.scales import Pulse
from meterkast_drivers.zwave.value import ZwaveValue

NODES = Path(__file__).parents[2] / "data" / "zwave" / "nodes.json"


class Recorded:
    """The recorded devices, by name."""

    def __init__(self) -> None:
        self.nodes: dict[str, list[dict[str, Any]]] = json.loads(NODES.read_text(encoding="utf-8"))["nodes"]

    @staticmethod
    def value(recorded: dict[str, Any]) -> ZwaveValue:
        metadata = recorded["metadata"]
        numbers = metadata.get("ccSpecific", {})
        return ZwaveValue(
            command_class=recorded["commandClass"],
            endpoint=recorded["endpoint"],
            property=recorded["property"],
            property_key=recorded.get("propertyKey"),
            label=metadata.get("label", ""),
            unit=metadata.get("unit", ""),
            type=metadata["type"],
            states=metadata.get("states", {}),
            cc_specific={name: number for name, number in numbers.items() if isinstance(number, int)},
            readable=metadata["readable"],
            writeable=metadata["writeable"],
            low=metadata.get("min"),
            high=metadata.get("max"),
        )

    def values(self, device: str) -> list[ZwaveValue]:
        return [self.value(recorded) for recorded in self.nodes[device]]

    def properties(self, device: str, pulse: Pulse | None = None) -> dict[str, Target]:
        """Targets of a recorded device, by property key."""
        return self.keyed(self.values(device), pulse)

    def readings(self, device: str) -> dict[str, Decimal | None]:
        """What the recording shows, by property key."""
        found = map_node(self.values(device))
        shown = {}
        for recorded in self.nodes[device]:
            value = self.value(recorded)
            target = found[value.id]
            if isinstance(target, Target) and target.sending:
                shown[target.key_at(value.endpoint)] = number_of(target, recorded.get("value"))
        return shown

    @staticmethod
    def keyed(values: Sequence[ZwaveValue], pulse: Pulse | None = None) -> dict[str, Target]:
        """Targets of these values, by property key."""
        known = {value.id: value for value in values}
        found = map_node(values, pulse)
        assert found.keys() == known.keys(), "every value goes somewhere, visibly"
        targets = {i: target for i, target in found.items() if isinstance(target, Target)}
        by_key = {target.key_at(known[i].endpoint): target for i, target in targets.items()}
        assert len(by_key) == len(targets), "keys are unique"
        return by_key


@pytest.fixture(scope="session")
def recorded() -> Recorded:
    return Recorded()
