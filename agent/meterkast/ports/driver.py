"""The port to what is read: a driver emits readings, and says how it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from meterkast.model.reading import Batch

Emit = Callable[[Batch], None]
"""Takes a batch in; returns at once and never raises on behalf of the store."""


class LinkState(StrEnum):
    """Where a driver is with its device."""

    OPENING = "opening"
    SILENT = "silent"  # open, nothing heard
    READING = "reading"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverStatus:
    """What a driver can tell of itself.

    Attributes:
        state: Where it is.
        detail: One plain sentence: which port, what was found, what is wrong and what to do.
        counters: Names by the operator's words (`good`, `wrong checksum`, …) and totals since start.
    """

    state: LinkState
    detail: str
    counters: Mapping[str, int]


class Driver(Protocol):
    """Reads one source."""

    name: str

    async def run(self, emit: Emit) -> None:
        """Open the device and emit its readings until cancelled; cancelling closes the device.

        Raises:
            LinkLostError: The device went away. The supervisor waits, then calls again.
            ConfigError: A setting cannot work. The supervisor shows it and probes rarely.
        """

    def status(self) -> DriverStatus:
        """As of now."""
