"""Taking devices out: exclusion, where the device takes part, and removal of one that no longer answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from meterkast.model.errors import LinkLostError, RefusedError
from meterkast.model.product import NodeStatus, Product
from meterkast_drivers.zwave.hearing import Hearing
from meterkast_drivers.zwave.job import EndedError, Job
from meterkast_drivers.zwave.link import NotAnsweredError
from meterkast_drivers.zwave.means import Means

_BY_BUTTON = (0, 1)
# RemoveNodeReason: excluded, by this stick or another one of the network.

STRANGER = 0
"""Stands for a device that was in no network, or in another one: it has no number here."""

PRESS = (
    "Press the button on the device as for adding it: on most devices three times within 1.5 s. "
    "Stand within a metre or two of the stick."
)


class Exclusion:
    """Take out the device whose button is pressed."""

    def __init__(self, job: Job, means: Means) -> None:
        self._job, self._means = job, means
        self._searching = False

    async def run(self) -> tuple[str, str]:
        """The word and the sentence of its success.

        Raises:
            EndedError: No device answered, or not the one that was meant.
        """
        job, means = self._job, self._means
        products, product = means.products(), means.product
        if product is not None and product.id not in {one.id for one in products.values()}:
            raise EndedError(
                "not_modified",
                f'"{product.name}" has no device, so none is taken out. `meterkast zwave nodes` lists what '
                "is in the network.",
            )
        await means.save(job)
        await job.say("accepted", "The stick is made ready.")
        with Hearing(means.link) as hearing:
            self._searching = True
            gone = await take_out(job, means, hearing, within_s=job.request.timeout_s)
            self._searching = False
        if gone == STRANGER:
            sentence = (
                "A device was reset that is not in this network: it was in none, or in another one. "
                "It can be added here now."
            )
            if product is not None:
                raise EndedError("not_modified", f'{sentence} "{product.name}" is still in.')
            return "not_modified", sentence
        job.node = gone
        await means.until(lambda: means.devices.get(gone) is None)
        name, went = means.named(gone, products), products.get(gone)
        if product is not None and (went is None or went.id != product.id):
            raise EndedError(
                "wrong_dev",
                f'{name} was taken out, and not "{product.name}", which is still in. '
                "Add the device again that went by mistake.",
            )
        job.product_id = went.id if went is not None else None
        return "success", f"{name} is out. Its product and all that was measured stay."

    async def abort(self) -> str:
        """Stop in the middle; what is to be told."""
        return await stopped(self._means) if self._searching else "Nothing was changed."


class Removal:
    """Take out a device that no longer answers: the stick strikes it off its list."""

    def __init__(self, job: Job, means: Means) -> None:
        self._job, self._means = job, means

    async def run(self) -> tuple[str, str]:
        """The word and the sentence of its success.

        Raises:
            EndedError: The device answers, or the stick does not take it off.
        """
        job, means = self._job, self._means
        assert job.request.node is not None
        products = means.products()
        product = products.get(job.request.node)
        job.product_id = product.id if product is not None else None
        name = means.named(job.request.node, products)
        await must_be_gone(job, means, f"{name} is not removed")
        await means.save(job)
        try:
            await strike_off(means, job.request.node)
        except RefusedError as error:
            raise EndedError(
                "proto_fail",
                f"{name} could not be removed: {error}. Cut its power, wait a minute and try again.",
            ) from error
        node = job.request.node
        await means.until(lambda: means.devices.get(node) is None)
        return "success", f"{name} is removed. Its product and all that was measured stay."

    async def abort(self) -> str:
        """Stop in the middle; what is to be told."""
        return "A removal that has begun cannot be stopped: look at the list of devices in a minute."


async def take_out(job: Job, means: Means, hearing: Hearing, *, within_s: float) -> int:
    """Wait for a device's button; the number of the device that went, or STRANGER.

    Raises:
        EndedError: Nobody pressed a button, or the stick failed.
    """
    loop = asyncio.get_running_loop()
    await means.begin(job, means.controller.async_begin_exclusion, "begin exclusion")
    job.waits(within_s)
    await job.say("searching", f"{PRESS} You have {within_s:.0f} s.", prefix="deinst")
    until_s, found = loop.time() + within_s, False
    while True:
        heard = await hearing.next(until_s - loop.time())
        if heard is None and found:
            return STRANGER
        if heard is None:
            job.waits(None)
            await means.stop()
            raise EndedError(
                "timeout",
                f"No device answered in {within_s:.0f} s. Check that it has power, stand closer to the "
                "stick, and press as its manual says. Is it broken or lost? Then remove it instead: "
                "`meterkast zwave remove NODE`.",
            )
        match heard["event"]:
            case "exclusion stopped" if not found:
                # Comes before the device's number, if it has one here.
                found, until_s = True, loop.time() + means.patience.settle_s / 5
                job.waits(None)
                await job.say("found", "A device answered.", prefix="deinst")
            case "exclusion failed":
                raise EndedError(
                    "proto_fail", "The stick could not take the device out. Go closer, and try again."
                )
            case "node removed" if int(heard.get("reason", 0)) in _BY_BUTTON:
                job.waits(None)
                return int(heard["node"].node_id)


async def must_be_gone(job: Job, means: Means, refusal: str) -> None:
    """Ask the device; one that answers is neither removed nor replaced.

    Raises:
        EndedError: It answers.
    """
    assert job.request.node is not None
    live = means.live(job.request.node)
    await job.say("accepted", f"Device {live.node_id} is asked whether it is really gone.")
    if await answers(means, live.node_id):
        raise EndedError(
            "aborted",
            f"{refusal}: it answers. Take it out with `meterkast zwave exclude` and its button, so that "
            "it knows and can be added again.",
        )
    device = means.devices.get(live.node_id)
    if device is not None and not device.listening and device.status is NodeStatus.AVAILABLE:
        if job.request.asleep:
            return
        raise EndedError(
            "aborted",
            f"{refusal}: it sleeps, and was heard not long ago. Wake it up with its button and take it out "
            "with `meterkast zwave exclude`. Is it really broken or lost? Then repeat this with --asleep.",
        )


async def answers(means: Means, node: int) -> bool:
    """Whether a device answers now."""
    live = means.live(node)
    try:
        return bool(
            await means.link.ask(live.async_ping(), what=f"ping node {node}", within_s=means.patience.ping_s)
        )
    except RefusedError:
        return False


async def strike_off(means: Means, node: int) -> None:
    """Remove a failed device.

    Raises:
        RefusedError: The stick refuses, or did not answer in time.
    """
    with Hearing(means.link) as hearing:
        live = means.live(node)
        try:
            await means.link.ask(
                means.controller.async_remove_failed_node(live),
                what=f"remove node {node}",
                within_s=means.patience.remove_s,
            )
        except NotAnsweredError:
            if node in means.controller.nodes:
                raise
        while node in means.controller.nodes:
            if await hearing.next(means.patience.settle_s) is None:
                raise RefusedError(
                    "the stick did not strike it off its list", hint="Try again in some minutes."
                )


async def rescue(job: Job, means: Means, node: int, products: Mapping[int, Product]) -> EndedError:
    """Take a device out again that was added wrongly; a person has to press its button once more.

    Returns:
        How the job ends: whether the device is out.
    """
    name = means.named(node, products)
    still_in = f"{name} is still in the network, without security. Take it out before you try again: "
    await job.say("start", f"{name} has to go out again.", prefix="deinst")
    with Hearing(means.link) as hearing:
        try:
            gone = await take_out(job, means, hearing, within_s=means.patience.rescue_s)
        except LinkLostError as error:
            return EndedError(
                "internal",
                f"The connection to the stick was lost ({error}). {still_in}`meterkast zwave exclude`, then "
                "press its button.",
                prefix="deinst",
            )
        except (EndedError, RefusedError) as error:
            if await _strike_off_quietly(means, node):
                return EndedError("success", f"{name} no longer answers and was removed.", prefix="deinst")
            return EndedError(
                error.word if isinstance(error, EndedError) else "proto_fail",
                f"{still_in}`meterkast zwave exclude`, then press its button.",
                prefix="deinst",
            )
    if gone == node:
        return EndedError("success", f"{name} is out again. Now begin anew.", prefix="deinst")
    went = means.named(gone, products) if gone != STRANGER else "A device of another network"
    return EndedError(
        "wrong_dev", f"{went} was taken out. {still_in}`meterkast zwave exclude`.", prefix="deinst"
    )


async def _strike_off_quietly(means: Means, node: int) -> bool:
    if node not in means.controller.nodes:
        return True
    if await answers(means, node):
        return False
    try:
        await strike_off(means, node)
    except RefusedError:
        return False
    return node not in means.controller.nodes


async def stopped(means: Means) -> str:
    """Stop the stick; what is to be told."""
    if await means.stop():
        return "The stick has stopped looking for devices. Nothing was changed."
    return (
        "The stick could not be stopped: it is in the middle of something. Look at the list of devices "
        "in two minutes before you go on."
    )
