"""The state of the clock: unknown, then from a meter, then trusted; and disputes.

Time is measured from the machine's start by CLOCK_BOOTTIME, so that no step of the system's clock moves a
reading. What the sources say only decides which offset makes UTC of it. Once known, the time is kept for the
boot: a single source cannot move it by more than a minute, and a dispute leaves it as it is.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from meterkast.model.boot import Boot
from meterkast.model.time import SECOND_MS, UtcMs, iso_utc
from meterkast.ports.clock import SourceStatus, Trust
from meterkast.timing.course import Course
from meterkast.timing.evidence import Source, Witness
from meterkast.timing.judgement import AGREE_MS, CEILING_MS, Verdict, judge, unlikely

log = logging.getLogger(__name__)

SETTLE_MS = 30 * SECOND_MS
"""How long a synchronised system clock waits at a start for a meter or a platform to object."""

RTC_GOOD_MS = 2 * SECOND_MS
"""How far the hardware clock may be off at a stop to be listened to at the next start."""

_RANK = {Trust.UNKNOWN: 0, Trust.METER: 1, Trust.TRUSTED: 2}


class Timekeeper:
    """Takes what sources say, and says what time it is.

    Args:
        boot_id: This boot.
        at_ms: Time since the machine's start, now.
        wall_ms: What the system's clock shows, right or not; shown until the time is known.
        floor_ms: When this release was made: it is later than that.
        brief: For a command, which is over in seconds and closes nothing: a synchronised system clock counts
            at once, and while the time is unknown the system's clock is shown however far ahead it is.

    Attributes:
        trust: How far the time can be relied on.
        dispute: Who disagrees, in one sentence; empty while no one does.
        refused: What sources said that cannot be, by reason.
        floor_ms: It is later than that: the release, and what was trusted last.
    """

    def __init__(
        self, boot_id: str, at_ms: int, wall_ms: int, floor_ms: UtcMs, *, brief: bool = False
    ) -> None:
        self._brief = brief
        self.trust = Trust.UNKNOWN
        self.dispute = ""
        self.refused: Counter[str] = Counter()
        self.floor_ms = floor_ms
        self._known_ms: UtcMs | None = None
        self._witnesses: dict[tuple[Source, str], Witness] = {}
        self._verdict = Verdict()
        self._wall_ms, self._started_ms = wall_ms, at_ms
        self._kernel_since_ms: int | None = None
        self._course = Course(self._provisional_ms())
        self._boot = Boot(id=boot_id, first_ms=at_ms, last_ms=at_ms)

    def utc_of(self, at_ms: int) -> UtcMs:
        """UTC of a time since the machine's start."""
        return UtcMs(self._course.offset_ms(at_ms) + at_ms)

    def recall(self, past: Sequence[Boot]) -> None:
        """What earlier runs knew, oldest first; once, before anything is asked of it."""
        for boot in past:
            self._recall_known(boot)
            if boot.id == self._boot.id:
                self._boot = replace(boot, rtc_good=False)
                if boot.offset_ms is not None:
                    self._course = Course(boot.offset_ms)
                    self.trust = Trust(boot.trust)
        if self.trust is Trust.UNKNOWN:
            self._course = Course(self._provisional_ms())

    def _recall_known(self, boot: Boot) -> None:
        if (last_ms := boot.last_utc_ms) is None:
            return
        if boot.trust == Trust.TRUSTED:
            # Nothing is left of what a meter alone may have said before.
            self._known_ms = self.floor_ms = max(self.floor_ms, last_ms)
        else:
            # A meter may be years ahead: that is no floor for a system's clock or a platform.
            self._known_ms = max(self._known_ms or last_ms, last_ms)

    def _provisional_ms(self) -> int:
        """What is shown until the time is known: the system's clock where that may be right."""
        least_ms = max(self.floor_ms, self._known_ms or 0)
        likely = least_ms <= self._wall_ms and (self._brief or self._wall_ms <= least_ms + CEILING_MS)
        return (self._wall_ms if likely else least_ms) - self._started_ms

    def hear(self, kind: Source, name: str, utc_ms: tuple[int, int], at_ms: int) -> bool:
        """A source says what time it was, as an interval, at a time since the machine's start.

        Returns:
            Whether that can be.
        """
        low_ms, high_ms = utc_ms
        if high_ms < self.floor_ms:
            # Said once as a source that cannot be right, not as one that disagrees.
            self.refused[f"{kind.value}: earlier than the last trusted time"] += 1
            return False
        witness = self._witnesses.setdefault((kind, name), Witness(kind, name))
        unsteady = witness.unsteady
        witness.hear(low_ms - at_ms, high_ms - at_ms, at_ms)
        if kind is Source.METER and witness.unsteady > unsteady:
            self.refused[f"{kind.value}: its clock stood still or jumped"] += 1
        if kind is Source.KERNEL and self._kernel_since_ms is None:
            self._kernel_since_ms = at_ms
        return True

    def agrees(self, kind: Source, name: str) -> bool:
        """Whether that source is one of those the time is known by, and nobody contradicts."""
        known = self.trust is not Trust.UNKNOWN and not self.dispute
        return known and any((one.kind, one.name) == (kind, name) for one in self._verdict.believed)

    def judge(self, at_ms: int) -> None:
        """Look at all that was said, and follow it."""
        live = [witness for witness in self._witnesses.values() if witness.live(at_ms)]
        verdict = self._verdict = judge(live)
        dispute = ""
        if verdict.disputed:
            dispute = f"Clocks disagree: {self._said(verdict.outvoted, at_ms)}."
        elif self.trust is not Trust.UNKNOWN:
            dispute = self._follow(verdict, at_ms) if verdict.believed else ""
        elif verdict.trust is not Trust.UNKNOWN:
            self._learn(verdict, at_ms)
        self._dispute(dispute)

    def _learn(self, verdict: Verdict, at_ms: int) -> None:
        if reason := unlikely(verdict, at_ms, self._known_ms):
            self.refused[reason] += 1
            return
        alone = len(verdict.believed) == 1 and verdict.believed[0].kind is Source.KERNEL
        if alone and not self._brief and at_ms - (self._kernel_since_ms or 0) < SETTLE_MS:
            return
        self._course = Course(verdict.offset_ms)
        self._gained(verdict, at_ms)

    def _follow(self, verdict: Verdict, at_ms: int) -> str:
        """Follow a verdict where the time is known already; returns what is disputed."""
        off_ms = verdict.offset_ms - self._course.offset_ms(at_ms)
        less = _RANK[verdict.trust] < _RANK[self.trust]
        if abs(off_ms) > AGREE_MS:
            if less or len(verdict.believed) == 1:
                who = " and the ".join(self._names(verdict))
                differ = "differs" if len(verdict.believed) == 1 else "differ"
                return f"The {who} {differ} by {_span(off_ms)} from the time that was known."
            log.warning("time moved", extra={"by_s": off_ms // 1000, "sources": self._names(verdict)})
        elif less:
            return ""  # it is less exact than what is known
        self._course.steer(verdict.offset_ms, at_ms)
        if abs(off_ms) > AGREE_MS or _RANK[verdict.trust] > _RANK[self.trust]:
            self._gained(verdict, at_ms)
        return ""

    def _gained(self, verdict: Verdict, at_ms: int) -> None:
        self.trust = verdict.trust
        self._boot = replace(
            self._boot, sources=self._names(verdict), learned_ms=self._boot.learned_ms or at_ms
        )
        log.info(
            "time known",
            extra={"trust": self.trust.value, "sources": ", ".join(self._boot.sources)},
        )

    def _dispute(self, dispute: str) -> None:
        if bool(dispute) != bool(self.dispute):
            if dispute:
                log.warning("clocks disagree, uploads are held", extra={"what": dispute})
            else:
                log.info("clocks agree again")
        self.dispute = dispute

    def _said(self, witnesses: Sequence[Witness], at_ms: int) -> str:
        return ", ".join(
            f"the {one} says {iso_utc(UtcMs((one.offset_ms + at_ms) // 1000 * 1000))}" for one in witnesses
        )

    @staticmethod
    def _names(verdict: Verdict) -> tuple[str, ...]:
        return tuple(str(one) for one in verdict.believed)

    def record(self, at_ms: int, rtc_ms: UtcMs | None = None) -> Boot:
        """This boot as it is to be kept.

        Args:
            rtc_ms: At a stop in order: what the hardware clock says.
        """
        known = self.trust is not Trust.UNKNOWN
        good = known and rtc_ms is not None and -1000 <= self.utc_of(at_ms) - rtc_ms <= RTC_GOOD_MS
        return replace(
            self._boot,
            last_ms=at_ms,
            trust=self.trust.value,
            offset_ms=self._course.offset_ms(at_ms) if known else None,
            rtc_good=good,
        )

    def statuses(self, at_ms: int) -> list[SourceStatus]:
        """What each source says, compared with the time in force."""
        return [
            SourceStatus(
                name=str(one),
                off_ms=one.offset_ms - self._course.offset_ms(at_ms),
                heard_ms=self.utc_of(one.spoke_ms),
                believed=any(one is other for other in self._verdict.believed),
                outvoted=any(one is other for other in self._verdict.outvoted),
            )
            for one in self._witnesses.values()
            if one.live(at_ms)
        ]


def _span(off_ms: int) -> str:
    seconds = abs(off_ms) // 1000
    amount = (
        f"{seconds // 86400} days"
        if seconds >= 172_800
        else (f"{seconds // 3600} hours" if seconds >= 7200 else f"{seconds} s")
    )
    return f"{amount} {'forward' if off_ms > 0 else 'back'}"
