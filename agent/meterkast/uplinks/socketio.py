"""One Socket.IO connection: opened, used and torn down once. The one file that imports python-socketio.

What is made good here, all measured with python-socketio 5.18.1 and python-engineio 4.15.1:

- its reconnection waits 1 s for the namespace whatever was asked, and never authenticates: it is off;
- `connect` can hang before the web socket opens: it has a limit over all of it;
- `disconnect` hangs on a link that is half open with much queued: after 2 s the socket is shut down;
- its tasks outlive a failed connection and their errors are printed by asyncio: they are kept and ended;
- its log lines hold the credentials: its loggers are shut.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Callable, Collection
from typing import Any

from meterkast.lean import aiohttp

# isort: split
# These import aiohttp themselves, so it has to be there already.
import engineio
import socketio

from meterkast.model.errors import ConfigError, MisconfiguredError, NotDeliveredError
from meterkast.ports.clock import Clock
from meterkast.uplinks import http
from meterkast.uplinks.http_errors import chain

GOODBYE_S = 2.0
"""How long the far end has to take part in an orderly end."""

NAMESPACE_S = 20.0
"""How long the namespace may take to answer once the transport stands."""

REQUEST_S = 30.0
"""Limit of one request of the polling transport: its 5 s are too short for 256 kB on a slow uplink."""

log = logging.getLogger(__name__)

_SILENT = logging.Logger("socketio")
_SILENT.disabled = True


class Connection:
    """A connection to one namespace.

    Args:
        origin: `https://host:port`, without the namespace.
        namespace: Such as `/v2`.
        events: The events to listen for.
        on_event: Called with an event's name and its first argument (JSON, whatever the far end sent).
        on_lost: Called once with the reason when the connection ends by itself.
        clock: Is told the far end's time.
    """

    def __init__(
        self,
        origin: str,
        namespace: str,
        *,
        transport: str,
        ca_file: str,
        proxy: str,
        events: Collection[str],
        on_event: Callable[[str, object], None],
        on_lost: Callable[[str], None],
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock
        self._origin = origin
        self._namespace = namespace
        self._transport = transport
        self._ca_file = ca_file
        self._proxy = proxy
        self._events = events
        self._on_event = on_event
        self._on_lost = on_lost
        self._client: Any = None  # python-socketio has no types
        self._session: aiohttp.ClientSession | None = None
        self._words = ""
        self._open = False

    @property
    def alive(self) -> bool:
        """Whether messages can be sent, as far as is known here."""
        return self._open

    async def open(self, limit_s: float) -> None:
        """Connect, and join the namespace. On an error nothing is left open.

        Raises:
            NotDeliveredError: The far end cannot be reached or does not answer.
            MisconfiguredError: There is no such namespace, or `ca_file` cannot be used.
        """
        try:
            await self._connect(limit_s)
        except BaseException:
            await self.close()
            raise

    async def send(self, event: str, message: str) -> None:
        """Queue an event; that it was sent is proved by nothing but the far end's answer.

        Args:
            event: Its name.
            message: Its one argument as JSON, sent as it is: a number keeps its digits.

        Raises:
            NotDeliveredError: The connection is gone; nothing was sent.
        """
        if not self._open:
            raise NotDeliveredError(f"the connection to {self._at} is lost", hint="It is made again.")
        # Packet type 2, EVENT (socket.io-protocol 5). `emit` would encode the message anew.
        await self._client.eio.send(f"2{self._namespace},[{json.dumps(event)},{message}]")

    async def close(self) -> None:
        """End it, in order if the far end takes part within 2 s, else by shutting the socket down."""
        self._open = False
        client, session = self._client, self._session
        if client is not None:
            engine = client.eio
            # Taken now: a close that is cut short hides the socket, and leaves it open while data is queued.
            web_socket = engine.ws
            wire = web_socket.get_extra_info("socket") if web_socket is not None else None
            try:
                async with asyncio.timeout(GOODBYE_S):
                    await client.disconnect()
            except Exception as error:  # anything, as at connecting; the hard end below follows all the same
                reason = type(error).__name__
                log.info("connection ended the hard way", extra={"to": self._at, "reason": reason})
            if wire is not None:
                with contextlib.suppress(OSError):
                    wire.shutdown(socket.SHUT_RDWR)
            await engine.end()
            if web_socket is not None:
                # aiohttp 3.14 does not do it where the connection broke while it was read.
                web_socket._response.close()
            self._client = None
        if session is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await session.close()
            self._session = None

    @property
    def _at(self) -> str:
        return http.where(self._origin)

    async def _connect(self, limit_s: float) -> None:
        try:
            self._session = http.session(
                self._origin,
                ca_file=self._ca_file,
                proxy=self._proxy,
                timeout_s=REQUEST_S,
                clock=self._clock,
            )
        except ConfigError as error:
            raise MisconfiguredError(str(error), hint=error.hint) from error
        self._client = _Client(
            reconnection=False,
            handle_sigint=False,
            logger=_SILENT,
            engineio_logger=_SILENT,
            http_session=self._session,
            request_timeout=REQUEST_S,
        )
        for event in self._events:
            self._client.on(event, self._taker(event), namespace=self._namespace)
        self._client.on("connect_error", self._refused, namespace=self._namespace)
        self._client.on("disconnect", self._ended, namespace=self._namespace)
        try:
            async with asyncio.timeout(limit_s):
                await self._client.connect(
                    self._origin,
                    namespaces=[self._namespace],
                    transports=[self._transport],
                    socketio_path="socket.io",
                    wait_timeout=min(NAMESPACE_S, limit_s),
                )
        except Exception as error:  # the libraries raise anything where the far end is no Socket.IO server
            raise self._explained(error) from error
        self._open = True
        self._client.eio.on_broken(self._ended)

    def _explained(self, error: Exception) -> NotDeliveredError | MisconfiguredError:
        if self._client.failed_namespaces:
            return MisconfiguredError(
                f"{self._at} has no namespace {self._namespace}{f': {self._words}' if self._words else ''}",
                hint='Correct url: its path is the namespace, "https://reset.build:8069/v2".',
            )
        if self._client.eio.sid is not None or "Unexpected connection" in str(error):
            return NotDeliveredError(
                f"{self._at} accepts the connection, but namespace {self._namespace} does not answer",
                hint="It is tried again. If it stays so, compare url with the platform's documentation.",
            )
        handshake = next(
            (one for one in chain(error) if isinstance(one, aiohttp.WSServerHandshakeError)), None
        )
        if handshake is not None:
            return NotDeliveredError(
                f"{self._at} answers {handshake.status} instead of opening a web socket",
                hint='Check url and any proxy or firewall in between; transport = "polling" does without.',
            )
        message, hint = http.explain(error, self._origin)
        return NotDeliveredError(message, hint=hint)

    def _taker(self, event: str) -> Callable[..., None]:
        def take(*given: object) -> None:
            self._on_event(event, given[0] if given else None)

        return take

    def _refused(self, *given: object) -> None:
        said = given[0] if given else ""
        words = said.get("message", "") if isinstance(said, dict) else said
        self._words = " ".join(str(words).split())[:200]

    def _ended(self, *reason: object) -> None:
        """The connection ended: by the far end, by the network, or because we closed it."""
        was_open, self._open = self._open, False
        if was_open:
            self._on_lost(str(reason[0]) if reason else "closed")


class _Engine(engineio.AsyncClient):  # type: ignore[misc]  # python-engineio has no types
    """python-engineio's client, with its tasks kept so that they can be ended."""

    def __init__(self, **options: Any) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._broken: Callable[[str], None] | None = None
        super().__init__(**options)

    def on_broken(self, call: Callable[[str], None]) -> None:
        """Call when the connection's reading or writing has ended, whether or not the library says so."""
        self._broken = call
        if self.state != "connected" or self.read_loop_task.done():
            call("lost while connecting")

    def start_background_task(
        self, target: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.ensure_future(target(*args, **kwargs))
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    async def end(self) -> None:
        """End every task, and forget the client where the library would keep it for good."""
        mine = {task for task in self._tasks if task is not asyncio.current_task()}
        for task in mine:
            task.cancel()
        if mine:
            await asyncio.wait(mine, timeout=GOODBYE_S)
        with contextlib.suppress(ValueError):
            engineio.base_client.connected_clients.remove(self)
        self.state = "disconnected"

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        # Looked at, so that asyncio does not print it; a message that cannot be read is the far end's fault.
        error = task.exception()
        if self._broken and (error is not None or task is self.read_loop_task):
            self._broken(type(error).__name__ if error else "transport closed")


class _Client(socketio.AsyncClient):  # type: ignore[misc]  # python-socketio has no types
    def _engineio_client_class(self) -> type[_Engine]:
        return _Engine
