"""What the proof asks of the database besides what the gateway needs to run."""

from __future__ import annotations

from collections.abc import Sequence

from meterkast.model.delivery import Item, StreamStatus
from meterkast.model.half_hour import HalfHour, Intervals, RowKey
from meterkast.model.seal import Seal
from meterkast.model.time import UtcMs
from meterkast_buffer.half_hours import HalfHours
from meterkast_buffer.outbox import Outbox
from meterkast_buffer.seals import Key, Seals


class Books:
    """Reads the ledger, and keeps the seals; see `meterkast.proof.books`."""

    def __init__(self, half_hours: HalfHours, outbox: Outbox, seals: Seals) -> None:
        self._half_hours = half_hours
        self._outbox = outbox
        self._seals = seals

    async def first_ms(self) -> UtcMs | None:
        """End of the oldest half-hour that is kept."""
        return await self._half_hours.first_ms()

    async def revisions(self, intervals: Intervals, damaged: list[RowKey]) -> Sequence[HalfHour]:
        """Every revision of each interval, by end, property and revision; see `HalfHours.revisions`."""
        return await self._half_hours.revisions(intervals, damaged)

    async def items(self, after_ms: UtcMs, until_ms: UtcMs) -> Sequence[Item]:
        """The items of intervals that end in (after, until], by end, stream and id; without their payload."""
        return await self._outbox.between(after_ms, until_ms)

    async def send_again(self, status: StreamStatus, after_ms: UtcMs, *, dry_run: bool) -> tuple[int, int]:
        """Put delivered items of a stream back to pending; see `meterkast.proof.books`."""
        return await self._outbox.send_again(status, after_ms, dry_run=dry_run)

    def begin_seal(self, until_ms: UtcMs) -> None:
        """From now on, new rows of half-hours that end until then are amendments."""
        self._seals.until_ms = max(self._seals.until_ms, until_ms)

    async def sealable(
        self, after_ms: UtcMs, until_ms: UtcMs, *, damaged: list[RowKey]
    ) -> Sequence[HalfHour]:
        """The half-hours that end in (after, until] and are no amendments, by end, property and revision."""
        return await self._half_hours.revisions(Intervals(after_ms, until_ms), damaged, sealable=True)

    async def all_seals(self) -> Sequence[Seal]:
        """All seals, by number."""
        return await self._seals.all()

    async def newest_seal(self) -> Seal | None:
        """The newest seal."""
        return await self._seals.newest()

    async def amendments(self, number: int) -> Sequence[Key]:
        """The rows that went into a seal as amendments; 0: those that wait for one."""
        return await self._seals.amendments(number)

    async def add_seal(self, seal: Seal, amendments: Sequence[Key], damaged: Sequence[RowKey]) -> None:
        """Keep a seal, durable on return; see `Seals.add`."""
        await self._seals.add(seal, amendments, damaged)
