"""What the proof asks of the database; `meterkast_buffer.books` is it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from meterkast.model.delivery import Item, StreamStatus
from meterkast.model.half_hour import HalfHour, Intervals, RowKey
from meterkast.model.seal import Seal
from meterkast.model.time import UtcMs
from meterkast.ports.store import Store

Key = tuple[int, int, int]
"""What names one half-hour among those of 30 minutes: end in ms, property, revision."""


class Rows(Protocol):
    """What a ledger is made of, in the database or in a report. Each method may raise StorageError."""

    async def revisions(self, intervals: Intervals, damaged: list[RowKey]) -> Sequence[HalfHour]:
        """Every revision of each interval, by end, property and revision.

        Args:
            damaged: Takes the keys of wrong rows, which are left out.
        """

    async def items(self, after_ms: UtcMs, until_ms: UtcMs) -> Sequence[Item]:
        """The items of intervals that end in (after, until], by end, stream and id; without their payload."""


class Books(Rows, Protocol):
    """Reads the ledger, and keeps the seals. Every method raises StorageError when the database refuses."""

    async def first_ms(self) -> UtcMs | None:
        """End of the oldest half-hour that is kept."""

    async def send_again(self, status: StreamStatus, after_ms: UtcMs, *, dry_run: bool) -> tuple[int, int]:
        """Put delivered items of a stream back to pending: those of intervals that end after an instant.

        Args:
            status: The stream, as it was when the far end was asked. Where anything was composed or delivered
                since, nothing is put back.
            dry_run: Only count.

        Returns:
            How many go back, and how many cannot, because their payload is no longer kept.
        """

    def begin_seal(self, until_ms: UtcMs) -> None:
        """From now on, new rows of half-hours that end until then are amendments."""

    async def sealable(
        self, after_ms: UtcMs, until_ms: UtcMs, *, damaged: list[RowKey]
    ) -> Sequence[HalfHour]:
        """The half-hours that end in (after, until] and are no amendments, by end, property and revision."""

    async def all_seals(self) -> Sequence[Seal]:
        """All seals, by number."""

    async def newest_seal(self) -> Seal | None:
        """The newest seal."""

    async def amendments(self, number: int) -> Sequence[Key]:
        """The rows that went into a seal as amendments; 0: those that wait for one."""

    async def add_seal(self, seal: Seal, amendments: Sequence[Key], damaged: Sequence[RowKey]) -> None:
        """Keep a seal, durable on return.

        Args:
            amendments: Rows of earlier days that it covers.
            damaged: Rows of its own day that it does not cover; they wait for a later one.
        """


class BookedStore(Store, Protocol):
    """A store with its books."""

    @property
    def books(self) -> Books: ...

    def scan(self, now_ms: UtcMs) -> AsyncIterator[None]:
        """Look at a part of all rows; see `SqliteStore.scan`."""
