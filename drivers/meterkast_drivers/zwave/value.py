"""A value of a node as zwave-js describes it: plain data, so that the mapping knows no library."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ZwaveValue:
    """One value of a node: its id and its metadata, without what it holds now.

    Attributes:
        command_class: Its number: 50 is Meter.
        endpoint: 0 is the device itself, 1 and up its channels.
        property, property_key: As zwave-js names them within the command class.
        label, unit: As zwave-js writes them; empty where it gives none.
        type: "number", "boolean", "string", "buffer", "any", …
        states: What its numbers mean, by their text: "0" → "Off".
        cc_specific: Numbers of the specification: meterType, scale, rateType, sensorType, notificationType,
            setpointType.
        readable, writeable: Whether it can be asked for, and set.
        low, high: The range of numbers to be set, in `unit`; None where the device gives none.
    """

    command_class: int
    endpoint: int
    property: str | int
    property_key: str | int | None = None
    label: str = ""
    unit: str = ""
    type: str = "any"
    states: Mapping[str, str] = field(default_factory=dict)
    cc_specific: Mapping[str, int] = field(default_factory=dict)
    readable: bool = True
    writeable: bool = False
    low: float | None = None
    high: float | None = None

    @builtins.property
    def id(self) -> str:
        """The value id without the node: `50-0-value-65537` is class, endpoint, property and key."""
        base = f"{self.command_class}-{self.endpoint}-{self.property}"
        return base if self.property_key is None else f"{base}-{self.property_key}"
