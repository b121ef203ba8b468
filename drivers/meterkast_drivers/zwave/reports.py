"""Value events in, batches out: every report is a reading at the instant it arrived, unchanged ones too.

What the server remembers from before a connection is no reading: nobody knows how old it is.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from meterkast.model.datatypes import Kind
from meterkast.model.product import PropertyId
from meterkast.model.quantity import LARGEST_WHOLE
from meterkast.model.reading import Batch
from meterkast.ports.clock import Clock
from meterkast.ports.driver import Emit
from meterkast_drivers.zwave.devices import Device, Devices, Early, Mapped
from meterkast_drivers.zwave.evidence import evidence_of
from meterkast_drivers.zwave.mapping import LARGEST, Aside, number_of
from meterkast_drivers.zwave.values import value_of
from meterkast_drivers.zwave.views import digits

log = logging.getLogger(__name__)

BURST = 5
"""Reports of one property within a second that are all kept; a device that sends more has a fault."""

WINDOW_S = 1.0

_REASONS = 50
# Kinds of refusals that are counted apart; a device must not fill the memory with new ones.


@dataclass(slots=True)
class Window:
    """One second of one property's reports, in real time."""

    ends_s: float
    count: int = 0
    newest: Batch | None = None
    peak: Batch | None = None


class Reports:
    """Takes value events of all devices.

    Args:
        heard: Called with each device that reported, and when (`Clock.boot_ns`).

    Attributes:
        emit: Where batches go; set for each connection.
        counters: In the operator's words.
    """

    def __init__(self, devices: Devices, clock: Clock, heard: Callable[[Device, int], None]) -> None:
        self.emit: Emit = _nowhere
        self.counters: Counter[str] = Counter()
        self._devices = devices
        self._clock = clock
        self._heard = heard
        self._windows: dict[PropertyId, Window] = {}
        self._odd: set[tuple[int, str]] = set()  # node and value id
        devices.on_settled.append(self._settled)
        devices.echoes.on_confirmed = self._confirmed

    def take(self, node: int, args: Mapping[str, Any]) -> None:
        """A `value added` or `value updated` event. Never raises: it is called from the library."""
        seen_ns, value_id = self._clock.boot_ns(), ""
        try:
            device = self._devices.get(node)
            value_id = _value_id(args)
            raw = args.get("newValue")
            if device is None or self._devices.echoes.hold(node, value_id, raw, seen_ns):
                return
            self._take(device, Early(value_id, raw, seen_ns, event=args))
        except Exception:  # whatever is odd about it: the library calls this, and must hand out the next one
            self._not_understood(node, value_id)

    def _take(self, device: Device, report: Early) -> None:
        self._heard(device, report.seen_ns)
        mapped = device.properties.get(report.value_id)
        if device.unsettled or (mapped is None and report.value_id not in device.asides):
            if len(device.early) == device.early.maxlen:
                self._count("reports dropped: their device is not stored yet")
            device.early.append(report._replace(unit=_unit(device, report.value_id)))
            if not device.unsettled:
                self._devices.schedule(device.node)
        elif mapped is not None:
            self._report(device, mapped, report)

    def _settled(self, device: Device) -> None:
        """The device's values have ids: what waited for that is due."""
        early = list(device.early)
        device.early.clear()
        for report in early:
            try:
                self._late(device, report)
            except Exception:  # whatever is odd about it, the others that waited are due all the same
                self._not_understood(device.node, report.value_id)

    def _late(self, device: Device, report: Early) -> None:
        mapped = device.properties.get(report.value_id)
        if mapped is not None:
            if report.unit and report.unit != mapped.value.unit:
                self._refuse(device, mapped, "its unit changed meanwhile")
            else:
                self._report(device, mapped, report)
        elif report.value_id not in device.asides:
            device.asides[report.value_id] = Aside("the server does not describe it")

    def _confirmed(self, node: int, value_id: str, raw: Any, seen_ns: int) -> None:
        device = self._devices.get(node)
        if device is not None:
            self._take(device, Early(value_id, raw, seen_ns))

    def _report(self, device: Device, mapped: Mapped, report: Early) -> None:
        target = mapped.target
        if not target.sending or not mapped.value.readable:
            return  # a write to `reset` tells a value too
        number = number_of(target, report.raw)
        if number is None:
            self._refuse(device, mapped, _why_none(report.raw))
            return
        decimals = mapped.layout[0].decimals
        seen = min(digits(number), target.decimals)
        if seen > decimals:
            decimals = seen
            mapped.layout = self._devices.declaring.layout(mapped.property.id, decimals)
            self._devices.schedule(device.node)  # so that the property says so too
        whole = int(round(number, decimals).scaleb(decimals))
        if abs(whole) >= LARGEST_WHOLE:
            self._refuse(device, mapped, "too large")
            return
        mapped.newest, mapped.seen_ns = number, report.seen_ns
        mapped.at_ms = self._clock.utc_of(report.seen_ns)
        mapped.heard, mapped.problem = True, ""
        self._count("reports")
        raw = evidence_of(device.node, mapped.value, report) if mapped.property.kind is Kind.REGISTER else b""
        self._send(mapped, Batch(mapped.layout, (whole,), report.seen_ns, raw=raw))

    def _send(self, mapped: Mapped, batch: Batch) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        window = self._windows.get(mapped.property.id)
        if window is None or (now_s >= window.ends_s and window.newest is None):
            window = self._windows[mapped.property.id] = Window(now_s + WINDOW_S)
        window.count += 1
        if window.count <= BURST:
            self.emit(batch)
            return
        self._count("flood: reports left out, the newest of each second kept")
        if window.newest is None:
            loop.call_at(window.ends_s, self._flush, mapped.property.id)
        window.newest = batch
        if mapped.target.emptyings and (window.peak is None or _value(batch) >= _value(window.peak)):
            window.peak = batch

    def _flush(self, property_id: PropertyId) -> None:
        window = self._windows.pop(property_id)
        assert window.newest is not None
        if window.peak is not None and window.peak is not window.newest:
            self.emit(window.peak)
        self.emit(window.newest)

    def _refuse(self, device: Device, mapped: Mapped, reason: str) -> None:
        mapped.problem = reason
        device.refused[reason] += 1
        self._count(f"refused: {reason}")

    def _not_understood(self, node: int, value_id: str) -> None:
        """Counted each time, and told once for each value."""
        self._count("reports not understood")
        if (node, value_id) not in self._odd and len(self._odd) < _REASONS:
            self._odd.add((node, value_id))
            log.exception("report not understood", extra={"node": node, "value": value_id})

    def _count(self, what: str) -> None:
        if what in self.counters or len(self.counters) < _REASONS:
            self.counters[what] += 1


def _unit(device: Device, value_id: str) -> str:
    value = device.live.values.get(f"{device.node}-{value_id}") if device.live is not None else None
    return "" if value is None else value_of(value).unit


def _value(batch: Batch) -> Decimal:
    return Decimal(batch.values[0]).scaleb(-batch.layout[0].decimals)


def _why_none(raw: Any) -> str:
    match raw:
        case None:
            return "no value"
        case float() if not math.isfinite(raw):
            return "not a number"
        case int() | float() if abs(raw) > LARGEST:
            return "too large"
        case str():
            return "text where a number is expected"
        case _:
            return "not a value that is known"


def _value_id(args: Mapping[str, Any]) -> str:
    base = f"{args['commandClass']}-{args.get('endpoint') or 0}-{args['property']}"
    key = args.get("propertyKey")
    return base if key is None else f"{base}-{key}"


def _nowhere(batch: Batch) -> None:
    """There is no connection."""
