"""Writing to devices: checked, sent at once or kept for a device that sleeps, done only when the device
says so.

What waits for a sleeping device waits here and not in the server's queue: so it survives both, a newer
order takes an older one's place, and nothing that nobody remembers is carried out weeks later (zwave.md,
3, trap 2).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from decimal import Decimal

from meterkast_drivers.zwave import library  # noqa: F401

# isort: split
# `library` has to be imported before this.
from zwave_js_server.const import NodeStatus

from meterkast.model.errors import LinkLostError, RefusedError, StorageError
from meterkast.model.product import Pending, PendingDescription, PendingStatus
from meterkast.model.quantity import text as plain
from meterkast.model.time import DAY_MS, UtcMs
from meterkast.network import WriteRequest
from meterkast.ports.clock import Clock
from meterkast.ports.inventory import Inventory
from meterkast_drivers.zwave.devices import Device, Devices, Mapped
from meterkast_drivers.zwave.errands import Errands
from meterkast_drivers.zwave.job import Patience
from meterkast_drivers.zwave.link import Link, NotAnsweredError
from meterkast_drivers.zwave.pendings import STOPPED, Pendings
from meterkast_drivers.zwave.sending import WAITS, send, sleeps, written
from meterkast_drivers.zwave.writing import number_from, raw_from

log = logging.getLogger(__name__)

EXPIRES_MS = 7 * DAY_MS
"""An order that a device did not fetch in this time is no longer what anybody means."""

RESET_EXPIRES_MS = DAY_MS
"""The same for setting a meter back, which nobody expects days later."""


class Commands:
    """Writes values and keeps those on their way."""

    def __init__(self, devices: Devices, inventory: Inventory, clock: Clock, patience: Patience) -> None:
        self._devices, self._clock, self._patience = devices, clock, patience
        self._link: Link | None = None
        self._errands = Errands("values on their way not sent")
        self._pendings = Pendings(inventory, self._errands)
        self._sending: set[int] = set()
        self._prepared: asyncio.Task[None] | None = None
        devices.on_change.append(self._changed)
        # After a power cut a device may wake up before it is known which of its values are written to.
        devices.on_settled.append(lambda device: self._changed(device.node))

    def attach(self, link: Link) -> None:
        """A new connection; nothing may be awaited here."""
        self._link = link
        self._prepared = self._errands.begin(self._prepare(link))

    def detach(self) -> None:
        """The connection is gone; what waits goes on waiting."""
        self._link = None

    async def close(self) -> None:
        """The gateway stops."""
        await self._errands.close()

    async def write(self, request: WriteRequest) -> Pending:
        """Write a value; returns when it is confirmed, has failed, or waits for the device to wake up.

        Raises:
            RefusedError: It cannot be written; nothing was sent or kept.
            StorageError: The database refused.
        """
        if self._prepared is not None:
            await asyncio.wait({self._prepared})
        await self._pendings.take_up()
        found = self._devices.by_property(request.property_id)
        if found is None:
            raise RefusedError(
                f"property {request.property_id} is not of a Z-Wave device that is known now",
                hint="`meterkast zwave mapping NODE` lists a device's properties.",
            )
        device, mapped = found
        number = self._checked(request, device, mapped)
        asleep = sleeps(device)
        pending = await self._pend(device, mapped, number, asleep)
        if not asleep:
            return await self._send(device, mapped, pending)
        self._changed(device.node)  # it may have woken up while this was stored
        return pending

    async def pending(self) -> Sequence[Pending]:
        """All that are on their way and the newest that are not, oldest first.

        Raises:
            StorageError: The database refused.
        """
        await self._pendings.take_up()
        await self._expire()
        return await self._pendings.all()

    async def forget(self, number: int) -> Pending:
        """Do not write a value that still waits.

        Raises:
            RefusedError: It does not wait.
            StorageError: The database refused.
        """
        await self._pendings.take_up()
        pending = self._pendings.get(number)
        if pending is None:
            raise RefusedError(
                f"value {number} does not wait for a device", hint="It was sent or given up; see its status."
            )
        return await self._pendings.change(pending, PendingStatus.CANCELLED, "Taken back by a person.")

    # One order.

    def _checked(self, request: WriteRequest, device: Device, mapped: Mapped) -> Decimal:
        target, live = mapped.target, device.live
        if not target.receiving:
            raise RefusedError(
                f"{target.name} of {device.name} can only be read", hint="Choose a property with `receiving`."
            )
        if target.resets and not request.reset_meter:
            raise RefusedError(
                f"this sets the meter {device.name} back to 0, for good",
                hint="If that is meant, order it again with --reset-meter.",
            )
        number = number_from(request.value, target)
        if target.resets and not number:
            raise RefusedError(f"{target.name} can only be done, not undone", hint="It takes reset.")
        if self._link is None or live is None:
            why = "the Z-Wave server is not connected" if self._link is None else "it is in another network"
            raise RefusedError(
                f"{device.name} cannot be reached: {why}",
                hint="Nothing was sent. Look at the driver's status; try again when the device is there.",
            )
        raw_from(number, target, written(device, mapped))
        if live.status == NodeStatus.DEAD:
            raise RefusedError(
                f"{device.name} (node {device.node}) does not answer",
                hint="Nothing was sent. Check its power, and try again when it is back.",
            )
        if live.status == NodeStatus.UNKNOWN and not sleeps(device):
            raise RefusedError(
                f"{device.name} (node {device.node}) has not been heard since the Z-Wave server began",
                hint="Nothing was sent. Try again in a minute.",
            )
        return number

    async def _pend(self, device: Device, mapped: Mapped, number: Decimal, asleep: bool) -> Pending:
        assert device.record is not None
        return await self._pendings.add(
            PendingDescription(
                node_id=device.record.id,
                property_id=mapped.property.id,
                channel=mapped.value.endpoint,
                command_class=mapped.value.command_class,
                parameter=mapped.target.parameter,
                value=plain(number),
                status=PendingStatus.WAKEUP if asleep else PendingStatus.SENDING,
                at_ms=self._clock.now_ms(),
                eta_ms=self._eta(device) if asleep else None,
                detail=WAITS if asleep else "",
            )
        )

    def _eta(self, device: Device) -> UtcMs | None:
        """When the device will probably wake up next."""
        if not device.wake_up_s or device.last_seen_ms is None:
            return None
        step, now_ms = device.wake_up_s * 1000, self._clock.now_ms()
        passed = max(0, (now_ms - device.last_seen_ms) // step)
        return UtcMs(device.last_seen_ms + (passed + 1) * step)

    async def _send(self, device: Device, mapped: Mapped, pending: Pending) -> Pending:
        """Send it and wait for the device's answer; every way out leaves a status."""
        status, detail = PendingStatus.FAILED, STOPPED
        try:
            link = self._link
            if link is None:
                raise LinkLostError("not connected", hint="Try again.")
            status, detail = await send(
                link,
                self._devices,
                device,
                mapped,
                Decimal(pending.description.value),
                self._patience,
                overtaken=lambda: not self._pendings.is_newest(pending),
            )
        except LinkLostError as error:
            detail = f"The connection was lost while it was being sent ({error}): look at the device."
        except NotAnsweredError:
            detail = (
                "Neither device nor server answered in time. It may still be carried out: look at the device."
            )
        except RefusedError as error:
            detail = f"{error}."
        except Exception:  # its status tells it; the device's other values are sent all the same
            log.exception("value not sent", extra={"node": device.node, "value": pending.id})
            detail = "The gateway failed at it; its log tells how. It may have been sent: look at the device."
        finally:
            eta_ms = self._eta(device) if status is PendingStatus.WAKEUP else None
            pending = await self._pendings.end(pending, status, detail, eta_ms=eta_ms)
        return pending

    # What waits.

    async def _prepare(self, link: Link) -> None:
        """Take up what waits from before; and have the server guess no values that no device has reported."""
        try:
            await link.ask(
                link.driver.client.async_send_command(
                    {"command": "driver.update_options", "options": {"disableOptimisticValueUpdate": True}}
                ),
                what="set the server's options",
                within_s=self._patience.send_s,
            )
        except (RefusedError, LinkLostError) as error:
            log.warning("options of the Z-Wave server", extra={"reason": str(error)})
        try:
            await self._take_up()
        except StorageError as error:
            log.warning("values on their way not read, tried again", extra={"reason": str(error)})
            self._errands.insist(self._take_up)

    async def _take_up(self) -> None:
        await self._pendings.take_up()
        await self._expire()
        for device in self._devices.all():
            self._changed(device.node)

    async def _expire(self) -> None:
        now_ms = self._clock.now_ms()
        for pending in self._pendings.waiting():
            told = pending.description
            found = self._devices.by_property(told.property_id)
            resets = found is not None and found[1].target.resets
            if now_ms - told.at_ms > (RESET_EXPIRES_MS if resets else EXPIRES_MS):
                term = "day" if resets else "week"
                await self._pendings.end(
                    pending, PendingStatus.FAILED, f"The device did not wake up for a {term}; order it again."
                )

    def _changed(self, node: int) -> None:
        """A device woke up, or is gone."""
        if not self._pendings.waiting():
            return
        device = self._devices.get(node)
        if device is None:
            self._errands.begin(self._give_up(), node=node)
        elif (
            node not in self._sending
            and device.live is not None
            and device.live.status in (NodeStatus.AWAKE, NodeStatus.ALIVE)
        ):
            self._sending.add(node)
            self._errands.begin(self._flush(node), node=node)

    async def _give_up(self) -> None:
        """What waits for a device that was taken out."""
        known = {device.record.id for device in self._devices.known() if device.record is not None}
        for pending in self._pendings.waiting():
            if pending.description.node_id not in known:
                await self._pendings.end(
                    pending, PendingStatus.FAILED, "The device was taken out of the network."
                )

    async def _flush(self, node: int) -> None:
        """Send what waits for a device that is awake; it sleeps again a quarter of a second after the
        last.
        """
        try:
            await self._expire()
            # Looked up anew each time: while one is sent another may be taken back, replaced or added.
            while (waiting := self._waiting(node)) is not None:
                device, mapped, pending = waiting
                if sleeps(device) or device.live is None:
                    return
                sending = await self._pendings.change(pending, PendingStatus.SENDING, "")
                await self._send(device, mapped, sending)
        finally:
            self._sending.discard(node)

    def _waiting(self, node: int) -> tuple[Device, Mapped, Pending] | None:
        """The oldest value that waits for that device."""
        device = self._devices.get(node)
        for pending in self._pendings.waiting():
            found = self._devices.by_property(pending.description.property_id)
            if found is not None and found[0] is device:  # not that of another network's device
                return (*found, pending)
        return None
