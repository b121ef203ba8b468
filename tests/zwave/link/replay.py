"""Replays one message of each kind of event and prints what came of it, as JSON.

With the argument `library` zwave_js_server takes the messages, as it is published and with pydantic; else
`SafeClient` does, without pydantic. Run by test_zwave_library.py, each in a process of its own.
"""

from __future__ import annotations

import asyncio
import copy
import json
import sys
from typing import Any

METER = {"commandClass": 50, "commandClassName": "Meter", "endpoint": 0, "property": "value"}
METER |= {"propertyKey": 65537, "propertyName": "value", "propertyKeyName": "Electric_kWh_Consumed"}
METADATA = {"type": "number", "readable": True, "writeable": False, "unit": "kWh", "label": "Energy"}
SCENE = {"commandClass": 91, "commandClassName": "Central Scene", "endpoint": 0, "property": "scene"}
SCENE |= {"propertyKey": "001", "propertyName": "scene", "propertyKeyName": "001"}
RESULT = {"latency": 1, "numNeighbors": 2, "failedPingsNode": 0, "rating": 8}
CHECK = {"rounds": 5, "totalRounds": 10, "lastRating": 8, "lastResult": RESULT}
FILE = {"currentFile": 1, "totalFiles": 1, "sentFragments": 1, "totalFragments": 2, "progress": 50}
COUNTS = ("commandsTX", "commandsRX", "commandsDroppedTX", "commandsDroppedRX", "timeoutResponse")
FRAMES = ("messagesTX", "messagesRX", "messagesDroppedTX", "messagesDroppedRX", "NAK", "CAN", "timeoutACK")


def device(number: int, *values: dict[str, Any]) -> dict[str, Any]:
    endpoint = {"nodeId": number, "index": 0, "commandClasses": []}
    return {
        "nodeId": number,
        "index": 0,
        "status": 4,
        "ready": True,
        "isListening": True,
        "isRouting": True,
        "isControllerNode": False,
        "interviewStage": "Complete",
        "keepAwake": False,
        "values": list(values),
        "endpoints": [endpoint],
        "statistics": dict.fromkeys(COUNTS, 0),
    }


def value(**more: Any) -> dict[str, Any]:
    return {**METER, "ccVersion": 5, "metadata": METADATA, **more}


STATE: dict[str, Any] = {
    "controller": {
        "homeId": 7,
        "sdkVersion": "7.19",
        "statistics": dict.fromkeys((*FRAMES, "timeoutResponse", "timeoutCallback"), 0),
        "inclusionState": 0,
        "status": 0,
    },
    "nodes": [device(2, value(value=1)), device(3, value(value=1))],
}

NODE: dict[str, dict[str, Any]] = {
    "dead": {},
    "alive": {},
    "sleep": {},
    "wake up": {},
    "check lifeline health progress": CHECK,
    "check route health progress": CHECK,
    "test powerlevel progress": {"acknowledged": 1, "total": 2},
    "firmware update progress": {"progress": FILE},
    "firmware update finished": {"result": {"status": 255, "success": True, "reInterview": False}},
    "interview started": {},
    "interview stage completed": {"stageName": "NodeInfo"},
    "interview failed": {
        "args": {"errorMessage": "no", "isFinal": False, "attempt": 1, "maxAttempts": 5},
    },
    "interview completed": {},
    "metadata updated": {"args": {**METER, "metadata": {**METADATA, "unit": "Wh"}}},
    "value added": {"args": {**METER, "propertyKey": 65538, "newValue": 4}},
    "value updated": {"args": {**METER, "newValue": 2.5, "prevValue": 1}},
    "value notification": {"args": {**SCENE, "value": 3}},
    "value removed": {"args": {**METER, "prevValue": 2.5}},
    "notification": {
        "endpointIndex": 0,
        "ccId": 113,
        "args": {"type": 5, "event": 2, "label": "Water Alarm", "eventLabel": "Leak", "parameters": {}},
    },
    "statistics updated": {"statistics": {**dict.fromkeys(COUNTS, 3), "rtt": 25.5, "rssi": -70}},
    "ready": {"nodeState": device(2, value(value=9))},
}
CONTROLLER: dict[str, dict[str, Any]] = {
    "exclusion started": {},
    "exclusion failed": {},
    "exclusion stopped": {},
    "inclusion started": {"secure": True},
    "inclusion failed": {},
    "inclusion aborted": {},
    "inclusion stopped": {},
    "node found": {"node": {"id": 4, "deviceClass": None, "supportedCCs": [], "controlledCCs": []}},
    "grant security classes": {"requested": {"securityClasses": [0, 1], "clientSideAuth": False}},
    "validate dsk and enter pin": {"dsk": "-12345"},
    "node added": {"node": device(4), "result": {"lowSecurity": False}},
    "node removed": {"node": device(3), "reason": 0},
    "rebuild routes progress": {"progress": {"2": "pending"}},
    "rebuild routes done": {"result": {"2": "done"}},
    "nvm backup progress": {"bytesRead": 1, "total": 2},
    "nvm convert progress": {"bytesRead": 1, "total": 2},
    "nvm restore progress": {"bytesWritten": 1, "total": 2},
    "firmware update progress": {"progress": {"sentFragments": 1, "totalFragments": 2, "progress": 50}},
    "firmware update finished": {"result": {"status": 255, "success": True}},
    "statistics updated": {
        "statistics": dict.fromkeys((*FRAMES, "timeoutResponse", "timeoutCallback"), 5),
    },
    "status changed": {"status": 1},
    "identify": {"nodeId": 2},
}
DRIVER: dict[str, dict[str, Any]] = {
    "all nodes ready": {},
    "log config updated": {
        "config": {
            "enabled": True,
            "level": "info",
            "logToFile": False,
            "filename": "",
            "forceConsole": False,
        },
    },
    "logging": {
        "message": ["told"],
        "formattedMessage": "told",
        "direction": "  ",
        "level": "info",
        "primaryTags": "",
        "secondaryTags": "",
        "secondaryTagPadding": 0,
        "multiline": False,
        "timestamp": "",
        "label": "",
        "context": {"source": "driver"},
    },
}
EVENTS: list[dict[str, Any]] = [
    *({"source": "node", "nodeId": 2, "event": name, **more} for name, more in NODE.items()),
    *({"source": "controller", "event": name, **more} for name, more in CONTROLLER.items()),
    *({"source": "driver", "event": name, **more} for name, more in DRIVER.items()),
]


def plain(thing: Any, *, outer: bool = True) -> Any:
    """What can be compared: an object's type and what it was made of."""
    if isinstance(thing, dict):
        return {str(key): plain(part, outer=outer) for key, part in thing.items()}
    if isinstance(thing, list | tuple):
        return [plain(part, outer=outer) for part in thing]
    if thing is None or isinstance(thing, str | int | float):
        return thing
    return [type(thing).__name__, plain(getattr(thing, "data", ""), outer=False) if outer else ""]


async def main(published: bool) -> None:
    if published:
        import pydantic.v1  # noqa: F401
        from zwave_js_server.client import Client
        from zwave_js_server.model.driver import Driver

        client = Client("ws://localhost", None)  # type: ignore[arg-type]
        client.driver = Driver(client, copy.deepcopy(STATE), {})  # type: ignore[arg-type]
    else:
        from meterkast_drivers.zwave.client import SafeClient
        from meterkast_drivers.zwave.place import Place

        client = ours = SafeClient(Place(url="ws://localhost"), None)  # type: ignore[arg-type]
        await ours._build(copy.deepcopy(STATE))
    driver = client.driver
    assert driver is not None
    heard: list[Any] = []
    targets = {"driver": driver, "controller": driver.controller, "node": driver.controller.nodes[2]}
    for event in EVENTS:
        targets[event["source"]].on(event["event"], lambda data: heard.append(plain(data)))
    for event in EVENTS:
        client._handle_incoming_message({"type": "event", "event": copy.deepcopy(event)})  # type: ignore[typeddict-item]
    nodes = {
        number: [
            plain(node),
            node.status,
            node.ready,
            sorted((name, plain(one)) for name, one in node.values.items()),
        ]
        for number, node in driver.controller.nodes.items()
    }
    counters = {} if published else {name: count for name, count in ours.counters.items() if count}
    print(json.dumps([heard, nodes, plain(driver.controller), counters, "pydantic" in sys.modules]))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] == ["library"]))
