"""The registers among all series: their epochs and breaks, and whose place one took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from meterkast.model.epoch import Epoch
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import UtcMs
from meterkast.pipeline.epochs import Before
from meterkast.pipeline.series import Series


class Registers:
    """What is known of registers beyond their half-hours.

    Args:
        series: Of all properties; those that are no registers are passed over.

    Attributes:
        changed: Epochs that are to be kept, by register and number.
    """

    def __init__(self, series: Mapping[PropertyId, Series]) -> None:
        self._series = series
        self._before: dict[PropertyId, Before] = {}
        self.changed: dict[tuple[PropertyId, int], Epoch] = {}

    def load(self, epochs: Sequence[Epoch]) -> None:
        """The epochs of before a restart, by property and number; after `know`, before anything is read."""
        of: dict[PropertyId, list[Epoch]] = {}
        for epoch in epochs:
            of.setdefault(epoch.property_id, []).append(epoch)
        for property_id, own in of.items():
            if (series := self._series.get(property_id)) is not None:
                series.epochs.load(own)

    def seed(self, last: Sequence[HalfHour]) -> None:
        """What registers were when they were read last, long before a restart."""
        for one in last:
            series = self._series.get(one.property_id)
            if series is not None and one.value is not None and one.taken_ms is not None:
                series.seed(one.taken_ms, one.value)

    def set_limit(self, property_id: PropertyId, per_hour: int) -> None:
        """A person's word on what a register can grow by in an hour, in its canonical unit."""
        self._series[property_id].set_limit(per_hour)

    def newest(self, property_id: PropertyId) -> tuple[UtcMs, Quantity] | None:
        """A register's newest accepted reading."""
        return self._series[property_id].newest

    def as_of(self, property_id: PropertyId, at_ms: UtcMs) -> Quantity | None:
        """A register's newest reading of an instant; None where that is no longer in memory."""
        return self._series[property_id].as_of(at_ms)

    def epochs_of(self, property_id: PropertyId) -> tuple[Epoch, ...]:
        """A register's epochs, oldest first."""
        return self._series[property_id].epochs.all

    def before(self, property_id: PropertyId) -> Before | None:
        """The register whose place this one took; None where it took none's."""
        return self._before.get(property_id)

    def join(self, property_id: PropertyId, before: Before) -> None:
        """A property took another one's place."""
        self._before[property_id] = before

    def with_predecessors(self, properties: Sequence[PropertyId]) -> Iterator[PropertyId]:
        """Those properties, each followed by the registers whose place it took."""
        for property_id in properties:
            yield property_id
            if (before := self.before(property_id)) is not None:
                yield from self.with_predecessors((before.property_id,))

    def plausible(
        self, property_id: PropertyId, since_ms: UtcMs, before: Quantity, until_ms: UtcMs, after: Quantity
    ) -> bool:
        """Whether a register can have gone from one reading to another in that time."""
        return self._series[property_id].plausible(since_ms, before, until_ms, after)

    def sign(self, swap: Epoch) -> None:
        """A register took another's place, as a person or the setting says."""
        self._series[swap.property_id].epochs.signed(swap)

    def continued(self, property_id: PropertyId, value: Quantity, number: int) -> Quantity:
        """A reading of a register's epoch as if the counter had never broken."""
        series = self._series[property_id]
        return value if series.guard is None else series.epochs.continued(value, number)

    def take_changed(self) -> list[Epoch]:
        """Epochs that are to be kept; given out once."""
        taken = [self.changed[key] for key in sorted(self.changed)]
        self.changed.clear()
        return taken

    def outliers(self) -> int:
        """Readings of registers that were dropped since the start: they did not follow the others."""
        return sum(series.guard.outliers for series in self._series.values() if series.guard is not None)

    def restarts(self) -> dict[PropertyId, int]:
        """Registers that began again, and how often since the start."""
        return {
            property_id: series.guard.restarts
            for property_id, series in self._series.items()
            if series.guard is not None and series.guard.restarts
        }

    def jumps(self) -> dict[PropertyId, int]:
        """Registers that went on at a much higher value, and how often since the start."""
        return {
            property_id: series.guard.jumps
            for property_id, series in self._series.items()
            if series.guard is not None and series.guard.jumps
        }
