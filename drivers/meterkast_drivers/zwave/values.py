"""A value of the library as plain data; odd metadata never raises."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from meterkast_drivers.zwave import library  # noqa: F401

# isort: split
# `library` has to be imported before this.
from zwave_js_server.model.value import Value

from meterkast_drivers.zwave.value import ZwaveValue

_NUMBERS = ("meterType", "scale", "rateType", "sensorType", "notificationType", "setpointType")


def value_of(value: Value) -> ZwaveValue:
    """What zwave-js says of a value, without what it holds now.

    What has another type than the specification gives it is left out, as if the device had not said it.
    """
    data: Mapping[str, Any] = _mapping(value.data)
    metadata = _mapping(value.metadata.data)
    return ZwaveValue(
        command_class=_whole(data.get("commandClass")) or 0,
        endpoint=_whole(data.get("endpoint")) or 0,
        property=_name(data.get("property")) or "",
        property_key=_name(data.get("propertyKey")),
        label=_text(metadata.get("label")),
        unit=_text(metadata.get("unit")),
        type=_text(metadata.get("type")) or "any",
        states=_states(metadata.get("states")),
        cc_specific=_specific(metadata.get("ccSpecific")),
        readable=metadata.get("readable") is not False,
        writeable=metadata.get("writeable") is True,
        low=_number(metadata.get("min")),
        high=_number(metadata.get("max")),
    )


def _mapping(raw: object) -> Mapping[str, Any]:
    return raw if isinstance(raw, Mapping) else {}


def _text(raw: object) -> str:
    """Texts come from devices: half of a UTF-16 pair would fail wherever it is written as UTF-8."""
    return raw.encode("utf-8", "replace").decode("utf-8").strip() if isinstance(raw, str) else ""


def _name(raw: object) -> str | int | None:
    """A property or its key, digit for digit: the value id is made of it."""
    if isinstance(raw, bool):
        return str(raw).lower()
    if isinstance(raw, float) and raw.is_integer():
        return int(raw)
    if raw is None or isinstance(raw, str | int):
        return raw
    return str(raw)


def _whole(raw: object) -> int | None:
    if isinstance(raw, bool):
        return None
    if isinstance(raw, float):
        return int(raw) if raw.is_integer() else None
    return raw if isinstance(raw, int) else None


def _number(raw: object) -> float | None:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None
    try:
        number = float(raw)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _states(raw: object) -> dict[str, str]:
    if isinstance(raw, list):
        raw = dict(enumerate(raw))
    return {_text(str(key)): _text(str(text)) for key, text in _mapping(raw).items() if text is not None}


def _specific(raw: object) -> dict[str, int]:
    numbers = ((name, _whole(number)) for name, number in _mapping(raw).items())
    return {str(name): number for name, number in numbers if number is not None}
