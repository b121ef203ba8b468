"""What every job works with, and the steps that several of them share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from meterkast.model.errors import MeterkastError, RefusedError
from meterkast.model.product import Product, ProductId
from meterkast.ports.clock import Clock
from meterkast.ports.inventory import Inventory
from meterkast_drivers.zwave.backup import Backups
from meterkast_drivers.zwave.devices import Devices
from meterkast_drivers.zwave.fitting import Meant
from meterkast_drivers.zwave.job import EndedError, Job, Patience
from meterkast_drivers.zwave.link import Link, NotAnsweredError

_LOOK_S = 0.05

_BUSY_S = 2.0

_LOOKING = (1, 2)
# InclusionState: including, excluding.

_LONGEST_ID = 19
# Digits; a longer number is no id, and SQLite takes none.

Restart = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a job works with.

    Attributes:
        link: The connection it began with; a job does not outlive it.
        product: include: the product it is meant for. exclude: the one that is meant to go.
        restart_server: Starts the Z-Wave server anew; None where the gateway does not run it.
    """

    link: Link
    devices: Devices
    inventory: Inventory
    clock: Clock
    patience: Patience
    backups: Backups
    meant: Meant
    product: Product | None = None
    restart_server: Restart | None = field(default=None, repr=False)

    @property
    def controller(self) -> Any:
        """The stick, as the library shows it."""
        return self.link.driver.controller

    def products(self) -> Mapping[int, Product]:
        """The product of each node, as it is now: a node that goes takes its row with it."""
        return {one.node: one.product for one in self.devices.all() if one.product is not None}

    def live(self, node: int) -> Any:
        """That node as the library shows it.

        Raises:
            RefusedError: There is none.
        """
        found = self.controller.nodes.get(node)
        if found is None or node == self.controller.own_node_id:
            raise RefusedError(
                f"there is no device {node}",
                hint="`meterkast zwave nodes` lists the devices and their numbers.",
            )
        return found

    async def tell(self, command: str, **data: Any) -> dict[str, Any]:
        """A command of the server that the library has no method for."""
        answer: dict[str, Any] = await self.link.ask(
            self.link.driver.client.async_send_command({"command": command, **data}),
            what=command,
            within_s=self.patience.command_s,
        )
        return answer

    async def save(self, job: Job) -> None:
        """Save the stick's memory before it is changed; what goes wrong is told and does not stop the job."""
        said = await self.backups.before_change(self.link, self.patience.backup_s)
        if said:
            await job.say("start", said)

    async def begin(self, job: Job, start: Callable[[], Coroutine[Any, Any, bool]], what: str) -> None:
        """Put the stick into a mode.

        Raises:
            EndedError: It is busy, and stays so.
        """
        patience, loop = self.patience, asyncio.get_running_loop()
        until_s, told = loop.time() + patience.busy_s, False
        try:
            while not await self.link.ask(start(), what=what, within_s=patience.command_s):
                # Left over from another program that stopped in the middle? Else it is at work itself:
                # a device joins by Smart Start, or a key exchange is given up.
                stopped = await self.stop()
                if loop.time() > until_s:
                    await self.unblock()
                if stopped:
                    continue
                if not told:
                    told = True
                    await job.say(
                        "accepted", f"The stick is busy. It is waited for, {patience.busy_s:.0f} s at most."
                    )
                await asyncio.sleep(min(_BUSY_S, patience.busy_s))
        except NotAnsweredError:
            await self.unblock()

    async def stop(self) -> bool:
        """Take the stick out of its mode; False when it says that it could not."""
        stopped, _ = await stop_looking(self.link, self.patience.command_s)
        return stopped

    async def unblock(self) -> NoReturn:
        """The last resort for a stick that is busy: the server anew.

        Raises:
            EndedError: Always; says what was done and what a person can do.
        """
        if self.restart_server is None:
            raise EndedError(
                "busy",
                "The stick is busy with an earlier job and does not stop. Wait two minutes; if it stays so, "
                "restart the Z-Wave server, or pull the stick out and plug it in again.",
            )
        try:
            await self.restart_server()
        except MeterkastError as error:
            raise EndedError(
                "busy", f"The stick is busy, and its server could not be restarted: {error}. {error.hint}"
            ) from error
        raise EndedError(
            "busy",
            "The stick was busy with an earlier job, so its server was started anew. Begin again in "
            "half a minute.",
        )

    async def until(self, true: Callable[[], bool]) -> bool:
        """Wait, not for ever, for what follows by itself; whether it came."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self.patience.settle_s
        while not (came := true()) and loop.time() < until_s:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_LOOK_S)
        return came

    def named(self, node: int, products: Mapping[int, Product]) -> str:
        """A device as a person knows it: `Device 5 "Kitchen plug"`."""
        product = products.get(node)
        return f'Device {node} "{product.name}"' if product is not None else f"Device {node}"


async def stop_looking(link: Link, within_s: float) -> tuple[bool, str]:
    """Take the stick out of adding and taking out.

    Returns:
        Whether it was in either, and has stopped; else why it may be looking on, empty where it is not.

    Raises:
        LinkLostError: The connection was lost.
    """
    stopped, why = False, ""
    for command in ("controller.stop_inclusion", "controller.stop_exclusion"):
        try:
            answer = await link.ask(
                link.driver.client.async_send_command({"command": command}), what="stop", within_s=within_s
            )
        except RefusedError as error:
            why = str(error)
            continue
        stopped |= bool(answer.get("success"))
    if stopped:
        return True, ""
    return False, why or await _looks_on(link, within_s)


async def _looks_on(link: Link, within_s: float) -> str:
    """An order to stop comes to nothing where the stick was not looking, and where it refuses to stop."""
    try:
        answer = await link.ask(
            link.driver.client.async_send_command({"command": "controller.get_state"}),
            what="ask for the stick's state",
            within_s=within_s,
        )
    except RefusedError as error:
        return str(error)
    state = answer.get("state", {}).get("inclusionState")
    return "the stick refused to stop" if state in _LOOKING else ""


async def find_product(inventory: Inventory, wanted: str) -> Product | None:
    """The product of that id or name; None where there is none of that name.

    Raises:
        RefusedError: The id is unknown, several have that name, or it is not of this network.
    """
    products = await inventory.products()
    if wanted.isascii() and wanted.isdecimal() and len(wanted) < _LONGEST_ID:
        found = [one for one in products if one.id == ProductId(int(wanted))]
        if not found:
            raise RefusedError(
                f"there is no product {wanted}",
                hint="Give the id or name of a product, or a name for a new one.",
            )
    else:
        found = [one for one in products if one.name.casefold() == wanted.strip().casefold()]
    if len(found) > 1:
        ids = ", ".join(str(one.id) for one in found)
        raise RefusedError(f'{len(found)} products are called "{wanted}"', hint=f"Give its id: {ids}.")
    if found and not found[0].description.identity.startswith(("zwave:", "product:")):
        raise RefusedError(
            f'product "{found[0].name}" is not a Z-Wave product',
            hint="Give another name for the new product.",
        )
    return found[0] if found else None
