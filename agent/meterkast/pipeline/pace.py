"""How fast a platform acknowledges, and with that how long what waits will take.

Unknown is unknown: before two acknowledgements, and when the last one is minutes ago, there is no estimate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from meterkast.model.time import UtcMs

MEMORY_S = 60.0
"""What was acknowledged so long ago counts a third."""

STALE_S = 120.0
"""Without an acknowledgement for so long nothing is being delivered."""

_LEAST_S = 1.0
"""Acknowledgements of a shorter stretch say nothing of the pace."""


class Pace:
    """A rate of acknowledged items, smoothed exponentially over gateway time."""

    def __init__(self) -> None:
        self._items = 0.0
        self._span_s = 0.0
        self._last_ms: UtcMs | None = None

    def acknowledged(self, items: int, now_ms: UtcMs) -> None:
        """So many, just now. The first only begin the measure: nobody knows how long they took."""
        if self._last_ms is None or now_ms - self._last_ms > STALE_S * 1000:
            self._items, self._span_s = 0.0, 0.0
        else:
            before, self._span_s = self._aged(now_ms)
            self._items = before + items
        self._last_ms = now_ms

    def rest(self) -> None:
        """Nothing waits: the time until there is something again says nothing of the pace."""
        self._last_ms = None

    def left_s(self, items: int, now_ms: UtcMs) -> float | None:
        """How long so many will take, s of gateway time; None where nobody can know."""
        if self._last_ms is None or now_ms - self._last_ms > STALE_S * 1000:
            return None
        done, span_s = self._aged(now_ms)
        return items * span_s / done if done > 0 and span_s >= _LEAST_S else None

    def _aged(self, now_ms: UtcMs) -> tuple[float, float]:
        """Items and seconds, the older the less; a clock that was set back makes no time pass."""
        assert self._last_ms is not None
        left = math.exp(-max(0, now_ms - self._last_ms) / 1000 / MEMORY_S)
        return self._items * left, self._span_s * left + MEMORY_S * (1 - left)


def longest_s(waits: Iterable[tuple[int, float | None]]) -> float | None:
    """Of several uplinks that deliver side by side: how long until all are done.

    Args:
        waits: Items that wait at each, and how long they will take.

    Returns:
        None where that of one that has any is unknown, or none has any.
    """
    known = [left_s for items, left_s in waits if items]
    return None if not known or None in known else max(left_s for left_s in known if left_s is not None)
