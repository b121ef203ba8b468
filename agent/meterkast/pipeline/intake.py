"""Readings in: each batch gets its time, the newest values are remembered, all wait for the minute's end.

Nothing here touches the disk, so a slow card never makes a meter wait.
"""

from __future__ import annotations

from collections import Counter, deque

from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.reading import Batch, Frames, Latest, Layout, TimeSource
from meterkast.model.time import DAY_MS, MINUTE_MS, UtcMs
from meterkast.pipeline.evidence import Raws, lean
from meterkast.ports import Clock, Trust

STAMP_LIMIT_MS = MINUTE_MS
"""A telegram whose stamp is further from the clock than this counts as measured when it arrived."""

OLDEST_CAPTURE_MS = 40 * DAY_MS
"""A captured value older than this comes from an unset clock, not from a meter that reports late."""

HELD_BATCHES = 20_000
"""How many batches wait in memory for a trusted clock: over five hours of one telegram a second."""


class Intake:
    """Takes batches of all drivers.

    Attributes:
        raws: What the newest readings were read from.
        refused: Batches refused since start, by reason.
        off_stamps: Telegrams whose stamp disagreed with the clock since start.
        started_ms: When this run began: by the clock as it was, and rightly once the clock is known.
        trusted_since_ms: When the clock was first found right in this run.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._frames: dict[int, Frames] = {}
        self._held: deque[Batch] = deque()
        self._newest: dict[int, tuple[Layout, Batch, UtcMs]] = {}
        self.raws = Raws()
        self.refused: Counter[str] = Counter()
        self.off_stamps = 0
        self._started_ns = clock.boot_ns()
        self.started_ms = clock.utc_of(self._started_ns)
        self.trusted_since_ms: UtcMs | None = None
        self._gained_trust()  # now, and not with the first reading: that may be a half-hour later

    def emit(self, batch: Batch) -> None:
        """Take a batch in; while the clock is unknown it is held back, to be timed later."""
        if self.trusted_since_ms is None and not self._gained_trust():
            if len(self._held) >= HELD_BATCHES:
                self._held.popleft()
                self.refused["clock unknown for too long"] += 1
            self._held.append(lean(batch))
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

    @property
    def held(self) -> int:
        """Batches that wait for a trusted clock."""
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
        if self._clock.trust is Trust.UNKNOWN:
            return False
        self.trusted_since_ms = self._clock.now_ms()
        self.started_ms = self._clock.utc_of(self._started_ns)
        held, self._held = self._held, deque()
        for batch in held:
            self._take(batch)
        return True

    def _take(self, batch: Batch) -> None:
        at_ms = self._time_of(batch)
        if at_ms is None:
            return
        layout = batch.layout
        key = id(layout)
        frames = self._frames.get(key)
        if frames is None:
            frames = self._frames[key] = Frames(layout)
        frames.times.append(at_ms)
        frames.rows.append(batch.values)
        self._newest[key] = layout, batch, at_ms
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
