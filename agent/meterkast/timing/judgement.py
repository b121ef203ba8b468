"""Who is believed: two that agree within a minute, else the one that may be believed alone.

Pure: witnesses and the time since the machine's start go in, a verdict comes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meterkast.model.time import DAY_MS, MINUTE_MS, UtcMs
from meterkast.ports.clock import Trust
from meterkast.timing.evidence import Source, Witness

AGREE_MS = MINUTE_MS
"""How far apart sources may be and still say the same."""

CEILING_MS = 90 * DAY_MS
"""A meter alone that is further ahead of the last known time waits for someone to confirm it."""

_EXACT = list(Source)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the sources come to.

    Attributes:
        trust: How far the offset can be relied on; UNKNOWN where no one may be believed.
        offset_ms: The most exact of those believed.
        believed: Who.
        outvoted: Who says something else.
        disputed: They disagree, and no side is in the majority.
    """

    trust: Trust = Trust.UNKNOWN
    offset_ms: int = 0
    believed: tuple[Witness, ...] = ()
    outvoted: tuple[Witness, ...] = ()
    disputed: bool = False


def judge(live: Sequence[Witness]) -> Verdict:
    """The verdict on witnesses that all count.

    A platform alone, or a hardware clock alone, is never believed: it only decides between others.
    """
    if not live:
        return Verdict()
    side, *others = _largest(live)
    if others:
        return Verdict(disputed=True, outvoted=tuple(live))
    rest = tuple(one for one in live if one not in side)
    best = min(side, key=lambda one: _EXACT.index(one.kind))
    kinds = {one.kind for one in side}
    trust = Trust.UNKNOWN
    if Source.KERNEL in kinds or (Source.TLS in kinds and len(side) > 1):
        trust = Trust.TRUSTED
    elif Source.METER in kinds:
        trust = Trust.METER
    return Verdict(trust, best.offset_ms, tuple(side), rest)


def _largest(live: Sequence[Witness]) -> list[list[Witness]]:
    """The groups that agree and are as large as any.

    Two of them may share a member: one who is within a minute of two that are not within one of each other
    decides nothing.
    """
    ordered = sorted(live, key=lambda one: one.offset_ms)
    groups = [
        [one for one in ordered[first:] if one.offset_ms - ordered[first].offset_ms <= AGREE_MS]
        for first in range(len(ordered))
    ]
    most = max(map(len, groups))
    return [group for group in groups if len(group) == most]


def unlikely(verdict: Verdict, at_ms: int, known_ms: UtcMs | None) -> str:
    """Why a verdict is not followed before someone confirms it: a meter alone, against what was known last.

    Args:
        at_ms: Time since the machine's start.
        known_ms: The last known time, also by a meter alone; None at a first start ever.

    Returns:
        The reason, to be counted; empty where there is none.
    """
    if known_ms is None or len(verdict.believed) != 1 or verdict.trust is not Trust.METER:
        return ""
    said_ms = verdict.offset_ms + at_ms
    if said_ms < known_ms:
        return "meter: earlier than the last known time, and nobody confirms it"
    if said_ms > known_ms + CEILING_MS:
        return "meter: months ahead of the last known time, and nobody confirms it"
    return ""
