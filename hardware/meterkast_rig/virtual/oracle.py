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
from meterkast.proof.ledger import Handed
from meterkast_rig.virtual.counters import Life, Lines, lines_of
from meterkast_rig.virtual.platforms import Values
from meterkast_rig.virtual.site import CAPTURE_S, CHANNELS, SOURCE, TOTALS, Meters, captured
from meterkast_rig.virtual.sources import PROPERTIES
from meterkast_rig.virtual.year import FLUSH_S, Run

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
    "sub": {"power_consumption/plug": ("plug", 3)},
    "air": {"temp": ("room", 0)},
    "t1": {"pC_1": ("import_t1", 0)},
    "gas": {"value": ("gas", 0)},
    "plug": {"value": ("plug", 0)},
}
"""What each stream is made of: by its parameter the channel, and the power of ten of the platform's unit."""

_CONTINUED = ("mains", "water", "sub")
"""RESET's streams of registers go on whatever the meters do; at Wattics they are as the meter shows them."""


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
    verdict.wrong += run.refused
    lines = lines_of(run)
    found: dict[str, _Channel] = {}
    for channel in (*CHANNELS, *TOTALS):
        if channel not in lines:
            verdict.wrong.append(f"{channel}: nothing is there")
            continue
        judged = found[channel] = _Channel(run, channel, lines[channel], verdict)
        judged.rows(run.end_ms)
        if judged.life is not None:
            verdict.wrong += judged.life.wrong
            judged.conserved(judged.life)
    _ledger(run, found, verdict)
    for platform in (run.reset, run.wattics):
        for stream, taken in platform.far.streams.items():
            _stream(run, stream, taken, found, verdict)
            verdict.counts["delivered"] += len(taken)
        verdict.counts["repeated"] += platform.far.repeated
    missing = set(_STREAMS) - {*run.reset.far.streams, *run.wattics.far.streams}
    if missing:
        verdict.wrong.append(f"nothing was delivered of {sorted(missing)}")
    return verdict


class _Channel:
    """One channel's half-hours against the truth."""

    def __init__(self, run: Run, channel: str, lines: Lines, verdict: Verdict) -> None:
        site, parts = run.site, TOTALS.get(channel, (channel,))
        source = site.record.sources[SOURCE[parts[0]]]
        self.lines = lines
        self.site = site
        self.channel = channel
        self.verdict = verdict
        self._parts = parts
        self._certain = self._good(source.kept)
        self._unsure = frozenset(self._good(source.unsure))
        self.life = None if channel == "room" else Life(run, channel, lines, self._certain)

    def _good(self, times: Iterable[int]) -> list[int]:
        return sorted(at for at in times if not any(self.site.is_outlier(one, at) for one in self._parts))

    def value(self, at_ms: int) -> int:
        return sum(self.site.meters.value(part, at_ms) for part in self._parts)

    def readings(self, start_ms: int, end_ms: int) -> Sequence[int]:
        """When the readings of (start, end] were measured that the gateway was given and promised to keep."""
        return self._certain[bisect_right(self._certain, start_ms) : bisect_right(self._certain, end_ms)]

    def rows(self, until_ms: int) -> None:
        """Every half-hour since the first reading is there, and right, or missing for the right cause."""
        grid, say, rows = self.site.grid, self.verdict.say, self.lines.rows
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
        for row in (row for meter in self.lines.meters for row in meter):
            # Of a swapped meter there may be one more: what both showed in the half-hour across the swap.
            if (
                row.value is not None
                and row.taken_ms is not None
                and row.value.whole != self.value(row.taken_ms)
            ):
                self._say(row, f"is {row.value} instead of {self.value(row.taken_ms)}")

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
        if taken[Cause.CLOCK_UNKNOWN] and taken[Cause.GATEWAY_OFF]:
            # How long a boot ran that never knew the time is known to the last time it was written.
            near = [cause for cause, ms in taken.items() if (ms + FLUSH_S * 1000) * 2 >= HALF_HOUR_MS]
            allowed |= {Cause.CLOCK_UNKNOWN, Cause.GATEWAY_OFF} & set(near)
        # What is read once an hour is not due in between. The telegram does not say how often a meter is: the
        # driver takes all of a DSMR 4 meter's for hourly, and two hours without any for silence.
        hourly = self.channel in CAPTURE_S and (not most or most == [Cause.METER_SILENT])
        recent = self.readings(row.end_ms - _NOT_DUE_MS, start_ms)
        if hourly and (recent or not self._due(start_ms, row.end_ms)):
            allowed |= {Cause.NOT_DUE}
        if row.cause not in allowed:
            causes = ", ".join(map(str, allowed)) or "no reason to be missing"
            self._say(row, f"missing for {row.cause} instead of {causes}")

    def _due(self, start_ms: int, end_ms: int) -> bool:
        return captured(self.channel, end_ms) > start_ms

    def conserved(self, life: Life) -> None:
        """What the half-hours add up to, as a register that goes on, is what the meters counted, exactly.

        Of a reset what was counted between the last reading before it and the first one after it is lost.
        """
        meters, rows = self.site.meters, self.lines.rows
        measured = [row for row in rows if row.value is not None and row.taken_ms is not None]
        added = counted = 0
        for before, after in pairwise(measured):
            if before.value is None or after.value is None:
                continue
            if before.taken_ms is None or after.taken_ms is None:
                continue
            grown = after.value.whole + life.offset(after) - before.value.whole - life.offset(before)
            added += grown
            counted += self._counted(meters, after.taken_ms) - self._counted(meters, before.taken_ms)
            for since_ms, until_ms in life.lost:
                if before.taken_ms < until_ms <= after.taken_ms:
                    counted -= self._counted(meters, until_ms) - self._counted(meters, since_ms)
            if grown < 0:
                self._say(after, "the register fell")
        self.verdict.counts["conserved"] += added
        if added != counted:
            self.verdict.wrong.append(f"{self.channel}: adds up to {added}, and the meter counted {counted}")

    def _counted(self, meters: Meters, at_ms: int) -> int:
        return sum(meters.counted(part, at_ms) for part in self._parts)

    def _say(self, row: HalfHour, what: str) -> None:
        self.verdict.say(self.channel, row.end_ms, f"revision {row.revision}: {what}")


def _ledger(run: Run, found: Mapping[str, _Channel], verdict: Verdict) -> None:
    """The ledger has an entry for each half-hour of each channel that is owed, and says what was judged."""
    for (stream, name), entries in run.entries.items():
        parameters = _STREAMS[stream]
        parameter = name if name in parameters else "/".join(reversed(name.split("/")))
        rows = {row.end_ms: row for row in found[parameters[parameter][0]].lines.rows}
        for before, entry in pairwise(entries):
            if entry.end_ms != run.site.grid.next_end(before.end_ms):
                verdict.say(f"ledger {stream} {name}", entry.end_ms, f"follows {iso_utc(before.end_ms)}")
        if entries[-1].end_ms < run.end_ms - HALF_HOUR_MS:
            verdict.say(f"ledger {stream} {name}", entries[-1].end_ms, "is the last")
        for entry in entries:
            if entry.end_ms > run.end_ms - _CLOSED_MS:
                break
            verdict.counts["ledger"] += 1
            row = rows.get(entry.end_ms)
            if row is None or (str(entry.standing), entry.cause) != (str(row.state), row.cause):
                said = None if row is None else (str(row.state), str(row.cause))
                verdict.say(
                    f"ledger {stream} {name}",
                    entry.end_ms,
                    f"{entry.standing}, {entry.cause}; the half-hour is {said}",
                )
            elif row.state is State.MEASURED and entry.handed is not Handed.DELIVERED:
                verdict.say(f"ledger {stream} {name}", entry.end_ms, f"{entry.handed}")


def _stream(
    run: Run, stream: str, taken: Mapping[UtcMs, Values], found: Mapping[str, _Channel], verdict: Verdict
) -> None:
    """A platform has every half-hour of a stream that was closed with a value, with that value."""
    first = next(iter(taken))
    if first > run.start_ms + 2 * HOUR_MS:
        verdict.say(stream, first, "is the first at the platform")
    wanted: set[UtcMs] = set()
    for parameter, (channel, power) in _STREAMS[stream].items():
        judged = found[channel]
        for row in judged.lines.rows:
            if row.end_ms >= first:
                wanted.add(row.end_ms)
                sent = taken.get(row.end_ms, {}).get(parameter)
                _value(verdict, f"{stream} {parameter}", row, sent, judged, power, stream in _CONTINUED)
    for end_ms in taken.keys() - wanted:
        verdict.say(stream, end_ms, "is at the platform, and was never closed")


def _value(
    verdict: Verdict,
    name: str,
    row: HalfHour,
    sent: str | None,
    judged: _Channel,
    power: int,
    continued: bool,
) -> None:
    offset = judged.life.offset(row) if continued and judged.life is not None else 0
    if row.revision:
        # Frozen when it was closed: what came later is in the database alone.
        then = {judged.value(at) + offset for at in judged.readings(row.end_ms - HALF_HOUR_MS, row.end_ms)}
        if sent is not None and Decimal(sent).scaleb(power) not in then:
            verdict.say(name, row.end_ms, f"{sent} was sent, and never read")
        return
    expected = None
    if row.state is State.MEASURED and row.value is not None:
        expected = row.value.decimal(power) + Decimal(offset).scaleb(-power)
    if expected is None:
        if sent is not None:
            verdict.say(name, row.end_ms, f"{sent} was sent, and it is {row.state}")
    elif sent is None:
        verdict.say(name, row.end_ms, "was never sent")
    elif Decimal(sent) != expected:
        verdict.say(name, row.end_ms, f"{sent} was sent instead of {expected}")
