"""One connection to the Z-Wave server, from its opening to its loss."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from meterkast_drivers.zwave.library import aiohttp

# isort: split
# `library` has to be imported before these.
from zwave_js_server.exceptions import (
    BaseZwaveJSServerError,
    FailedZWaveCommand,
    InvalidState,
    NotConnected,
    TransportError,
)
from zwave_js_server.model.driver import Driver

from meterkast.model.errors import LinkLostError, RefusedError
from meterkast_drivers.zwave import why
from meterkast_drivers.zwave.client import SafeClient, commands_in
from meterkast_drivers.zwave.place import Place

log = logging.getLogger(__name__)

T = TypeVar("T")

CHECK_EVERY_S = 8.0
"""From the newest sign of life to the question for another; a busy network is never asked."""

FROZEN_S = 10.0
"""No message for so long after a question: the server is frozen. Found 18 s after it froze at the latest."""

_STEPS = 5
_STOP_S = 1.0


class NotAnsweredError(RefusedError):
    """The server or the device did not answer in time; whether it was done is not known."""


class Link:
    """One connection to the server; a new one for each attempt.

    Attributes:
        place: Where the server is.
        driver: The library's model; its nodes are new objects with each link.
    """

    driver: Driver

    def __init__(self, place: Place, session: aiohttp.ClientSession) -> None:
        self.place = place
        self._session = session
        self._client = SafeClient(place, session)
        self._loss: asyncio.Future[LinkLostError] = asyncio.get_running_loop().create_future()
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(cls, place: Place, *, before_events: Callable[[Link], None]) -> Link:
        """Connect, load all nodes, call `before_events`, then let events come.

        Args:
            place: Where the server is.
            before_events: Registers handlers in `link.driver`. No event is handed out before it returns.

        Raises:
            LinkLostError: The server cannot be reached, is taken, or its stick does not work.
            ConfigError: The server is too old or too new.
        """
        link = cls(place, _session(place))
        try:
            await link._client.connect()
            await link._client.load()
            assert link._client.driver is not None
            link.driver = link._client.driver
            before_events(link)
        except BaseException:  # also a cancellation; it goes on up
            await link.close()
            raise
        link._tasks = [
            asyncio.create_task(link._until_lost(work)) for work in (link._client.read, link._beat)
        ]
        return link

    @property
    def counters(self) -> Mapping[str, int]:
        """What came in: "messages", "unknown events", "odd messages", "failed handlers", …"""
        return self._client.counters

    async def lost(self) -> LinkLostError:
        """Wait until the connection is lost, or closed here; why."""
        return await asyncio.shield(self._loss)

    async def close(self) -> None:
        """End it; more than once does no harm."""
        self._end(why.closed(self.place))
        try:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._client.shut()
        finally:
            await self._session.close()

    async def ask(self, work: Coroutine[Any, Any, T], *, what: str, within_s: float) -> T:
        """Run one command of the library.

        Args:
            work: Such as `node.async_ping()`.
            what: It in words: "ping node 7".
            within_s: How long it may take.

        Raises:
            LinkLostError: The link is lost, or was lost meanwhile; whether it was done is not known.
            NotAnsweredError: No answer in time; the same.
            RefusedError: The server or the device refused.
            CancelledError: We were cancelled ourselves; the command is given up.
        """
        if self._loss.done():
            work.close()
            raise self._lost_error()
        commands: set[asyncio.Task[Any]] = set()
        with commands_in(commands):
            task = asyncio.create_task(work)
        try:
            await asyncio.wait({task}, timeout=within_s)
        except asyncio.CancelledError:
            await _stop(task, commands)
            raise
        if not task.done():
            await _stop(task, commands)
            raise NotAnsweredError(f"{what}: no answer within {within_s:.0f} s", hint=_UNKNOWN)
        return self._outcome(task, what)

    def _outcome(self, task: asyncio.Task[T], what: str) -> T:
        if task.cancelled():
            # Our own cancellation does not come here: the library cancels what waits when the link is lost.
            if self._loss.done():
                raise self._lost_error()
            raise NotAnsweredError(f"{what}: given up by the library", hint=_UNKNOWN)
        try:
            return task.result()
        except (NotConnected, TransportError, InvalidState, aiohttp.ClientError, OSError) as error:
            raise self._lost_error() from error
        except FailedZWaveCommand as error:
            words = why.COMMANDS.get(error.zwave_error_code, error.zwave_error_message)
            raise RefusedError(f"{what}: {words}", hint=_REFUSED) from error
        except BaseZwaveJSServerError as error:
            raise RefusedError(f"{what}: {error}", hint=_REFUSED) from error
        except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
            raise RefusedError(f"{what}: the answer was not understood ({error!r})", hint=_UNKNOWN) from error

    def _lost_error(self) -> LinkLostError:
        if not self._loss.done():
            return LinkLostError(
                f"the connection to the Z-Wave server on {self.place} broke",
                hint="It is made again by itself.",
            )
        loss = self._loss.result()
        return LinkLostError(str(loss), hint=loss.hint)

    async def _until_lost(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Read, or watch, and end the link when that ends."""
        try:
            await work()
        except LinkLostError as error:
            self._end(error)
        except Exception as error:  # whatever it is, nobody reads or watches any more: the link is at its end
            log.exception("Z-Wave connection failed", extra={"server": str(self.place)})
            self._end(why.broken(self.place, error))

    async def _beat(self) -> None:
        """Ask for something small after a silence; a server that says nothing at all is frozen.

        Raises:
            LinkLostError: It is, or this process stood still.
        """
        loop = asyncio.get_running_loop()
        step_s = FROZEN_S / _STEPS
        while True:
            while (left_s := self._client.heard_at + CHECK_EVERY_S - loop.time()) > 0:
                await self._rest(left_s)
            asked = loop.time()
            # What cannot be sent is not answered either.
            with contextlib.suppress(NotConnected, aiohttp.ClientError, OSError):
                async with asyncio.timeout(step_s):
                    await self._client.async_send_command_no_wait({"command": "driver.get_log_config"})
            # In steps: should we have been stopped ourselves, what waits on the socket is read first.
            for _ in range(_STEPS):
                await self._rest(step_s)
                if self._client.heard_at >= asked:
                    break
            else:
                raise why.frozen(self.place, FROZEN_S)

    async def _rest(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._client.awake()

    def _end(self, loss: LinkLostError) -> None:
        """The first reason counts; then everything that waits for an answer ends."""
        if not self._loss.done():
            self._loss.set_result(loss)
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()
        self._client.abandon()


_REFUSED = "Nothing was changed. Check that the device has power and is in reach, then try again."
_UNKNOWN = "Whether it was done is not known: look at the device, then try again."


def _session(place: Place) -> aiohttp.ClientSession:
    connector: aiohttp.BaseConnector
    if place.socket is not None:
        connector = aiohttp.UnixConnector(path=str(place.socket))
    else:
        connector = aiohttp.TCPConnector()
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


async def _stop(task: asyncio.Task[Any], commands: set[asyncio.Task[Any]]) -> None:
    """End a command: what waits for an answer first, so that its node's helpers end as well."""
    for each in tuple(commands) or (task,):
        each.cancel()
    await asyncio.wait({task}, timeout=_STOP_S)
    task.cancel()
    await asyncio.wait({task}, timeout=_STOP_S)
    if task.done() and not task.cancelled():
        task.exception()
