"""The simulated stick under the real zwave-js driver and server, seen through the raw client."""

from __future__ import annotations

import asyncio
import json
import stat
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from meterkast.lean import aiohttp
from meterkast.model.errors import ConfigError, LinkLostError
from meterkast.nodejs import find_node, install
from meterkast_rig import zwave

# isort: split
from zwave_js_server.client import Client
from zwave_js_server.const import InclusionStrategy, NodeStatus, SecurityClass
from zwave_js_server.model.controller import InclusionGrant, ProvisioningEntry
from zwave_js_server.model.node import Node

import meterkast_drivers

SERVICE = Path(meterkast_drivers.__file__).parent / "zwave" / "service"
WAIT_S = 90.0
ALL = (
    "meter:2,strip:3,gas:4,water:5,air:6,scale:7,plug:8,thermostat:9,lock:11,climate:12,dimmer:13,heat:14,"
    "cooling:15,water_pulses:16,three_phase:17,fahrenheit:18,noise:19,unknown:20,s2meter:21"
)
METER, SENSOR = 50, 49


class Tolerant(Client):
    """A client that survives what it does not know: this is a test of the stick."""

    def _handle_incoming_message(self, msg: Any) -> None:
        try:
            super()._handle_incoming_message(msg)
        except Exception as error:
            print("not understood:", type(error).__name__, str(msg)[:100])


class Seen:
    """A connected client and every value event it saw: (node, class, endpoint, key, value)."""

    def __init__(self, client: Client) -> None:
        self.client = client
        assert client.driver is not None
        self.controller = client.driver.controller
        self.values: list[tuple[int, int, int, int | None, Any]] = []
        for node in self.controller.nodes.values():
            self.follow(node)

    def node(self, number: int) -> Node:
        return self.controller.nodes[number]

    def follow(self, node: Node) -> None:
        for event in ("value updated", "value added"):
            node.on(event, lambda data, node=node: self._value(node.node_id, data["value"], data["args"]))

    def _value(self, node: int, value: Any, args: Any) -> None:
        specific = value.metadata.cc_specific or {}
        if args["commandClass"] == METER and specific:
            key = specific["meterType"] << 16 | specific["scale"] << 8 | specific["rateType"]
        else:
            key = specific.get("sensorType")
        self.values.append((node, args["commandClass"], args["endpoint"], key, args.get("newValue")))


async def until(true: Callable[[], Any], what: str) -> Any:
    for _ in range(int(WAIT_S / 0.1)):
        if found := true():
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"still not: {what}")


@asynccontextmanager
async def server(stick: zwave.Stick, folder: Path) -> AsyncIterator[Path]:
    """The real driver and server on a stick; yields its socket."""
    await asyncio.to_thread(install, SERVICE)
    zwave.write_keys(folder / "keys.json")
    with tempfile.TemporaryDirectory(prefix="mk-") as short:
        socket = Path(short) / "zwave.sock"
        child = await asyncio.create_subprocess_exec(
            *(str(find_node()), str(SERVICE / "server.mjs"), "--stick", stick.url, "--listen", str(socket)),
            *("--folder", str(folder), "--end-with-stdin"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert child.stdout is not None
            while json.loads(await asyncio.wait_for(child.stdout.readline(), WAIT_S))["fact"] != "listening":
                pass
            drained = asyncio.create_task(child.stdout.read())
            yield socket
            drained.cancel()
        finally:
            if child.returncode is None:
                child.terminate()
                try:
                    await asyncio.wait_for(child.wait(), 10)
                except TimeoutError:
                    child.kill()
            await child.communicate()


@asynccontextmanager
async def connected(socket: Path) -> AsyncIterator[Seen]:
    """A client of the server at `socket`."""
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session:
        client = Tolerant("ws://localhost/", session)
        await asyncio.wait_for(client.connect(), WAIT_S)
        ready = asyncio.Event()
        listening = asyncio.create_task(client.listen(ready))
        await asyncio.wait_for(ready.wait(), WAIT_S)
        yield Seen(client)
        await client.disconnect()
        await asyncio.gather(listening, return_exceptions=True)


@asynccontextmanager
async def network(folder: Path, **options: Any) -> AsyncIterator[tuple[zwave.Stick, Seen]]:
    """A stick, the server on it, and a client."""
    async with (
        zwave.serving(**{"speed": 60.0, "period_s": 600.0, **options}) as stick,
        server(stick, folder) as socket,
        connected(socket) as seen,
    ):
        yield stick, seen


async def ready(seen: Seen, *numbers: int) -> None:
    await until(lambda: all(n in seen.controller.nodes and seen.node(n).ready for n in numbers), "ready")


async def test_every_kind_is_interviewed_and_the_record_is_what_a_client_saw(tmp_path: Path) -> None:
    async with network(tmp_path, devices=ALL) as (stick, seen):
        numbers = [each["id"] for each in await stick.verb("list")]
        await ready(seen, *numbers)
        for number in numbers:
            assert seen.node(number).values
        seen.values.clear()
        before = len(await stick.shown())
        for number in numbers:
            await stick.verb("report", id=number)
        await asyncio.sleep(2)
        measured = [r for r in await stick.shown(before) if r["commandClass"] in (METER, SENSOR)]
        showed = [(r["node"], r["commandClass"], r["endpoint"], r["key"], r["value"]) for r in measured]
        assert set(showed) <= set(seen.values)
        assert {r["node"] for r in measured} == {2, 3, 4, 5, 6, 7, 9, 12, 14, 15, 16, 17, 18, 19, 20, 21}
        assert {r["decimals"] for r in measured if (r["node"], r["key"]) == (2, 0x10001)} == {3}
        assert seen.node(2).values["2-50-0-value-65537"].value in {r["value"] for r in measured}


async def test_the_same_seed_and_time_show_the_same(tmp_path: Path) -> None:
    runs = []
    for folder in ("one", "two"):
        options = {"devices": "meter:2,air:3", "start": 1_790_000_000_000, "speed": 1e-6}
        async with network(tmp_path / folder, **options) as (stick, seen):
            await ready(seen, 2, 3)
            await stick.verb("report", id=2)
            await stick.verb("report", id=3)
            await asyncio.sleep(0.5)
            runs.append({(r["node"], r["key"]): r["value"] for r in await stick.shown()})
    assert runs[0] == runs[1]
    assert len(runs[0]) > 10


async def test_dead_and_alive_slow_and_quiet(tmp_path: Path) -> None:
    async with network(tmp_path, devices="plug:8,gas:4") as (stick, seen):
        await ready(seen, 8, 4)
        plug = seen.node(8)
        await stick.verb("dead", id=8)
        assert not await plug.async_ping()
        await until(lambda: plug.status == NodeStatus.DEAD, "dead")
        await stick.verb("alive", id=8)
        assert await plug.async_ping()
        await until(lambda: plug.status == NodeStatus.ALIVE, "alive")
        await stick.verb("quiet", id=4)
        before = len(await stick.shown())
        await stick.verb("report", id=4)
        await asyncio.sleep(0.5)
        assert await stick.shown(before) == []
        await stick.verb("slow", id=4, ms=700)
        began = asyncio.get_running_loop().time()
        await seen.node(4).async_poll_value("4-50-0-value-131073")
        assert asyncio.get_running_loop().time() - began > 0.6
        assert [r["asked"] for r in await stick.shown(before)] == [True]


async def test_a_sleeping_device_wakes_up_takes_a_queued_command_and_reports(tmp_path: Path) -> None:
    async with network(tmp_path, devices="contact:10,sleeper:11", speed=1.0) as (stick, seen):
        assert not seen.node(10).ready
        await stick.verb("wake", id=10)
        await stick.verb("wake", id=11)
        await ready(seen, 10, 11)
        assert seen.node(11).values["11-49-0-Air temperature"].value > 10
        await stick.verb("sleep", id=11)
        assert not await seen.node(11).async_ping()
        await seen.node(11).async_set_value("11-132-0-wakeUpInterval", 900)
        await stick.verb("wake", id=11)
        for _ in range(100):
            if next(d for d in await stick.verb("list") if d["id"] == 11)["wake_up_s"] == 900:
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError("the queued interval did not arrive")


async def test_what_happens_at_a_device_is_seen(tmp_path: Path) -> None:
    async with network(tmp_path, devices="meter:2,water:5,scale:7,lock:11,contact:10,strip:3") as (
        stick,
        seen,
    ):
        await stick.verb("wake", id=10)
        await ready(seen, 2, 5, 7, 10, 11, 3)
        value = lambda number, name: seen.node(number).values[f"{number}-{name}"].value  # noqa: E731
        await stick.verb("binary", id=10, value=True)
        await until(lambda: value(10, "48-0-Door/Window") is True, "open")
        await stick.verb("notify", id=11, type=6, event=1)
        await until(lambda: value(11, "98-0-currentMode") == 255, "locked by hand")
        await stick.verb("battery", id=10, level=42)
        await until(lambda: value(10, "128-0-level") == 42, "battery")
        await stick.verb("button", id=3, value=True, endpoint=2)
        await until(lambda: value(3, "37-2-currentValue") is True, "second socket on")
        await seen.node(3).async_poll_value("3-37-2-currentValue")
        assert (value(3, "37-1-currentValue"), value(3, "37-2-currentValue")) == (False, True)
        await stick.verb("empty", id=7)
        await until(lambda: value(7, "49-0-Weight") < 1.3, "bin emptied")
        await stick.verb("fill", id=7, kg=30)
        await until(lambda: value(7, "49-0-Weight") > 31, "bin filled")
        was = value(2, "50-0-value-65537")
        await stick.verb("wrong", id=2, by=1e9)
        await until(lambda: value(2, "50-0-value-65537") > 9e8, "register jumped")
        await stick.verb("wrong", id=2, by=-1e9 - 100)
        await until(lambda: value(2, "50-0-value-65537") < was, "register fell")
        await stick.verb("reset", id=2)
        await stick.verb("report", id=2)
        await until(lambda: value(2, "50-0-value-65537") < 1, "register set back")
        await stick.verb("unit", id=5, type=23, scale=1)
        await until(
            lambda: seen.node(5).values["5-49-0-Water temperature"].metadata.unit == "°F", "unit changed"
        )
        seen.values.clear()
        await stick.verb("extremes", id=7)
        await until(lambda: len([v for v in seen.values if v[0] == 7]) >= 7, "extremes")
        assert {1.2345678, -2147483648, -1e-07} <= {v[4] for v in seen.values}
        for odd in ("unknown_cc", "nif", "battery_low"):
            await stick.verb(odd, id=2)
        await stick.verb("raw", id=2, cc=50, command=2, hex="21")
        assert await seen.node(2).async_ping()


async def test_a_parameter_changes_how_often_a_device_reports(tmp_path: Path) -> None:
    async with network(tmp_path, devices="air:6", speed=1.0) as (stick, seen):
        await ready(seen, 6)
        before = len(await stick.shown())
        name = next(v for v in seen.node(6).values if v.startswith("6-112-0-111"))
        await seen.node(6).async_set_value(name, 1)
        assert await stick.verb("parameters", id=6) == {"111": 1}
        await until(lambda: len([v for v in seen.values if v[1] == SENSOR]) >= 12, "two rounds of reports")
        assert len(await stick.shown(before)) >= 12


async def test_a_flood_arrives(tmp_path: Path) -> None:
    async with network(tmp_path, devices="meter:2") as (stick, seen):
        await ready(seen, 2)
        before = len(await stick.shown())
        seen.values.clear()
        await stick.verb("flood", id=2, count=1000, per_s=500)
        await until(lambda: len(seen.values) >= 1000, "all 1000")
        assert len(await stick.shown(before)) >= 1000


async def test_the_stick_is_pulled_out_and_put_back(tmp_path: Path) -> None:
    async with zwave.serving(devices="gas:4") as stick:
        async with server(stick, tmp_path) as socket, connected(socket) as seen:
            await ready(seen, 4)
            await stick.verb("garbage", count=300)
            assert await seen.node(4).async_ping()
            await stick.verb("unplug")
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", int(stick.url.rsplit(":", 1)[1]))
        await stick.verb("plug")
        async with server(stick, tmp_path) as socket, connected(socket) as seen:
            await ready(seen, 4)
            assert await seen.node(4).async_ping()


async def test_backup_of_the_sticks_memory_and_healing(tmp_path: Path) -> None:
    async with network(tmp_path, devices="gas:4,plug:8") as (_, seen):
        await ready(seen, 4, 8)
        image = await asyncio.wait_for(seen.controller.async_backup_nvm_raw(), WAIT_S)
        assert len(image) == 0x3000
        assert json.loads(image[: image.index(b"\n")]) == {"home": "7e570001", "nodes": [4, 8]}
        assert await seen.node(4).async_ping()
        assert await seen.controller.async_rebuild_node_routes(seen.node(4))


async def include(
    stick: zwave.Stick, seen: Seen, kind: str, number: int, *classes: str, pin: str = ""
) -> Node:
    """Let a device join as an installer would; returns the node once it was added."""
    added: asyncio.Future[Node] = asyncio.get_running_loop().create_future()
    device: dict[str, Any] = {}
    tasks: set[asyncio.Task[Any]] = set()
    controller = seen.controller

    def grant(data: Any) -> None:
        classes = InclusionGrant(data["requested_grant"].security_classes, False)
        tasks.add(asyncio.create_task(controller.async_grant_security_classes(classes)))

    def enter(data: Any) -> None:
        tasks.add(asyncio.create_task(controller.async_validate_dsk_and_enter_pin(pin or device["pin"])))

    stop = [
        controller.on("grant security classes", grant),
        controller.on("validate dsk and enter pin", enter),
        controller.on("node added", lambda data: added.set_result(data["node"])),
    ]
    assert await controller.async_begin_inclusion(InclusionStrategy.DEFAULT)
    device |= await stick.verb(
        "join", kind=kind, id=number, **({"classes": list(classes)} if classes else {})
    )
    try:
        node = await asyncio.wait_for(added, WAIT_S)
        await asyncio.gather(*tasks)
        seen.follow(node)
        return node
    finally:
        for each in stop:
            each()


async def test_joining_with_s2_leaving_and_a_stranger(tmp_path: Path) -> None:
    async with network(tmp_path, devices="gas:4,meter:2", period_s=120.0) as (stick, seen):
        await ready(seen, 4, 2)
        node = await include(stick, seen, "s2meter", 21, "S2_Authenticated", "S2_Unauthenticated")
        await ready(seen, 21)
        assert node.highest_security_class == 1
        seen.values.clear()
        await stick.verb("report", id=21)
        await until(lambda: [v for v in seen.values if v[0] == 21], "an S2 report")
        plain = await include(stick, seen, "plug", 22)
        await ready(seen, 22)
        assert plain.is_secure is False
        removed: list[int] = []
        seen.controller.on("node removed", lambda data: removed.append(data["node"].node_id))
        assert await seen.controller.async_begin_exclusion()
        await stick.verb("leave_stranger")
        await asyncio.sleep(1)
        assert removed == []
        assert await seen.controller.async_begin_exclusion()
        await stick.verb("leave", id=22)
        await until(lambda: removed == [22], "node 22 removed")


async def test_smart_start(tmp_path: Path) -> None:
    async with network(tmp_path, devices="") as (stick, seen):
        device = await stick.verb("smart_make", kind="s2meter", id=30, classes=["S2_Unauthenticated"])
        classes = [SecurityClass.S2_UNAUTHENTICATED]
        await seen.controller.async_provision_smart_start_node(ProvisioningEntry(device["dsk"], classes))
        await stick.verb("smart_on")
        await ready(seen, 30)
        assert seen.node(30).is_secure


async def test_a_wrong_pin_leaves_the_device_without_keys(tmp_path: Path) -> None:
    async with network(tmp_path, devices="") as (stick, seen):
        node = await include(stick, seen, "s2meter", 21, "S2_Authenticated", pin="00000")
        assert not node.is_secure


async def test_a_failed_device_is_removed_and_one_is_replaced(tmp_path: Path) -> None:
    async with network(tmp_path, devices="gas:4,plug:8,dimmer:9") as (stick, seen):
        await ready(seen, 4, 8, 9)
        await stick.verb("dead", id=4)
        await asyncio.wait_for(seen.controller.async_remove_failed_node(seen.node(4)), WAIT_S)
        assert 4 not in seen.controller.nodes
        await stick.verb("dead", id=8)
        added: list[Node] = []
        seen.controller.on("node added", lambda data: added.append(data["node"]))
        assert await seen.controller.async_replace_failed_node(seen.node(8), InclusionStrategy.INSECURE)
        await stick.verb("join", kind="water", id=99)
        await until(lambda: added, "replaced")
        assert added[0].node_id == 8
        await ready(seen, 8)
        assert seen.node(8).values["8-50-0-value-196609"].value > 0


async def test_what_cannot_be_done_says_what_can() -> None:
    async with zwave.serving(devices="gas:4") as stick:
        with pytest.raises(ConfigError, match="no node 5; there are: 4"):
            await stick.verb("dead", id=5)
        with pytest.raises(ConfigError, match='no verb "deed"; there are: list, shown'):
            await stick.verb("deed", id=5)
        with pytest.raises(ConfigError, match="cannot fill"):
            await stick.verb("fill", id=4)
        with pytest.raises(ConfigError, match="exclusion mode"):
            await stick.verb("leave", id=4)
        with pytest.raises(ConfigError, match='no kind "hoover"; there are: meter, strip'):
            await stick.verb("smart_make", kind="hoover", id=9)
    with pytest.raises(LinkLostError, match="status 2"):
        async with zwave.serving(devices="hoover:4"):
            pass


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    path = zwave.write_keys(tmp_path / "new" / "keys.json")
    assert json.loads(path.read_text()) == dict(zwave.TEST_KEYS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
