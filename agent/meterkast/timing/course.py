"""The course of UTC over the time since the machine's start: one offset, moved gently or at once."""

from __future__ import annotations

from dataclasses import dataclass

GENTLE_MS = 1_000
"""Up to here a correction is spread out; beyond it, it is made at once, so that time is never off by more."""

_MS_PER_MS = 200
"""A correction of 1 ms takes so many: half a per cent, which no half-hour's value shows."""


@dataclass(slots=True)
class Course:
    """UTC = offset + time since the start.

    Attributes:
        from_ms: The offset until the last correction.
        since_ms: When that correction began, in ms since the machine's start.
        target_ms: The offset it leads to.
    """

    from_ms: int
    since_ms: int = 0
    target_ms: int = 0

    def __post_init__(self) -> None:
        self.target_ms = self.from_ms

    def offset_ms(self, at_ms: int) -> int:
        """The offset at a time since the machine's start."""
        room = max(0, at_ms - self.since_ms) // _MS_PER_MS
        return self.from_ms + max(-room, min(room, self.target_ms - self.from_ms))

    def steer(self, offset_ms: int, at_ms: int) -> None:
        """Lead to that offset from now on."""
        now_ms = self.offset_ms(at_ms)
        if abs(offset_ms - now_ms) > GENTLE_MS:
            self.from_ms, self.since_ms = offset_ms, at_ms
        else:
            # What is left over of a step of 1 ms counts for the next one: this may be called every second.
            done_ms = self.since_ms + abs(now_ms - self.from_ms) * _MS_PER_MS
            self.since_ms = at_ms if now_ms == self.target_ms else done_ms
            self.from_ms = now_ms
        self.target_ms = offset_ms
