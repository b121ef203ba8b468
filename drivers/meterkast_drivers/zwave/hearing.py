"""The events that one job waits for, in their order, from before it gives its order until it is done."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Self

from meterkast.model.errors import LinkLostError
from meterkast_drivers.zwave.link import Link

if TYPE_CHECKING:
    from zwave_js_server.event import EventBase
    from zwave_js_server.model.node import Node

CONTROLLER_EVENTS = (
    "inclusion started",
    "inclusion stopped",
    "inclusion failed",
    "inclusion aborted",
    "node found",
    "node added",
    "node removed",
    "grant security classes",
    "validate dsk and enter pin",
    "exclusion stopped",
    "exclusion failed",
    "rebuild routes progress",
    "rebuild routes done",
)

NODE_EVENTS = (
    "ready",
    "interview started",
    "interview stage completed",
    "interview failed",
    "sleep",
    "wake up",
    "dead",
    "alive",
)

Heard = dict[str, Any]
"""An event's data as the library gives it; `event` is its name."""


class Hearing:
    """A queue of events; a context manager that stops listening at its end."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._events: deque[Heard] = deque()
        self._loss: LinkLostError | None = None
        self._news = asyncio.get_running_loop().create_future()
        self._leave: list[Callable[[], object]] = []

    def __enter__(self) -> Self:
        controller = self._link.driver.controller
        self._listen(controller, CONTROLLER_EVENTS)
        # A device is asked for its abilities at once: its events may follow in the same instant.
        self._leave.append(controller.on("node added", lambda heard: self.follow(heard["node"])))
        lost = asyncio.create_task(self._link.lost())
        lost.add_done_callback(self._gone)
        self._leave.append(lost.cancel)
        return self

    def __exit__(self, *_: object) -> None:
        for leave in self._leave:
            leave()

    def follow(self, node: Node) -> None:
        """Hear that node too."""
        self._listen(node, NODE_EVENTS)

    def put(self, heard: Heard) -> None:
        """Add an event: the library's, or our own, such as a person's answer."""
        self._events.append(heard)
        self._tell()

    async def next(self, within_s: float) -> Heard | None:
        """The next event; None when there was none for so long.

        Raises:
            LinkLostError: The connection was lost.
        """
        if not self._events and self._loss is None:
            self._news = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._news}, timeout=max(0.0, within_s))
        if self._events:
            return self._events.popleft()
        if self._loss is not None:
            raise self._loss  # whoever asks again is told again
        return None

    def _listen(self, source: EventBase, names: Iterable[str]) -> None:
        for name in names:
            self._leave.append(source.on(name, self.put))

    def _gone(self, lost: asyncio.Task[LinkLostError]) -> None:
        if not lost.cancelled():
            self._loss = lost.result()
            self._tell()

    def _tell(self) -> None:
        if not self._news.done():
            self._news.set_result(None)
