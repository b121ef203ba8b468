"""The installer's jobs: one at a time, cancelable, alive in the driver while pages and command lines
come and go.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec.structs import replace

from meterkast.model.errors import LinkLostError, MeterkastError, RefusedError
from meterkast.model.product import Medium, Product, ProductDescription
from meterkast.network import JobKind, JobRequest
from meterkast.ports.clock import Clock
from meterkast.ports.inventory import Inventory
from meterkast_drivers.zwave.backup import Backups
from meterkast_drivers.zwave.devices import Devices
from meterkast_drivers.zwave.exclusion import Exclusion, Removal
from meterkast_drivers.zwave.fitting import Meant
from meterkast_drivers.zwave.inclusion import Inclusion, Replacement
from meterkast_drivers.zwave.job import EndedError, Job, Patience
from meterkast_drivers.zwave.latecomers import Latecomers
from meterkast_drivers.zwave.link import Link, NotAnsweredError
from meterkast_drivers.zwave.means import Means, Restart, find_product
from meterkast_drivers.zwave.order import ORDERS, check
from meterkast_drivers.zwave.repair import Backup, Healing, Interview
from meterkast_drivers.zwave.tidying import Tidying

log = logging.getLogger(__name__)

KEPT = 50
"""Jobs that are shown; the oldest go first."""

ABORT_S = 60.0
"""A job that is cancelled and does not stop in this time is let go."""

CLOSE_S = 4.0
"""The same where the gateway stops; whatever the stick is left in is ended at the next start."""


class Work(Protocol):
    """What a job does."""

    async def run(self) -> tuple[str, str]:
        """Do it; the word, without prefix, and the sentence of its success."""

    async def abort(self) -> str:
        """It was cancelled: leave everything in order; what is to be told."""


class Quiet(Protocol):
    """What has to keep quiet during a job: the polling of devices."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


WORK: dict[JobKind, Any] = {
    "include": Inclusion,
    "exclude": Exclusion,
    "remove": Removal,
    "replace": Replacement,
    "interview": Interview,
    "heal": Healing,
    "backup": Backup,
}

_OPEN_STICK = frozenset({"include", "exclude", "replace"})
# These make the stick look for devices.


class Installation:
    """Begins, keeps and ends jobs.

    Attributes:
        tidying: Ends what jobs may leave the stick doing.
    """

    def __init__(
        self,
        devices: Devices,
        inventory: Inventory,
        clock: Clock,
        folder: Path,
        patience: Patience,
        *,
        quiet: Quiet,
        restart_server: Restart | None,
    ) -> None:
        self._devices, self._inventory, self._clock = devices, inventory, clock
        self._quiet, self._restart = quiet, restart_server
        self._patience = patience
        self._backups = Backups(folder, clock)
        self._meant = Meant(devices)
        self._link: Link | None = None
        self._jobs: list[Job] = []
        self._numbers = 0
        self._work: asyncio.Task[tuple[str, str]] | None = None
        self._task: asyncio.Task[None] | None = None
        self.tidying = Tidying(devices, patience, lambda: self._running is not None)
        self._latecomers = Latecomers(devices, inventory, self._meant, patience)
        self._starting = asyncio.Lock()

    def jobs(self) -> Sequence[Job]:
        """Newest last."""
        return tuple(self._jobs)

    def attach(self, link: Link) -> None:
        """A new connection; nothing may be awaited here."""
        self._link = link
        self._latecomers.attach(link)
        self.tidying.attach(link)

    def detach(self) -> None:
        """The connection is gone; a job hears that by itself."""
        self._link = None
        self._latecomers.detach()
        self.tidying.detach()

    async def close(self) -> None:
        """The gateway stops: so does the job."""
        if self._running is not None and self._task is not None:
            await self._stop(CLOSE_S)
            if self._task.cancel():
                log.warning(
                    "job not stopped in time; the stick is told to stop looking at the next start",
                    extra={"job": self._jobs[-1].id, "kind": self._jobs[-1].request.kind},
                )
        self._latecomers.close()

    async def start(self, request: JobRequest) -> Job:
        """Begin a job.

        Raises:
            RefusedError: Another one runs, the server is not there, or the order cannot be carried out.
            StorageError: The database refused.
        """
        async with self._starting:
            link = self._free()
            # As they are copied from labels.
            request = replace(request, code="".join(request.code.split()), pin=request.pin.strip())
            check(request)
            product = await self._product(request)
            await self.tidying.ended()  # it would stop what this job begins
            means = Means(
                link=link,
                devices=self._devices,
                inventory=self._inventory,
                clock=self._clock,
                patience=self._patience,
                backups=self._backups,
                meant=self._meant,
                product=product,
                restart_server=self._restart,
            )
            if request.node is not None:
                means.live(request.node)
            self._numbers += 1
            job = Job(self._numbers, request, self._inventory, self._clock)
            job.product_id = product.id if product is not None else None
            self._jobs = [*self._jobs[-(KEPT - 1) :], job]
            await job.say("start", ORDERS[request.kind])
            work: Work = WORK[request.kind](job, means)
            self._work = asyncio.create_task(work.run(), name=f"zwave job {job.id}")
            self._task = asyncio.create_task(self._run(job, means, work, self._work))
            return job

    def get(self, number: int) -> Job:
        """That job.

        Raises:
            RefusedError: There is none.
        """
        for job in self._jobs:
            if job.id == number:
                return job
        raise RefusedError(
            f"there is no job {number}",
            hint="Jobs are kept until the gateway starts anew; `meterkast zwave nodes` shows what was done.",
        )

    async def cancel(self, number: int) -> Job:
        """Stop a job; returns when it has stopped. One that has ended stays as it is.

        Raises:
            RefusedError: There is no such job.
        """
        job = self.get(number)
        if not job.ended and job is self._running:
            await self._stop()
        return job

    @property
    def _running(self) -> Job | None:
        return self._jobs[-1] if self._jobs and not self._jobs[-1].ended else None

    def _free(self) -> Link:
        if self._running is not None:
            raise RefusedError(
                f"job {self._running.id} ({self._running.request.kind}) is running: {self._running.last}",
                hint="Wait for its end, or cancel it. The stick does one thing at a time.",
            )
        if self._link is None:
            raise RefusedError(
                "the Z-Wave server is not connected",
                hint="Look at the driver's status; try again when it is.",
            )
        return self._link

    async def _stop(self, within_s: float | None = None) -> None:
        """Cancel the work; its end is never cancelled, however often that is asked for."""
        assert self._work is not None
        assert self._task is not None
        self._work.cancel()
        await asyncio.wait({self._task}, timeout=within_s)

    async def _product(self, request: JobRequest) -> Product | None:
        """The product of the order; made where it is a new name."""
        if request.kind == "replace" and request.node is not None:
            device = self._devices.get(request.node)
            return device.product if device is not None else None
        if request.product is None or request.kind not in ("include", "exclude"):
            return None
        found = await find_product(self._inventory, request.product)
        if found is not None or request.kind == "exclude":
            if found is None:
                raise RefusedError(
                    f'there is no product "{request.product}"', hint="Leave it out to exclude any device."
                )
            return found
        made, _ = await self._inventory.declare(
            ProductDescription(
                identity=f"product:{secrets.token_hex(6)}", name=request.product.strip(), medium=Medium.OTHER
            ),
            [],
        )
        return made

    async def _run(self, job: Job, means: Means, work: Work, running: asyncio.Task[tuple[str, str]]) -> None:
        """Wait for the work's end and tell it. Only the work is cancelled, so that each job ends."""
        self._quiet.pause()
        try:
            word, sentence, done, prefix = await self._outcome(job, work, running)
            if not done and job.request.kind in _OPEN_STICK:
                await self.tidying.shut(means.link)
                sentence = f"{sentence} {self.tidying.problem}".rstrip()
            await job.end(word, sentence, done=done, prefix=prefix)
        finally:
            self._quiet.resume()

    async def _outcome(
        self, job: Job, work: Work, running: asyncio.Task[tuple[str, str]]
    ) -> tuple[str, str, bool, str]:
        """The word, the sentence, whether it was done, and the word's prefix where it is another."""
        self.tidying.may_look_later = False
        try:
            word, sentence = await running
        except asyncio.CancelledError:
            return "aborted", await _abort(job, work), False, ""
        except EndedError as error:
            self.tidying.may_look_later = error.word == "busy" and job.request.kind in _OPEN_STICK
            return error.word, error.sentence, False, error.prefix
        except LinkLostError as error:
            return (
                "internal",
                f"{_sentence(error)} What was done until then stays: look at the list of devices, then "
                "begin again.",
                False,
                "",
            )
        except NotAnsweredError as error:
            self.tidying.may_look_later = job.request.kind in _OPEN_STICK
            return "busy", _sentence(error), False, ""
        except RefusedError as error:
            return "proto_fail", _sentence(error), False, ""
        except MeterkastError as error:
            return "internal", _sentence(error), False, ""
        except Exception as error:  # without its end no other job could begin
            log.exception("job failed", extra={"job": job.id, "kind": job.request.kind})
            sentence = (
                f"Something went wrong inside the gateway ({type(error).__name__}). Look at the list of "
                "devices, and please report it, with the log."
            )
            return "internal", sentence, False, ""
        return word, sentence, True, ""


async def _abort(job: Job, work: Work) -> str:
    try:
        async with asyncio.timeout(ABORT_S):
            return await work.abort()
    except (MeterkastError, TimeoutError) as error:
        why = str(error) or "no answer"
    except Exception as error:  # without its end no other job could begin
        log.exception("job not stopped", extra={"job": job.id, "kind": job.request.kind})
        why = type(error).__name__
    return f"It could not be stopped in order ({why}). Look at the list of devices before you go on."


def _sentence(error: MeterkastError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}. {error.hint}"
