"""The library's client, made so that no message ends the connection.

What is made good here, all seen with zwave-js-server-python 0.56.0 and server 3.10.2 (zwave.md, 3):

- an event that it does not know raises, and that ends the connection: a device's button press does it;
- so do `value removed` of an unknown value, a notification of an odd command class, a missing field;
- one device with an odd description makes the whole network unreadable;
- messages may be of any size, and connecting and asking may take for ever;
- a handler that raises is logged each time, with its traceback.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

import msgspec

from meterkast_drivers.zwave.library import aiohttp

# isort: split
# `library` has to be imported before these.
from zwave_js_server.client import Client
from zwave_js_server.const import MAX_SERVER_SCHEMA_VERSION, MIN_SERVER_SCHEMA_VERSION
from zwave_js_server.event import Event, EventBase
from zwave_js_server.exceptions import FailedCommand
from zwave_js_server.model.driver import Driver
from zwave_js_server.model.node import Node
from zwave_js_server.model.version import VersionInfo

from meterkast_drivers.zwave import why
from meterkast_drivers.zwave.oddities import Oddities
from meterkast_drivers.zwave.place import Place

MAX_MESSAGE_BYTES = 16 * 2**20
"""The largest message describes the whole network: 8 KB a simulated device, ten times that for a rich one."""

CONNECT_S = 10.0
"""From the first try to the server's greeting; on one machine it takes milliseconds."""

READY_S = 30.0
"""How long the server may take to describe a large network."""

GOODBYE_S = 1.0
"""How long the server has to take part in an orderly end."""

STOPPED_S = 20.0
"""For so long the gateway itself may stand still; the launcher gives it up after as long."""

_END = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED)

_commands: ContextVar[set[asyncio.Task[Any]] | None] = ContextVar("commands", default=None)


@contextmanager
def commands_in(tasks: set[asyncio.Task[Any]]) -> Iterator[None]:
    """Note in `tasks` what waits for an answer, for tasks that are made within.

    The library's nodes ask in a task of their own and leave others behind when they are cancelled
    themselves; cancelling what is noted here ends them all.
    """
    token = _commands.set(tasks)
    try:
        yield
    finally:
        _commands.reset(token)


class SafeClient(Client):
    """One connection, from `connect` to its loss.

    Args:
        place: Where the server is.
        session: Its connector fits `place`.

    Attributes:
        counters: See `Oddities`.
        heard_at: When the newest message came, in the loop's time.
    """

    def __init__(self, place: Place, session: aiohttp.ClientSession) -> None:
        super().__init__(place.url, session)
        self._oddities = Oddities()
        self.counters = self._oddities.counters
        self.heard_at = 0.0
        self._awake_at = 0.0
        self._place = place
        self._socket: aiohttp.ClientWebSocketResponse[bool] | None = None

    async def connect(self) -> None:
        """Connect, and read the server's greeting.

        Raises:
            LinkLostError: It is not there, says nothing, is no Z-Wave server, or is taken.
            ConfigError: It is too old or too new.
        """
        try:
            async with asyncio.timeout(CONNECT_S):
                # On one machine compression costs and saves nothing; our own watchdog is the heartbeat.
                self._socket = await self.aiohttp_session.ws_connect(
                    self.ws_server_url,
                    compress=0,
                    max_msg_size=MAX_MESSAGE_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=GOODBYE_S),
                    decode_text=False,
                )
                self._client = cast("aiohttp.ClientWebSocketResponse", self._socket)
                greeting = await self._next()
        except TimeoutError:
            raise why.silent(self._place, CONNECT_S) from None
        except (aiohttp.ClientError, OSError) as error:
            raise why.not_reached(self._place, error) from error
        self.version = self._understood(greeting)

    def _understood(self, greeting: dict[str, Any]) -> VersionInfo:
        if greeting.get("type") != "version":
            raise why.no_server(self._place)
        try:
            version = VersionInfo.from_message(cast(Any, greeting))
            fits = (
                version.min_schema_version <= MAX_SERVER_SCHEMA_VERSION
                and version.max_schema_version >= MIN_SERVER_SCHEMA_VERSION
            )
        except (KeyError, TypeError) as error:
            raise why.no_server(self._place) from error
        if not fits:
            raise why.wrong_version(version, MIN_SERVER_SCHEMA_VERSION, MAX_SERVER_SCHEMA_VERSION)
        return version

    async def load(self) -> None:
        """Start listening; `driver` is there afterwards, with all nodes. Events wait until `read` is called.

        Raises:
            LinkLostError: The server refused, said nothing, or went away.
        """
        try:
            async with asyncio.timeout(READY_S):
                await self._request(
                    "initialize",
                    schemaVersion=self.schema_version,
                    additionalUserAgentComponents=self.additional_user_agent_components,
                )
                result = await self._request("start_listening")
                await self._build(result["state"])
        except TimeoutError:
            raise why.not_ready(self._place, READY_S) from None
        except (aiohttp.ClientError, OSError) as error:
            raise why.not_reached(self._place, error) from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise why.not_understood(self._place, error) from error

    async def _request(self, command: str, **arguments: object) -> dict[str, Any]:
        """Send a command before anybody listens, and wait for its answer; what else comes is passed over."""
        await self._send_json_message({"command": command, "messageId": command, **arguments})
        while True:
            message = await self._next()
            if message.get("type") != "result" or message.get("messageId") != command:
                self._oddities.message("before the answer", str(message.get("type")))
                continue
            if not message.get("success"):
                raise why.refused_start(self._place, command, message)
            return cast("dict[str, Any]", message["result"])

    async def _build(self, state: dict[str, Any]) -> None:
        """The driver and its nodes one by one, so that others run in between; an odd one costs only itself.

        `state` is emptied on the way: the nodes copy what they take.
        """
        described: list[Any] = state["nodes"]
        controller = dict(state["controller"])
        progress = controller.pop("rebuildRoutesProgress", None)
        self.driver = Driver(self, {"nodes": [], "controller": controller}, {})
        nodes = self.driver.controller.nodes
        described.reverse()
        while described:
            data = described.pop()
            try:
                data.setdefault("isControllerNode", False)  # asked for without a default, by the library too
                node = Node(self, data)
                if type(node.node_id) is not int:
                    raise ValueError(f"node id {node.node_id!r}")
                nodes[node.node_id] = node
            except Exception as error:  # one device's odd description must not hide the others
                number = data.get("nodeId") if isinstance(data, dict) else None
                self._oddities.count("nodes not understood", f"node {number}", error)
            await asyncio.sleep(0)
        if progress and isinstance(progress, dict):
            controller["rebuildRoutesProgress"] = {
                number: status for number, status in progress.items() if int(number) in nodes
            }
            self.driver.controller.update(cast(Any, controller))

    async def read(self) -> None:
        """Read messages until the connection is lost; `awake` is to be called every few seconds meanwhile.

        Raises:
            LinkLostError: Why; always.
        """
        self._awake_at = self._loop.time()
        while True:
            message = await self._next()
            self._check_standstill()
            self._handle_incoming_message(message)

    def awake(self) -> None:
        """This process runs.

        Raises:
            LinkLostError: It stood still since the last call.
        """
        self._check_standstill()
        self._awake_at = self._loop.time()

    def _check_standstill(self) -> None:
        # Reports are stamped when they are read; after a standstill nobody knows how old they are.
        still_s = self._loop.time() - self._awake_at
        if still_s > STOPPED_S:
            raise why.stopped(self._place, still_s)

    async def _next(self) -> dict[str, Any]:
        """The next message that is a JSON object.

        Raises:
            LinkLostError: The connection ended.
        """
        assert self._socket is not None
        while True:
            frame = await self._socket.receive()
            if frame.type in _END:
                raise why.ended(self._place, frame.data, frame.extra)
            if frame.type is aiohttp.WSMsgType.ERROR:
                if getattr(frame.data, "code", None) == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
                    raise why.too_big(self._place, MAX_MESSAGE_BYTES)
                raise why.broken(self._place, frame.data)
            self.heard_at = self._loop.time()
            self.counters["messages"] += 1
            try:
                message = _decoded(frame.data)
            except (ValueError, RecursionError) as error:
                self._oddities.message("not JSON", type(error).__name__)
                continue
            if isinstance(message, dict):
                return message
            self._oddities.message("not a JSON object", type(message).__name__)

    def _handle_incoming_message(self, msg: dict[str, Any]) -> None:
        kind = msg.get("type")
        try:
            if kind == "event":
                self._hand_out(msg["event"])
            elif kind == "result":
                self._answer(msg)
            else:
                self._oddities.message("type", str(kind))
        except Exception as error:  # whatever a message holds, it must not end the connection
            event = msg.get("event")
            told = event if isinstance(event, dict) else {}
            self._oddities.count("odd messages", str(told.get("event", kind)), error, told)

    def _answer(self, msg: dict[str, Any]) -> None:
        try:
            super()._handle_incoming_message(msg)
        except KeyError as error:
            waiting = self._result_futures[msg["messageId"]]
            if waiting.done():
                raise
            waiting.set_exception(FailedCommand(msg["messageId"], "odd answer", f"it lacks {error}"))

    def _hand_out(self, data: dict[str, Any]) -> None:
        """As the library's `receive_event` of driver, controller and node, without its models' checks."""
        name, source = data["event"], data["source"]
        controller = cast(Driver, self.driver).controller
        targets: dict[str, EventBase | None] = {"controller": controller, "driver": self.driver}
        target = controller.nodes.get(data["nodeId"]) if source == "node" else targets[source]
        if target is None:
            self._oddities.count("odd messages", f"of an unknown node: {name}", event=data)
            return
        handler = getattr(target, f"handle_{name.replace(' ', '_')}", None)
        listeners = target._listeners.get(name, ())
        if handler is not None:
            handler(Event(type=name, data=data))
        elif not listeners:
            self._oddities.count("unknown events", name, event=data)
            return
        if source != "driver":
            data[source] = target
        for listener in tuple(listeners):
            try:
                listener(data)
            except Exception as error:  # a fault of ours must cost neither the connection nor other handlers
                self._oddities.count("failed handlers", name, error, data)

    async def async_send_command(
        self, message: dict[str, Any], require_schema: int | None = None
    ) -> dict[str, Any]:
        tasks, task = _commands.get(), asyncio.current_task()
        if tasks is None or task is None:
            return await super().async_send_command(message, require_schema)
        tasks.add(task)
        try:
            return await super().async_send_command(message, require_schema)
        finally:
            tasks.discard(task)

    def abandon(self) -> None:
        """Cancel everything that waits for an answer."""
        for waiting in self._result_futures.values():
            waiting.cancel()
        self._result_futures.clear()

    async def shut(self) -> None:
        """Say goodbye if the connection stands; nothing may read any more."""
        if self._socket is not None:
            await self._socket.close()


def _decoded(text: bytes) -> Any:
    """What a JSON text says.

    Raises:
        ValueError: It is none.
        RecursionError: It is nested too deeply.
    """
    try:
        return msgspec.json.decode(text)
    except ValueError:
        # It takes no half of a character, as in a name that a device cut off: the standard library does.
        return json.loads(text)
