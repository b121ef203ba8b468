"""What the sources of time have said, each as an offset: UTC minus the time since the machine's start.

In offsets the sources can be compared whenever each of them spoke. What one can know of an offset is an
interval: a stamp is cut off to whole seconds and needs time to arrive, a `Date` was written between the
question and the answer.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from meterkast.model.time import DAY_MS, HOUR_MS, MINUTE_MS


class Source(StrEnum):
    """Kinds of sources, the most exact first."""

    KERNEL = "system clock"
    TLS = "platform"
    METER = "meter"
    RTC = "hardware clock"


LIVES_MS = {Source.KERNEL: DAY_MS, Source.TLS: DAY_MS, Source.METER: HOUR_MS, Source.RTC: DAY_MS}
"""How long what a source said still counts: a crystal drifts 4 s a day at most, and a meter speaks always."""

STEADY_MS = 5_000
"""How far a meter's stamps may stray from even: a telegram may wait for a busy machine."""

_KEPT = 8
_WINDOW_MS = 10 * MINUTE_MS


@dataclass(slots=True)
class Witness:
    """One source: a kind, and which one of that kind.

    Attributes:
        kind: The kind.
        name: Which: the driver, the host; empty where there is one only.
        spoke_ms: When it spoke last, in ms since the machine's start.
        unsteady: How often its stamps stood still or jumped.
    """

    kind: Source
    name: str = ""
    spoke_ms: int = 0
    unsteady: int = 0
    _heard: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def hear(self, low_ms: int, high_ms: int, at_ms: int) -> None:
        """It was heard at that time since the start; the offset lies in [low, high]."""
        while self._heard and at_ms - self._heard[0][2] > _WINDOW_MS:
            self._heard.popleft()
        if self._heard and not self._fits(low_ms, high_ms):
            self.unsteady += 1
            self._heard.clear()
        self._heard.append((low_ms, high_ms, at_ms))
        self.spoke_ms = at_ms

    def _fits(self, low_ms: int, high_ms: int) -> bool:
        if self.kind is Source.METER:
            # A meter that stands still loses a second each second: that is what is found here.
            return (
                abs(low_ms - self._heard[-1][0]) <= STEADY_MS and abs(low_ms - self._heard[0][0]) <= STEADY_MS
            )
        return low_ms <= min(high for _, high, _ in self._heard) and high_ms >= max(
            low for low, _, _ in self._heard
        )

    def live(self, now_ms: int) -> bool:
        """Whether what it said counts: a meter must have said it twice, and not too long ago."""
        enough = 2 if self.kind is Source.METER else 1
        return len(self._heard) >= enough and now_ms - self.spoke_ms <= LIVES_MS[self.kind]

    @property
    def offset_ms(self) -> int:
        """The best that is known of the offset; it has spoken."""
        low = max(low for low, _, _ in self._heard)
        if self.kind is Source.METER:
            return low  # the telegram that was delayed least
        return (low + min(high for _, high, _ in self._heard)) // 2

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name}".strip()
