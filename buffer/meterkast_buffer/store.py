"""`SqliteStore`: the tables put together as the `Store` that the core asks for."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import aiosqlite

from meterkast.model.boot import Boot
from meterkast.model.channel import Channel
from meterkast.model.clock_episode import ClockEpisode
from meterkast.model.delivery import Item, ItemId, StreamStatus
from meterkast.model.doubt import Doubt
from meterkast.model.epoch import Epoch
from meterkast.model.errors import StorageError
from meterkast.model.evidence import Evidence
from meterkast.model.half_hour import HalfHour, RowKey
from meterkast.model.life import Life
from meterkast.model.product import (
    Availability,
    AvailabilityChange,
    InstallationMessage,
    Node,
    NodeDescription,
    NodeId,
    Pending,
    PendingDescription,
    PendingId,
    PendingStatus,
    Product,
    ProductDescription,
    ProductId,
    Property,
    PropertyDescription,
    PropertyId,
    PropertyMapping,
)
from meterkast.model.reading import Frames
from meterkast.model.time import HALF_HOUR_MS, UtcMs
from meterkast.ports.store import Keep, Place, StorageStatus, Store
from meterkast_buffer.availabilities import Availabilities
from meterkast_buffer.ballast import Ballast
from meterkast_buffer.books import Books
from meterkast_buffer.boots import Boots
from meterkast_buffer.catalog import Catalog
from meterkast_buffer.channels import Channels
from meterkast_buffer.database import Database, Work
from meterkast_buffer.doubts import Doubts
from meterkast_buffer.epochs import Epochs
from meterkast_buffer.evidence import EvidenceRows
from meterkast_buffer.half_hours import HalfHours
from meterkast_buffer.installations import Installations
from meterkast_buffer.journal import Journal
from meterkast_buffer.lives import Lives
from meterkast_buffer.nodes import Nodes
from meterkast_buffer.outbox import Outbox
from meterkast_buffer.pendings import Pendings
from meterkast_buffer.refusal import file_bytes, free_bytes, primary_code
from meterkast_buffer.retention import EVIDENCE_MONTHS, YEARS_AT_LEAST, Retention
from meterkast_buffer.samples import Samples
from meterkast_buffer.second_copy import SecondCopy
from meterkast_buffer.state import Texts
from meterkast_buffer.untimed import UntimedBlocks

CARD = "Make a backup, and replace the card if it happens again; docs/storage.md says more."


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


class SqliteStore:
    """All that is kept, in one SQLite file.

    Attributes:
        database: The connection; for the checks and for what only this package may do.
        books: What the proof reads and keeps.
    """

    def __init__(self, database: Database, retention: Retention, copy: SecondCopy | None = None) -> None:
        self.database = database
        self._copy = copy
        self._ballast: Ballast | None = None
        self._scan: Scan | None = None
        self._unsure: tuple[Keep, int] | None = None
        database.revived = self._reload
        self._retention = retention
        self._catalog = Catalog(database)
        self._nodes = Nodes(database)
        self._availabilities = Availabilities(database)
        self._installations = Installations(database)
        self._pendings = Pendings(database)
        self._samples = Samples(database)
        self._boots = Boots(database)
        self._untimed = UntimedBlocks(database, self._samples, self._boots, retention.samples_days)
        self._half_hours = HalfHours(database)
        self._epochs = Epochs(database)
        self._evidence = EvidenceRows(database)
        self._channels = Channels(database)
        self._lives = Lives(database)
        self._outbox = Outbox(database)
        self._texts = Texts(database)
        self.books = Books(database, self._half_hours, self._outbox)
        self._doubts = Doubts(database)

    async def load(self) -> None:
        """Read what is held in memory; once, before anything else."""
        await self._samples.load()
        await self._outbox.load()
        await self.books.seals.load()
        if self._copy is not None:
            await self._copy.load()

    async def _reload(self) -> None:
        """The file was opened anew, maybe rebuilt."""
        await self._samples.load()
        await self._outbox.load(redo=False)
        await self.books.seals.load()
        if self._copy is not None:
            self._copy.reopen()

    async def make_ballast(self) -> None:
        """Keep room for a full disk from now on (`ballast.py`)."""
        self._ballast = Ballast(self.database.path)
        await asyncio.to_thread(self._ballast.make)

    async def close(self) -> None:
        """Wait for what runs, then close. Twice is harmless."""
        if self._copy is not None:
            copy, self._copy = self._copy, None
            await copy.close()
        await self.database.close()

    async def keep(self, what: Keep) -> None:
        """Make all of it durable in one transaction; on an error nothing of it is kept.

        What is too old goes in the same transaction once an hour.

        Raises:
            StorageError: The database refused: the disk is full or failed, or a half-hour was kept before.
        """
        if self._unsure is not None and await self._was_kept(what):
            return
        self._retention.tight = self._ballast is not None and not self._ballast.there()
        # By a time that is not known nothing is old.
        unknown = what.boot is not None and what.boot.offset_ms is None
        aged, tried = not unknown and self._retention.due(what.now_ms), 0

        async def work(connection: aiosqlite.Connection) -> Callable[[], None]:
            if aged or self._retention.full:
                # First, so that the pages that come free take what is new.
                await self._retention.step(connection, what.now_ms)
            nonlocal tried
            added = self._samples.begin()
            await self._samples.insert(connection, what.frames, what.now_ms, added)
            tried = added.last_id
            if what.boot is not None:
                await self._boots.put(connection, what.boot)
                await self._untimed.insert(connection, what.untimed, what.boot, added)
            await self._half_hours.insert(connection, what.half_hours)
            await self.books.seals.amend(connection, what.half_hours)
            await self._channels.insert(connection, what.channels)
            await self._epochs.insert(connection, what.epochs)
            await self._evidence.insert(connection, what.evidence, what.now_ms)
            await self._lives.insert(connection, what.lives)
            changed = await self._outbox.add(connection, what.items, what.composed or {})
            if what.closed:
                await self._half_hours.close(connection, what.closed)

            def apply() -> None:
                self._samples.apply(added)
                self._outbox.apply(changed)
                if aged:
                    self._retention.taken(what.now_ms)

            return apply

        try:
            await self._keep(work)
        except StorageError:
            self._unsure = (what, tried) if self.database.broken else None
            raise
        if self._copy is not None:
            await self._copy.kept(what.half_hours, what.now_ms)
        if aged and self._ballast is not None:
            await asyncio.to_thread(self._ballast.make)

    async def _keep(self, work: Work[Callable[[], None]]) -> None:
        try:
            await self.database.transact(work, committed=lambda apply: apply())
        except StorageError as error:
            cause = error.__cause__
            if not isinstance(cause, Exception) or primary_code(cause) != sqlite3.SQLITE_FULL:
                raise
            # With the next transaction the oldest samples go; that takes room of its own.
            self._retention.full = True
            if self._ballast is None or not self._ballast.release():
                raise
            await self.database.transact(work, committed=lambda apply: apply())

    async def _was_kept(self, what: Keep) -> bool:
        """Whether a transaction whose commit failed is in the file all the same.

        A disk that fails in the middle of a commit can leave it whole in the log, and opening the file anew
        finds it there.
        """
        if self._unsure is None or self._unsure[0] is not what or self.database.broken:
            return False
        (_, block), self._unsure = self._unsure, None
        if what.frames:
            found = bool(await self.database.rows("SELECT 1 FROM blocks WHERE id = ?", (block,)))
        elif what.half_hours:
            found = await self._half_hours.among(what.half_hours[0])
        else:
            streams = self._outbox.streams()
            return bool(what.composed) and all(
                key in streams and streams[key].composed_ms == end
                for key, end in (what.composed or {}).items()
            )
        if found and self._copy is not None:
            await self._copy.kept(what.half_hours, what.now_ms)
        return found

    def samples(self, since_ms: UtcMs, until_ms: UtcMs | None = None) -> AsyncIterator[Sequence[Frames]]:
        """Blocks that hold samples measured in (since, until], in the order they were kept.

        A block at the edge is given whole. A damaged block is left out, logged, and shown by `storage`.
        """
        return self._samples.select(since_ms, until_ms)

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
        return await self._half_hours.select(after_ms, until_ms, length_ms, properties, damaged)

    async def closed_until(self) -> Mapping[tuple[PropertyId, int], UtcMs]:
        """How far each (property, length in ms) is closed."""
        return await self._half_hours.closed_until()

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
            self._scan = Scan(self.database, self._half_hours, Journal.beside(self.database.path))
        async for _ in self._scan.night(await self.get_state("storage", "scan"), now_ms):
            yield
        await self.set_state("storage", "scan", self._scan.place())

    async def epochs(self) -> Sequence[Epoch]:
        """All epochs of all registers, by property and number."""
        return await self._epochs.all()

    async def evidence(self, property_id: PropertyId, at_ms: UtcMs) -> Evidence | None:
        """What a register's reading of that instant was read from; None where it was not kept."""
        return await self._evidence.find(property_id, at_ms)

    async def oldest_evidence_ms(self) -> UtcMs | None:
        """From when on evidence is there; None where there is none."""
        return await self._evidence.oldest_ms()

    async def channels(self) -> Sequence[Channel]:
        """All channels there ever were, by uplink, stream, name and begin."""
        return await self._channels.all()

    async def boots(self) -> Sequence[Boot]:
        """The boots that are remembered, oldest first."""
        return await self._boots.all()

    async def has_untimed(self) -> bool:
        """Whether there are samples without a time, of any boot."""
        return await self._untimed.any()

    async def learn(self, boot: Boot, place: Place) -> tuple[int, int]:
        """Give a boot's samples their time, and make clock episodes of earlier boots that never knew it."""
        return await self._untimed.learn(boot, place)

    def blocks(self, first: int, last: int) -> AsyncIterator[Sequence[Frames]]:
        """The blocks of those ids, in their order."""
        return self._samples.between(first, last)

    async def clock_episodes(self, after_ms: UtcMs, until_ms: UtcMs) -> Sequence[ClockEpisode]:
        """Boots that never knew the time, between instants that overlap (after, until]; oldest first."""
        return await self._boots.episodes(after_ms, until_ms)

    async def lives(self) -> Sequence[Life]:
        """Every meter that took a place, or was retired, by meter."""
        return await self._lives.all()

    async def last_measured(self, properties: Sequence[PropertyId], until_ms: UtcMs) -> list[HalfHour]:
        """The newest half-hour up to then of each property that has a reading, however long ago."""
        return await self._half_hours.last_measured(properties, until_ms)

    def streams(self) -> Mapping[tuple[str, str], StreamStatus]:
        """Every stream that was ever composed, with its backlog; from memory."""
        return self._outbox.streams()

    async def pending(self, uplink: str, stream: str, limit: int) -> Sequence[Item]:
        """The oldest pending items of a stream, oldest first."""
        return await self._outbox.pending(uplink, stream, limit)

    async def intend(self, ids: Sequence[ItemId], now_ms: UtcMs) -> None:
        """Record that these are about to be sent: tries + 1."""
        await self._outbox.intend(ids, now_ms)

    async def acknowledge(self, ids: Sequence[ItemId], receipt: str, now_ms: UtcMs) -> None:
        """Record that the far end has them."""
        await self._outbox.acknowledge(ids, receipt, now_ms)

    async def quarantine(self, ids: Sequence[ItemId], words: str, now_ms: UtcMs) -> None:
        """Set items aside with the far end's words."""
        await self._outbox.quarantine(ids, words, now_ms)

    async def release(self, ids: Sequence[ItemId]) -> None:
        """Put quarantined items back to pending."""
        await self._outbox.release(ids)

    async def quarantined(self, uplink: str) -> Sequence[Item]:
        """All items of an uplink that were set aside, oldest first."""
        return await self._outbox.quarantined(uplink)

    async def get_state(self, scope: str, key: str) -> str | None:
        """A small text that an uplink or the gateway keeps."""
        return await self._texts.get(scope, key)

    async def set_state(self, scope: str, key: str, text: str) -> None:
        """Keep such a text, durable on return; one that is there already costs no write."""
        await self._texts.set(scope, key, text)

    async def declare(
        self, product: ProductDescription, properties: Sequence[PropertyDescription]
    ) -> tuple[Product, Mapping[str, Property]]:
        """The product and its properties by key, with ids; new ones are made, known ones updated."""
        return await self._catalog.declare(product, properties)

    async def products(self) -> Sequence[Product]:
        """All products, by id."""
        return await self._catalog.products()

    async def properties(self) -> Sequence[Property]:
        """All properties, by id."""
        return await self._catalog.properties()

    async def rename_product(self, product_id: ProductId, name: str) -> Product:
        """Give a product a person's name for it."""
        return await self._catalog.rename_product(product_id, name)

    async def rename_property(self, property_id: PropertyId, name: str) -> None:
        """Give a property a person's name for it."""
        await self._catalog.rename_property(property_id, name)

    async def nodes(self) -> Sequence[Node]:
        """All nodes, by id."""
        return await self._nodes.all()

    async def declare_node(self, node: NodeDescription) -> Node:
        """The node of that identity, with its id; made or updated as needed."""
        return await self._nodes.declare(node)

    async def remove_node(self, identity: str) -> None:
        """The node is no longer in its network; its product stays."""
        await self._nodes.remove(identity)

    async def map_properties(self, node_id: NodeId, mappings: Sequence[PropertyMapping]) -> None:
        """Which values of the node are which properties, from now on."""
        await self._nodes.map(node_id, mappings)

    async def property_mappings(self) -> Mapping[int, PropertyMapping]:
        """All mappings by their own ids."""
        return await self._nodes.mappings()

    async def available(self, product_id: ProductId, status: Availability, at_ms: UtcMs) -> None:
        """From when on the product can be reached or not; the same again writes nothing."""
        await self._availabilities.record(product_id, status, at_ms)

    async def newest_availabilities(self) -> Mapping[ProductId, AvailabilityChange]:
        """The newest change of each product that has any."""
        return await self._availabilities.newest()

    async def availabilities(self, after_ms: UtcMs, until_ms: UtcMs) -> Sequence[AvailabilityChange]:
        """The changes in (after, until], in the order in which they were kept."""
        return await self._availabilities.between(after_ms, until_ms)

    async def report(self, message: InstallationMessage) -> None:
        """Keep one step of an installation."""
        await self._installations.add(message)

    async def installation_messages(self, limit: int = 200) -> Sequence[InstallationMessage]:
        """The newest steps of installations, oldest first."""
        return await self._installations.newest(limit)

    async def pend(self, pending: PendingDescription) -> Pending:
        """Keep a value that is to be written, with an id."""
        return await self._pendings.add(pending)

    async def update_pending(
        self, pending_id: PendingId, status: PendingStatus, *, eta_ms: UtcMs | None = None, detail: str = ""
    ) -> None:
        """Where a value on its way is now; the same again writes nothing."""
        await self._pendings.update(pending_id, status, eta_ms, detail)

    async def pendings(self, *, open_only: bool = True, limit: int = 200) -> Sequence[Pending]:
        """The newest values on their way, oldest first; with `open_only` not those that are through."""
        return await self._pendings.newest(open_only, limit)

    def storage(self) -> StorageStatus:
        """Sizes for the page: two questions to the file system, none to the database."""
        database = self.database
        return StorageStatus(
            path=database.path,
            file_bytes=file_bytes(database.path),
            free_bytes=free_bytes(database.path),
            writes=database.writes,
            failures=database.failures,
            problem=database.problem or self._damage(),
            notices=self._notices(),
        )

    def _notices(self) -> tuple[tuple[str, str], ...]:
        """What a person should know of, and what to do about it."""
        notices = []
        if (findings := self.database.findings) is not None and findings:
            notices.append((" ".join(findings.lines()), CARD))
        if self._scan is not None and self._scan.found:
            notices.append((f"The card changed what was written: {'; '.join(self._scan.found)}", CARD))
        if self._outbox.waits:
            notices.append(
                (
                    "Items of the outbox were lost while the gateway ran; its next start composes them anew.",
                    "Restart the gateway: systemctl restart meterkast.",
                )
            )
        if self._copy is not None and self._copy.problem:
            notices.append((self._copy.problem, "It is tried again with each half-hour. " + CARD))
        retention = self._retention
        if retention.shed_blocks or retention.shed_evidence:
            notices.append(
                (
                    f"The disk was full: {retention.shed_blocks} minutes of the oldest samples and "
                    f"{retention.shed_evidence} rows of evidence were removed since the start; "
                    "no half-hour was.",
                    "Remove other files from this disk, use a larger card, or lower storage.samples_days.",
                )
            )
        return tuple(notices)

    def _damage(self) -> str:
        rows, blocks = len(self._half_hours.damaged), len(self._samples.damaged)
        if not rows and not blocks:
            return ""
        return (
            f"{rows} half-hours and {blocks} blocks of samples are not as they were written. "
            "Make a copy of the database and replace the card."
        )


if TYPE_CHECKING:
    from meterkast_buffer.scanning import Scan

    _fits: type[Store] = SqliteStore
