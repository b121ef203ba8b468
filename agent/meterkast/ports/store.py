"""The port to what is kept: what goes in with one transaction, and what can be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from meterkast.model.boot import Boot
from meterkast.model.channel import Channel
from meterkast.model.clock_episode import ClockEpisode
from meterkast.model.delivery import Item, ItemId, NewItem, StreamStatus
from meterkast.model.doubt import Doubt
from meterkast.model.epoch import Epoch
from meterkast.model.evidence import Evidence
from meterkast.model.half_hour import HalfHour, RowKey
from meterkast.model.life import Life
from meterkast.model.product import AvailabilityChange, ProductId, PropertyId
from meterkast.model.reading import Frames
from meterkast.model.time import UtcMs
from meterkast.model.untimed import Untimed
from meterkast.ports.inventory import Inventory


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """All that one transaction makes durable; all of it or nothing.

    Attributes:
        frames: Samples; one columnar block.
        half_hours: Newly closed intervals of any length, and new revisions.
        epochs: Newly begun epochs of registers, and those that are known better now.
        evidence: What the readings were read from that closed registers.
        channels: What platforms are owed from now on, and no longer.
        lives: Meters that took a place, or were retired.
        items: Newly composed items.
        composed: How far each (uplink, stream) is composed after this.
        closed: How far each (property, length in ms) is closed after this.
        now_ms: When.
        untimed: Samples whose time is not known yet; one block, of the boot in `boot`.
        boot: This boot, where it is time to keep what is known of it.
    """

    now_ms: UtcMs
    frames: Sequence[Frames] = ()
    half_hours: Sequence[HalfHour] = ()
    epochs: Sequence[Epoch] = ()
    evidence: Sequence[Evidence] = ()
    channels: Sequence[Channel] = ()
    lives: Sequence[Life] = ()
    items: Sequence[NewItem] = ()
    composed: Mapping[tuple[str, str], UtcMs] | None = None
    closed: Mapping[tuple[PropertyId, int], UtcMs] | None = None
    untimed: Sequence[Untimed] = ()
    boot: Boot | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it."""
        samples, closed = self.frames or self.untimed, self.half_hours or self.epochs or self.evidence
        sent = self.items or self.composed or self.closed
        return not (samples or closed or sent or self.channels or self.lives or self.boot)


Place = Callable[[Sequence[Untimed]], Sequence[Frames]]
"""Gives samples their time, now that it is known; what cannot be placed is left out and counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageStatus:
    """Sizes for the page.

    Attributes:
        path: The database file.
        file_bytes: Its size with the write-ahead log.
        free_bytes: What is free on its file system.
        writes: Transactions that were made durable since start.
        failures: Transactions that the database refused since start.
        problem: What is wrong now; empty when nothing is.
        notices: What was wrong and was put right, or is degraded: what happened, and what to do.
    """

    path: str
    file_bytes: int
    free_bytes: int
    writes: int
    failures: int
    problem: str
    notices: tuple[tuple[str, str], ...] = ()


class Store(Inventory, Protocol):
    """What is kept. Every method raises StorageError when the database refuses."""

    async def newest_availabilities(self) -> Mapping[ProductId, AvailabilityChange]:
        """The newest change of each product that has any, also of those whose device was removed."""

    async def keep(self, what: Keep) -> None:
        """Durable (fsynced) on return; on an error nothing of it is kept."""

    def samples(self, since_ms: UtcMs, until_ms: UtcMs | None = None) -> AsyncIterator[Sequence[Frames]]:
        """Blocks that hold samples measured in (since, until], in the order they were kept.

        A block at the edge is given whole.
        """

    async def half_hours(
        self,
        after_ms: UtcMs,
        until_ms: UtcMs,
        *,
        length_ms: int = ...,
        properties: Sequence[PropertyId] | None = None,
        damaged: list[RowKey] | None = None,
    ) -> Sequence[HalfHour]:
        """Newest revision of each interval that ends in (after, until], by end then property.

        Args:
            damaged: Where given, rows whose CRC is wrong are named in it and their intervals left out.

        Raises:
            StorageError: The database refused, or a row's CRC is wrong (the message names the row).
        """

    async def closed_until(self) -> Mapping[tuple[PropertyId, int], UtcMs]:
        """How far each (property, length in ms) is closed."""

    async def epochs(self) -> Sequence[Epoch]:
        """All epochs of all registers, by property and number."""

    async def evidence(self, property_id: PropertyId, at_ms: UtcMs) -> Evidence | None:
        """What a register's reading of that instant was read from; None where it was not kept."""

    async def channels(self) -> Sequence[Channel]:
        """All channels there ever were, by uplink, stream, name and begin."""

    async def boots(self) -> Sequence[Boot]:
        """The boots that are remembered, oldest first."""

    async def has_untimed(self) -> bool:
        """Whether there are samples without a time, of any boot."""

    async def learn(self, boot: Boot, place: Place) -> tuple[int, int]:
        """The time of a boot is known: in one transaction its samples get theirs, in the order they came,
        and each earlier boot that never knew it becomes a clock episode.

        Returns:
            Ids of the first and last block that were made; (1, 0) where there were none.
        """

    def blocks(self, first: int, last: int) -> AsyncIterator[Sequence[Frames]]:
        """The blocks of those ids, in their order."""

    async def clock_episodes(self, after_ms: UtcMs, until_ms: UtcMs) -> Sequence[ClockEpisode]:
        """Boots that never knew the time and lie between two instants that overlap (after, until]."""

    async def lives(self) -> Sequence[Life]:
        """Every meter that took a place, or was retired, by meter."""

    async def last_measured(self, properties: Sequence[PropertyId], until_ms: UtcMs) -> Sequence[HalfHour]:
        """The newest half-hour up to then of each property that has a reading, however long ago."""

    async def doubts(self) -> Sequence[Doubt]:
        """What checks of the database found, oldest first; lost half-hours by name."""

    def streams(self) -> Mapping[tuple[str, str], StreamStatus]:
        """Every stream that was ever composed, with its backlog; from memory, at no cost."""

    async def pending(self, uplink: str, stream: str, limit: int) -> Sequence[Item]:
        """The oldest pending items of a stream, oldest first."""

    async def intend(self, ids: Sequence[ItemId], now_ms: UtcMs) -> None:
        """Record that these are about to be sent: tries + 1."""

    async def acknowledge(self, ids: Sequence[ItemId], receipt: str, now_ms: UtcMs) -> None:
        """Record that the far end has them."""

    async def quarantine(self, ids: Sequence[ItemId], words: str, now_ms: UtcMs) -> None:
        """Set items aside with the far end's words."""

    async def release(self, ids: Sequence[ItemId]) -> None:
        """Put quarantined items back to pending."""

    async def quarantined(self, uplink: str) -> Sequence[Item]: ...

    async def get_state(self, scope: str, key: str) -> str | None:
        """A small text that an uplink or the gateway keeps (a definition's hash, an id)."""

    async def set_state(self, scope: str, key: str, text: str) -> None: ...

    def storage(self) -> StorageStatus: ...
