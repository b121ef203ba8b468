"""What is wrong with the clock, and what to do about it."""

from __future__ import annotations

from meterkast.model.time import HOUR_MS, UtcMs, iso_utc
from meterkast.pipeline.health import Problem, SourceHealth
from meterkast.ports.clock import Clock, SourceStatus, Trust

NOTHING = UtcMs(-1)


def clock_problems(clock: Clock, *, meters: bool, closed_ms: UtcMs = NOTHING) -> list[Problem]:
    """What is wrong.

    Args:
        meters: Whether any meter is read that tells the time.
        closed_ms: The newest end that is closed.
    """
    if clock.dispute:
        known = clock.trust is not Trust.UNKNOWN
        stands = (
            "Meters are read and half-hours closed" if known else "Meters are read, no half-hour is closed"
        )
        return [
            _problem(
                f"{clock.dispute} {stands}, and nothing is sent.",
                "Find out which is wrong: compare with a watch. Correct the time service of the network, or "
                "have the meter's clock set by its operator. It ends by itself when two sources agree.",
            )
        ]
    if clock.trust is Trust.UNKNOWN:
        return [
            _problem(
                "The gateway does not know the time, so no half-hour is closed and nothing is sent.",
                "Connect it to the internet"
                + (", or wait for two telegrams of a meter whose clock is right." if meters else "."),
            )
        ]
    return [*_ahead(clock.now_ms(), closed_ms)] + [
        Problem(
            severity="attention",
            where="clock",
            what=f"The {one.name} is {_off(one.off_ms)}; others agree on the time, and it is not followed.",
            do="Have it corrected: should the others fall silent, nobody contradicts it.",
        )
        for one in clock.sources()
        if one.outvoted
    ]


def _ahead(now_ms: UtcMs, closed_ms: UtcMs) -> list[Problem]:
    if closed_ms <= now_ms + HOUR_MS:
        return []
    return [
        _problem(
            f"Half-hours are closed until {iso_utc(closed_ms)} already: the time was wrong when they were. "
            "No other is closed before then.",
            "Where that is not within hours: stop the gateway, put its database aside and start with a new "
            "one. docs/time.md tells more.",
        )
    ]


def source_healths(clock: Clock) -> tuple[SourceHealth, ...]:
    """What each source of the time says, for the page."""
    return tuple(
        SourceHealth(
            name=one.name,
            off_s=one.off_ms / 1000,
            heard_ms=one.heard_ms,
            verdict="followed" if one.believed else "outvoted" if one.outvoted else "heard",
        )
        for one in sorted(clock.sources(), key=_name)
    )


def _problem(what: str, do: str) -> Problem:
    return Problem(severity="problem", where="clock", what=what, do=do)


def _name(one: SourceStatus) -> str:
    return one.name


def _off(off_ms: int) -> str:
    seconds = abs(off_ms) // 1000
    days, hours, minutes = seconds // 86_400, seconds // 3_600, seconds // 60
    amount = f"{days} days" if days > 1 else f"{hours} hours" if hours > 1 else f"{minutes} minutes"
    return f"{amount} {'ahead' if off_ms > 0 else 'behind'}"
