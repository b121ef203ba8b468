"""The life of each register, as the weather has it and as the database says: meters, breaks, epochs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meterkast.model.epoch import Break, Epoch
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import UtcMs, iso_utc
from meterkast_rig.virtual.site import SIZE, TOTALS
from meterkast_rig.virtual.year import SIGNS, Run


def place(identity: str, key: str) -> tuple[str, int]:
    """The channel that a property of a product is, and how many meters were there before this one."""
    if identity.startswith("radio:"):
        generation, device = divmod(int(identity[6:]), 10)
        return {2: "plug", 3: "room"}[device], generation
    return {"G": "gas", "W": "water"}.get(identity[3], key), int(identity[4:8])


@dataclass(slots=True)
class Lines:
    """What a channel's meters said, one meter after the other.

    Attributes:
        meters: The half-hours of each meter's property, oldest meter first.
        properties: Their ids.
        rows: One for each end: the newest meter's that was read, as the platforms get it.
    """

    meters: list[list[HalfHour]] = field(default_factory=list)
    properties: list[int] = field(default_factory=list)
    rows: list[HalfHour] = field(default_factory=list)


def lines_of(run: Run) -> dict[str, Lines]:
    """The half-hours of each channel."""
    own: dict[int, list[HalfHour]] = {}
    for row in run.half_hours:
        own.setdefault(row.property_id, []).append(row)
    found: dict[str, Lines] = {}
    for _, number, channel in sorted(
        (place(*names)[1], number, place(*names)[0]) for names, number in run.keys.items()
    ):
        lines = found.setdefault(channel, Lines())
        lines.meters.append(own.get(number, []))
        lines.properties.append(number)
    for lines in found.values():
        joined: dict[UtcMs, HalfHour] = {}
        for meter in lines.meters:
            for row in meter:
                known = joined.get(row.end_ms)
                if row.value is not None or known is None or known.value is None:
                    joined[row.end_ms] = row
        lines.rows = [joined[end_ms] for end_ms in sorted(joined)]
    return found


class Life:
    """A register's epochs: those it must have, and those that were kept.

    Args:
        channel: Its name.
        readings: When it was read, kept for sure, in order.

    Attributes:
        wrong: What is not as it should be, in words.
        lost: Of each reset, from when until when what the meter counted is lost.
    """

    def __init__(self, run: Run, channel: str, lines: Lines, readings: Sequence[int]) -> None:
        self._site = run.site
        self._channel = channel
        self._parts = TOTALS.get(channel, (channel,))
        self._lines = lines
        self._readings = readings
        self.wrong: list[str] = []
        self.lost: list[tuple[int, int]] = []
        self._kept: Mapping[tuple[int, int], Epoch] = {
            (one.property_id, one.number): one for one in run.epochs if one.property_id in lines.properties
        }
        expected = self._expected()
        for key in sorted(expected.keys() | self._kept.keys()):
            self._compare(expected.get(key), self._kept.get(key))

    def offset(self, row: HalfHour) -> int:
        """What is added to a half-hour's register where it must go on."""
        epoch = self._kept.get((row.property_id, row.epoch))
        return 0 if epoch is None else epoch.offset.whole

    def value(self, at_ms: int) -> int:
        """What the register in use showed."""
        return sum(self._site.meters.value(part, at_ms) for part in self._parts)

    def _face(self, at_ms: UtcMs) -> int:
        return sum(self._site.meters.old_face(part, at_ms) for part in self._parts)

    def _expected(self) -> dict[tuple[int, int], Epoch]:
        weather, part = self._site.weather, self._parts[0]
        until_ms = self._readings[-1]
        breaks = [(one.at_ms, one.swap) for one in weather.breaks.get(part, ()) if one.at_ms <= until_ms]
        rolls_ms = self._rolls_ms(part)
        if rolls_ms is not None:
            breaks.append((rolls_ms, False))
        first_ms = UtcMs(self._readings[0])
        found = [self._epoch(0, 0, Break.FIRST, first_ms, self.value(first_ms))]
        generation = number = offset = 0
        for at_ms, swap in sorted(breaks):
            later = bisect_left(self._readings, at_ms)
            last_ms, begun_ms = UtcMs(self._readings[later - 1]), UtcMs(self._readings[later])
            if swap:
                generation, number = generation + 1, 0
                last, first = self._face(at_ms), self.value(at_ms)
                offset += last - first
                found.append(self._epoch(generation, 0, Break.SWAP, at_ms, first, last, at_ms, offset))
                continue
            last, first, number = self.value(last_ms), self.value(begun_ms), number + 1
            kind = Break.ROLLOVER if at_ms == rolls_ms else Break.RESET
            if kind is Break.RESET:
                self.lost.append((last_ms, begun_ms))
            offset += SIZE[part] if kind is Break.ROLLOVER else last - first
            found.append(self._epoch(generation, number, kind, begun_ms, first, last, last_ms, offset))
        return {(one.property_id, one.number): one for one in found}

    def _rolls_ms(self, part: str) -> UtcMs | None:
        """When a register was first read after it rolled over: it stands still where nothing is used."""
        at_ms = self._site.weather.rollovers.get(part)
        if at_ms is None:
            return None
        counted = self._site.meters.counted(part, at_ms)
        return next(
            (UtcMs(one) for one in self._readings if self._site.meters.counted(part, one) >= counted), None
        )

    def _epoch(
        self,
        generation: int,
        number: int,
        kind: Break,
        at_ms: UtcMs,
        first: int,
        last: int | None = None,
        last_ms: UtcMs | None = None,
        offset: int = 0,
    ) -> Epoch:
        swap = kind is Break.SWAP
        properties = self._lines.properties
        if generation >= len(properties):
            self.wrong.append(f"{self._channel}: meter {generation} is not known")
        return Epoch(
            property_id=PropertyId(properties[generation] if generation < len(properties) else -generation),
            number=number,
            kind=kind,
            at_ms=at_ms,
            first=Quantity(first, 0),
            last=None if last is None else Quantity(last, 0),
            last_ms=last_ms,
            offset=Quantity(offset, 0),
            predecessor=PropertyId(properties[generation - 1]) if swap else None,
            signed_by=SIGNS if swap else "",
        )

    def _compare(self, expected: Epoch | None, kept: Epoch | None) -> None:
        if expected == kept:
            return
        at_ms = (expected or kept).at_ms  # type: ignore[union-attr]  # one of them is there
        self.wrong.append(f"{self._channel} {iso_utc(at_ms)}: epoch {kept} instead of {expected}")
