"""One snapshot of how the gateway is: what the page, `/api/status`, `/metrics` and `meterkast status` show.

Green means end to end: meter fresh, half-hour closed, platform acknowledged. Every problem says what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from meterkast.model.time import UtcMs


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all parts of the snapshot."""


class Problem(Frozen, frozen=True):
    """Something that is wrong, and what to do about it.

    Attributes:
        severity: "problem" where data is or will be lost or late for good; "attention" otherwise.
        where: The part concerned, such as "p1 main" or "uplink reset".
        what: One plain sentence.
        do: What a person can do.
    """

    severity: Literal["attention", "problem"]
    where: str
    what: str
    do: str


class SourceHealth(Frozen, frozen=True):
    """One source of the time: how far it is ahead of the time in force (s), and whether it is followed.

    Attributes:
        verdict: "followed", "outvoted" by others that agree, or "heard".
    """

    name: str
    off_s: float
    heard_ms: UtcMs
    verdict: Literal["followed", "outvoted", "heard"]


class ClockHealth(Frozen, frozen=True):
    """The clock.

    Attributes:
        trust: "unknown", "meter" or "trusted".
        now_ms: UTC.
        local: The site's wall clock, ISO 8601 with offset.
        zone: IANA name.
        speed: 1, or how many times as fast a rehearsal's clock runs.
        dispute: Which sources disagree, in one sentence; empty where none do.
        sources: What each of them says.
    """

    trust: str
    now_ms: UtcMs
    local: str
    zone: str
    speed: float
    dispute: str = ""
    sources: tuple[SourceHealth, ...] = ()


class DriverHealth(Frozen, frozen=True):
    """One driver: state "opening", "silent", "reading" or "lost"; totals since start."""

    name: str
    state: str
    detail: str
    hint: str
    counters: dict[str, int]
    restarts: int


class PropertyHealth(Frozen, frozen=True):
    """One property and its newest value.

    Attributes:
        value: Decimal text in `unit`; None where nothing was read since the start.
        unit: As BeNext shows it (kWh, m3, Watt), or the canonical unit of a generic datatype.
        word: What the datatype calls that value: "On", "Open", "Lock"; empty where it has no name for it.
        age_s: Since it was measured, s.
        fresh: Whether it still stands.
        last_half_hour: End of the newest closed half-hour, and what it says.
        slow: Whether it is told when it changes or now and then, as a state or the battery's level is: its
            age says nothing of its device.
    """

    id: int
    key: str
    name: str
    datatype: int
    datatype_name: str
    kind: str
    reference: str
    value: str | None
    unit: str
    at_ms: UtcMs | None
    age_s: float | None
    fresh: bool
    last_half_hour: HalfHourHealth | None
    word: str = ""
    slow: bool = False


class HalfHourHealth(Frozen, frozen=True):
    """A closed half-hour: value as decimal text in the property's shown unit, None where missing; and its
    word, as the property's.
    """

    end_ms: UtcMs
    value: str | None
    state: str
    cause: str | None
    word: str = ""


class ProductHealth(Frozen, frozen=True):
    """One meter or device.

    Attributes:
        fresh: Whether what it measures is: every register of it, or where it has none any measured value. A
            device of a network that told nothing measured: whether it can be reached.
        availability: "available", "retrying" or "unreachable"; "" where it is no device of a network.
        removed: Whether it was one and was taken out, or it was retired; what it measured stays.
    """

    id: int
    name: str
    medium: str
    serial: str
    fresh: bool
    properties: tuple[PropertyHealth, ...]
    availability: str = ""
    removed: bool = False


class QuarantinedItem(Frozen, frozen=True):
    """An item set aside, with the platform's own words."""

    id: int
    stream: str
    at_ms: UtcMs
    words: str


class StreamHealth(Frozen, frozen=True):
    """One monitor or meter at a platform.

    Attributes:
        bound: Whether all properties it asks for are known.
        waiting_for: Which are not.
    """

    name: str
    bound: bool
    waiting_for: tuple[str, ...]
    pending: int
    quarantined: int
    composed_ms: UtcMs | None
    delivered_ms: UtcMs | None
    problem: str


class UplinkHealth(Frozen, frozen=True):
    """One uplink.

    Attributes:
        state: "idle" (nothing to send), "sending", "waiting" (back-off), "paused" (misconfigured).
        detail, hint: What happened last and what to do; empty when all is well.
        backlog: Items pending in all streams.
        half_hours: How many half-hours those are, of the stream that has most.
        left_s: How long they will take, s; None while nothing is delivered.
        delivered: Items acknowledged since start.
        retry_at_ms: When it tries again.
    """

    name: str
    state: str
    detail: str
    hint: str
    backlog: int
    oldest_pending_ms: UtcMs | None
    last_acknowledged_ms: UtcMs | None
    last_receipt: str
    delivered: int
    failures: int
    retry_at_ms: UtcMs | None
    streams: tuple[StreamHealth, ...]
    quarantined: tuple[QuarantinedItem, ...]
    half_hours: int = 0
    left_s: float | None = None


class StorageHealth(Frozen, frozen=True):
    """The database and its disk, sizes in bytes."""

    path: str
    file_bytes: int
    free_bytes: int
    writes: int
    failures: int
    problem: str


class BooksHealth(Frozen, frozen=True):
    """What came of the nightly check of the books.

    Attributes:
        day: The site's day that was checked last, ISO 8601; empty before the first night.
        rows: Half-hours of registers that agree with the samples, or not.
        unchecked: Half-hours whose samples are not kept.
        wrong: What does not agree.
        first: The first of it, as a sentence.
        lacking: "<uplink> <stream>" of those that a platform acknowledged and does not show, or that could
            not be asked for three nights.
    """

    day: str = ""
    rows: int = 0
    unchecked: int = 0
    wrong: int = 0
    first: str = ""
    lacking: tuple[str, ...] = ()


class Nightly(Protocol):
    """Who checks the books."""

    health: BooksHealth

    def problems(self) -> Sequence[Problem]:
        """What a person should know of it."""


class Snapshot(Frozen, frozen=True):
    """The whole.

    Attributes:
        verdict: "ok", "attention" or "problem": the worst of the problems.
        sentence: The same in one plain sentence.
        held: Batches kept in memory because the clock or the disk does not allow keeping them yet.
        refused: Readings refused since start, by reason.
        left_s: How long until all platforms have what waits for them, s; None while nobody can know.
    """

    version: str
    site: str
    device_id: str
    started_ms: UtcMs
    verdict: Literal["ok", "attention", "problem"]
    sentence: str
    problems: tuple[Problem, ...]
    clock: ClockHealth
    drivers: tuple[DriverHealth, ...]
    products: tuple[ProductHealth, ...]
    uplinks: tuple[UplinkHealth, ...]
    storage: StorageHealth
    held: int
    refused: dict[str, int]
    left_s: float | None = None
    books: BooksHealth = BooksHealth()
