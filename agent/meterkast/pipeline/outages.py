"""Why there was nothing to read: what the gateway knows of its own absences and of its devices'."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain

from meterkast.model.half_hour import Cause
from meterkast.model.product import Availability, ProductId, Property
from meterkast.model.time import UtcMs

# Link losses remembered for each driver and each device: enough for a day of a loose plug.
_REMEMBERED = 500

Spells = deque[tuple[UtcMs, UtcMs | None]]
"""From when until when something was away; None while it still is."""


class Outages:
    """Remembers when the gateway was off, its clock unknown, a driver without its device, or a device of a
    network out of reach or taken out.

    Args:
        started_ms: When this run began.
        utc_of: UTC of a time since the machine's start, both in ms; a link may be lost before the time is
            known.

    Attributes:
        off_since_ms: Since when the gateway was off before that.
        absences: When it was off before earlier starts.
    """

    def __init__(self, started_ms: UtcMs, utc_of: Callable[[int], UtcMs] = UtcMs) -> None:
        self.started_ms = started_ms
        self._utc_of = utc_of
        self.off_since_ms: UtcMs | None = None
        self.trusted_since_ms: UtcMs | None = None
        self.absences: list[tuple[UtcMs, UtcMs | None]] = []
        self._ran: list[tuple[UtcMs, UtcMs | None]] = []
        self._unknown: list[tuple[UtcMs, UtcMs | None]] = []
        self._driver_of: dict[ProductId, str] = {}
        self._lost: dict[str, Spells] = {}  # since the machine's start
        self._unreachable: dict[ProductId, Spells] = {}
        self._removed: dict[ProductId, Spells] = {}

    def started(self, at_ms: UtcMs, now_ms: UtcMs) -> None:
        """This run began then, as is known now; what it noted while the clock was unknown moves with it."""
        by_ms, before_ms = at_ms - self.started_ms, self.started_ms
        self.started_ms = at_ms
        if not by_ms:
            return

        def moved(noted_ms: UtcMs) -> UtcMs:
            # What is older is of an earlier run; what would lie in the future was noted rightly.
            later_ms = UtcMs(noted_ms + by_ms)
            return later_ms if before_ms <= noted_ms and later_ms <= now_ms else noted_ms

        for spells in chain(self._unreachable.values(), self._removed.values()):
            for number, (since, until) in enumerate(spells):
                spells[number] = moved(since), None if until is None else moved(until)

    def ran(self, since_ms: UtcMs, until_ms: UtcMs) -> None:
        """An earlier run of this boot was on then."""
        self._ran.append((since_ms, until_ms))

    def was_off(self, since_ms: UtcMs, until_ms: UtcMs) -> None:
        """It was off then, before an earlier start."""
        self.absences.append((since_ms, until_ms))

    def clock_unknown(self, until_ms: UtcMs, length_ms: int) -> UtcMs:
        """A boot that never knew the time lasted so long and ended by then; where it would have begun.

        Where in a longer gap it lay nobody knows; it is put at its end.
        """
        since_ms = UtcMs(until_ms - length_ms)
        self._unknown.append((since_ms, until_ms))
        return since_ms

    def reads(self, driver: str, product: ProductId) -> None:
        """That product is read by that driver."""
        self._driver_of[product] = driver

    def lost(self, driver: str, boot_ms: int) -> None:
        """The driver's device went away; in ms since the machine's start."""
        _begin(self._lost.setdefault(driver, deque(maxlen=_REMEMBERED)), UtcMs(boot_ms))

    def back(self, driver: str, boot_ms: int) -> None:
        """The driver's device is there again; in ms since the machine's start."""
        _end(self._lost.get(driver), UtcMs(boot_ms))

    def reachable(self, product: ProductId, status: Availability, at_ms: UtcMs) -> None:
        """Whether a device can be reached from then on; retrying is not yet out of reach."""
        if status is Availability.UNREACHABLE:
            _begin(self._unreachable.setdefault(product, deque(maxlen=_REMEMBERED)), at_ms)
        else:
            _end(self._unreachable.get(product), at_ms)

    def removed(self, product: ProductId, at_ms: UtcMs) -> None:
        """The product's device was taken out of its network."""
        self.reachable(product, Availability.AVAILABLE, at_ms)
        _begin(self._removed.setdefault(product, deque(maxlen=_REMEMBERED)), at_ms)

    def filled(self, product: ProductId, at_ms: UtcMs) -> None:
        """The product has a device in a network."""
        _end(self._removed.get(product), at_ms)

    def why(self, prop: Property, start_ms: UtcMs, end_ms: UtcMs) -> Cause:
        """The cause of a half-hour in which nothing of a property was read."""
        length_ms = end_ms - start_ms
        if self.off_since_ms is not None:
            off = max(start_ms, self.off_since_ms), min(end_ms, self.started_ms)
            unknown_ms = _within(self._unknown, *off)
            off_ms = off[1] - off[0] - _within(self._ran, *off)
            if off_ms * 2 >= length_ms:
                return Cause.CLOCK_UNKNOWN if unknown_ms * 2 >= off_ms else Cause.GATEWAY_OFF
        if _within(self.absences, start_ms, end_ms) * 2 >= length_ms:
            return Cause.GATEWAY_OFF
        # What was not yet closed when the run before ended lies before the gap, not in it.
        before = self.off_since_ms is not None and end_ms <= self.off_since_ms
        ran = before or _within(self._ran, start_ms, end_ms) * 2 >= length_ms
        if not ran and (self.trusted_since_ms is None or end_ms <= self.trusted_since_ms):
            return Cause.CLOCK_UNKNOWN if end_ms > self.started_ms else Cause.GATEWAY_OFF
        if _within(self._removed.get(prop.product_id, ()), start_ms, end_ms) * 2 >= length_ms:
            return Cause.DEVICE_REMOVED
        spells = self._lost.get(self._driver_of.get(prop.product_id, ""), ())
        lost = [
            (self._utc_of(since), None if until is None else self._utc_of(until)) for since, until in spells
        ]
        unreachable = self._unreachable.get(prop.product_id, ())
        away_ms = _within(chain(lost, unreachable), start_ms, end_ms)
        return Cause.LINK_LOST if away_ms * 2 >= length_ms else Cause.METER_SILENT


def _begin(spells: Spells, at_ms: UtcMs) -> None:
    if not spells or spells[-1][1] is not None:
        spells.append((at_ms, None))


def _end(spells: Spells | None, at_ms: UtcMs) -> None:
    if spells and spells[-1][1] is None:
        spells[-1] = spells[-1][0], at_ms


def _within(spells: Iterable[tuple[UtcMs, UtcMs | None]], start_ms: UtcMs, end_ms: UtcMs) -> int:
    """How long of (start, end] they took together, ms; what overlaps counts once."""
    total_ms, counted_ms = 0, start_ms
    for since, until in sorted(spells, key=lambda spell: spell[0]):
        ends_ms = end_ms if until is None else min(end_ms, until)
        begins_ms = max(counted_ms, since)
        if ends_ms > begins_ms:
            total_ms += ends_ms - begins_ms
            counted_ms = ends_ms
    return total_ms
