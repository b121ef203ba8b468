"""What devices sent while the clock was unknown: a part of it that may be evidence once it is known."""

from __future__ import annotations

from collections.abc import Iterable

from meterkast.model.reading import Batch
from meterkast.model.time import DAY_MS, SECOND_MS
from meterkast.pipeline.evidence import QUARTER_MS, REMEMBERED

_HELD_MS = 10 * SECOND_MS
# Meters send every 1 to 10 s: of the telegrams that wait for a clock, one in so long before each quarter is
# the newest of its quarter.

_QUARTERS = 2 * DAY_MS // QUARTER_MS
# With a telegram of 1 kB each second that is 0.8 MB.


class HeldRaws:
    """Holds the newest of each quarter, by the devices' own stamps, and layout.

    Attributes:
        dropped: How many were given up since the start, as the clock stayed unknown for days.
    """

    def __init__(self) -> None:
        self._quarters: dict[int, dict[int, list[Batch]]] = {}  # as they began
        self.dropped = 0

    def take(self, batches: Iterable[Batch]) -> None:
        """Hold those that may close a half-hour."""
        for batch in batches:
            if batch.device_ms is not None and may_close(batch):
                quarter = self._quarters.setdefault(-(-batch.device_ms // QUARTER_MS), {})
                held = quarter.setdefault(id(batch.layout), [])
                held.append(batch)
                del held[:-REMEMBERED]
        while len(self._quarters) > _QUARTERS:
            oldest = self._quarters.pop(next(iter(self._quarters)))
            self.dropped += sum(map(len, oldest.values()))

    def release(self) -> list[Batch]:
        """All that is held, quarter by quarter; given out once."""
        quarters, self._quarters = self._quarters, {}
        return [batch for quarter in quarters.values() for held in quarter.values() for batch in held]


def may_close(batch: Batch) -> bool:
    """Whether a batch that waits for the clock may be what closes a half-hour, by its own stamp."""
    stamp_ms = batch.device_ms
    return bool(batch.raw) and stamp_ms is not None and -stamp_ms % QUARTER_MS < _HELD_MS
