"""Odd messages: none ends the connection, each is counted, each kind is told once."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from meterkast.lean import aiohttp
from meterkast_drivers.zwave.link import Link
from meterkast_drivers.zwave.place import Place

VALUE = {"commandClass": 50, "endpoint": 0, "property": "value", "propertyKey": 65537}


def event(name: str, **more: object) -> dict[str, Any]:
    return {"type": "event", "event": {"source": "node", "event": name, "nodeId": 2, **more}}


ODD: dict[str, object] = {
    "unknown event of a node": event("node info received"),
    "unknown event of the driver": {"type": "event", "event": {"source": "driver", "event": "driver ready"}},
    "unknown source": {"type": "event", "event": {"source": "zniffer", "event": "frame"}},
    "unknown node": {"type": "event", "event": {"source": "node", "event": "dead", "nodeId": 99}},
    "unknown value removed": event("value removed", args={**VALUE, "propertyKey": 7}),
    "odd notification": event("notification", ccId=9999, args={}),
    "notification without class": event("notification", args={}),
    "value without arguments": event("value updated"),
    "arguments of another type": event("value updated", args=[1]),
    "value without class": event("value updated", args={"property": "value"}),
    "node that is a list": {"type": "event", "event": {"source": "node", "event": "dead", "nodeId": [2]}},
    "event without a name": {"type": "event", "event": {"source": "node", "nodeId": 2}},
    "event that is a text": {"type": "event", "event": "dead"},
    "name that is a number": {"type": "event", "event": {"source": "node", "event": 5, "nodeId": 2}},
    "ready without a state": event("ready"),
    "unknown node removed": {
        "type": "event",
        "event": {"source": "controller", "event": "node removed", "node": {"nodeId": 99}, "reason": 0},
    },
    "answer that nobody waits for": {"type": "result", "messageId": "x", "success": True, "result": {}},
    "answer without a number": {"type": "result", "success": True},
    "answer with an odd number": {"type": "result", "messageId": [], "success": True},
    "unknown type": {"type": "greeting"},
    "no type": {},
    "a list": [],
    "a number": 5,
    "no JSON": "{",
    "empty": "",
    "deep": "[" * 100_000,
    "bytes": b"\x00\xff",
    "half a pair": '{"type": "\\ud800"}',
}


async def test_no_odd_message_ends_the_connection(server: Any, place: Place, opened: Any, seen: Any) -> None:
    async with opened(place, seen.before_events) as connected:
        for message in ODD.values():
            await server.send(message)
        await server.update(2)
        await seen.until(2)
        counters = dict(connected.counters)
        assert seen.values == [2]
    assert counters["unknown events"] == 2
    assert counters["odd messages"] == len(ODD) - 3  # the answer that nobody waits for is none


@pytest.mark.parametrize("name", ODD)
async def test_each_odd_message_alone(server: Any, place: Place, name: str, opened: Any, seen: Any) -> None:
    async with opened(place, seen.before_events) as connected:
        await server.send(ODD[name])
        await server.update(2)
        await seen.until(2)
        odd = connected.counters["odd messages"] + connected.counters["unknown events"]
        assert odd == (0 if name == "answer that nobody waits for" else 1)


async def test_invalid_utf_8_is_an_odd_message(server: Any, place: Place, opened: Any, seen: Any) -> None:
    async with opened(place, seen.before_events) as connected:
        assert server.socket is not None
        await server.socket.send_frame(b'{"type": "\xff"}', aiohttp.WSMsgType.TEXT)
        await server.update(2)
        await seen.until(2)
        assert connected.counters["odd messages"] == 1


async def test_a_name_that_a_device_cut_off_in_the_middle_of_a_character_is_read(
    server: Any, place: Place, opened: Any, seen: Any
) -> None:
    server.state["nodes"][1]["name"] = "Boiler \ud83d"
    async with opened(place, seen.before_events) as connected:
        assert connected.driver.controller.nodes[2].name == "Boiler \ud83d"
        assert connected.counters["odd messages"] == 0


async def test_each_kind_is_logged_once(
    server: Any, place: Place, caplog: pytest.LogCaptureFixture, opened: Any, seen: Any
) -> None:
    caplog.set_level(logging.INFO, logger="meterkast_drivers")
    async with opened(place, seen.before_events) as connected:
        for _ in range(50):
            await server.send(event("node info received"))
            await server.send(event("value updated"))
        await server.update(2)
        await seen.until(2)
        assert connected.counters["unknown events"] == connected.counters["odd messages"] == 50
    assert [(record.getMessage(), vars(record)["of"]) for record in caplog.records] == [
        ("Z-Wave: unknown events", "2"),
        ("Z-Wave: odd messages", "2"),
    ]


async def test_a_failing_handler_is_counted_and_the_others_get_the_event(
    server: Any, place: Place, caplog: pytest.LogCaptureFixture, opened: Any, seen: Any
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("handler")

    caplog.set_level(logging.INFO, logger="meterkast_drivers")

    def before(connected: Link) -> None:
        connected.driver.controller.nodes[2].on("value updated", fail)
        seen.before_events(connected)

    async with opened(place, before) as connected:
        for number in (2, 3, 4):
            await server.update(number)
        await seen.until(4)
        assert connected.counters["failed handlers"] == 3
    [told] = [record for record in caplog.records if record.exc_info]
    assert vars(told)["of"] == "2-50-0-value-65537", "which device and value"


async def test_an_event_that_the_library_does_not_know_comes_to_who_listens_for_it(
    server: Any, place: Place, opened: Any, seen: Any
) -> None:
    heard: list[dict[str, Any]] = []

    def before(connected: Link) -> None:
        seen.before_events(connected)
        connected.driver.controller.nodes[2].on("node info received", heard.append)
        connected.driver.on("all nodes ready", heard.append)

    async with opened(place, before) as connected:
        await server.send(event("node info received"))
        await server.send({"type": "event", "event": {"source": "driver", "event": "all nodes ready"}})
        await server.update(2)
        await seen.until(2)
        assert connected.counters["unknown events"] == connected.counters["odd messages"] == 0
    assert [(one["event"], "node" in one) for one in heard] == [
        ("node info received", True),
        ("all nodes ready", False),
    ]


async def test_events_wait_for_the_handlers(server: Any, place: Place, opened: Any, seen: Any) -> None:
    server.before_state = [
        event("value updated", args={**VALUE, "newValue": 5}),
        "no JSON",
        {"type": "result", "messageId": "other"},
    ]
    async with opened(place, seen.before_events):
        await server.update(2)
        await seen.until(2)
    assert seen.values == [2]


async def test_an_odd_node_costs_only_itself(server: Any, place: Place, opened: Any) -> None:
    server.state["nodes"] += [{"nodeId": 3}, {}, "node", server.described(4, values=[{"commandClass": 1}])]
    server.state["nodes"] += [server.described("5")]
    server.state["controller"]["rebuildRoutesProgress"] = {"2": "pending", "9": "done"}
    async with opened(place) as connected:
        assert sorted(connected.driver.controller.nodes) == [1, 2]
        assert connected.counters["nodes not understood"] == 5
        assert not connected.driver.controller.nodes[2].is_controller_node, "not said"
        assert len(connected.driver.controller.rebuild_routes_progress or {}) == 1
