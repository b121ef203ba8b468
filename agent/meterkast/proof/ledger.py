"""The ledger: for every channel and every interval since commissioning, what is known and where it is.

It is worked out from the half-hours, the outbox and the channels, a day at a time; nothing of it is stored
twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from meterkast.model.channel import Channel
from meterkast.model.delivery import Item, ItemState
from meterkast.model.half_hour import Cause, HalfHour, Intervals, RowKey, State
from meterkast.model.product import PropertyId
from meterkast.model.time import HALF_HOUR_MS, Grid, UtcMs
from meterkast.proof.books import Rows


class Standing(StrEnum):
    """What is known of an interval of a channel."""

    MEASURED = "measured"
    LATE = "late"
    SUSPECT = "suspect"
    MISSING = "missing"
    OPEN = "open"  # not closed yet
    AGED = "aged"  # no longer kept: intervals of other lengths than 30 minutes go with the samples


class Handed(StrEnum):
    """Where an interval of a channel is on its way to the platform."""

    PENDING = "pending"
    DELIVERED = "delivered"
    QUARANTINED = "quarantined"
    NOTHING = "nothing to send"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One interval of one channel.

    Attributes:
        rows: The newest revision of each property it is made of; empty where there is none.
        cause: Why it is missing; None otherwise.
        item: What carries it; None where nothing does (yet).
    """

    channel: Channel
    end_ms: UtcMs
    standing: Standing
    cause: Cause | None
    handed: Handed
    rows: tuple[HalfHour, ...] = ()
    item: Item | None = None

    @property
    def revision(self) -> int:
        return max((row.revision for row in self.rows), default=0)


_WORST = (State.MISSING, State.SUSPECT, State.LATE, State.MEASURED)
_UNSENT = (Standing.MISSING, Standing.SUSPECT)


class Ledger:
    """Reads entries.

    Args:
        closed: How far each (property, length in ms) is closed.
        composed: How far each (uplink, stream) is composed.
        begun: When the first reading of each register was measured.
        now_ms: What ends later is not expected yet.
        aged_ms: Intervals of other lengths than 30 minutes that end before are no longer kept.
    """

    def __init__(
        self,
        rows: Rows,
        grid: Grid,
        *,
        closed: Mapping[tuple[PropertyId, int], UtcMs],
        composed: Mapping[tuple[str, str], UtcMs],
        begun: Mapping[PropertyId, UtcMs],
        now_ms: UtcMs,
        aged_ms: UtcMs,
    ) -> None:
        self._source = rows
        self._grid = grid
        self._closed = closed
        self._composed = composed
        self._begun = begun
        self._first: dict[tuple[PropertyId, int], UtcMs] = {}
        self._now_ms = now_ms
        self._aged_ms = aged_ms
        self.damaged: list[RowKey] = []

    async def days(
        self, channels: Sequence[Channel], after_ms: UtcMs, until_ms: UtcMs
    ) -> AsyncIterator[list[Entry]]:
        """The entries of intervals that end in (after, until], a site's day at a time, by channel and end.

        Raises:
            StorageError: The database refused.
        """
        until_ms = min(until_ms, self._now_ms)
        while after_ms < until_ms:
            day_ms = min(self._grid.day(self._grid.date_of(UtcMs(after_ms + 1)))[1], until_ms)
            yield await self._day(channels, after_ms, day_ms)
            after_ms = day_ms

    async def _day(self, channels: Sequence[Channel], after_ms: UtcMs, until_ms: UtcMs) -> list[Entry]:
        owed = [one for one in channels if one.from_ms < until_ms and not _over(one, UtcMs(after_ms + 1))]
        items: dict[tuple[str, str, UtcMs], list[Item]] = {}
        for item in await self._source.items(after_ms, until_ms):
            items.setdefault((item.uplink, item.stream, item.at_ms), []).append(item)
        entries: list[Entry] = []
        for length_ms in sorted({one.length_ms for one in owed}):
            some = [one for one in owed if one.length_ms == length_ms]
            rows = await self._rows(some, length_ms, after_ms, until_ms)
            ends = list(self._grid.ends(after_ms, until_ms, length_ms))
            for channel in some:
                entries += [
                    self._entry(
                        channel, end_ms, rows, items.get((channel.uplink, channel.stream, end_ms), ())
                    )
                    for end_ms in ends
                    if channel.from_ms < end_ms and not _over(channel, end_ms)
                ]
        return entries

    async def _rows(
        self, channels: Sequence[Channel], length_ms: int, after_ms: UtcMs, until_ms: UtcMs
    ) -> dict[tuple[PropertyId, UtcMs], list[HalfHour]]:
        """All revisions of each interval; None of those that are damaged."""
        wrong: list[RowKey] = []
        found: dict[tuple[PropertyId, UtcMs], list[HalfHour]] = {}
        properties = {one for channel in channels for one in channel.properties}
        intervals = Intervals(after_ms, until_ms, length_ms, properties)
        for row in await self._source.revisions(intervals, damaged=wrong):
            found.setdefault((row.property_id, row.end_ms), []).append(row)
        for key in wrong:
            # An older revision is not the truth any more.
            lost = HalfHour.missing(PropertyId(key.property_id), UtcMs(key.end_ms), key.length_ms, Cause.DISK)
            found[lost.property_id, lost.end_ms] = [lost]
        self.damaged += wrong
        for property_id, end_ms in found:
            place = property_id, length_ms
            self._first[place] = min(end_ms, self._first.get(place, end_ms))
        return found

    def _absence(self, property_id: PropertyId, end_ms: UtcMs, length_ms: int) -> Cause:
        """Why there is no row of what is closed: each interval has one from the first reading on."""
        begun = end_ms - length_ms >= self._begun.get(property_id, end_ms)
        gone = begun or end_ms > self._first.get((property_id, length_ms), end_ms)
        return Cause.DISK if gone else Cause.NOT_COMMISSIONED

    def _entry(
        self,
        channel: Channel,
        end_ms: UtcMs,
        rows: Mapping[tuple[PropertyId, UtcMs], Sequence[HalfHour]],
        items: Sequence[Item],
    ) -> Entry:
        length_ms = channel.length_ms
        standing, newest, sent_first = None, list[HalfHour](), True
        cause: Cause | None = None
        for property_id in channel.properties:
            known = rows.get((property_id, end_ms))
            if known is None:
                if self._closed.get((property_id, length_ms), -1) < end_ms:
                    standing = Standing.OPEN
                    break
                if length_ms != HALF_HOUR_MS and end_ms < self._aged_ms:
                    standing = Standing.AGED
                    break
                cause = self._absence(property_id, end_ms, length_ms)
                known = [HalfHour.missing(property_id, end_ms, length_ms, cause)]
            newest.append(known[-1])
            # A suspect one is composed when it is decided; a missing one at once, without a value.
            sent_first = sent_first and known[0].state is not State.MISSING
        if standing is None:
            worst = min(newest, key=lambda row: _WORST.index(row.state))
            standing, cause = Standing(worst.state.value), worst.cause
        # Late data is kept, but what was composed before it does not hold it.
        nothing = standing in _UNSENT or not (sent_first or len(items) > 1)
        return Entry(
            channel=channel,
            end_ms=end_ms,
            standing=standing,
            cause=cause,
            handed=Handed.NOTHING if nothing else self._handed(channel, end_ms, items),
            rows=tuple(newest),
            item=None if nothing or not items else items[-1],
        )

    def _handed(self, channel: Channel, end_ms: UtcMs, items: Sequence[Item]) -> Handed:
        if not items:
            composed_ms = self._composed.get((channel.uplink, channel.stream), -1)
            return Handed.NOTHING if end_ms <= composed_ms else Handed.PENDING
        states = {item.state for item in items}
        for state in (ItemState.QUARANTINED, ItemState.PENDING):
            if state in states:
                return Handed(state.value)
        return Handed.DELIVERED


def _over(channel: Channel, end_ms: UtcMs) -> bool:
    return channel.until_ms is not None and end_ms > channel.until_ms
