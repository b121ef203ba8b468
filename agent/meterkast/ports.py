"""What the core asks of the outside: clock, drivers, store and uplinks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from meterkast.model.boot import Boot
from meterkast.model.channel import Channel
from meterkast.model.clock_episode import ClockEpisode
from meterkast.model.delivery import Item, ItemId, NewItem, Stream, StreamStatus
from meterkast.model.doubt import Doubt
from meterkast.model.emptyings import EMPTIED_PERCENT
from meterkast.model.epoch import Epoch
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
from meterkast.model.reading import Batch, Frames
from meterkast.model.time import UtcMs
from meterkast.model.units import Unit
from meterkast.model.untimed import Untimed


class Trust(StrEnum):
    """How far the gateway's UTC can be relied on; nothing is closed or sent while unknown."""

    UNKNOWN = "unknown"
    METER = "meter"
    TRUSTED = "trusted"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """One source of time, for the page.

    Attributes:
        name: Which, in a person's words.
        off_ms: How far it is ahead of the time in force.
        heard_ms: When it spoke last.
        believed: Whether it is one of those that are followed.
        outvoted: Whether others agree on something else.
    """

    name: str
    off_ms: int
    heard_ms: UtcMs
    believed: bool
    outvoted: bool


class Clock(Protocol):
    """The only source of time. Everything else is handed it."""

    speed: float
    boot_id: str
    """The kernel's id of this boot: `boot_ns` counts from its start."""

    def now_ms(self) -> UtcMs:
        """UTC now, by the offset in force."""

    def boot_ns(self) -> int:
        """CLOCK_BOOTTIME in ns: never steps, runs through suspend."""

    def utc_of(self, boot_ns: int) -> UtcMs:
        """UTC of an instant of this boot."""

    @property
    def trust(self) -> Trust: ...

    @property
    def dispute(self) -> str:
        """Which sources of the time disagree, in one sentence; nothing is sent then. Empty: none."""

    @property
    def refused(self) -> Mapping[str, int]:
        """What sources said that cannot be, by reason, since the start."""

    def sources(self) -> Sequence[SourceStatus]:
        """What each source of the time says."""

    def offer(self, stamp_ms: UtcMs, seen_ns: int, meter: str = "") -> None:
        """A meter's telegram stamp and when it arrived, as evidence of the time.

        Args:
            meter: Which meter, where there may be several.
        """

    def told(self, date_ms: UtcMs, asked_ns: int, seen_ns: int, host: str) -> None:
        """A platform's `Date`, cut off to a second, from an answer over verified TLS.

        Args:
            asked_ns, seen_ns: `boot_ns` at the question and at the answer.
        """

    def recall(self, past: Sequence[Boot]) -> None:
        """What earlier runs knew of the time, oldest first; once, before anything is read."""

    def record(self, *, stopping: bool = False) -> Boot:
        """This boot, as it is to be kept."""

    def allowance_ms(self, limit_ms: int) -> int:
        """A limit on lateness in gateway time, widened by what a fast clock makes of real processing time."""

    async def sleep(self, seconds: float) -> None:
        """Wait in gateway time."""

    async def sleep_until(self, at_ms: UtcMs) -> None:
        """Wait until that UTC."""


Emit = Callable[[Batch], None]
"""Takes a batch in; returns at once and never raises on behalf of the store."""


class Catalog(Protocol):
    """Gives devices and their values lasting ids."""

    async def declare(
        self, product: ProductDescription, properties: Sequence[PropertyDescription]
    ) -> tuple[Product, Mapping[str, Property]]:
        """The product and its properties by key, with ids; new ones are made, known ones updated.

        Declaring part of a product's properties leaves the others as they are.

        Raises:
            StorageError: The database refused.
        """


class MeterCatalog(Catalog, Protocol):
    """The catalog of a driver whose port shows meters, all of them with every telegram."""

    def present(self, products: Sequence[ProductId]) -> None:
        """All the meters that the port shows now: one that is missing was swapped for one that is new."""


class Inventory(Catalog, Protocol):
    """The catalog of a driver that knows its devices as nodes of a network.

    Every method raises StorageError when the database refuses.
    """

    async def products(self) -> Sequence[Product]:
        """All there are, other drivers' too."""

    async def properties(self) -> Sequence[Property]:
        """All there are, other drivers' too."""

    async def rename_product(self, product_id: ProductId, name: str) -> Product:
        """Give a product a person's name for it."""

    async def nodes(self) -> Sequence[Node]:
        """All there are, other drivers' too."""

    async def declare_node(self, node: NodeDescription) -> Node:
        """The node of that identity, with its id; made or updated as needed."""

    async def remove_node(self, identity: str) -> None:
        """The node is no longer in its network: what waits for it fails. Its product and history stay."""

    async def map_properties(self, node_id: NodeId, mappings: Sequence[PropertyMapping]) -> None:
        """Which values of the node are which properties, from now on."""

    async def available(self, product_id: ProductId, status: Availability, at_ms: UtcMs) -> None:
        """From when on the product can be reached or not; the same again writes nothing."""

    async def report(self, message: InstallationMessage) -> None:
        """Keep one step of an installation."""

    async def pend(self, pending: PendingDescription) -> Pending:
        """Keep a value that is to be written, with an id."""

    async def update_pending(
        self, pending_id: PendingId, status: PendingStatus, *, eta_ms: UtcMs | None = None, detail: str = ""
    ) -> None:
        """Where a value on its way is now."""

    async def pendings(self, *, open_only: bool = True, limit: int = 200) -> Sequence[Pending]:
        """Values on their way, oldest first; with `open_only` those in WAKEUP or SENDING alone."""


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


Place = Callable[[Sequence[Untimed]], Sequence[Frames]]
"""Gives samples their time, now that it is known; what cannot be placed is left out and counted."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Which property an uplink asks for: `<product>/<property key>`.

    The product is a serial or equipment identifier, a product's identity, or a medium's name
    ("electricity") where the site has one such meter.

    Attributes:
        unit: The canonical unit the property must be kept in, so that litres never go out as kWh; None takes
            any. It is no part of what is asked for: equal bindings may differ in it.
    """

    product: str
    key: str
    unit: Unit | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.product}/{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A stream as an uplink's configuration asks for it, before properties have ids.

    Attributes:
        name: The platform's name for it.
        bindings: What it is made of.
        length_ms: The interval.
        peaks: Those of the bindings that are closed by their maximum, and the maximum before each emptying.
        emptied_percent: A fall of one of those by more than this share is an emptying.
        channels: The numbers that it holds, by the platform's name for them, and what each is made of.
    """

    name: str
    bindings: tuple[Binding, ...]
    length_ms: int
    peaks: tuple[Binding, ...] = ()
    emptied_percent: int = EMPTIED_PERCENT
    channels: Mapping[str, tuple[Binding, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One step of a connection test.

    Attributes:
        name: What was tried: DNS, TCP, TLS, …
        ok: Whether it worked.
        detail: What was seen; the cause and the cure where it did not work.
    """

    name: str
    ok: bool
    detail: str


class Answering(Protocol):
    """An uplink whose platform can be asked what it has; others leave it out."""

    async def held_until(self, stream: str) -> UtcMs | None:
        """End of the newest interval of a stream that the platform has; None where it has none.

        Raises:
            NotDeliveredError: It could not be asked now, or its answer proves nothing.
            MisconfiguredError: A setting is wrong.
        """


class Uplink(Protocol):
    """One far end. It keeps no queue of its own; the engine gives it items of one stream at a time."""

    name: str
    urls: Sequence[str]
    """Every address it sends to."""
    warnings: Sequence[str]
    """What in its settings is allowed and probably not meant."""
    parallel: int
    """How many streams may be delivered at the same time."""
    continues: bool
    """Whether it is given registers that go on across resets and swaps, instead of what the meter shows."""

    def wanted(self) -> Sequence[Wanted]:
        """The streams its configuration asks for."""

    def batch_limit(self, stream: str) -> int:
        """How many items of that stream one call may carry."""

    def compose(self, stream: Stream, half_hours: Mapping[Binding, HalfHour], end_ms: UtcMs) -> list[bytes]:
        """The payloads for one interval of a stream, frozen from here on; empty: nothing to send.

        Pure. `half_hours` holds every binding of the stream; missing ones are in state MISSING.
        """

    async def deliver(self, stream: str, items: Sequence[Item]) -> str:
        """Send the items, oldest first; return only once the far end has acknowledged all of them.

        An item with `tries` > 1 may be there already: sending it twice must be harmless.

        Returns:
            The receipt: what proved it.

        Raises:
            NotDeliveredError: Keep them, try later.
            MisconfiguredError: Keep them, pause the stream or the uplink.
            RejectedError: These items are refused for good.
        """

    def due_ms(self, end_ms: UtcMs) -> UtcMs:
        """When items of that interval may be sent (the end itself, or a daily time)."""

    async def ask_time(self) -> None:
        """Have the far end say what time it is (`Clock.told`), sending nothing else; silent if it cannot."""

    async def idle(self) -> None:
        """Nothing is left to send: close the connection or keep it, as the platform asks."""

    async def close(self) -> None:
        """Close for good."""

    async def check(self) -> Sequence[Check]:
        """Test the connection, creating nothing at the far end; stops at the first step that fails."""
