"""Readings in: each batch gets its time, the newest values are remembered, all wait for the minute's end.

Nothing here touches the disk, so a slow card never makes a meter wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.reading import Batch, Frames, Latest, Layout, TimeSource
from meterkast.model.time import DAY_MS, MINUTE_MS, UtcMs
from meterkast.model.untimed import Untimed, gather
from meterkast.pipeline.evidence import Raws
from meterkast.pipeline.held_raws import HeldRaws
from meterkast.ports.clock import Clock, Trust

STAMP_LIMIT_MS = MINUTE_MS
"""A telegram whose stamp is further from the clock than this counts as measured when it arrived."""

OLDEST_CAPTURE_MS = 40 * DAY_MS
"""A captured value older than this comes from an unset clock, not from a meter that reports late."""


class Intake:
    """Takes batches of all drivers.

    Attributes:
        raws: What the newest readings were read from.
        held_raws: The same of those that wait for a trusted clock.
        refused: Batches refused since start, by reason.
        off_stamps: Telegrams whose stamp disagreed with the clock since start.
        started_ms: When this run began: by the clock as it was, and rightly once the clock is known.
        trusted_since_ms: When the clock was first found right in this run.
        waits: Older readings have to get their time first: what comes in waits, whatever the clock says.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._frames: dict[int, Frames] = {}
        self._held: list[Batch] = []
        self._newest: dict[int, tuple[Layout, Batch, UtcMs]] = {}
        self.raws = Raws()
        self.held_raws = HeldRaws()
        self.refused: Counter[str] = Counter()
        self.off_stamps = 0
        self._started_ns = clock.boot_ns()
        self.reckon()
        self.trusted_since_ms: UtcMs | None = None
        self.waits = False

    def reckon(self) -> None:
        """When this run began, by the clock as it is: again once that has heard what earlier runs knew."""
        self.started_ms = self._clock.utc_of(self._started_ns)

    def emit(self, batch: Batch) -> None:
        """Take a batch in; while the clock is unknown it is held back, to be timed later."""
        if self.trusted_since_ms is None and not self._gained_trust():
            self._held.append(batch)
            self._newest[id(batch.layout)] = batch.layout, batch, self._clock.utc_of(batch.seen_ns)
            return
        self._take(batch)

    def take(self) -> list[Frames]:
        """All that came in since the last call, by layout."""
        if self.trusted_since_ms is None:
            self._gained_trust()
        taken = [frames for frames in self._frames.values() if frames.times]
        self._frames = {}
        return taken

    def take_untimed(self) -> list[Untimed]:
        """All that came in since the last call and waits for a trusted clock; what follows waits too."""
        self.waits = True
        held, self._held = self._held, []
        self.held_raws.take(held)
        return gather(held)

    def resume(self) -> None:
        """Older readings have their time: what came in since gets its own now."""
        self.waits = False
        self._gained_trust()

    def place(self, tables: Sequence[Untimed]) -> list[Frames]:
        """Give readings of this boot their time, now that the clock is known."""
        placed: dict[int, Frames] = {}
        batches = [batch for table in tables for batch in table.batches()]
        for batch in sorted(batches, key=_seen):
            if (at_ms := self._time_of(batch)) is not None:
                _add(placed, batch, at_ms)
        return list(placed.values())

    @property
    def held(self) -> int:
        """Batches of this minute that wait for a trusted clock."""
        return len(self._held)

    def latest(self) -> dict[PropertyId, Latest]:
        """The newest value of every property that was read since the start."""
        newest: dict[PropertyId, Latest] = {}
        for layout, batch, at_ms in self._newest.values():
            for column, whole in zip(layout, batch.values, strict=True):
                known = newest.get(column.property_id)
                if known is None or known.seen_ns <= batch.seen_ns:
                    newest[column.property_id] = Latest(
                        Quantity(whole, column.decimals), at_ms, batch.seen_ns, batch.source
                    )
        return newest

    def _gained_trust(self) -> bool:
        if self.waits or self._clock.trust is Trust.UNKNOWN:
            return False
        self.trusted_since_ms = self._clock.now_ms()
        self.reckon()
        for batch in self.held_raws.release():
            if (at_ms := self._time_of(batch)) is not None:
                self.raws.take(batch, at_ms)
        held, self._held = self._held, []
        for batch in held:
            self._take(batch)
        return True

    def _take(self, batch: Batch) -> None:
        at_ms = self._time_of(batch)
        if at_ms is None:
            return
        _add(self._frames, batch, at_ms)
        self._newest[id(batch.layout)] = batch.layout, batch, at_ms
        if batch.raw:
            self.raws.take(batch, at_ms)

    def _time_of(self, batch: Batch) -> UtcMs | None:
        arrived_ms = self._clock.utc_of(batch.seen_ns)
        device_ms = batch.device_ms
        if device_ms is None or batch.source is TimeSource.ARRIVAL:
            return arrived_ms
        ahead_ms = device_ms - arrived_ms
        limit_ms = self._clock.allowance_ms(STAMP_LIMIT_MS)
        if batch.source is TimeSource.TELEGRAM:
            if -limit_ms <= ahead_ms <= limit_ms:
                return device_ms
            self.off_stamps += 1
            return arrived_ms
        if ahead_ms > limit_ms:
            self.refused["captured in the future"] += 1
            return None
        if -ahead_ms > OLDEST_CAPTURE_MS:
            self.refused["captured too long ago"] += 1
            return None
        return device_ms


def _add(tables: dict[int, Frames], batch: Batch, at_ms: UtcMs) -> None:
    frames = tables.get(id(batch.layout))
    if frames is None:
        frames = tables[id(batch.layout)] = Frames(batch.layout)
    frames.times.append(at_ms)
    frames.rows.append(batch.values)


def _seen(batch: Batch) -> int:
    return batch.seen_ns
