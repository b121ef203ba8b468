"""Boots of the machine: what was learned of the time in each, so that its readings have a place in UTC.

CLOCK_BOOTTIME starts at 0 with every boot and never steps. One number, the offset, makes UTC of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from meterkast.model.time import UtcMs


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """One boot, as far as it is known.

    Attributes:
        id: The kernel's id of it; another one with every boot.
        first_ms: CLOCK_BOOTTIME when the gateway first ran in it, in ms.
        last_ms: The same when this was kept last.
        offset_ms: What is added to CLOCK_BOOTTIME to get UTC; None while the time is not known.
        trust: How far that is known, as in `meterkast.ports.clock.Trust`.
        sources: Who said so.
        learned_ms: CLOCK_BOOTTIME when it was learned; None while it is not.
        rtc_good: The gateway was stopped in order, and the machine's own clock that runs without power was
            right then.
    """

    id: str
    first_ms: int
    last_ms: int
    offset_ms: int | None = None
    trust: str = "unknown"
    sources: tuple[str, ...] = ()
    learned_ms: int | None = None
    rtc_good: bool = False

    @property
    def last_utc_ms(self) -> UtcMs | None:
        """The last instant of it that is known in UTC."""
        return None if self.offset_ms is None else UtcMs(self.offset_ms + self.last_ms)
