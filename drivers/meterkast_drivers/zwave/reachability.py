"""Whether each device can be reached: BeNext's status and availability, pings of dead devices, last seen.

A device that listens is judged by the radio: one failed command makes it doubtful, three unanswered pings
unreachable. A device that sleeps is judged by its wake-ups, in gateway time. Any sign of life makes both
available again at once.
"""

from __future__ import annotations

import asyncio
import logging
import random as randomness
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meterkast.model.errors import RefusedError, StorageError
from meterkast.model.product import Availability, NodeStatus
from meterkast.model.time import DAY_MS, HOUR_MS, UtcMs, from_datetime
from meterkast.ports.clock import Clock
from meterkast.ports.inventory import Inventory
from meterkast_drivers.zwave.devices import Device, Devices
from meterkast_drivers.zwave.views import AVAILABILITY

if TYPE_CHECKING:
    from meterkast_drivers.zwave.link import Link

log = logging.getLogger(__name__)

PINGS_S = (5.0, 15.0, 60.0, 300.0, 900.0, 1800.0)
"""From one ping of a dead device to the next; the last one for good. Real seconds."""

FAILED_PINGS = 3
"""So many unanswered pings make a device unreachable."""

PING_S = 30.0
"""How long a ping may take: routes are tried one after the other."""

LATE, GONE = 2.1, 3.0
"""Wake-up intervals without a sign of life: two and a tenth are doubtful, three unreachable."""

UNKNOWN_WAKE_UP_MS = DAY_MS
"""For a sleeping device that did not tell how often it wakes up."""

LOOK_S = 60.0
"""How often sleeping devices are looked after, in gateway time; never more than once a real second."""

KEPT_MS = 6 * HOUR_MS
"""How often "last seen" is kept: fifty devices every 15 minutes would write 60 MB a day to the card."""

STOP_S = 5.0

_DEAD = 3
_RETRY_S = 30.0


@dataclass(slots=True)
class Dead:
    """A dead device: how often it was pinged in vain, and when it is pinged next (the loop's seconds)."""

    pings: int
    next_s: float


class Reachability:
    """Follows all devices.

    Args:
        random: 0 up to 1; spreads the pings of devices that died together.

    Attributes:
        counters: In the operator's words.
    """

    def __init__(
        self,
        devices: Devices,
        inventory: Inventory,
        clock: Clock,
        random: Callable[[], float] = randomness.random,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._devices = devices
        self._inventory = inventory
        self._clock = clock
        self._random = random
        self._dead: dict[int, Dead] = {}
        self._unkept: list[tuple[Device, Availability, UtcMs]] = []
        self._news = asyncio.Event()
        self._since_ns = 0

    def attach(self) -> None:
        """The server is there: what it says of each device counts from now on."""
        self._dead.clear()
        self._since_ns = self._clock.boot_ns()
        for device in self._devices.known():
            self.follow(device)

    def follow(self, device: Device) -> None:
        """The server shows this device, or does not show it any more."""
        live = device.live
        if live is None:
            self._set(device, NodeStatus.NO_CONNECTION)
            return
        if self._clock.speed == 1 and live.last_seen is not None and live.last_seen.tzinfo is not None:
            device.last_seen_ms = max(device.last_seen_ms or UtcMs(0), from_datetime(live.last_seen))
        status = live.data.get("status")
        if status == _DEAD:
            self.died(device)
            return
        self._dead.pop(device.node, None)  # where the number was a dead device's, which this one replaces
        if status and device.listening:
            self._set(device, NodeStatus.AVAILABLE)

    def heard(self, device: Device, seen_ns: int | None = None) -> None:
        """A report, a wake-up or an answer: it is there."""
        device.last_seen_ns = self._clock.boot_ns() if seen_ns is None else seen_ns
        device.last_seen_ms = self._clock.utc_of(device.last_seen_ns)
        self._dead.pop(device.node, None)
        self._set(device, NodeStatus.AVAILABLE)

    def died(self, device: Device) -> None:
        """A command failed: the server takes the device for dead."""
        if device.status is NodeStatus.AVAILABLE:
            self._set(device, NodeStatus.UNSTABLE)
        if device.node not in self._dead:
            pings = FAILED_PINGS if device.status is NodeStatus.NO_CONNECTION else 0
            self._dead[device.node] = Dead(pings, self._after(PINGS_S[0]))
            self._news.set()

    def removed(self, device: Device) -> None:
        """That device is not followed any more."""
        self._dead.pop(device.node, None)
        self._unkept = [entry for entry in self._unkept if entry[0] is not device]

    async def run(self, link: Link) -> None:
        """Ping and look after devices until cancelled.

        Raises:
            LinkLostError: The connection is gone.
        """
        while True:
            self._news.clear()
            self._look_after_sleepers()
            if not self._devices.paused:
                for node in [node for node, dead in self._dead.items() if self._now() >= dead.next_s]:
                    await self._ping(link, node)
            kept = await self._keep()
            wait_s = max(1.0, LOOK_S / self._clock.speed) if kept else _RETRY_S
            if self._dead:
                wait_s = min(wait_s, max(0.5, min(dead.next_s for dead in self._dead.values()) - self._now()))
            try:
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def finish(self) -> None:
        """A clean stop: keep what is not kept yet."""
        try:
            async with asyncio.timeout(STOP_S):
                await self._keep(all_seen=True)
        except TimeoutError:
            log.warning("last seen not kept")

    async def _ping(self, link: Link, node: int) -> None:
        device, dead = self._devices.get(node), self._dead.get(node)
        if device is None or device.live is None or dead is None:
            self._dead.pop(node, None)
            return
        self.counters["pings"] += 1
        try:
            answered = await link.ask(device.live.async_ping(), what=f"pinging node {node}", within_s=PING_S)
        except RefusedError:
            answered = False
        if answered:
            self.heard(device)
            return
        if self._dead.get(node) is not dead:
            return  # heard, or removed, meanwhile
        dead.pings += 1
        dead.next_s = self._after(PINGS_S[min(dead.pings, len(PINGS_S) - 1)])
        if dead.pings >= FAILED_PINGS:
            self._set(device, NodeStatus.NO_CONNECTION)

    def _look_after_sleepers(self) -> None:
        now_ns = self._clock.boot_ns()
        for device in self._devices.all():
            if device.live is None or device.listening:
                continue
            interval_ms = device.wake_up_s * 1000 if device.wake_up_s else UNKNOWN_WAKE_UP_MS
            # While there was no connection nobody could hear it.
            silent_ms = (now_ns - max(device.last_seen_ns or 0, self._since_ns)) // 1_000_000
            if silent_ms > self._clock.allowance_ms(int(interval_ms * GONE)):
                self._set(device, NodeStatus.NO_CONNECTION)
            elif (
                silent_ms > self._clock.allowance_ms(int(interval_ms * LATE))
                and device.status is NodeStatus.AVAILABLE
            ):
                self._set(device, NodeStatus.UNSTABLE)

    def _set(self, device: Device, status: NodeStatus) -> None:
        if device.status is status:
            return
        device.status = status
        log.info("device's status changed", extra={"node": device.node, "status": status.name.lower()})
        self._unkept.append((device, AVAILABILITY[status], self._clock.now_ms()))
        self._news.set()
        self._devices.changed(device.node)

    async def _keep(self, *, all_seen: bool = False) -> bool:
        """Keep what changed; False where the database refused and it has to be tried again."""
        try:
            while self._unkept:
                entry = device, availability, at_ms = self._unkept[0]
                if device.product is not None:
                    await self._inventory.available(device.product.id, availability, at_ms)
                await self._devices.record(device)
                if self._unkept and self._unkept[0] is entry:  # else the device was removed meanwhile
                    del self._unkept[0]
            for device in self._devices.all():
                if _unkept_ms(device) > (0 if all_seen else KEPT_MS):
                    await self._devices.record(device)
        except StorageError as error:
            self.counters["not stored, tried again"] += 1
            log.warning("availability not stored", extra={"reason": str(error)})
            return False
        return True

    def _after(self, seconds: float) -> float:
        return self._now() + seconds * (0.9 + 0.2 * self._random())

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _unkept_ms(device: Device) -> int:
    """How far the store's "last seen" is from the device's own; it is ahead after a clock that was wrong."""
    if device.last_seen_ms is None or device.record is None:
        return 0
    return abs(device.last_seen_ms - (device.record.description.last_seen_ms or 0))
