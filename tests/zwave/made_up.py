"""Time, nodes and values that are made up: what a real device cannot be made to send."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from meterkast.model.time import UtcMs
from meterkast.ports.clock import Trust


class FakeClock:
    """Gateway time that stands still until it is moved."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self.ns = 1_000_000_000_000
        self.trust = Trust.TRUSTED

    def now_ms(self) -> UtcMs:
        return self.utc_of(self.ns)

    def boot_ns(self) -> int:
        return self.ns

    def utc_of(self, boot_ns: int) -> UtcMs:
        return UtcMs(1_700_000_000_000 + boot_ns // 1_000_000)

    def allowance_ms(self, limit_ms: int) -> int:
        return limit_ms

    def pass_s(self, seconds: float) -> None:
        self.ns += int(seconds * 1e9)


def made_value(
    command_class: int,
    name: str | int,
    key: str | int | None = None,
    value: Any = None,
    endpoint: int = 0,
    **metadata: Any,
) -> dict[str, Any]:
    """A value as the server describes it."""
    told = {"type": "number", "readable": True, "writeable": False, **metadata}
    made = {
        "commandClass": command_class,
        "commandClassName": "",
        "ccVersion": 1,
        "endpoint": endpoint,
        "property": name,
        "propertyName": str(name),
        "metadata": told,
        "value": value,
    }
    return made if key is None else {**made, "propertyKey": key}


def energy(value: Any = 1.5, **metadata: Any) -> dict[str, Any]:
    """An electric meter's register, in kWh."""
    specific = {"meterType": 1, "scale": 0, "rateType": 1}
    return made_value(50, "value", 65537, value, ccSpecific=specific, unit="kWh", label="kWh", **metadata)


def temperature(value: Any = 20.5, unit: str = "°C") -> dict[str, Any]:
    scale = 1 if unit == "°F" else 0
    specific = {"sensorType": 1, "scale": scale}
    return made_value(49, "Air temperature", None, value, ccSpecific=specific, unit=unit, label="Temperature")


def weight(value: Any = 1.0) -> dict[str, Any]:
    return made_value(49, "Weight", None, value, ccSpecific={"sensorType": 14, "scale": 0}, unit="kg")


def told_node(number: int, *values: dict[str, Any], **data: Any) -> dict[str, Any]:
    """A node as the server describes it."""
    return {
        "nodeId": number,
        "index": 0,
        "status": 4,
        "ready": True,
        "isListening": True,
        "isFrequentListening": False,
        "isControllerNode": False,
        "manufacturerId": 0x86,
        "productType": 3,
        "productId": 0x60,
        "keepAwake": False,
        "highestSecurityClass": 2,
        "values": list(values),
        "endpoints": [],
        **data,
    }


def made_node(number: int, *values: dict[str, Any], **data: Any) -> Any:
    """A node of the library, from made-up data; what a real device cannot be made to send."""
    from meterkast_drivers.zwave import library  # noqa: F401

    # isort: split
    from zwave_js_server.model.node import Node as LiveNode

    return LiveNode(SimpleNamespace(driver=None), told_node(number, *values, **data))


class MadeLink:
    """A connection to made-up nodes; `answers` is what a ping or a question comes to."""

    def __init__(self, *nodes: Any, home_id: int = 0x7E57) -> None:
        controller = SimpleNamespace(home_id=home_id, nodes={node.node_id: node for node in nodes})
        self.driver: Any = SimpleNamespace(controller=controller)
        self.asked: list[str] = []
        self.answer: Any = True

    async def ask(self, work: Any, *, what: str, within_s: float) -> Any:
        work.close()
        self.asked.append(what)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def event(value: dict[str, Any], new: Any) -> dict[str, Any]:
    """The arguments of a value event."""
    keys = ("commandClass", "endpoint", "property", "propertyKey")
    return {**{key: value[key] for key in keys if key in value}, "newValue": new}


@dataclass(frozen=True)
class Made:
    """How made-up networks are made."""

    node: Any = made_node
    value: Any = made_value
    energy: Any = energy
    temperature: Any = temperature
    weight: Any = weight
    link: type[MadeLink] = MadeLink
    event: Any = event
