"""What every uplink is handed, whatever it talks to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from meterkast.model.half_hour import HalfHour
from meterkast.model.time import Grid, UtcMs
from meterkast.ports.clock import Clock
from meterkast.ports.store import Store
from meterkast.ports.uplink import Binding, Wanted

Closed = tuple[UtcMs, Mapping[Binding, HalfHour]]
"""The end of an interval, and what each binding of a stream came to in it."""

Newest = Callable[[Wanted], Awaitable[Closed | None]]
"""Finds the newest interval that is closed for all of a stream; None where nothing is closed yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The surroundings of an uplink.

    Attributes:
        device_id: This gateway's own lasting id; part of message ids.
        grid: The site's wall clock.
        clock: The time.
        store: For the uplink's own small state (`get_state`, `set_state`).
        random: Uniform in [0, 1), for jitter.
    """

    device_id: str
    grid: Grid
    clock: Clock
    store: Store
    random: Callable[[], float]
