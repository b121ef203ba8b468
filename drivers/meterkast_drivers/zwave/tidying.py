"""A stick must not go on looking for devices when no job wants it to.

Whoever is near could add or take out one. A job that was cut off may leave it so, and so may an order that
the stick carries out long after.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from meterkast.model.errors import LinkLostError
from meterkast_drivers.zwave.devices import Devices
from meterkast_drivers.zwave.job import Patience
from meterkast_drivers.zwave.link import Link
from meterkast_drivers.zwave.means import stop_looking

log = logging.getLogger(__name__)

_LOOKING = ("inclusion started", "exclusion started")

_DO = "It is told to stop again by itself; if this stays so, pull the stick out and plug it in again."

STILL_LOOKING = (
    "The stick may still be looking for devices, so that whoever is near can add or take out one. " + _DO
)


class Tidying:
    """Tells the stick to stop looking, at each connection and until it does.

    Args:
        working: Whether a job runs now.

    Attributes:
        problem: What an operator has to know of the stick now; empty when all is well.
        task: The newest attempt; None before the first connection.
        may_look_later: A job's order was not answered in time, and may be carried out after its end.
    """

    def __init__(self, devices: Devices, patience: Patience, working: Callable[[], bool]) -> None:
        self._devices = devices
        self._patience = patience
        self._working = working
        self._link: Link | None = None
        self._again: asyncio.TimerHandle | None = None
        self.problem = ""
        self.task: asyncio.Task[None] | None = None
        self.may_look_later = False

    def attach(self, link: Link) -> None:
        """A new connection; nothing may be awaited here."""
        self._link = link
        for event in _LOOKING:
            link.driver.controller.on(event, lambda _: self._looks(link))
        self._tidy(link)

    def detach(self) -> None:
        """The connection is gone."""
        self._link = None
        if self.task is not None:
            self.task.cancel()

    async def ended(self) -> None:
        """Wait until no attempt is under way; there was a connection."""
        assert self.task is not None
        await asyncio.wait({self.task})

    async def shut(self, link: Link) -> None:
        """Tell the stick to stop; where that comes to nothing, `problem` says so and it is told again."""
        try:
            stopped, why = await stop_looking(link, self._patience.command_s)
        except LinkLostError:
            return  # done at the next connection
        if stopped:
            log.warning("the stick was left looking for devices; it was stopped")
        if why and not self.problem:
            self._devices.counters["stick not stopped"] += 1
            log.warning("the stick may still be looking for devices", extra={"reason": why, "do": _DO})
        elif self.problem and not why:
            log.info("the stick no longer looks for devices")
        self.problem = STILL_LOOKING if why else ""
        if why:
            self._stop_later(link)

    def _tidy(self, link: Link) -> None:
        """Nobody knows of a job now: a stick that looks for devices was left so."""
        self.task = asyncio.create_task(self.shut(link), name="zwave tidying")

    def _stop_later(self, link: Link) -> None:
        if self._again is not None:
            self._again.cancel()
        self._again = asyncio.get_running_loop().call_later(self._patience.again_s, self._stop_again, link)

    def _stop_again(self, link: Link) -> None:
        if self._link is not link:
            return  # done at the next connection
        if self._working():
            self._stop_later(link)  # now it may look on purpose
        else:
            self._tidy(link)

    def _looks(self, link: Link) -> None:
        """An order that was not answered in time may be carried out after its job."""
        if self.may_look_later and not self._working():
            self.may_look_later = False
            self._tidy(link)
