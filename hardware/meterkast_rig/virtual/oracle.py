"""Says what is wrong with what came of a run, from the simulated meters and the stories alone."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, UtcMs, iso_utc
from meterkast_rig.virtual.platforms import Values
from meterkast_rig.virtual.site import CAPTURE_S, CHANNELS, SOURCE, Meters, Site, captured
from meterkast_rig.virtual.sources import PROPERTIES
from meterkast_rig.virtual.year import Run

TOTALS = {"import_total": ("import_t1", "import_t2"), "export_total": ("export_t1", "export_t2")}
_HOLD_MS = PROPERTIES["room"].fresh_ms
_NOT_DUE_MS = 2 * HOUR_MS
_CLOSED_MS = 3 * HOUR_MS
"""So long before its end a run has closed everything: hourly gas is waited for."""

_STREAMS: Mapping[str, Mapping[str, tuple[str, int]]] = {
    "mains": {
        "power_consumption/import": ("import_total", 3),
        "power_consumption/export": ("export_total", 3),
    },
    "water": {"water_flow/water": ("water", 0)},
    "air": {"temp": ("room", 0)},
    "t1": {"pC_1": ("import_t1", 0)},
    "gas": {"value": ("gas", 0)},
    "plug": {"value": ("plug", 0)},
}
"""What each stream is made of: by its parameter the channel, and the power of ten of the platform's unit."""


@dataclass(slots=True)
class Verdict:
    """What was found.

    Attributes:
        wrong: Everything that is not as it should be, in words; empty where all is well.
        counts: How much was looked at.
    """

    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def say(self, channel: str, end_ms: int, what: str) -> None:
        self.wrong.append(f"{channel} {iso_utc(UtcMs(end_ms))}: {what}")


def judge(run: Run) -> Verdict:
    """Compare what the database and the platforms hold with what they must."""
    verdict = Verdict()
    verdict.wrong += run.site.record.wrong + run.reset.far.wrong + run.wattics.far.wrong
    if run.backlog or run.quarantined:
        verdict.wrong.append(f"not delivered: {run.backlog} items wait, {run.quarantined} are set aside")
    rows = _by_channel(run)
    for channel in (*CHANNELS, *TOTALS):
        judged = _Channel(run.site, channel, verdict)
        judged.rows(rows[channel], run.end_ms)
        if channel != "room":
            judged.conserved(rows[channel])
    for platform in (run.reset, run.wattics):
        for stream, taken in platform.far.streams.items():
            _stream(run, stream, taken, rows, verdict)
            verdict.counts["delivered"] += len(taken)
        verdict.counts["repeated"] += platform.far.repeated
    missing = set(_STREAMS) - {*run.reset.far.streams, *run.wattics.far.streams}
    if missing:
        verdict.wrong.append(f"nothing was delivered of {sorted(missing)}")
    return verdict


class _Channel:
    """One channel's half-hours against the truth."""

    def __init__(self, site: Site, channel: str, verdict: Verdict) -> None:
        parts = TOTALS.get(channel, (channel,))
        source = site.record.sources[SOURCE[parts[0]]]
        self.site = site
        self.channel = channel
        self.verdict = verdict
        self._parts = parts
        self._certain = self._good(source.kept)
        self._unsure = frozenset(self._good(source.unsure))

    def _good(self, times: Iterable[int]) -> list[int]:
        return sorted(at for at in times if not any(self.site.is_outlier(one, at) for one in self._parts))

    def value(self, at_ms: int) -> int:
        return sum(self.site.meters.value(part, at_ms) for part in self._parts)

    def readings(self, start_ms: int, end_ms: int) -> Sequence[int]:
        """When the readings of (start, end] were measured that the gateway was given and promised to keep."""
        return self._certain[bisect_right(self._certain, start_ms) : bisect_right(self._certain, end_ms)]

    def rows(self, rows: Sequence[HalfHour], until_ms: int) -> None:
        """Every half-hour since the first reading is there, and right, or missing for the right cause."""
        grid, say = self.site.grid, self.verdict.say
        first = grid.end_of(UtcMs(self._certain[0]))
        if not rows or rows[0].end_ms != first:
            say(self.channel, first, "the first half-hour is not there")
            return
        if rows[-1].end_ms < until_ms - _CLOSED_MS:
            say(self.channel, rows[-1].end_ms, "nothing is closed after it")
        for before, row in pairwise(rows):
            if row.end_ms != grid.next_end(before.end_ms):
                say(self.channel, row.end_ms, f"follows {iso_utc(before.end_ms)}")
        for row in rows:
            self.verdict.counts["half-hours"] += 1
            self.verdict.counts[str(row.state)] += 1
            if row.cause is not None:
                self.verdict.counts[str(row.cause)] += 1
            self._row(row, row.end_ms - HALF_HOUR_MS)

    def _row(self, row: HalfHour, start_ms: int) -> None:
        inside = self.readings(start_ms, row.end_ms)
        if self.channel == "room":
            self._mean(row, start_ms, inside)
            return
        unsure = {at for at in self._unsure if start_ms < at <= row.end_ms}
        expected = {inside[-1]} if inside else set()
        expected |= {at for at in unsure if not inside or at > inside[-1]}
        if row.value is None:
            if inside:
                self._say(row, f"missing ({row.cause}), though read at {iso_utc(UtcMs(inside[-1]))}")
            self._cause(row, start_ms)
        elif row.taken_ms not in expected:
            wanted = [iso_utc(UtcMs(at)) for at in expected]
            self._say(row, f"taken at {row.taken_ms and iso_utc(row.taken_ms)} instead of {wanted}")
        elif row.value.whole != self.value(row.taken_ms):
            self._say(row, f"is {row.value} instead of {self.value(row.taken_ms)}")

    def _mean(self, row: HalfHour, start_ms: int, inside: Sequence[int]) -> None:
        expected = self._expected_mean(start_ms, row.end_ms, inside)
        if expected is None:
            if row.value is not None:
                self._say(row, f"is {row.value}, and nothing was read")
            else:
                self._cause(row, start_ms)
        elif row.value is None:
            self._say(row, f"missing ({row.cause}), though read")
        elif row.value.decimal() != expected and not self._unsure:
            self._say(row, f"is {row.value.decimal()} instead of {expected}")

    def _expected_mean(self, start_ms: int, end_ms: int, inside: Sequence[int]) -> Decimal | None:
        """Each reading weighed by how long it stood, in thousandths."""
        before = self.readings(start_ms - _HOLD_MS, start_ms)[-1:]
        edges = [*before, *inside]
        weighed = covered = 0
        for at, later in pairwise([*edges, end_ms]):
            stood = min(later, at + _HOLD_MS, end_ms) - max(at, start_ms)
            if stood > 0:
                covered += stood
                weighed += stood * self.value(at)
        if not inside and covered < end_ms - start_ms:
            return None
        tenths = Fraction(weighed, covered) if covered else Fraction(self.value(inside[-1]))
        return Decimal(round(tenths * 100)).scaleb(-3)

    def _cause(self, row: HalfHour, start_ms: int) -> None:
        taken: Counter[Cause] = Counter()
        for gap in self.site.weather.gaps:
            if gap.channels & set(self._parts):
                taken[gap.cause] += gap.span.overlap_ms(start_ms, row.end_ms)
        most = [cause for cause, ms in taken.items() if ms * 2 >= HALF_HOUR_MS]
        allowed = set(most) or {cause for cause, ms in taken.items() if ms}
        if self.channel in CAPTURE_S and (not most or most == [Cause.METER_SILENT]):
            # What is read once an hour is not due in between. The telegram does not say how often a meter
            # is: the driver takes all of a DSMR 4 meter's for hourly, and two hours without any for silence.
            if self.readings(row.end_ms - _NOT_DUE_MS, start_ms) or not self._due(start_ms, row.end_ms):
                allowed |= {Cause.NOT_DUE}
            if any(span.overlap_ms(start_ms, row.end_ms) for span in self.site.weather.unknown):
                allowed |= {Cause.CLOCK_UNKNOWN}
        if row.cause not in allowed:
            causes = ", ".join(map(str, allowed)) or "no reason to be missing"
            self._say(row, f"missing for {row.cause} instead of {causes}")

    def _due(self, start_ms: int, end_ms: int) -> bool:
        return captured(self.channel, end_ms) > start_ms

    def conserved(self, rows: Sequence[HalfHour]) -> None:
        """What the half-hours add up to is what the meter counted, exactly."""
        meters, resets = self.site.meters, self._resets()
        measured = [row for row in rows if row.value is not None and row.taken_ms is not None]
        added = counted = 0
        for before, after in pairwise(measured):
            if before.value is None or after.value is None:
                continue
            if before.taken_ms is None or after.taken_ms is None:
                continue
            if any(before.taken_ms < at <= after.taken_ms for at in resets):
                continue
            added += after.value.whole - before.value.whole
            counted += self._counted(meters, after.taken_ms) - self._counted(meters, before.taken_ms)
            if after.value.whole < before.value.whole:
                self._say(after, "the register fell")
        self.verdict.counts["conserved"] += added
        if added != counted:
            self.verdict.wrong.append(f"{self.channel}: adds up to {added}, and the meter counted {counted}")

    def _counted(self, meters: Meters, at_ms: int) -> int:
        return sum(meters.counted(part, at_ms) for part in self._parts)

    def _resets(self) -> Sequence[int]:
        return [at for part in self._parts for at in self.site.weather.resets.get(part, ())]

    def _say(self, row: HalfHour, what: str) -> None:
        self.verdict.say(self.channel, row.end_ms, f"revision {row.revision}: {what}")


def _by_channel(run: Run) -> dict[str, Sequence[HalfHour]]:
    names: dict[int, str] = {}
    for (identity, key), number in run.keys.items():
        names[number] = {
            "p1:G": "gas",
            "p1:W": "water",
            "radi": {"radio:2": "plug", "radio:3": "room"}.get(identity, ""),
        }.get(identity[:4], key)
    rows: dict[str, list[HalfHour]] = {}
    for row in run.half_hours:
        rows.setdefault(names[row.property_id], []).append(row)
    return {channel: rows.get(channel, []) for channel in (*CHANNELS, *TOTALS)}


def _stream(
    run: Run,
    stream: str,
    taken: Mapping[UtcMs, Values],
    rows: Mapping[str, Sequence[HalfHour]],
    verdict: Verdict,
) -> None:
    """A platform has every half-hour of a stream that was closed with a value, with that value."""
    first = next(iter(taken))
    if first > run.start_ms + 2 * HOUR_MS:
        verdict.say(stream, first, "is the first at the platform")
    parameters = _STREAMS[stream]
    wanted: dict[UtcMs, dict[str, HalfHour]] = {}
    for parameter, (channel, _) in parameters.items():
        for row in rows[channel]:
            if row.end_ms >= first:
                wanted.setdefault(row.end_ms, {})[parameter] = row
    for end_ms, found in wanted.items():
        values = taken.get(end_ms, {})
        for parameter, row in found.items():
            channel, power = parameters[parameter]
            _value(run, verdict, f"{stream} {parameter}", row, values.get(parameter), channel, power)
    for end_ms in taken.keys() - wanted.keys():
        verdict.say(stream, end_ms, "is at the platform, and was never closed")


def _value(
    run: Run, verdict: Verdict, name: str, row: HalfHour, sent: str | None, channel: str, power: int
) -> None:
    if row.revision:
        # Frozen when it was closed: what came later is in the database alone.
        judged = _Channel(run.site, channel, verdict)
        then = {judged.value(at) for at in judged.readings(row.end_ms - HALF_HOUR_MS, row.end_ms)}
        if sent is not None and Decimal(sent).scaleb(power) not in then:
            verdict.say(name, row.end_ms, f"{sent} was sent, and never read")
        return
    expected = row.value.decimal(power) if row.state is State.MEASURED and row.value else None
    if expected is None:
        if sent is not None:
            verdict.say(name, row.end_ms, f"{sent} was sent, and it is {row.state}")
    elif sent is None:
        verdict.say(name, row.end_ms, "was never sent")
    elif Decimal(sent) != expected:
        verdict.say(name, row.end_ms, f"{sent} was sent instead of {expected}")
