"""The Z-Wave network as all ask for it: the command line, the page, tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from meterkast.model.errors import RefusedError
from meterkast.model.product import NodeId, Pending
from meterkast.network import JobRequest, JobView, NodeView, PendingView, ValueView, WriteRequest
from meterkast.ports.clock import Clock
from meterkast.ports.inventory import Inventory
from meterkast_drivers.zwave.commands import Commands
from meterkast_drivers.zwave.devices import Devices
from meterkast_drivers.zwave.installation import Installation
from meterkast_drivers.zwave.job import Patience
from meterkast_drivers.zwave.link import Link
from meterkast_drivers.zwave.means import Restart
from meterkast_drivers.zwave.settings import Settings


class ZwaveNetwork:
    """Implements `meterkast.network.Network`; one for the driver's whole life.

    Attributes:
        patience: How long is waited for what.
    """

    def __init__(
        self,
        devices: Devices,
        inventory: Inventory,
        clock: Clock,
        settings: Settings,
        *,
        restart_server: Restart | None = None,
    ) -> None:
        """
        Args:
            restart_server: Starts the Z-Wave server anew, where the gateway runs it: the last resort for a
                stick that hangs.
        """
        self.patience = Patience()
        self._devices, self._inventory = devices, inventory
        self._installation = Installation(
            devices,
            inventory,
            clock,
            Path(settings.folder),
            self.patience,
            quiet=devices,
            restart_server=restart_server,
        )
        self._commands = Commands(devices, inventory, clock, self.patience)

    def attach(self, link: Link) -> None:
        """A new connection, before its first event."""
        self._installation.attach(link)
        self._commands.attach(link)

    def detach(self) -> None:
        """The connection is gone."""
        self._installation.detach()
        self._commands.detach()

    async def close(self) -> None:
        """The gateway stops; call it while the connection still stands, so that the stick stops listening."""
        await self._installation.close()
        await self._commands.close()

    def nodes(self) -> Sequence[NodeView]:
        """All devices, by node; from memory."""
        return self._devices.views()

    def values(self, node: int) -> Sequence[ValueView]:
        """Each value of a device, where it goes and why.

        Raises:
            RefusedError: There is no such device.
        """
        if self._devices.get(node) is None:
            raise RefusedError(
                f"there is no device {node}",
                hint="`meterkast zwave nodes` lists the devices and their numbers.",
            )
        return self._devices.value_views(node)

    async def rename(self, node: int, name: str) -> NodeView:
        """Give a device's product a person's name.

        Raises:
            RefusedError: There is no such device, or the name cannot be given.
            StorageError: The database refused.
        """
        await self._devices.rename(node, name)
        return next(view for view in self._devices.views() if view.node == node)

    @property
    def problem(self) -> str:
        """What an operator has to know of the stick now; empty when all is well."""
        return self._installation.tidying.problem

    def jobs(self) -> Sequence[JobView]:
        """The jobs since the start, newest last."""
        return [job.view() for job in self._installation.jobs()]

    async def start(self, request: JobRequest) -> JobView:
        """Begin a job.

        Raises:
            RefusedError: Another one runs, or it cannot be done.
            StorageError: The database refused.
        """
        return (await self._installation.start(request)).view()

    async def answer(self, job: int, text: str) -> JobView:
        """What the job asked for.

        Raises:
            RefusedError: It asks nothing, or this is no answer.
        """
        found = self._installation.get(job)
        found.answer(text)
        return found.view()

    async def cancel(self, job: int) -> JobView:
        """Stop a job; returns when it has stopped.

        Raises:
            RefusedError: There is no such job.
        """
        return (await self._installation.cancel(job)).view()

    async def changed(self, job: int, seen: int) -> JobView:
        """The job as soon as it has more than `seen` steps or has ended.

        Raises:
            RefusedError: There is no such job.
        """
        found = self._installation.get(job)
        await found.changed(seen)
        return found.view()

    async def write(self, request: WriteRequest) -> PendingView:
        """Write a value.

        Raises:
            RefusedError: It cannot be written; nothing was sent.
            StorageError: The database refused.
        """
        return _view(await self._commands.write(request), await self._numbers())

    async def pending(self) -> Sequence[PendingView]:
        """Values on their way and those that were, oldest first.

        Raises:
            StorageError: The database refused.
        """
        numbers = await self._numbers()
        return [
            _view(one, numbers)
            for one in await self._commands.pending()
            if one.description.node_id in numbers
        ]

    async def forget(self, pending: int) -> PendingView:
        """Do not write a value that still waits.

        Raises:
            RefusedError: It does not wait.
            StorageError: The database refused.
        """
        return _view(await self._commands.forget(pending), await self._numbers())

    async def _numbers(self) -> dict[NodeId, int]:
        """The number of each device in the network, by the id of its row."""
        return {
            record.id: record.description.zwave_id
            for record in await self._inventory.nodes()
            if record.description.zwave_id is not None
        }


def _view(pending: Pending, numbers: dict[NodeId, int]) -> PendingView:
    told = pending.description
    return PendingView(
        id=pending.id,
        node=numbers.get(told.node_id, 0),
        property_id=told.property_id,
        channel=told.channel,
        command_class=told.command_class,
        parameter=told.parameter,
        value=told.value,
        status=told.status.value,
        at_ms=told.at_ms,
        eta_ms=told.eta_ms,
        detail=told.detail,
    )
