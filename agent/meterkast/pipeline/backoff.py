"""How long to wait after a failure: full jitter, so that a fleet does not come back as one."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Waits that grow with each failure in a row.

    Args:
        base_s, cap_s: The first and the largest upper bound of the wait.
        random: Uniform in [0, 1).
    """

    def __init__(self, base_s: float, cap_s: float, random: Callable[[], float]) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._random = random
        self.failures = 0

    def next_s(self, at_least_s: float = 0.0) -> float:
        """The wait after one more failure: uniform in [0, min(cap, base × 2^failures)], s."""
        bound_s = min(self._cap_s, self._base_s * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return max(at_least_s, self._random() * bound_s)

    def reset(self) -> None:
        """It worked."""
        self.failures = 0
