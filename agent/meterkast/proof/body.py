"""What a report says: plain values, as they stand in its JSON."""

from __future__ import annotations

from typing import Any

import msgspec

FORMAT = "meterkast report 1"


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all parts."""


class Span(Frozen, frozen=True):
    """Intervals in a row that are missing for one cause: `count` of them in (after, until]."""

    cause: str
    after_ms: int
    until_ms: int
    count: int


class RegisterPart(Frozen, frozen=True):
    """A register over the report's time, as decimal texts in `unit`.

    Attributes:
        begin, end: Its readings, as the meter showed them.
        begin_ms, end_ms: The ends of the intervals that they belong to; where the channel begins or ends with
            a meter swap, that instant.
        difference: What the intervals between them add up to; across a break as the counter goes on.
    """

    unit: str
    begin: str
    begin_ms: int
    end: str
    end_ms: int
    difference: str


class ChannelPart(Frozen, frozen=True):
    """One channel.

    Attributes:
        name: As the platform knows it.
        properties: What it is made of.
        expected: Intervals owed in the report's time until `now_ms`.
        measured, late, suspect, missing, open, aged: What is known of them; together `expected`.
        delivered, pending, quarantined, nothing: Where they are; together `expected`.
        causes: Missing ones by cause.
        spans: Those in a row.
        register: Where the channel is one register that was read; None otherwise.
    """

    uplink: str
    stream: str
    name: str
    properties: tuple[int, ...]
    length_ms: int
    from_ms: int
    until_ms: int | None
    expected: int
    measured: int
    late: int
    suspect: int
    missing: int
    open: int
    aged: int
    delivered: int
    pending: int
    quarantined: int
    nothing: int
    causes: dict[str, int]
    spans: tuple[Span, ...]
    register: RegisterPart | None


class PropertyPart(Frozen, frozen=True):
    """A property that a channel is made of."""

    id: int
    product: str
    identity: str
    name: str
    unit: str
    register: bool


class EpochPart(Frozen, frozen=True):
    """An epoch of a register of the report, or with which another meter took its place; see model/epoch.py.

    Quantities are [whole, decimals].
    """

    property_id: int
    number: int
    kind: str
    at_ms: int
    first: tuple[int, int]
    last: tuple[int, int] | None
    last_ms: int | None
    offset: tuple[int, int]
    predecessor: int | None
    signed_by: str


class StreamPart(Frozen, frozen=True):
    """A stream, and each of its items: [end in ms, state, delivered at in ms or null, receipt, words]."""

    uplink: str
    stream: str
    composed_ms: int | None
    items: tuple[tuple[int, str, int | None, str, str], ...]


class SealPart(Frozen, frozen=True):
    """A day's seal, and what of it the report shows.

    Attributes:
        previous: The digest before it; the device's id for the first.
        parts: [rows, SHA-256] of every property.
        rows, amendments: Canonical rows, of the properties that the report speaks of.
        broken: Why it cannot be worked out again; empty otherwise.
    """

    number: int
    day: str
    after_ms: int
    until_ms: int
    count: int
    previous: str
    digest: str
    parts: dict[str, tuple[int, str]]
    rows: tuple[str, ...]
    amendments: tuple[str, ...]
    broken: str = ""


class ClockPart(Frozen, frozen=True):
    """A boot whose time was never known, or a stretch after which the time was moved.

    Attributes:
        after_ms, before_ms: It lies between these; of a move by the time as it was then.
        duration_ms: How long it lasted.
        moved_ms: By how much the time was moved then; None where it had not been known.
    """

    after_ms: int | None
    before_ms: int
    duration_ms: int
    moved_ms: int | None = None


class DoubtPart(Frozen, frozen=True):
    """What the storage cannot vouch for."""

    at_ms: int
    kind: str
    detail: str


class ChecksPart(Frozen, frozen=True):
    """Which days were worked out again from the samples; each day of the month that was owed is in one.

    Attributes:
        found: Days on which something did not agree, or not all had samples.
        agree: First and last day of those that agree.
        not_checked: First and last day of those that were not checked: their samples were gone, or not yet.
    """

    found: tuple[dict[str, Any], ...]  # Any: JSON, as night.py keeps it
    agree: tuple[tuple[str, str], ...]
    not_checked: tuple[tuple[str, str], ...]


class Body(Frozen, frozen=True):
    """All of it.

    Attributes:
        after_ms, until_ms: The month at the site.
        now_ms: When it was made; later intervals are not expected yet.
        aged_ms: Intervals of other lengths than 30 minutes before this are no longer kept.
        status: "complete", "undelivered", "incomplete" or "empty".
        over: Whether the month was over.
        rows: Canonical rows that no seal of this report shows: of other lengths, or sealed later.
        damaged: [length, end, property, revision] of rows that are not as they were written; also at the
            begin.
        closed: [property, length, end in ms]: how far each is closed.
        reconcile, checks: What came of the nightly checks.
    """

    month: str
    site: str
    zone: str
    device: str
    version: str
    made: str
    after_ms: int
    until_ms: int
    now_ms: int
    aged_ms: int
    status: str
    over: bool
    properties: tuple[PropertyPart, ...]
    channels: tuple[ChannelPart, ...]
    streams: tuple[StreamPart, ...]
    epochs: tuple[EpochPart, ...]
    clock: tuple[ClockPart, ...]
    doubts: tuple[DoubtPart, ...]
    reconcile: tuple[dict[str, Any], ...]  # Any: JSON, as proof/reconcile.py keeps it
    checks: ChecksPart
    rows: tuple[str, ...]
    damaged: tuple[tuple[int, int, int, int], ...]
    closed: tuple[tuple[int, int, int], ...]
    seals: tuple[SealPart, ...]


def plain(body: Body) -> Any:
    """The report as JSON has it: objects and lists."""
    return msgspec.json.decode(msgspec.json.encode(body))
