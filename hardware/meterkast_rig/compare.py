"""What the platforms received, held against what the devices showed.

It knows nothing of how the gateway comes to its values. A device's record says what was shown and when; here
it is computed again what each half-hour must be: the latest of a register, the time-weighted mean, or the
largest weight and those before emptyings. The gateway's clock is known to within a tolerance only, so near an
edge either of two reports may count. Times are milliseconds of the gateway's clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise

from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, UtcMs, iso_utc

UNBELIEVABLE_PER_HOUR = Decimal(100)
"""A register that rises by more in an hour (kWh, m³) shows nonsense: ten times what a building draws."""

SLACK_MS = HOUR_MS // 60
CONFIRMED_BY = 3
"""A register that begins anew counts once three reports agree; until then, either is right."""

EMPTIED = Decimal("0.3")
LEAST_FALL = Decimal("0.5")
"""A weight that falls by more than this share of its peak, and by half a kilogram, was emptied."""
REFILLED = Decimal("0.05")
"""It can be emptied again once it has risen by more than this share of that peak, and by half a kilogram."""

_STEPS = 20
_MOVED = Decimal("0.05")
"""How far a mean may be off for reports that took longer than others: of how far the value moved."""


class Rule(StrEnum):
    """What stands for a half-hour."""

    REGISTER = "register"
    MEAN = "mean"
    PEAK = "peak"


@dataclass(frozen=True, slots=True)
class Shown:
    """One report, in the platform's unit.

    Attributes:
        sure: The gateway must have heard it; it may have been away otherwise.
        digit: What one step of its last digit comes to.
    """

    at_ms: int
    value: Decimal
    sure: bool = True
    digit: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One value at one platform.

    Attributes:
        name: For people.
        rule: What stands for a half-hour.
        shown: What the device showed, oldest first.
        received: By the half-hour's end: the value, preceded by those before emptyings. Empty: null was sent.
        why: The cause that the gateway kept for a half-hour without a value; None where it has none.
        hold_ms: How long a value stands.
        tolerance_ms: How well the gateway's clock is known.
        until_ms: Half-hours that end by then must be there.
        most_per_hour: A register that rises by more shows nonsense.
    """

    name: str
    rule: Rule
    shown: Sequence[Shown]
    received: Mapping[UtcMs, Sequence[Decimal]]
    why: Callable[[UtcMs], str | None]
    hold_ms: int = HALF_HOUR_MS
    tolerance_ms: int = 0
    until_ms: UtcMs = UtcMs(0)
    most_per_hour: Decimal = UNBELIEVABLE_PER_HOUR


@dataclass(slots=True)
class Findings:
    """What a comparison came to.

    Attributes:
        right: Half-hours that are what was shown, by rule.
        bounded: Of the means, those that could only be held against the smallest and largest value.
        missing: Half-hours that are not there, by the gateway's cause.
        wrong: Each difference, as a sentence.
    """

    right: Counter[str] = field(default_factory=Counter)
    bounded: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def compare(all_series: Iterable[Series]) -> Findings:
    """Hold every half-hour of every series against what was shown."""
    findings = Findings()
    for series in all_series:
        _compare_one(series, findings)
    return findings


def _compare_one(series: Series, findings: Findings) -> None:
    ends = sorted(end_ms for end_ms, values in series.received.items() if values)
    if not ends:
        findings.wrong.append(f"{series.name}: nothing was received")
        return
    last_ms = max(ends[-1], series.until_ms // HALF_HOUR_MS * HALF_HOUR_MS)
    for end_ms in range(ends[0], last_ms + 1, HALF_HOUR_MS):
        values = series.received.get(UtcMs(end_ms), ())
        if values:
            trouble = _JUDGES[series.rule](series, end_ms, values, end_ms == ends[0], findings)
            if trouble:
                findings.wrong.append(f"{_at(series, end_ms)}: {trouble}")
            else:
                findings.right[series.rule] += 1
        else:
            _missing(series, end_ms, findings)
    if series.rule is Rule.REGISTER:
        findings.wrong += _falls(series, ends)


def _missing(series: Series, end_ms: int, findings: Findings) -> None:
    cause = series.why(UtcMs(end_ms))
    since_ms, until_ms = end_ms - HALF_HOUR_MS + series.tolerance_ms, end_ms - series.tolerance_ms
    heard = [one.value for one in believable(series) if one.sure and since_ms < one.at_ms <= until_ms]
    if cause is None:
        findings.wrong.append(f"{_at(series, end_ms)}: is missing, and nothing says why")
    elif heard:
        findings.wrong.append(f"{_at(series, end_ms)}: {cause}, but the device showed {_text(heard)}")
    else:
        findings.missing[cause] += 1


def _at(series: Series, end_ms: int) -> str:
    return f"{series.name}, half-hour until {iso_utc(UtcMs(end_ms))}"


def _register(series: Series, end_ms: int, values: Sequence[Decimal], first: bool, findings: Findings) -> str:
    shown = believable(series)
    tolerance_ms = series.tolerance_ms
    certain = max((one.at_ms for one in shown if one.sure and one.at_ms <= end_ms - tolerance_ms), default=0)
    start_ms = end_ms - HALF_HOUR_MS - tolerance_ms
    possible = {
        one.value for one in shown if max(certain, start_ms + 1) <= one.at_ms <= end_ms + tolerance_ms
    }
    if values[-1] in possible and len(values) == 1:
        return ""
    ever = "" if any(one.value == values[-1] for one in series.shown) else ", which was never shown"
    return f"received {_text(values)}{ever}; the device showed {_text(sorted(possible))} last"


def _mean(series: Series, end_ms: int, values: Sequence[Decimal], first: bool, findings: Findings) -> str:
    value = values[-1]
    since_ms = end_ms - HALF_HOUR_MS - series.hold_ms - series.tolerance_ms
    near = [one for one in series.shown if since_ms < one.at_ms <= end_ms + series.tolerance_ms]
    if not near:
        return f"received {value}; the device showed nothing"
    low, high = min(one.value for one in near), max(one.value for one in near)
    digit = max(one.digit for one in near)
    if not low - digit <= value <= high + digit:
        return f"received {value}; the device showed {low} to {high}"
    start_ms = end_ms - HALF_HOUR_MS - series.tolerance_ms
    stood_ms = max((one.at_ms for one in near if one.sure and one.at_ms <= start_ms), default=0)
    # What came before the first half-hour that was received may not have been heard.
    if first or not all(one.sure for one in near if one.at_ms >= stood_ms):
        findings.bounded += 1
        return ""
    means = [
        mean
        for step in range(-_STEPS, _STEPS + 1)
        if (mean := _weighted(near, end_ms + series.tolerance_ms * step // _STEPS, series.hold_ms))
        is not None
    ]
    if not means:
        return f"received {value}; no value stood in that half-hour"
    slack = (high - low) * _MOVED + digit
    if min(means) - slack <= value <= max(means) + slack:
        return ""
    return f"received {value}; the mean of what was shown is {min(means):.4f} to {max(means):.4f}"


def _weighted(shown: Sequence[Shown], end_ms: int, hold_ms: int) -> Decimal | None:
    start_ms = end_ms - HALF_HOUR_MS
    total, stood_ms = Decimal(0), 0
    for one, after_ms in zip(shown, [*(later.at_ms for later in shown[1:]), end_ms], strict=True):
        length_ms = min(after_ms, one.at_ms + hold_ms, end_ms) - max(one.at_ms, start_ms)
        if length_ms > 0:
            total += one.value * length_ms
            stood_ms += length_ms
    return total / stood_ms if stood_ms else None


def _peak(series: Series, end_ms: int, values: Sequence[Decimal], first: bool, findings: Findings) -> str:
    tolerance_ms, start_ms = series.tolerance_ms, end_ms - HALF_HOUR_MS
    inside = [
        one
        for one in series.shown
        if one.sure and start_ms + tolerance_ms < one.at_ms <= end_ms - tolerance_ms and not first
    ]
    around = [one for one in series.shown if start_ms - tolerance_ms < one.at_ms <= end_ms + tolerance_ms]
    possible = {one.value for one in around}
    least = max((one.value for one in inside), default=Decimal("-Infinity"))
    if values[-1] not in possible or values[-1] < least:
        return f"received {values[-1]}; the device showed {_text(sorted(possible))}"
    emptyings = _emptyings(series.shown)
    allowed = [
        peak for one, peak in emptyings if start_ms - tolerance_ms < one.at_ms <= end_ms + tolerance_ms
    ]
    needed = [peak for one, peak in emptyings if one in inside]
    given = list(values[:-1])
    unsure = first or not all(one.sure for one in around)
    if all(peak in given for peak in needed) and (unsure or all(peak in allowed for peak in given)):
        return ""
    return f"received {_text(given)} before emptyings; it weighed {_text(allowed)}"


_JUDGES = {Rule.REGISTER: _register, Rule.MEAN: _mean, Rule.PEAK: _peak}


def _emptyings(shown: Sequence[Shown]) -> list[tuple[Shown, Decimal]]:
    """Each report with which an emptying begins, and the largest weight before it."""
    found: list[tuple[Shown, Decimal]] = []
    peak = Decimal(0)
    low: Decimal | None = None  # while the bin counts as empty
    for one in shown:
        if low is not None:
            rise = one.value - low
            low = min(low, one.value)
            if rise > peak * REFILLED and rise >= LEAST_FALL:
                peak, low = one.value, None
            continue
        fall = peak - one.value
        if fall > peak * EMPTIED and fall >= LEAST_FALL:
            found.append((one, peak))
            low = one.value
        else:
            peak = max(peak, one.value)
    return found


def believable(series: Series) -> Sequence[Shown]:
    """A register's reports without single ones that cannot be; not sure while it begins anew."""
    shown, most = series.shown, series.most_per_hour
    if series.rule is not Rule.REGISTER:
        return shown
    kept: list[Shown] = []
    last: Shown | None = None
    unsure = 0
    for number, one in enumerate(shown):
        if last is not None and not _follows(last, one, most):
            after = shown[number + 1 : number + CONFIRMED_BY]
            if any(_follows(last, later, most) for later in after):
                continue  # what came next goes on as before: nonsense
            unsure = CONFIRMED_BY
        kept.append(Shown(one.at_ms, one.value, one.sure and not unsure, one.digit))
        unsure = max(0, unsure - 1)
        last = one
    return kept


def _follows(before: Shown, after: Shown, most_per_hour: Decimal) -> bool:
    most = most_per_hour * (after.at_ms - before.at_ms + SLACK_MS) / HOUR_MS
    return 0 <= after.value - before.value <= most


def _falls(series: Series, ends: Sequence[UtcMs]) -> list[str]:
    shown = believable(series)
    # Where the device's register itself fell, so may what is received.
    breaks = [later.at_ms for before, later in pairwise(shown) if later.value < before.value]
    found = []
    for before_ms, end_ms in pairwise(ends):
        before, after = series.received[before_ms][-1], series.received[end_ms][-1]
        begins_ms = before_ms - HALF_HOUR_MS - series.tolerance_ms
        broken = any(begins_ms <= at_ms <= end_ms + series.tolerance_ms for at_ms in breaks)
        if after < before and not broken:
            found.append(f"{_at(series, end_ms)}: fell from {before} to {after}")
    return found


def _text(values: Iterable[Decimal]) -> str:
    found = [f"{value.normalize():f}" for value in values]
    return " or ".join(found[:4]) + (" …" if len(found) > 4 else "") if found else "nothing"
