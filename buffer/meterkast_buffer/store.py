"""`SqliteStore`: the tables put together as the `Store` that the core asks for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from meterkast.model.boot import Boot
from meterkast.model.channel import Channel
from meterkast.model.clock_episode import ClockEpisode
from meterkast.model.delivery import Item, ItemId, StreamStatus
from meterkast.model.doubt import Doubt
from meterkast.model.epoch import Epoch
from meterkast.model.evidence import Evidence
from meterkast.model.half_hour import HalfHour, RowKey
from meterkast.model.life import Life
from meterkast.model.product import PropertyId
from meterkast.model.reading import Frames
from meterkast.model.time import HALF_HOUR_MS, UtcMs
from meterkast.ports.store import Keep, Place, StorageStatus, Store
from meterkast_buffer.books import Books
from meterkast_buffer.database import Database
from meterkast_buffer.doubts import Doubts
from meterkast_buffer.inventory import SqliteInventory
from meterkast_buffer.journal import Journal
from meterkast_buffer.keeping import Keeping
from meterkast_buffer.retention import EVIDENCE_MONTHS, YEARS_AT_LEAST, Retention
from meterkast_buffer.second_copy import SecondCopy
from meterkast_buffer.state import Texts
from meterkast_buffer.storage_status import storage_status
from meterkast_buffer.tables import Tables


async def open_store(
    path: str | Path,
    *,
    samples_days: int = 35,
    half_hours_years: int = YEARS_AT_LEAST,
    evidence_months: int = EVIDENCE_MONTHS,
    read_only: bool = False,
) -> SqliteStore:
    """Open the database of a gateway; it is made where there is none, and brought up to date.

    Args:
        path: The file; its folder must exist.
        samples_days: How long raw samples are kept.
        half_hours_years: How long half-hours are kept; never less than ten.
        evidence_months: How long the telegram or report behind each register's half-hour is kept.
        read_only: Only look, also while the gateway runs.

    A damaged database is repaired from its second copy first; `doubts` and `storage` say what was found.

    Raises:
        StorageError: The file is not ours, of a newer release, in use, or cannot be opened. It is then as it
            was; with `read_only` also a damaged one.
    """
    database = await Database.open(str(path), read_only=read_only, years=half_hours_years)
    copy = None if read_only else SecondCopy(database, Journal.beside(path), half_hours_years)
    store = SqliteStore(database, Retention(samples_days, half_hours_years, evidence_months), copy)
    try:
        await store.load()
    except BaseException:
        await database.close()
        raise
    return store


class SqliteStore(SqliteInventory):
    """All that is kept, in one SQLite file.

    Attributes:
        database: The connection; for the checks and for what only this package may do.
        books: What the proof reads and keeps.
    """

    def __init__(self, database: Database, retention: Retention, copy: SecondCopy | None = None) -> None:
        super().__init__(database)
        self._retention = retention
        self._tables = Tables(database, retention.samples_days)
        self._keeping = Keeping(database, self._tables, retention, copy)
        self._texts = Texts(database)
        self._doubts = Doubts(database)
        self._scan: Scan | None = None
        self.books = Books(self._tables.half_hours, self._tables.outbox, self._tables.seals)
        database.revived = self._reload

    async def load(self) -> None:
        """Read what is held in memory; once, before anything else."""
        await self._tables.load()
        await self._keeping.load()

    async def _reload(self) -> None:
        """The file was opened anew, maybe rebuilt."""
        await self._tables.load(redo=False)
        self._keeping.reopen()

    async def make_ballast(self) -> None:
        """Keep room for a full disk from now on (`ballast.py`)."""
        await self._keeping.make_ballast()

    async def close(self) -> None:
        """Wait for what runs, then close. Twice is harmless."""
        await self._keeping.close()
        await self.database.close()

    async def keep(self, what: Keep) -> None:
        """Make all of it durable in one transaction; on an error nothing of it is kept.

        What is too old goes in the same transaction once an hour.

        Raises:
            StorageError: The database refused: the disk is full or failed, or a half-hour was kept before.
        """
        await self._keeping.keep(what)

    def samples(self, since_ms: UtcMs, until_ms: UtcMs | None = None) -> AsyncIterator[Sequence[Frames]]:
        """Blocks that hold samples measured in (since, until], in the order they were kept.

        A block at the edge is given whole. A damaged block is left out, logged, and shown by `storage`.
        """
        return self._tables.samples.select(since_ms, until_ms)

    async def half_hours(
        self,
        after_ms: UtcMs,
        until_ms: UtcMs,
        *,
        length_ms: int = HALF_HOUR_MS,
        properties: Sequence[PropertyId] | None = None,
        damaged: list[RowKey] | None = None,
    ) -> list[HalfHour]:
        """Newest revision of each interval that ends in (after, until], by end then property.

        Args:
            after_ms, until_ms, length_ms: Which intervals.
            properties: Of which properties; None for all.
            damaged: Where given, the keys of wrong rows are put in it, their intervals are left out, and all
                others are returned; that is how one bad row does not hide the rest.

        Raises:
            StorageError: The database refused, or rows are wrong and `damaged` is not given: the message
                says how many and names the first five.
        """
        return await self._tables.half_hours.select(after_ms, until_ms, length_ms, properties, damaged)

    async def closed_until(self) -> Mapping[tuple[PropertyId, int], UtcMs]:
        """How far each (property, length in ms) is closed."""
        return await self._tables.half_hours.closed_until()

    async def doubts(self) -> Sequence[Doubt]:
        """What checks of the database found, oldest first; lost half-hours by name."""
        return await self._doubts.all()

    async def scan(self, now_ms: UtcMs) -> AsyncIterator[None]:
        """Look at a part of all rows whether they are as they were written; yields after each small step.

        The next call goes on from there. What is found is put right or named in `doubts`, and in `storage`.

        Raises:
            StorageError: The database refused.
        """
        from meterkast_buffer.scanning import Scan

        if self._scan is None:
            self._scan = Scan(self.database, self._tables.half_hours, Journal.beside(self.database.path))
        async for _ in self._scan.night(await self.get_state("storage", "scan"), now_ms):
            yield
        await self.set_state("storage", "scan", self._scan.place())

    async def epochs(self) -> Sequence[Epoch]:
        """All epochs of all registers, by property and number."""
        return await self._tables.epochs.all()

    async def evidence(self, property_id: PropertyId, at_ms: UtcMs) -> Evidence | None:
        """What a register's reading of that instant was read from; None where it was not kept."""
        return await self._tables.evidence.find(property_id, at_ms)

    async def oldest_evidence_ms(self) -> UtcMs | None:
        """From when on evidence is there; None where there is none."""
        return await self._tables.evidence.oldest_ms()

    async def channels(self) -> Sequence[Channel]:
        """All channels there ever were, by uplink, stream, name and begin."""
        return await self._tables.channels.all()

    async def boots(self) -> Sequence[Boot]:
        """The boots that are remembered, oldest first."""
        return await self._tables.boots.all()

    async def has_untimed(self) -> bool:
        """Whether there are samples without a time, of any boot."""
        return await self._tables.untimed.any()

    async def learn(self, boot: Boot, place: Place) -> tuple[int, int]:
        """Give a boot's samples their time, and make clock episodes of earlier boots that never knew it."""
        return await self._tables.untimed.learn(boot, place)

    def blocks(self, first: int, last: int) -> AsyncIterator[Sequence[Frames]]:
        """The blocks of those ids, in their order."""
        return self._tables.samples.between(first, last)

    async def clock_episodes(self, after_ms: UtcMs, until_ms: UtcMs) -> Sequence[ClockEpisode]:
        """Boots that never knew the time, between instants that overlap (after, until]; oldest first."""
        return await self._tables.boots.episodes(after_ms, until_ms)

    async def lives(self) -> Sequence[Life]:
        """Every meter that took a place, or was retired, by meter."""
        return await self._tables.lives.all()

    async def last_measured(self, properties: Sequence[PropertyId], until_ms: UtcMs) -> list[HalfHour]:
        """The newest half-hour up to then of each property that has a reading, however long ago."""
        return await self._tables.half_hours.last_measured(properties, until_ms)

    def streams(self) -> Mapping[tuple[str, str], StreamStatus]:
        """Every stream that was ever composed, with its backlog; from memory."""
        return self._tables.outbox.streams()

    async def pending(self, uplink: str, stream: str, limit: int) -> Sequence[Item]:
        """The oldest pending items of a stream, oldest first."""
        return await self._tables.outbox.pending(uplink, stream, limit)

    async def intend(self, ids: Sequence[ItemId], now_ms: UtcMs) -> None:
        """Record that these are about to be sent: tries + 1."""
        await self._tables.outbox.intend(ids, now_ms)

    async def acknowledge(self, ids: Sequence[ItemId], receipt: str, now_ms: UtcMs) -> None:
        """Record that the far end has them."""
        await self._tables.outbox.acknowledge(ids, receipt, now_ms)

    async def quarantine(self, ids: Sequence[ItemId], words: str, now_ms: UtcMs) -> None:
        """Set items aside with the far end's words."""
        await self._tables.outbox.quarantine(ids, words, now_ms)

    async def release(self, ids: Sequence[ItemId]) -> None:
        """Put quarantined items back to pending."""
        await self._tables.outbox.release(ids)

    async def quarantined(self, uplink: str) -> Sequence[Item]:
        """All items of an uplink that were set aside, oldest first."""
        return await self._tables.outbox.quarantined(uplink)

    async def get_state(self, scope: str, key: str) -> str | None:
        """A small text that an uplink or the gateway keeps."""
        return await self._texts.get(scope, key)

    async def set_state(self, scope: str, key: str, text: str) -> None:
        """Keep such a text, durable on return; one that is there already costs no write."""
        await self._texts.set(scope, key, text)

    def storage(self) -> StorageStatus:
        """Sizes for the page: two questions to the file system, none to the database."""
        return storage_status(self.database, self._tables, self._keeping.copy, self._retention, self._scan)


if TYPE_CHECKING:
    from meterkast_buffer.scanning import Scan

    _fits: type[Store] = SqliteStore
