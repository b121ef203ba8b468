"""What happens to the site, and when: spans of true time that the simulated world looks up."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from meterkast.model.half_hour import Cause
from meterkast.model.time import UtcMs


class Span(NamedTuple):
    """True time in [begin, end), ms."""

    begin_ms: UtcMs
    end_ms: UtcMs

    def overlap_ms(self, start_ms: int, end_ms: int) -> int:
        return max(0, min(self.end_ms, end_ms) - max(self.begin_ms, start_ms))


class Spans:
    """Spans that do not overlap, in order of time."""

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._spans: list[Span] = []

    def add(self, span: Span) -> None:
        place = bisect_right(self._begins, span.begin_ms)
        self._begins.insert(place, span.begin_ms)
        self._spans.insert(place, span)

    def at(self, at_ms: int) -> Span | None:
        """The span that holds an instant."""
        place = bisect_right(self._begins, at_ms)
        found = self._spans[place - 1] if place else None
        return found if found is not None and at_ms < found.end_ms else None

    def next_change_ms(self, at_ms: int, horizon_ms: int) -> int:
        """When the answer to `at` changes next, at most the horizon."""
        if (now := self.at(at_ms)) is not None:
            return min(now.end_ms, horizon_ms)
        place = bisect_right(self._begins, at_ms)
        return min(self._begins[place], horizon_ms) if place < len(self._begins) else horizon_ms


class Gap(NamedTuple):
    """What the ledger must say of a span: these channels have nothing in it, and why."""

    span: Span
    channels: frozenset[str]
    cause: Cause


class Death(NamedTuple):
    """A process ends.

    Attributes:
        at_ms: When, in true time.
        back_ms: When the next one begins.
        power_cut: What was not fsynced is gone; otherwise only what was in memory is.
        statements: It ends before this many more statements of a transaction, at or after `at_ms`; None: at
            `at_ms` wherever it is.
        clean: It is told to stop and stops in order.
        wrong_ms: How far the next one's clock is off at first.
        synchronised_ms: When network time sets it, in true time.
    """

    at_ms: UtcMs
    back_ms: UtcMs
    power_cut: bool = False
    statements: int | None = None
    clean: bool = False
    wrong_ms: int = 0
    synchronised_ms: UtcMs = UtcMs(0)


class Step(NamedTuple):
    """The system's clock is set wrongly for a while.

    Attributes:
        span: When.
        by_ms: How far.
        synchronised: The kernel says all the same that it is right: a time service lies.
    """

    span: Span
    by_ms: int
    synchronised: bool


class Break(NamedTuple):
    """A register does not go on.

    Attributes:
        at_ms: When.
        base: What it shows then.
        swap: Another meter shows it; the same one was reset otherwise.
    """

    at_ms: UtcMs
    base: int
    swap: bool = False


class Swap(NamedTuple):
    """A meter is replaced, and that is signed off.

    Attributes:
        source: Which: electricity, gas, water, plug.
        at_ms: When the new one takes over.
        signed_ms: When a person says so.
    """

    source: str
    at_ms: UtcMs
    signed_ms: UtcMs


@dataclass(slots=True)
class Rates:
    """How often, of a hundred messages, a platform does what it should not."""

    lost_answer: float = 0.5
    lost_message: float = 0.2
    error: float = 0.5
    portal: float = 0.0


CALM = Rates()


@dataclass(slots=True)
class Weather:
    """All that happens in a run.

    Attributes:
        down: By platform: when nothing gets through.
        rough: By platform: when much goes wrong.
        link: When the P1 port is away.
        silent: When the P1 meter says nothing.
        dead, asleep: By device of the radio network: it is out of reach, and known to be; it only says
            nothing.
        disk: When the disk refuses.
        steps: Of the system's clock.
        deaths: Of processes, by time.
        breaks: By channel: where its register does not go on, by time.
        rollovers: By channel: when its register has shown all that it can; once at most, before any break.
        swaps: Of meters, by time.
        disputes: When the sources of the time disagree: nothing may be sent.
        never: When a boot ran that never learned the time: its readings are lost.
        outliers: When the P1 meter sends one telegram with wrong registers.
        gaps: What the ledger must say of it.
    """

    down: dict[str, Spans] = field(default_factory=dict)
    rough: dict[str, Spans] = field(default_factory=dict)
    link: Spans = field(default_factory=Spans)
    silent: Spans = field(default_factory=Spans)
    dead: dict[str, Spans] = field(default_factory=dict)
    asleep: dict[str, Spans] = field(default_factory=dict)
    disk: Spans = field(default_factory=Spans)
    steps: list[Step] = field(default_factory=list)
    deaths: list[Death] = field(default_factory=list)
    breaks: dict[str, list[Break]] = field(default_factory=dict)
    rollovers: dict[str, UtcMs] = field(default_factory=dict)
    swaps: list[Swap] = field(default_factory=list)
    disputes: Spans = field(default_factory=Spans)
    never: Spans = field(default_factory=Spans)
    outliers: list[UtcMs] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    def step_at(self, at_ms: int) -> Step | None:
        """How the system's clock is set wrongly at that time; None where it is not."""
        return next((one for one in self.steps if one.span.begin_ms <= at_ms < one.span.end_ms), None)

    def gap(self, span: Span, channels: Sequence[str], cause: Cause) -> None:
        """Expect it."""
        self.gaps.append(Gap(span, frozenset(channels), cause))
