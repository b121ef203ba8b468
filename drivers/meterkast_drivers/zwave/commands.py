"""Writing to devices: checked, sent at once or kept for a device that sleeps, done only when the device
says so.

What waits for a sleeping device waits here and not in the server's queue: so it survives both, a newer
order takes an older one's place, and nothing that nobody remembers is carried out weeks later (zwave.md,
3, trap 2).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from meterkast_drivers.zwave import library  # noqa: F401

# isort: split
# `library` has to be imported before this.
from zwave_js_server.const import NodeStatus

from meterkast.model.errors import LinkLostError, MeterkastError, RefusedError, StorageError
from meterkast.model.product import NodeId, Pending, PendingDescription, PendingId, PendingStatus
from meterkast.model.quantity import text as plain
from meterkast.model.time import DAY_MS, UtcMs
from meterkast.network import WriteRequest
from meterkast.ports import Clock, Inventory
from meterkast_drivers.zwave.devices import Device, Devices, Mapped
from meterkast_drivers.zwave.job import Patience
from meterkast_drivers.zwave.link import Link, NotAnsweredError
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
        self._devices, self._inventory, self._clock = devices, inventory, clock
        self._patience = patience
        self._link: Link | None = None
        self._open: dict[PendingId, Pending] = {}
        self._newest: dict[int, PendingId] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending: set[int] = set()
        self._prepared: asyncio.Task[None] | None = None
        devices.on_change.append(self._changed)

    def attach(self, link: Link) -> None:
        """A new connection; nothing may be awaited here."""
        self._link = link
        self._prepared = asyncio.create_task(self._prepare(link))

    def detach(self) -> None:
        """The connection is gone; what waits goes on waiting."""
        self._link = None

    async def close(self) -> None:
        """The gateway stops."""
        tasks = [*self._tasks, *([self._prepared] if self._prepared is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def write(self, request: WriteRequest) -> Pending:
        """Write a value; returns when it is confirmed, has failed, or waits for the device to wake up.

        Raises:
            RefusedError: It cannot be written; nothing was sent or kept.
            StorageError: The database refused.
        """
        found = self._devices.by_property(request.property_id)
        if found is None:
            raise RefusedError(
                f"property {request.property_id} is not of a Z-Wave device that is known now",
                hint="`meterkast zwave mapping NODE` lists a device's properties.",
            )
        # First, as it may take a while: what is checked is sent at once.
        await self._is_prepared()
        device, mapped = found
        number = self._checked(request, device, mapped)
        asleep = sleeps(device)
        pending = await self._pend(device, mapped, number, asleep)
        if not asleep:
            pending = await self._send(device, mapped, pending)
        return pending

    async def pending(self) -> Sequence[Pending]:
        """All that are on their way and the newest that are not, oldest first.

        Raises:
            StorageError: The database refused.
        """
        await self._expire()
        return await self._inventory.pendings(open_only=False)

    async def forget(self, number: int) -> Pending:
        """Do not write a value that still waits.

        Raises:
            RefusedError: It does not wait.
            StorageError: The database refused.
        """
        pending = self._open.get(PendingId(number))
        if pending is None or pending.description.status is not PendingStatus.WAKEUP:
            raise RefusedError(
                f"value {number} does not wait for a device", hint="It was sent or given up; see its status."
            )
        return await self._set(pending, PendingStatus.CANCELLED, "Taken back by a person.")

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
        for older in list(self._open.values()):
            same = older.description.property_id == mapped.property.id
            if same and older.description.status is PendingStatus.WAKEUP:
                await self._set(older, PendingStatus.REPLACED, "A newer value took its place.")
        pending = await self._inventory.pend(
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
        self._open[pending.id] = pending
        self._newest[mapped.property.id] = pending.id
        return pending

    def _eta(self, device: Device) -> UtcMs | None:
        """When the device will probably wake up next."""
        if not device.wake_up_s or device.last_seen_ms is None:
            return None
        step, now_ms = device.wake_up_s * 1000, self._clock.now_ms()
        passed = max(0, (now_ms - device.last_seen_ms) // step)
        return UtcMs(device.last_seen_ms + (passed + 1) * step)

    async def _send(self, device: Device, mapped: Mapped, pending: Pending) -> Pending:
        """Send it and wait for the device's answer; every way out leaves a status."""
        status, detail = (
            PendingStatus.FAILED,
            "The gateway stopped while it was being sent: look at the device.",
        )
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
                overtaken=lambda: self._newest.get(mapped.property.id) != pending.id,
            )
        except LinkLostError as error:
            detail = f"The connection was lost while it was being sent ({error}): look at the device."
        except NotAnsweredError:
            detail = (
                "Neither device nor server answered in time. It may still be carried out: look at the device."
            )
        except RefusedError as error:
            detail = f"{error}."
        finally:
            eta_ms = self._eta(device) if status is PendingStatus.WAKEUP else None
            pending = await self._set(pending, status, detail, eta_ms=eta_ms)
        return pending

    async def _set(
        self, pending: Pending, status: PendingStatus, detail: str, *, eta_ms: UtcMs | None = None
    ) -> Pending:
        pending = replace(
            pending,
            description=replace(pending.description, status=status, detail=detail, eta_ms=eta_ms),
        )
        if status in (PendingStatus.WAKEUP, PendingStatus.SENDING):
            self._open[pending.id] = pending
        else:
            self._open.pop(pending.id, None)
        await self._inventory.update_pending(pending.id, status, eta_ms=eta_ms, detail=detail)
        return pending

    # What waits.

    async def _is_prepared(self) -> None:
        if self._prepared is not None:
            await asyncio.shield(self._prepared)

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
            log.warning("values on their way not read", extra={"reason": str(error)})
        for node in {device.node for device in self._devices.all()}:
            self._changed(node)

    async def _take_up(self) -> None:
        for pending in await self._inventory.pendings():
            if pending.id in self._open or not self._is_here(pending.description.node_id):
                continue
            if pending.description.status is PendingStatus.SENDING:
                await self._set(
                    pending,
                    PendingStatus.FAILED,
                    "The gateway stopped while it was being sent: look at the device.",
                )
                continue
            self._open[pending.id] = pending
            self._newest[pending.description.property_id] = pending.id
        await self._expire()

    def _is_here(self, node_id: NodeId) -> bool:
        return any(one.record is not None and one.record.id == node_id for one in self._devices.all())

    async def _expire(self) -> None:
        now_ms = self._clock.now_ms()
        for pending in list(self._open.values()):
            told = pending.description
            found = self._devices.by_property(told.property_id)
            resets = found is not None and found[1].target.resets
            if told.status is not PendingStatus.WAKEUP:
                continue
            if now_ms - told.at_ms > (RESET_EXPIRES_MS if resets else EXPIRES_MS):
                term = "day" if resets else "week"
                await self._set(
                    pending, PendingStatus.FAILED, f"The device did not wake up for a {term}; order it again."
                )

    def _changed(self, node: int) -> None:
        """A device woke up, or is gone."""
        if not self._open or node in self._sending:
            return
        device = self._devices.get(node)
        if device is None:
            self._later(self._give_up())
        elif device.live is not None and device.live.status in (NodeStatus.AWAKE, NodeStatus.ALIVE):
            self._sending.add(node)
            self._later(self._flush(node))

    async def _give_up(self) -> None:
        """What waits for a device that was taken out."""
        for pending in list(self._open.values()):
            if not self._is_here(pending.description.node_id):
                await self._set(pending, PendingStatus.FAILED, "The device was taken out of the network.")

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
                try:
                    sending = await self._set(pending, PendingStatus.SENDING, "")
                except StorageError:
                    self._open[pending.id] = pending  # nothing was sent: it goes on waiting
                    raise
                await self._send(device, mapped, sending)
        finally:
            self._sending.discard(node)

    def _waiting(self, node: int) -> tuple[Device, Mapped, Pending] | None:
        """The oldest value that waits for that device."""
        for pending in self._open.values():
            found = self._devices.by_property(pending.description.property_id)
            if found is None or found[0].node != node:
                continue
            if pending.description.status is PendingStatus.WAKEUP:
                return (*found, pending)
        return None

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _quietly(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except MeterkastError as error:
        log.warning("a value on its way", extra={"reason": str(error)})
    except Exception:
        log.exception("a value on its way")
