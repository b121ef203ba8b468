"""Asks for values that a listening device did not report by itself, one at a time and never many.

A device that reports is left alone. Asking is paced in real time: the radio is shared, and a fast clock does
not make it faster.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meterkast.model.datatypes import Kind
from meterkast.model.errors import RefusedError
from meterkast.ports.clock import Clock
from meterkast_drivers.zwave.describing import STATE_ASKED_MS, is_slow
from meterkast_drivers.zwave.devices import Device, Devices, Mapped
from meterkast_drivers.zwave.settings import Settings

if TYPE_CHECKING:
    from meterkast_drivers.zwave.link import Link

APART_S = 1.0
"""Between two questions."""

LOOK_S = 15.0
"""How often is looked for old values when there was none."""

ANSWER_S = 30.0

BACKOFF_S, BACKOFF_CAP_S = 60.0, 3600.0
"""How long a device is not asked that did not answer."""

SLACK = 1.1
"""A device that reports every 900 s does so within some seconds of it: it gets a tenth more."""

_DEAD = 3


@dataclass(slots=True)
class Backoff:
    """A device that did not answer: until when it is not asked, in the loop's seconds."""

    wait_s: float
    until_s: float


class Polling:
    """Asks for old values.

    Attributes:
        counters: In the operator's words.
    """

    def __init__(self, devices: Devices, settings: Settings, clock: Clock) -> None:
        self.counters: Counter[str] = Counter()
        self._devices = devices
        self._settings = settings
        self._clock = clock
        self._backoffs: dict[int, Backoff] = {}

    async def run(self, link: Link) -> None:
        """Ask until cancelled.

        Raises:
            LinkLostError: The connection is gone.
        """
        self._backoffs.clear()
        while True:
            found = None if self._devices.paused else self.next(asyncio.get_running_loop().time())
            if found is None:
                # A fast clock makes values old faster; it still looks at most once a second.
                await asyncio.sleep(max(APART_S, LOOK_S / self._clock.speed))
                continue
            await self._ask(link, *found)
            await asyncio.sleep(APART_S)

    async def _ask(self, link: Link, device: Device, mapped: Mapped) -> None:
        live = device.live
        assert live is not None
        mapped.polled_ns = self._clock.boot_ns()
        self.counters["values asked for"] += 1
        try:
            await link.ask(
                live.async_poll_value(f"{device.node}-{mapped.value.id}"),
                what=f"asking node {device.node} for {mapped.value.label or mapped.value.id}",
                within_s=ANSWER_S,
            )
        except (RefusedError, KeyError):  # KeyError: the value was removed meanwhile
            self.counters["values asked for in vain"] += 1
            before = self._backoffs.get(device.node)
            wait_s = min(2 * before.wait_s, BACKOFF_CAP_S) if before is not None else BACKOFF_S
            self._backoffs[device.node] = Backoff(wait_s, asyncio.get_running_loop().time() + wait_s)
        else:
            self._backoffs.pop(device.node, None)

    def next(self, now_s: float) -> tuple[Device, Mapped] | None:
        """The value that is asked for next: first those not heard since the connection, registers first.

        Args:
            now_s: The loop's time.
        """
        now_ns = self._clock.boot_ns()
        best: tuple[tuple[bool, int, int], Device, Mapped] | None = None
        for device in self._devices.all():
            if not self._may_ask(device, now_s):
                continue
            for mapped in device.properties.values():
                if not self._is_old(device, mapped, now_ns):
                    continue
                rank = mapped.heard, _rank(mapped), mapped.polled_ns or mapped.seen_ns or 0
                if best is None or rank < best[0]:
                    best = rank, device, mapped
        return None if best is None else best[1:]

    def _may_ask(self, device: Device, now_s: float) -> bool:
        live = device.live
        if live is None or device.unsettled or not device.ready or not device.listening:
            return False
        if live.data.get("status") == _DEAD or not self._settings.polls(device.node):
            return False
        backoff = self._backoffs.get(device.node)
        return backoff is None or now_s >= backoff.until_s

    def _is_old(self, device: Device, mapped: Mapped, now_ns: int) -> bool:
        target = mapped.target
        if not target.sending or not mapped.value.readable:
            return False
        asked_ns = mapped.polled_ns
        if not mapped.heard and asked_ns is None:
            return True
        interval_ms = STATE_ASKED_MS if is_slow(target) else device.report_ms
        last_ns = max(mapped.seen_ns or 0, asked_ns or 0)
        return now_ns - last_ns > interval_ms * 1_000_000 * SLACK


def _rank(mapped: Mapped) -> int:
    if mapped.target.kind is Kind.REGISTER:
        return 0
    return 2 if is_slow(mapped.target) else 1
