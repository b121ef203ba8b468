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

from meterkast.model.errors import LinkLostError, MeterkastError, RefusedError
from meterkast.model.product import Medium, Product, ProductDescription
from meterkast.network import JobKind, JobRequest
from meterkast.ports import Clock, Inventory
from meterkast_drivers.zwave import smart_start
from meterkast_drivers.zwave.backup import Backups
from meterkast_drivers.zwave.devices import Devices
from meterkast_drivers.zwave.exclusion import Exclusion, Removal
from meterkast_drivers.zwave.fitting import Meant
from meterkast_drivers.zwave.inclusion import Inclusion, Replacement
from meterkast_drivers.zwave.job import EndedError, Job, Patience
from meterkast_drivers.zwave.latecomers import Latecomers
from meterkast_drivers.zwave.link import Link, NotAnsweredError
from meterkast_drivers.zwave.means import Means, Restart, find_product
from meterkast_drivers.zwave.repair import Backup, Healing, Interview

log = logging.getLogger(__name__)

KEPT = 50
"""Jobs that are shown; the oldest go first."""

LONGEST_WAIT_S = 3600.0
"""The stick listens to everybody meanwhile: nobody leaves it so for longer."""

ABORT_S = 60.0
"""A job that is cancelled and does not stop in this time is let go."""


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

_NEED_NODE = frozenset({"remove", "replace", "interview"})


class Installation:
    """Begins, keeps and ends jobs."""

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
        self._task: asyncio.Task[None] | None = None
        self._latecomers = Latecomers(devices, inventory, self._meant, patience)
        self._starting = asyncio.Lock()

    def jobs(self) -> Sequence[Job]:
        """Newest last."""
        return tuple(self._jobs)

    def attach(self, link: Link) -> None:
        """A new connection; nothing may be awaited here."""
        self._link = link
        self._latecomers.attach(link)

    def detach(self) -> None:
        """The connection is gone; a job hears that by itself."""
        self._link = None
        self._latecomers.detach()

    async def close(self) -> None:
        """The gateway stops: so does the job."""
        if self._running is not None:
            await self._stop()
        self._latecomers.close()

    async def start(self, request: JobRequest) -> Job:
        """Begin a job.

        Raises:
            RefusedError: Another one runs, the server is not there, or the order cannot be carried out.
            StorageError: The database refused.
        """
        async with self._starting:
            link = self._free()
            _check(request)
            product = await self._product(request)
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
            await job.say("start", _ORDER[request.kind])
            self._task = asyncio.create_task(self._run(job, means), name=f"zwave job {job.id}")
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
            f"there is no job {number}", hint="Jobs are kept until the gateway is started anew."
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

    async def _stop(self) -> None:
        task = self._task
        assert task is not None
        task.cancel()
        await asyncio.wait({task})

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

    async def _run(self, job: Job, means: Means) -> None:
        self._quiet.pause()
        try:
            await self._do(job, means)
        except Exception:  # the job's bookkeeping must not end the driver
            log.exception("job", extra={"job": job.id})
        finally:
            self._quiet.resume()

    async def _do(self, job: Job, means: Means) -> None:
        work: Work = WORK[job.request.kind](job, means)
        try:
            self._occupied(job, means)
            word, sentence = await work.run()
        except asyncio.CancelledError:
            sentence = await _abort(work)
            await job.end("aborted", sentence, done=False)
        except EndedError as error:
            await job.end(error.word, error.sentence, done=False, prefix=error.prefix)
        except LinkLostError as error:
            await job.end(
                "internal",
                f"{_sentence(error)} What was done until then stays: look at the list of devices, then "
                "begin again.",
                done=False,
            )
        except NotAnsweredError as error:
            await job.end("busy", _sentence(error), done=False)
        except RefusedError as error:
            await job.end("proto_fail", _sentence(error), done=False)
        except MeterkastError as error:
            await job.end("internal", _sentence(error), done=False)
        except Exception as error:
            log.exception("job failed", extra={"job": job.id, "kind": job.request.kind})
            await job.end(
                "internal",
                f"Something went wrong inside the gateway ({type(error).__name__}). Please report it, "
                "with the log.",
                done=False,
            )
        else:
            await job.end(word, sentence, done=True)

    def _occupied(self, job: Job, means: Means) -> None:
        """A product has one device at a time."""
        if job.request.kind != "include" or means.product is None:
            return
        for node, product in means.products().items():
            if product.id == means.product.id:
                raise EndedError(
                    "node_mapped",
                    f'"{product.name}" has a device already: number {node}. Exclude that first, or give '
                    "another "
                    "product.",
                )


_ORDER: dict[JobKind, str] = {
    "include": "A device is to be added.",
    "exclude": "A device is to be taken out.",
    "remove": "A device that no longer answers is to be removed.",
    "replace": "A new device is to take a failed one's place.",
    "interview": "A device is to be asked everything again.",
    "heal": "Routes are to be found again.",
    "backup": "The stick's memory is to be saved.",
}


def _check(request: JobRequest) -> None:
    if request.kind in _NEED_NODE and request.node is None:
        raise RefusedError(
            f"{request.kind} needs a device", hint="Give its number; `meterkast zwave nodes` lists them."
        )
    if not 1.0 <= request.timeout_s <= LONGEST_WAIT_S:
        raise RefusedError(
            f"{request.timeout_s:g} s is no time to wait", hint=f"Give 1 to {LONGEST_WAIT_S:.0f} seconds."
        )
    if request.pin and not (len(request.pin) == 5 and request.pin.isascii() and request.pin.isdecimal()):
        raise RefusedError(
            f'"{request.pin}" is no PIN',
            hint="Give the five digits that are underlined on the device's label.",
        )
    if request.product is not None and not request.product.strip():
        raise RefusedError("the product's name is empty", hint="Give a name, or leave it out.")
    smart_start.check(request)


async def _abort(work: Work) -> str:
    try:
        async with asyncio.timeout(ABORT_S):
            return await work.abort()
    except (MeterkastError, TimeoutError) as error:
        return (
            f"It could not be stopped in order ({error or 'no answer'}). Look at the list of devices "
            "before you "
            "go on."
        )


def _sentence(error: MeterkastError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}. {error.hint}"
