"""Clock stories: what happens to the clocks of a gateway, made from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from meterkast.model.time import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, UtcMs, parse_iso

YEAR_MS = 365 * DAY_MS


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of a story in which the sources of the time stay as they are.

    Attributes:
        steps: How many times the meters are read in it.
        begins: How: "go on"; "kill" and "restart" (in order) of the process; "cut" of the power and "stop" in
            order with another boot after `off_ms`; "suspend" for `off_ms`.
        unsaved: A reading comes in that is not yet on the card when this phase begins.
        synced: Whether the system's clock is marked as synchronised.
        wall_ms: What the system's clock is ahead of the truth.
        meter_ms: The same for the meter; None where there is no meter that tells the time.
        frozen: The meter's clock stands still.
        tls_ms: The same for the platform; None where it cannot be reached.
        rtc_ms: The same for the hardware clock; None where there is none.
    """

    steps: int
    begins: str = "go on"
    off_ms: int = 0
    unsaved: bool = False
    synced: bool = False
    wall_ms: int = 0
    meter_ms: int | None = None
    frozen: bool = False
    tls_ms: int | None = None
    rtc_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class Story:
    """A story; its last phase is always an honest one, long enough for all that waits."""

    kind: str
    start_ms: UtcMs
    drift_ppm: float
    phases: tuple[Phase, ...]


HONEST = Phase(steps=24, synced=True, tls_ms=0)

DST = ("2026-03-29T00:10:00Z", "2026-10-25T00:10:00Z", "2030-03-31T00:00:00Z", "2030-10-27T00:20:00Z")
FAR = ("2038-01-19T02:20:00Z", "2038-01-19T03:14:08Z", "2040-02-28T22:00:00Z", "2059-12-31T21:00:00Z")


class Teller:
    """Makes one story."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def story(self, kind: str) -> Story:
        rng = self.rng
        start = parse_iso("2026-06-01T00:00:00Z") + rng.randrange(3 * YEAR_MS // MINUTE_MS) * MINUTE_MS
        if kind.startswith("dst"):
            start = parse_iso(rng.choice(DST)) - rng.randrange(6) * HOUR_MS // 2
        if kind == "2038 and beyond":
            start = parse_iso(rng.choice(FAR)) - rng.randrange(4) * HOUR_MS // 2
        phases = getattr(self, f"_{kind.split(' ')[0]}")()
        begins = rng.choice(("go on", "go on", "restart", "kill"))
        end = replace(HONEST, begins=begins, meter_ms=rng.choice((None, self.small())))
        return Story(
            kind=kind,
            start_ms=UtcMs(start),
            drift_ppm=rng.uniform(-100, 100) if kind == "drift" else rng.uniform(-20, 20),
            phases=(*phases, end),
        )

    def small(self) -> int:
        """An error that a clock may have and is still right."""
        return self.rng.randint(-40, 40) * SECOND_MS

    def large(self) -> int:
        """One that makes it wrong."""
        sizes = (
            62 * SECOND_MS,
            5 * MINUTE_MS,
            HOUR_MS,
            2 * HOUR_MS,
            DAY_MS,
            40 * DAY_MS,
            YEAR_MS,
            5 * YEAR_MS,
        )
        return self.rng.choice((-1, 1)) * self.rng.choice(sizes)

    def steps(self, low: int = 3, high: int = 16) -> int:
        return self.rng.randint(low, high)

    def meter(self) -> int | None:
        """A meter that is right, or none."""
        return self.rng.choice((None, None, self.small()))

    def good(self) -> Phase:
        """A stretch in which the time is known and kept."""
        return Phase(steps=self.steps(6, 14), synced=True, tls_ms=0, meter_ms=self.meter())

    def new_boot(self) -> str:
        return self.rng.choice(("cut", "cut", "stop"))

    def lost(self, wall_ms: int, **more: object) -> Phase:
        """A boot that does not know the time yet."""
        made = Phase(
            steps=self.steps(), begins="cut", off_ms=self.rng.randint(10, 7200) * SECOND_MS, wall_ms=wall_ms
        )
        return replace(made, **more)  # type: ignore[arg-type]  # fields of a phase

    def _boot(self) -> list[Phase]:
        """The machine wakes in the year 1970."""
        first = self.lost(-56 * YEAR_MS, begins="go on")
        return [self.good(), replace(first, begins="cut")] if self.rng.random() < 0.5 else [first]

    def _years(self) -> list[Phase]:
        """The machine wakes five years ahead; the time service sets it later."""
        ahead = self.lost(5 * YEAR_MS + self.large())
        return [self.good(), ahead, replace(HONEST, steps=self.steps())]

    def _backwards(self) -> list[Phase]:
        """The system's clock is set while the gateway runs."""
        good = self.good()
        steps = [
            replace(good, steps=self.steps(2, 6), synced=False, wall_ms=self.large(), tls_ms=None)
            for _ in range(3)
        ]
        return [good, *steps, replace(good, steps=4, wall_ms=self.rng.randint(-200, 200))]

    def _dst(self) -> list[Phase]:
        """The site's clock changes, in all states of ours."""
        meter = self.small() if self.rng.random() < 0.6 else None
        unknown = Phase(steps=self.steps(2, 8), meter_ms=meter, begins=self.rng.choice(("go on", "kill")))
        return [
            replace(self.good(), meter_ms=meter),
            replace(unknown, begins=self.rng.choice(("kill", "cut"))),
        ]

    def _2038(self) -> list[Phase]:
        """32 bits are not enough."""
        return [self.good(), self.lost(-68 * YEAR_MS, meter_ms=self.meter()), self.good()]

    def _dispute(self) -> list[Phase]:
        """Two that disagree, in every pairing; a third comes later, or never."""
        liar = self.rng.choice(("kernel", "meter", "platform"))
        wrong = {
            "kernel": Phase(steps=8, synced=True, wall_ms=self.large(), meter_ms=self.small()),
            "meter": Phase(steps=8, synced=True, meter_ms=self.large()),
            "platform": Phase(steps=8, synced=True, meter_ms=self.meter(), tls_ms=self.large()),
        }[liar]
        wrong = replace(wrong, steps=self.steps(4, 12))
        phases = [wrong]
        if self.rng.random() < 0.5 and liar != "platform":
            phases.append(replace(wrong, steps=self.steps(4, 8), tls_ms=0))
        before = [self.good()] if self.rng.random() < 0.6 else []
        if before:
            phases[0] = replace(
                phases[0], begins=self.rng.choice(("go on", "cut", "kill")), off_ms=HOUR_MS // 3
            )
        return [*before, *phases]

    def _cut(self) -> list[Phase]:
        """The power fails before the time is known; once, or several times."""
        lost = [
            self.lost(self.large(), unsaved=self.rng.random() < 0.5) for _ in range(self.rng.randint(1, 3))
        ]
        back = replace(self.good(), begins="cut", off_ms=self.rng.randint(1, 90) * MINUTE_MS)
        return [*([self.good()] if self.rng.random() < 0.8 else []), *lost, back]

    def _restarts(self) -> list[Phase]:
        """The process starts anew, before and after the time is known."""
        lost = self.lost(self.large())
        again = [
            replace(lost, steps=self.steps(2, 8), begins=self.rng.choice(("kill", "restart")), unsaved=True)
            for _ in range(self.rng.randint(1, 3))
        ]
        return [self.good(), lost, *again, replace(self.good(), begins=self.rng.choice(("go on", "kill")))]

    def _meter(self) -> list[Phase]:
        """A meter that is wrong: beside others that are right, or alone and far off, or standing still."""
        how = self.rng.choice(("wrong", "frozen", "a year ahead", "behind"))
        if how == "wrong":
            return [replace(self.good(), meter_ms=self.large()), replace(self.good(), meter_ms=self.small())]
        off_ms = {"frozen": 0, "a year ahead": YEAR_MS, "behind": -self.rng.randint(2, 400) * DAY_MS}[how]
        alone = self.lost(self.large(), meter_ms=off_ms, frozen=how == "frozen")
        return [self.good(), alone, replace(self.good(), meter_ms=None)]

    def _rtc(self) -> list[Phase]:
        """The hardware clock was right at the stop; then it may be anything."""
        good = replace(self.good(), rtc_ms=0)
        off_ms = self.rng.choice((0, 0, self.large()))
        alone = self.lost(self.large(), begins=self.new_boot(), rtc_ms=off_ms)
        then = replace(alone, begins="go on", steps=self.steps(3, 8), meter_ms=self.small())
        return [good, alone, then] if off_ms == 0 else [good, alone, replace(then, tls_ms=0)]

    def _platform(self) -> list[Phase]:
        """The platform's date is wrong; it is alone with that."""
        wrong = replace(self.good(), tls_ms=self.large(), meter_ms=self.small())
        return [self.good(), wrong]

    def _drift(self) -> list[Phase]:
        """The crystal is off, with a time service and without."""
        return [self.good(), replace(self.good(), synced=False, tls_ms=None, steps=30), self.good()]

    def _suspend(self) -> list[Phase]:
        """The machine sleeps for hours; CLOCK_BOOTTIME runs on."""
        sleep = replace(self.good(), begins="suspend", off_ms=self.rng.randint(1, 300) * MINUTE_MS)
        lost = self.lost(self.large())
        return [self.good(), sleep, lost, replace(lost, begins="suspend", off_ms=2 * HOUR_MS)]


KINDS = (
    "boot in 1970",
    "years ahead",
    "backwards",
    "dst",
    "2038 and beyond",
    "dispute",
    "dispute",
    "cut before trust",
    "cut before trust",
    "restarts",
    "meter wrong",
    "rtc",
    "platform wrong",
    "drift",
    "suspend",
)


def tell(seed: int, number: int) -> Story:
    """Story `number` of a campaign of that seed."""
    return Teller(seed * 1_000_003 + number).story(KINDS[number % len(KINDS)])
