"""A site whose readings are closed to half-hours, and what they come to by brute force."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import TypeVar
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from meterkast.model.datatypes import DATATYPES, DatatypeId
from meterkast.model.delivery import NewItem, Stream
from meterkast.model.epoch import Epoch
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.product import ProductId, Property, PropertyDescription, PropertyId
from meterkast.model.reading import Column, Frames
from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Grid, UtcMs, parse_iso
from meterkast.pipeline.closing import Closed, Closing
from meterkast.ports.uplink import Binding

GRID = Grid(ZoneInfo("Europe/Amsterdam"))
START = parse_iso("2026-03-10T12:00:00Z")
GRACE_MS = 90 * SECOND_MS
REGISTER, POWER, SWITCH, WEIGHT = DatatypeId(39), DatatypeId(18), DatatypeId(9), DatatypeId(56)

READ = (State.MEASURED, State.LATE)

T = TypeVar("T")

Reading = tuple[int, int]
"""When, in ms since 1970, and the whole number."""


def until(minutes: float) -> UtcMs:
    """So many minutes after the start."""
    return UtcMs(START + int(minutes * MINUTE_MS))


def prop(number: int, datatype: DatatypeId = REGISTER, **more: object) -> Property:
    """A property of that id; `more` are fields of its description."""
    description = PropertyDescription(
        key=f"p{number}", name=f"P{number}", datatype=datatype, unit=DATATYPES[datatype].unit
    )
    return Property(
        id=PropertyId(number),
        product_id=ProductId(1),
        description=replace(description, **more),  # type: ignore[arg-type]  # the fields of a description
    )


def table(number: int, readings: Sequence[Reading], decimals: int = 0) -> Frames:
    """Readings of one property, as they come in."""
    return Frames(
        (Column(PropertyId(number), decimals),),
        [UtcMs(at) for at, _ in readings],
        [(value,) for _, value in readings],
    )


class Far:
    """An uplink that composes text of what it is given."""

    continues = False

    def __init__(self) -> None:
        self.broken = False
        self.silent = False
        self.seen: list[UtcMs] = []

    def compose(self, stream: Stream, half_hours: Mapping[Binding, HalfHour], end_ms: UtcMs) -> list[bytes]:
        if self.broken:
            raise RuntimeError("a fault in the uplink's code")
        self.seen.append(end_ms)
        texts = [
            f"{binding.key}={one.value.decimal() if one.value else one.cause}"
            for binding, one in half_hours.items()
        ]
        return [] if self.silent else [" ".join(texts).encode()]


class Site:
    """A closing, and all that it ever took in and gave out."""

    def __init__(
        self,
        *props: Property,
        why: Callable[[Property, UtcMs, UtcMs], Cause] = lambda *_: Cause.METER_SILENT,
    ) -> None:
        self.props = {one.id: one for one in props}
        self._why = why
        self.out: list[HalfHour] = []
        self.items: list[NewItem] = []
        self.epochs: dict[tuple[PropertyId, int], Epoch] = {}
        self.closed: dict[tuple[PropertyId, int], UtcMs] = {}
        self.composed: dict[tuple[str, str], UtcMs] = {}
        self.kept: list[Sequence[Frames]] = []
        self._bound: list[tuple[Stream, Far, dict[Binding, PropertyId]]] = []
        self._percent: dict[PropertyId, int] = {}
        self.closing = self._started()

    def _started(self) -> Closing:
        closing = Closing(GRID, GRACE_MS, self._why)
        for one in self.props.values():
            closing.know(one, self.closed_of(one.id))
        for property_id, percent in self._percent.items():
            closing.peaks(property_id, percent)
        closing.registers.load([self.epochs[key] for key in sorted(self.epochs)])
        return closing

    def closed_of(self, property_id: PropertyId) -> dict[int, UtcMs]:
        """How far each length of a property is closed."""
        return {length: end_ms for (one, length), end_ms in self.closed.items() if one == property_id}

    def feed(self, *frames: Frames) -> None:
        self.kept.append(frames)
        self.closing.feed(frames)

    def read(self, number: int, *readings: Reading, decimals: int = 0) -> None:
        self.feed(table(number, readings, decimals))

    def close(self, now_ms: int) -> Closed:
        done = self.closing.close(UtcMs(now_ms))
        self.out += done.half_hours
        self.items += done.items
        self.epochs.update({(one.property_id, one.number): one for one in done.epochs})
        self.closed.update(done.closed)
        self.composed.update(done.composed)
        return done

    def update(self, changed: Property) -> None:
        """A property's description changed."""
        self.props[changed.id] = changed
        self.closing.update(changed)

    def peaks(self, number: int, emptied_percent: int) -> None:
        self._percent[PropertyId(number)] = emptied_percent
        self.closing.peaks(PropertyId(number), emptied_percent)

    def bind(self, far: Far, *numbers: int, length_ms: int = HALF_HOUR_MS, name: str = "m") -> bool:
        """Compose a stream of those properties from now on; whether it could begin."""
        bindings = {Binding(product="x", key=f"p{number}"): PropertyId(number) for number in numbers}
        stream = Stream(
            uplink="far", name=name, properties=tuple(dict.fromkeys(bindings.values())), length_ms=length_ms
        )
        if not self.closing.reads(stream):
            return False
        self._bind(stream, far, bindings)
        self._bound.append((stream, far, bindings))
        return True

    def _bind(self, stream: Stream, far: Far, bindings: dict[Binding, PropertyId]) -> None:
        composed_ms = self.composed.get((stream.uplink, stream.name))
        self.closing.bind(stream, far, bindings, composed_ms)  # type: ignore[arg-type]  # composes, no more

    def restart(self, now_ms: UtcMs = START) -> None:
        """A new closing as the keeper makes it at a start: from what was kept."""
        self.closing = self._started()
        fresh_ms = max(one.description.fresh_ms for one in self.props.values())
        since_ms = min(self.closed.values(), default=START) - max(2 * HOUR_MS, fresh_ms + HOUR_MS)
        read = {one.property_id: one for one in self.out if one.end_ms <= since_ms and one.state in READ}
        self.closing.registers.seed(list(read.values()))
        for frames in self.kept:
            if any(at > since_ms for one in frames for at in one.times):
                self.closing.feed(frames, replay=True)
        newest = {(row.property_id, row.length_ms, row.end_ms): row for row in self.out}
        self.closing.recent.recall(list(newest.values()))
        self.closing.remember(UtcMs(since_ms + HOUR_MS))
        for stream, far, bindings in self._bound:
            for property_id in stream.properties:
                self.closing.also(property_id, stream.length_ms, now_ms)
            self._bind(stream, far, bindings)

    def rows(self, number: int, length_ms: int = HALF_HOUR_MS) -> list[HalfHour]:
        return [one for one in self.out if one.property_id == number and one.length_ms == length_ms]

    def values(self, number: int, length_ms: int = HALF_HOUR_MS) -> list[Decimal | Cause | None]:
        return [said(one) for one in self.rows(number, length_ms)]


class Device:
    """One value of a device, flushed minute by minute as the keeper does it."""

    def __init__(self, datatype: DatatypeId, *, every_min: float = 15, **more: object) -> None:
        self.prop = prop(1, datatype, fresh_ms=int(2 * every_min * MINUTE_MS), **more)
        self.site = Site(self.prop)
        self.restart = self.site.restart

    @property
    def closing(self) -> Closing:
        return self.site.closing

    @property
    def out(self) -> list[HalfHour]:
        return self.site.out

    def peaks(self, emptied_percent: int = 30) -> None:
        self.site.peaks(1, emptied_percent)

    def paced(self, every_min: float) -> None:
        """It was told to report at another pace."""
        fresh_ms = int(2 * every_min * MINUTE_MS)
        self.prop = replace(self.prop, description=replace(self.prop.description, fresh_ms=fresh_ms))
        self.site.update(self.prop)

    def read(self, *readings: tuple[float, int], decimals: int = 0) -> None:
        """Reports at those minutes, in one flush."""
        self.site.read(1, *[(until(minute), value) for minute, value in readings], decimals=decimals)

    def close(self, minute: float) -> None:
        self.site.close(until(minute))

    def run(
        self,
        readings: Sequence[Reading],
        minutes: int,
        restarts: frozenset[int] = frozenset(),
        decimals: int = 0,
    ) -> None:
        """Take readings in, minute by minute."""
        left = list(readings)
        for minute in range(1, minutes + 1):
            now: list[Reading] = []
            while left and left[0][0] <= until(minute):
                now.append(left.pop(0))
            if now:
                self.site.read(1, *now, decimals=decimals)
            self.close(minute)
            if minute in restarts:
                self.restart()

    def newest(self) -> list[HalfHour]:
        """The newest revision of each half-hour."""
        return list({row.end_ms: row for row in self.out}.values())

    def values(self) -> list[Decimal | Cause | None]:
        return [said(row) for row in self.newest()]


def said(row: HalfHour) -> Decimal | Cause | None:
    """The value of a half-hour, or why there is none."""
    return row.value.decimal() if row.value else row.cause


# What the readings of one property come to, by brute force.


def expected_last(readings: Sequence[Reading], start_ms: int, end_ms: int) -> Reading | None:
    """The latest reading of (start, end]."""
    inside = [one for one in readings if start_ms < one[0] <= end_ms]
    return inside[-1] if inside else None


def expected_mean(readings: Sequence[Reading], start_ms: int, end_ms: int, hold_ms: int) -> Fraction | None:
    """The time-weighted mean over (start, end]; None where nothing can be said."""
    covered = weighed = 0
    for number, (at, value) in enumerate(readings):
        later = readings[number + 1][0] if number + 1 < len(readings) else end_ms
        stood = min(later, at + hold_ms, end_ms) - max(at, start_ms)
        if stood > 0:
            covered += stood
            weighed += value * stood
    inside = [value for at, value in readings if start_ms < at <= end_ms]
    if not inside and covered < end_ms - start_ms:
        return None
    return Fraction(weighed, covered) if covered else Fraction(inside[-1])


# Any readings, cut into any pieces.

READINGS = st.lists(
    st.tuples(
        st.one_of(
            st.integers(1, 2_000), st.integers(1, 5 * MINUTE_MS), st.sampled_from([MINUTE_MS, 50 * MINUTE_MS])
        ),
        st.integers(-1000, 2500),  # a register of Wh may rise by so much at any time
    ),
    min_size=1,
    max_size=60,
)
CUTS = st.lists(st.integers(0, 60), max_size=12)


def timed(steps: Sequence[tuple[int, int]]) -> list[Reading]:
    """Steps of (ms since the one before, value) as readings."""
    at, found = START + 7 * MINUTE_MS, []
    for gap, value in steps:
        at += gap
        found.append((at, value))
    return found


def rising(readings: Sequence[Reading]) -> list[Reading]:
    """A register that grows by the size of each value."""
    height, found = 0, []
    for at, value in readings:
        height += abs(value)
        found.append((at, height))
    return found


def pieces(readings: Sequence[T], cuts: Sequence[int]) -> list[Sequence[T]]:
    """The readings as they come in flush by flush."""
    edges = sorted({0, len(readings), *(cut for cut in cuts if cut < len(readings))})
    return [readings[a:b] for a, b in pairwise(edges)]
