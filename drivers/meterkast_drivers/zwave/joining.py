"""From the device's button to its place in the network: what the stick and the server tell, in their order.

`inclusion stopped` comes before `node found` and `node added`: it is not the end. A failed key exchange
does not keep the device out: the server adds it without security.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from meterkast_drivers.zwave import library  # noqa: F401

# isort: split
# `library` has to be imported before this.
from zwave_js_server.model.controller.inclusion_and_provisioning import InclusionGrant

from meterkast.model.errors import RefusedError
from meterkast_drivers.zwave.hearing import Heard, Hearing
from meterkast_drivers.zwave.job import EndedError, Job
from meterkast_drivers.zwave.means import Means

log = logging.getLogger(__name__)

TIMED_OUT, INCORRECT_PIN = 3, 6
"""Why keys could not be exchanged, by zwave-js' number. An exchange that we break off after the PIN is an
incorrect PIN to zwave-js, too; it notices a really wrong one by itself, and at once.
"""

NEAR = "add it within a metre of the stick, mount it, then `meterkast zwave heal NODE`."
"""What helps where a device is not heard, or its keys fail, at the place where it will stay."""

ELSEWHERE = "A device that is still in another network does not answer: exclude it first, then add it."


@dataclass(frozen=True, slots=True)
class Joined:
    """A device that was added.

    Attributes:
        live: As the library shows it.
        failure: Why its keys could not be exchanged, by zwave-js' number; None where nothing failed.
        no_pin: Nobody gave a PIN in time.
    """

    live: Any
    failure: int | None
    no_pin: bool = False


class Phase(enum.Enum):
    """Where the adding is."""

    BUTTON = enum.auto()  # nothing heard yet
    EXCHANGE = enum.auto()  # the stick has found a device
    PIN = enum.auto()  # a person has to give the five digits


class Joining:
    """Waits for one device to be added.

    Attributes:
        phase: Where it is.
        node: The device's number, once it has one.
    """

    def __init__(self, job: Job, means: Means, hearing: Hearing, late: EndedError | None = None) -> None:
        """Args: late: Smart Start: how it ends when no device comes; else None: the stick is stopped."""
        self.phase = Phase.BUTTON
        self.node: int | None = None
        self._job, self._means, self._hearing = job, means, hearing
        self._until_s = 0.0
        self._nobody = late
        self._no_pin = False
        self._broken_off = False

    async def wait(self, within_s: float) -> Joined:
        """The device that was added.

        Raises:
            EndedError: None came, or the stick failed.
            LinkLostError: The connection was lost.
        """
        self._within(within_s)
        self._job.waits(within_s)
        while True:
            heard = await self._hearing.next(self._until_s - asyncio.get_running_loop().time())
            if heard is None:
                await self._late(within_s)
            elif heard["event"] == "node added":
                self._job.waits(None)
                live = heard["node"]
                self._job.node = self.node = live.node_id
                result = heard.get("result") or {}
                failure = result.get("lowSecurityReason", -1) if result.get("lowSecurity") else None
                if failure == INCORRECT_PIN and self._broken_off:
                    failure = TIMED_OUT
                return Joined(live, failure, self._no_pin)
            else:
                await self._take(heard)

    async def break_off(self) -> None:
        """Make the server give the key exchange up, so that it goes on without security."""
        self._broken_off = True
        try:
            if self.phase is Phase.PIN:
                await self._means.tell("controller.validate_dsk_and_enter_pin", pin="")
            else:
                await self._means.tell("controller.cancel_secure_bootstrap_s2", reason=0)
        except RefusedError:
            return

    async def _take(self, heard: Heard) -> None:
        patience, job = self._means.patience, self._job
        match heard["event"]:
            case "inclusion failed":
                raise EndedError(
                    "proto_fail",
                    f"The stick could not add the device. Begin again; if that fails, {NEAR}",
                )
            case "inclusion stopped" if self.phase is Phase.BUTTON:
                self._within(patience.settle_s)
                self.phase = Phase.EXCHANGE
                job.waits(None)
            case "node found":
                found = heard.get("node") or {}
                self.node = job.node = found.get("id", found.get("nodeId"))
                self.phase = Phase.EXCHANGE
                self._within(patience.exchange_s)
                job.waits(None)
                await job.say("found", f"A device was found; it is number {self.node} now.")
            case "grant security classes":
                self._within(patience.exchange_s)
                wanted = heard["requested_grant"].security_classes
                await self._go_on(
                    self._means.controller.async_grant_security_classes(InclusionGrant(wanted, False)),
                    "grant security classes",
                )
            case "validate dsk and enter pin":
                await self._pin(str(heard["dsk"]).lstrip("-"))
            case "answer":  # ours
                await self._enter(heard["pin"])

    async def _pin(self, dsk: str) -> None:
        """The five digits that the DSK lacks: known, or asked of a person."""
        patience = self._means.patience
        if self._job.request.pin:
            await self._enter(self._job.request.pin)
            return
        self.phase = Phase.PIN
        self._within(patience.pin_s)
        self._job.waits(patience.pin_s)
        await self._job.ask_pin(
            dsk,
            lambda digits: self._hearing.put({"event": "answer", "pin": digits}),
            "The device wants to be added securely. Type the five digits that are underlined on its label "
            f"(its DSK begins with them; the rest is {dsk}).",
        )

    async def _enter(self, pin: str) -> None:
        self.phase = Phase.EXCHANGE
        self._within(self._means.patience.exchange_s)
        self._job.waits(None)
        await self._job.say("found", "The keys are exchanged; this takes some seconds.")
        await self._go_on(self._means.controller.async_validate_dsk_and_enter_pin(pin), "enter the PIN")

    async def _go_on(self, work: Coroutine[Any, Any, None], what: str) -> None:
        """An answer that comes too late is refused; the device then comes without security, which is told."""
        try:
            await self._means.link.ask(work, what=what, within_s=self._means.patience.command_s)
        except RefusedError as error:
            log.warning("key exchange", extra={"job": self._job.id, "reason": str(error)})

    async def _late(self, within_s: float) -> None:
        """Nothing came in time."""
        patience, job = self._means.patience, self._job
        job.waits(None)
        if self.phase is Phase.BUTTON:
            if self._nobody is not None:
                raise self._nobody
            if await self._means.stop():
                raise EndedError(
                    "timeout",
                    f"No device was heard in {within_s:.0f} s. Check its power, and press as its manual "
                    f"says; or {NEAR} {ELSEWHERE}",
                )
            # It cannot be stopped: a device was found at this very moment, or the stick hangs.
            self.phase = Phase.EXCHANGE
            self._within(patience.exchange_s)
        elif self.node is None:
            raise EndedError(
                "aborted",
                "The stick stopped without a new device. Is it in the list of devices already? Else "
                "begin again. " + ELSEWHERE,
            )
        elif self._nobody is not None:
            # The server itself takes a Smart Start device out again, one that was never added.
            raise EndedError(
                "sec_hs_fail",
                "The device came, but the keys could not be exchanged, and it was taken out again. It tries "
                "again by itself. If that fails, compare the code with its label; or "
                f"{NEAR}",
            )
        elif not self._broken_off:
            self._no_pin = self.phase is Phase.PIN
            job.on_answer = None
            await self.break_off()
            self.phase = Phase.EXCHANGE
            self._within(patience.settle_s * 2)
        else:
            await self._means.unblock()

    def _within(self, seconds: float) -> None:
        self._until_s = asyncio.get_running_loop().time() + seconds
