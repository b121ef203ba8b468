"""A job of the installer: its steps so far, what it asks a person, and how it may end.

The words are BeNext's (documentation 5.5 and 5.6) for adding and taking out; healing and backups, which
BeNext does not have, get words of the same form.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from meterkast.model.errors import RefusedError, StorageError
from meterkast.model.product import Installation as Way
from meterkast.model.product import InstallationMessage, ProductId
from meterkast.network import JobKind, JobRequest, JobStep, JobView
from meterkast.ports.clock import Clock
from meterkast.ports.inventory import Inventory

log = logging.getLogger(__name__)

PREFIX: dict[JobKind, str] = {
    "include": "install",
    "replace": "install",
    "interview": "install",
    "exclude": "deinst",
    "remove": "deinst",
    "heal": "heal",
    "backup": "backup",
}
"""What the status words of a job begin with."""

_PIN, _WHOLE_DSK = 5, 40
# Digits.


class EndedError(Exception):
    """The job ends without having done what it was for.

    Attributes:
        word: BeNext's word without its prefix: "timeout" for `install_timeout`.
        sentence: What happened and what to do now.
        prefix: Where it is not that of the job: a device that was added has to go out again.
    """

    def __init__(self, word: str, sentence: str, *, prefix: str = "") -> None:
        super().__init__(sentence)
        self.word = word
        self.sentence = sentence
        self.prefix = prefix


@dataclass(slots=True, kw_only=True)
class Patience:
    """How long is waited, in real seconds.

    Attributes:
        command_s: For the server's answer to a command that needs no device.
        ping_s: For a device's answer.
        settle_s: From the stick's word that it stopped to the device that it found.
        busy_s: For a stick that is at something else.
        again_s: Until a stick that did not stop looking for devices is told so again.
        exchange_s: For the next step of a key exchange; the server itself gives up after 10 s of each.
        pin_s: For the five digits; the server itself gives up after 240 s.
        interview_s: For the next sign of life of a device that is asked for its abilities.
        whole_interview_s: For all of it, whatever signs of life it gives.
        wake_s: For a person who wakes a device up that fell asleep meanwhile.
        rescue_s: For the button of a device that has to go out again.
        remove_s: For a failed device's removal: three pings and more.
        backup_s: For the stick's memory.
        heal_s: For the routes of one device, or the next one of all.
        send_s: For the answer to a value that is written: a lock that is woken by a beam takes seconds.
        confirm_s: For the device to do it: a dimmer's ramp, a lock's bolt.
    """

    command_s: float = 20.0
    ping_s: float = 20.0
    settle_s: float = 10.0
    busy_s: float = 60.0
    again_s: float = 30.0
    exchange_s: float = 60.0
    pin_s: float = 230.0
    interview_s: float = 120.0
    whole_interview_s: float = 1800.0
    wake_s: float = 60.0
    rescue_s: float = 90.0
    remove_s: float = 60.0
    backup_s: float = 300.0
    heal_s: float = 300.0
    send_s: float = 30.0
    confirm_s: float = 15.0


class Job:
    """One job. It lives in the driver, so that a page or a command line may come and go.

    Attributes:
        node: The node it works on or made.
        product_id: The product it is for.
        on_answer: Takes the answer of a person, while one is asked.
    """

    def __init__(self, number: int, request: JobRequest, inventory: Inventory, clock: Clock) -> None:
        self.id = number
        self.request = request
        self.node = request.node
        self.product_id: ProductId | None = None
        self.on_answer: Callable[[str], None] | None = None
        self._inventory = inventory
        self._clock = clock
        self._steps: list[JobStep] = []
        self._end = ""
        self._dsk = ""
        self._until_s: float | None = None
        self._news = asyncio.Event()

    @property
    def ended(self) -> bool:
        return bool(self._end)

    @property
    def last(self) -> str:
        """Its newest sentence."""
        return self._steps[-1].detail if self._steps else ""

    def view(self) -> JobView:
        left_s = None if self._until_s is None else self._until_s - asyncio.get_running_loop().time()
        return JobView(
            id=self.id,
            request=self.request,
            state="failed"
            if self._end == "failed"
            else "done"
            if self._end
            else "asking"
            if self.on_answer
            else "running",
            steps=tuple(self._steps),
            asks="pin" if self.on_answer else "",
            dsk=self._dsk,
            node=self.node,
            product_id=self.product_id,
            left_s=None if left_s is None else max(0.0, left_s),
        )

    async def say(self, word: str, sentence: str = "", *, prefix: str = "") -> None:
        """One more step: kept where BeNext has a list for it, then shown."""
        self._show(await self._keep(word, sentence, prefix))

    async def end(self, word: str, sentence: str, *, done: bool, prefix: str = "") -> None:
        """The last step."""
        self.waits(None)
        self.on_answer, self._dsk = None, ""
        step = await self._keep(word, sentence, prefix)
        self._end = "done" if done else "failed"
        self._show(step)

    def waits(self, seconds: float | None) -> None:
        """A person has so long to do something; None: nobody is waited for."""
        self._until_s = None if seconds is None else asyncio.get_running_loop().time() + seconds

    async def ask_pin(self, dsk: str, on_answer: Callable[[str], None], sentence: str) -> None:
        """Ask for the five digits that the DSK lacks; the answer goes to `on_answer`, once."""
        self._dsk, self.on_answer = dsk, on_answer
        await self.say("found", sentence)

    def answer(self, text: str) -> None:
        """The person's answer: the PIN, or the whole DSK, which begins with it.

        Raises:
            RefusedError: Nothing is asked, or this is no PIN.
        """
        if self.on_answer is None:
            raise RefusedError(f"job {self.id} asks nothing", hint=self.last or "Look at its steps.")
        digits = "".join(text.replace("-", " ").split())
        if not digits.isascii() or not digits.isdigit() or len(digits) not in (_PIN, _WHOLE_DSK):
            raise RefusedError(
                f'"{text}" is no PIN',
                hint="Give the five digits that are underlined on the device's label.",
            )
        if len(digits) == _WHOLE_DSK and digits[_PIN:] != self._dsk.replace("-", ""):
            raise RefusedError(
                "that is another device's label", hint=f"The DSK of this one goes on with {self._dsk}."
            )
        take, self.on_answer, self._dsk = self.on_answer, None, ""
        take(digits[:_PIN])
        self._tell()

    async def changed(self, seen: int) -> None:
        """Return once there are more than `seen` steps, or it has ended."""
        while len(self._steps) <= seen and not self.ended:
            await self._news.wait()

    async def _keep(self, word: str, sentence: str, prefix: str) -> JobStep:
        prefix = prefix or PREFIX[self.request.kind]
        step = JobStep(status=f"{prefix}_{word}", at_ms=self._clock.now_ms(), detail=sentence)
        log.info(
            "job", extra={"job": self.id, "kind": self.request.kind, "status": step.status, "node": self.node}
        )
        if prefix not in (Way.INSTALL, Way.DEINSTALL):
            return step
        try:
            await self._inventory.report(
                InstallationMessage(
                    kind=Way(prefix),
                    product_id=self.product_id,
                    status=step.status,
                    at_ms=step.at_ms,
                    detail=sentence,
                )
            )
        except StorageError:
            # What the installer sees does not depend on whether it could be kept.
            log.warning("a job's step was not kept", extra={"job": self.id}, exc_info=True)
        return step

    def _show(self, step: JobStep) -> None:
        self._steps.append(step)
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
