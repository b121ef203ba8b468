"""Setting right what is in the network: asking a device everything again, finding routes, saving the
stick.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from meterkast.model.errors import RefusedError
from meterkast_drivers.zwave.hearing import Hearing
from meterkast_drivers.zwave.interview import interview
from meterkast_drivers.zwave.job import EndedError, Job
from meterkast_drivers.zwave.means import Means


class Interview:
    """Ask a device everything again."""

    def __init__(self, job: Job, means: Means) -> None:
        self._job, self._means = job, means

    async def run(self) -> tuple[str, str]:
        """The word and the sentence of its success.

        Raises:
            EndedError: The device does not answer.
        """
        job, means = self._job, self._means
        live = means.live(job.request.node or 0)
        product = means.products().get(live.node_id)
        job.product_id = product.id if product is not None else None
        await job.say("accepted", "What is known of the device is asked again.")
        with Hearing(means.link) as hearing:
            hearing.follow(live)
            await means.link.ask(
                live.async_refresh_info(),
                what=f"interview node {live.node_id}",
                within_s=means.patience.command_s,
            )
            # The server tells that it begins; until then the device still counts as known.
            while live.ready:
                heard = await hearing.next(means.patience.settle_s)
                if heard is None and live.ready:
                    raise EndedError(
                        "busy",
                        f"The Z-Wave server did not begin to ask device {live.node_id}. Try again in a "
                        "minute.",
                    )
                if heard is not None and heard["event"] == "ready":
                    break
            await interview(job, means, hearing, live)
        return "conf_success", f"Device {live.node_id} has told what it can do."

    async def abort(self) -> str:
        """Stop in the middle; what is to be told."""
        return "The server goes on asking the device by itself; nothing else was changed."


class Healing:
    """Let one device, or all, find the way to the stick again."""

    def __init__(self, job: Job, means: Means) -> None:
        self._job, self._means = job, means
        self._all = False

    async def run(self) -> tuple[str, str]:
        """The word and the sentence of its success.

        Raises:
            EndedError: It failed.
        """
        job, means = self._job, self._means
        if job.request.node is not None:
            return await self._one(means.live(job.request.node))
        with Hearing(means.link) as hearing:
            begun = await means.link.ask(
                means.controller.async_begin_rebuilding_routes(),
                what="heal the network",
                within_s=means.patience.command_s,
            )
            if not begun:
                raise EndedError(
                    "busy", "The stick is busy, or it is healing already. Try again in some minutes."
                )
            self._all = True
            await job.say(
                "running",
                "All devices look for their way to the stick. Devices are slow to answer meanwhile.",
            )
            return await self._follow(hearing)

    async def abort(self) -> str:
        """Stop in the middle; what is to be told."""
        if not self._all:
            return "A device that has begun goes on to its end; that takes a minute."
        try:
            done = await self._means.link.ask(
                self._means.controller.async_stop_rebuilding_routes(),
                what="stop healing",
                within_s=self._means.patience.command_s,
            )
        except RefusedError:
            done = False
        return "Healing has stopped." if done else "Healing could not be stopped; it ends by itself."

    async def _one(self, live: Any) -> tuple[str, str]:
        job, means, node = self._job, self._means, live.node_id
        await job.say("running", f"Device {node} looks for its way to the stick.")
        done = await means.link.ask(
            means.controller.async_rebuild_node_routes(live),
            what=f"heal node {node}",
            within_s=means.patience.heal_s,
        )
        if not done:
            raise EndedError(
                "fail",
                f"Device {node} found no way to the stick. Check its power, or put a mains device between.",
            )
        return "success", f"Device {node} knows its way to the stick again."

    async def _follow(self, hearing: Hearing) -> tuple[str, str]:
        job, told = self._job, 0
        while True:
            heard = await hearing.next(self._means.patience.heal_s)
            if heard is None:
                raise EndedError("timeout", f"No device moved on. {await self.abort()}")
            match heard["event"]:
                case "rebuild routes progress":
                    state = Counter(heard["progress"].values())
                    tried = state.total() - state["skipped"]
                    done = tried - state["pending"]
                    if done > told:
                        told = done
                        await job.say("running", f"{done} of {tried} devices {_are(done)} done.")
                case "rebuild routes done":
                    return self._summary(heard["result"])

    def _summary(self, result: dict[str, str]) -> tuple[str, str]:
        state = Counter(result.values())
        failed = ", ".join(node for node, status in result.items() if status == "failed")
        right, skipped, tried = state["done"], state["skipped"], state.total() - state["skipped"]
        known = "knows its" if right == 1 else "know their"
        sentence = f"{right} of {tried} devices {known} way to the stick again."
        if skipped:
            more = " more" if tried else ""
            sentence += f" {skipped}{more} {_were(skipped)} left out (asleep, or no longer there)."
        if failed:
            raise EndedError("fail", f"{sentence} Not so: {failed}. Check their power and place.")
        return "success", sentence


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


class Backup:
    """Save the stick's memory."""

    def __init__(self, job: Job, means: Means) -> None:
        self._job, self._means = job, means

    async def run(self) -> tuple[str, str]:
        """The word and the sentence of its success.

        Raises:
            EndedError: It cannot be done.
        """
        means = self._means
        await self._job.say(
            "running", "The stick's memory is read; the network rests meanwhile, about a minute."
        )
        try:
            path = await means.backups.make(means.link, means.patience.backup_s)
        except (RefusedError, OSError) as error:
            hint = f" {error.hint}" if isinstance(error, RefusedError) else ""
            raise EndedError("fail", f"No backup: {error}.{hint}") from error
        return "success", f"The stick's memory is saved as {path}."

    async def abort(self) -> str:
        """Stop in the middle; what is to be told."""
        return "No backup was made. The stick needs a moment until it is back."
