"""A report as evidence: the event as the server told it, and what the value was when it came."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from meterkast_drivers.zwave.device import Early
from meterkast_drivers.zwave.mapping import Target, map_value, number_of
from meterkast_drivers.zwave.scales import Pulse
from meterkast_drivers.zwave.value import ZwaveValue


def evidence_of(node: int, value: ZwaveValue, report: Early) -> bytes:
    """The report's event as compact JSON, with what its number means: unit, type and scale.

    Where the event was not told (a switch that was asked whether it switched), its value alone is there.
    """
    event = report.event if report.event is not None else {"newValue": report.raw}
    told = {
        "node": node,
        "unit": value.unit,
        "type": value.type,
        "ccSpecific": dict(value.cc_specific),
        "valueId": value.id,
        "args": event,
    }
    return json.dumps(told, separators=(",", ":"), default=str).encode()


def value_in(raw: bytes, pulse: Pulse | None) -> Decimal | None:
    """The number in a report, in the canonical unit of what it is; None where it holds none.

    Args:
        raw: As `evidence_of` made it.
        pulse: What a pulse of the device's counter is worth.

    Raises:
        ValueError: It is no report.
    """
    told: dict[str, Any] = json.loads(raw)
    try:
        parts = told["valueId"].split("-", 3)
        value = ZwaveValue(
            command_class=int(parts[0]),
            endpoint=int(parts[1]),
            property=_name(parts[2]),
            property_key=_name(parts[3]) if len(parts) > 3 else None,
            unit=told["unit"],
            type=told["type"],
            cc_specific=told["ccSpecific"],
        )
        target = map_value(value, pulse)
        return number_of(target, told["args"]["newValue"]) if isinstance(target, Target) else None
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"it is no report: {error!r}") from error


def node_of(raw: bytes) -> int:
    """The node that sent it.

    Raises:
        ValueError: It is no report.
    """
    told = json.loads(raw)
    if not isinstance(told, dict) or not isinstance(told.get("node"), int):
        raise ValueError("it is no report")
    return int(told["node"])


def _name(text: str) -> str | int:
    return int(text) if text.isascii() and text.isdigit() else text
