"""Adds the ledger up, channel by channel; the same for a database and for a report that is verified."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from meterkast.model.channel import Channel
from meterkast.model.epoch import Break, Epoch
from meterkast.model.half_hour import Cause, HalfHour
from meterkast.model.product import PropertyId
from meterkast.model.quantity import text
from meterkast.model.time import Grid, UtcMs
from meterkast.proof.body import ChannelPart, RegisterPart, Span
from meterkast.proof.conservation import counts, sum_of_differences
from meterkast.proof.ledger import Entry, Handed, Standing


@dataclass(slots=True)
class _Tally:
    standing: Counter[Standing] = field(default_factory=Counter)
    handed: Counter[Handed] = field(default_factory=Counter)
    spans: list[Span] = field(default_factory=list)
    values: list[HalfHour] = field(default_factory=list)


class Tallies:
    """Takes entries in, day by day, and says what they come to.

    Args:
        registers: The unit of each property that is a register.
        epochs: Of each register, by number.
        begins: The newest half-hour of each register that ends at the begin.
        after_ms, until_ms: The report's time.
    """

    def __init__(
        self,
        grid: Grid,
        registers: Mapping[PropertyId, str],
        epochs: Mapping[PropertyId, Sequence[Epoch]],
        begins: Mapping[PropertyId, HalfHour],
        *,
        after_ms: UtcMs,
        until_ms: UtcMs,
    ) -> None:
        self._grid = grid
        self._registers = registers
        self._epochs = epochs
        self._begins = begins
        self._after_ms = after_ms
        self._until_ms = until_ms
        self._tallies: dict[Channel, _Tally] = {}

    async def take(self, channels: Sequence[Channel], days: AsyncIterator[list[Entry]]) -> list[ChannelPart]:
        """All of it; one part for each channel that owed anything, in their order."""
        async for entries in days:
            for entry in entries:
                self._add(entry)
        return [self._part(one, self._tallies[one]) for one in channels if one in self._tallies]

    def _add(self, entry: Entry) -> None:
        tally = self._tallies.setdefault(entry.channel, _Tally())
        tally.standing[entry.standing] += 1
        tally.handed[entry.handed] += 1
        if entry.cause is not None:
            start_ms = self._grid.start_of(entry.end_ms, entry.channel.length_ms)
            last = tally.spans[-1] if tally.spans else None
            if last is not None and (last.cause, last.until_ms) == (entry.cause.value, start_ms):
                tally.spans[-1] = Span(
                    cause=last.cause, after_ms=last.after_ms, until_ms=entry.end_ms, count=last.count + 1
                )
            else:
                tally.spans.append(
                    Span(cause=entry.cause.value, after_ms=start_ms, until_ms=entry.end_ms, count=1)
                )
        # The first, and the newest of each epoch: what lies between adds nothing to the difference.
        if len(entry.rows) == 1 and counts(entry.rows[0]):
            row, kept = entry.rows[0], tally.values
            if len(kept) > 1 and kept[-1].epoch == row.epoch == kept[-2].epoch:
                kept[-1] = row
            else:
                kept.append(row)

    def _part(self, channel: Channel, tally: _Tally) -> ChannelPart:
        causes: Counter[str] = Counter()
        for span in tally.spans:
            causes[span.cause] += span.count
        standing, handed = tally.standing, tally.handed
        return ChannelPart(
            uplink=channel.uplink,
            stream=channel.stream,
            name=channel.name,
            properties=channel.properties,
            length_ms=channel.length_ms,
            from_ms=channel.from_ms,
            until_ms=channel.until_ms,
            expected=standing.total(),
            measured=standing[Standing.MEASURED],
            late=standing[Standing.LATE],
            suspect=standing[Standing.SUSPECT],
            missing=standing[Standing.MISSING],
            open=standing[Standing.OPEN],
            aged=standing[Standing.AGED],
            delivered=handed[Handed.DELIVERED],
            pending=handed[Handed.PENDING],
            quarantined=handed[Handed.QUARANTINED],
            nothing=handed[Handed.NOTHING],
            causes=dict(sorted(causes.items())),
            spans=tuple(tally.spans),
            register=self._register(channel, tally),
        )

    def _register(self, channel: Channel, tally: _Tally) -> RegisterPart | None:
        property_id = channel.properties[0]
        if len(channel.properties) != 1 or property_id not in self._registers or not tally.values:
            return None
        begin = self._hung(channel, tally.values[0])
        if begin is None and (known := self._begins.get(property_id)) is not None and counts(known):
            begin = known if known.end_ms >= channel.from_ms else None
        end = self._taken_down(channel, tally.values[-1])
        rows = [one for one in (begin, *tally.values, end) if one is not None]
        try:
            difference = text(sum_of_differences(rows, self._epochs.get(property_id, ())).decimal())
        except KeyError:
            difference = ""  # an epoch that is not known: the nightly check says so
        first, last = rows[0], rows[-1]
        assert first.value is not None
        assert last.value is not None
        return RegisterPart(
            unit=self._registers[property_id],
            begin=text(first.value.decimal()),
            begin_ms=first.end_ms,
            end=text(last.value.decimal()),
            end_ms=last.end_ms,
            difference=difference,
        )

    def _hung(self, channel: Channel, first: HalfHour) -> HalfHour | None:
        """What the meter showed when it took another one's place, where the channel begins with that."""
        if channel.from_ms < self._after_ms:
            return None
        for epoch in self._epochs.get(channel.properties[0], ()):
            if epoch.kind is Break.SWAP and self._begins_with(epoch, channel.length_ms) == channel.from_ms:
                return replace(first, end_ms=epoch.at_ms, value=epoch.first, epoch=epoch.number)
        return None

    def _taken_down(self, channel: Channel, last: HalfHour) -> HalfHour | None:
        """What the meter showed when another one took its place, where the channel ends with that."""
        property_id = channel.properties[0]
        if channel.until_ms is None or channel.until_ms > self._until_ms:
            return None
        for epoch in (one for own in self._epochs.values() for one in own if one.predecessor == property_id):
            if epoch.last is not None and self._begins_with(epoch, channel.length_ms) == channel.until_ms:
                before = [one.number for one in self._epochs.get(property_id, ()) if one.at_ms <= epoch.at_ms]
                number = max(before, default=last.epoch)
                return replace(last, end_ms=epoch.at_ms, value=epoch.last, epoch=number)
        return None

    def _begins_with(self, swap: Epoch, length_ms: int) -> UtcMs:
        """Since when the new meter's channel owes: from the begin of the interval in which it was hung."""
        return self._grid.start_of(self._grid.end_of(swap.at_ms, length_ms), length_ms)


def status(channels: Sequence[ChannelPart]) -> str:
    """What the report's first line says."""
    if not sum(one.expected for one in channels):
        return "empty"
    if any(lacking(one) for one in channels):
        return "incomplete"
    return (
        "complete" if all(one.delivered == one.expected - not_due(one) for one in channels) else "undelivered"
    )


def not_due(one: ChannelPart) -> int:
    """Intervals in which nothing is missed: the meter reports less often."""
    return one.causes.get(Cause.NOT_DUE.value, 0)


def lacking(one: ChannelPart) -> int:
    """Intervals that are owed a value and have none that counts."""
    return one.expected - one.measured - one.late - not_due(one)
