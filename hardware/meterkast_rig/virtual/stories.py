"""What can befall a site: each story is a small class that says what happens, and what the ledger must say.

A story about the site itself begins when the one before it is over for hours, so that each gap has one cause;
stories of platforms run beside them, so that the gateway dies while a platform is away.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from meterkast.model.half_hour import Cause
from meterkast.model.time import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, UtcMs
from meterkast_rig.virtual.site import CHANNELS, ELECTRICITY, REPORT_S, TELEGRAM_S
from meterkast_rig.virtual.weather import Break, Death, Span, Spans, Step, Swap, Weather

_P1 = (*ELECTRICITY, "gas", "water")
_NEVER = UtcMs(1 << 52)
_YEAR_MS = 365 * DAY_MS
_APART_MS = 6 * HOUR_MS
_CALM_MS = 2 * DAY_MS
"""At both ends of a run: everything is found at first, and everything is drained at last."""


class Story(Protocol):
    """Something that happens."""

    def inject(self, weather: Weather) -> None:
        """Put it, and what the ledger must say of it, into the weather."""


@dataclass(frozen=True, slots=True)
class PlatformAway:
    """A platform cannot be reached, or answers badly; the ledger says nothing of it."""

    name: str
    span: Span
    rough: bool

    def inject(self, weather: Weather) -> None:
        (weather.rough if self.rough else weather.down).setdefault(self.name, Spans()).add(self.span)


@dataclass(frozen=True, slots=True)
class LinkLost:
    """The P1 cable is out, or its adapter."""

    span: Span

    def inject(self, weather: Weather) -> None:
        weather.link.add(self.span)
        weather.gap(self.span, _P1, Cause.LINK_LOST)


@dataclass(frozen=True, slots=True)
class MeterSilent:
    """The P1 meter says nothing; its port is there."""

    span: Span

    def inject(self, weather: Weather) -> None:
        weather.silent.add(self.span)
        weather.gap(self.span, _P1, Cause.METER_SILENT)


@dataclass(frozen=True, slots=True)
class DeviceDead:
    """A radio device is out of reach, and the network knows it."""

    device: str
    span: Span

    def inject(self, weather: Weather) -> None:
        weather.dead.setdefault(self.device, Spans()).add(self.span)
        weather.gap(self.span, (self.device,), Cause.LINK_LOST)


@dataclass(frozen=True, slots=True)
class DeviceAsleep:
    """A radio device reports nothing, and nobody knows why."""

    device: str
    span: Span

    def inject(self, weather: Weather) -> None:
        weather.asleep.setdefault(self.device, Spans()).add(self.span)
        weather.gap(self.span, (self.device,), Cause.METER_SILENT)


@dataclass(frozen=True, slots=True)
class GatewayOff:
    """The gateway's process ends, in any of its ways, and begins again.

    Attributes:
        cable_out: No meter tells the time either, until network time is there.
    """

    death: Death
    cable_out: bool = False

    def inject(self, weather: Weather) -> None:
        weather.deaths.append(self.death)
        if self.cable_out:
            LinkLost(Span(self.death.back_ms, self.death.synchronised_ms)).inject(weather)
        weather.gap(Span(self.death.at_ms, self.death.back_ms), CHANNELS, Cause.GATEWAY_OFF)


@dataclass(frozen=True, slots=True)
class DiskRefuses:
    """The database takes nothing for a while; all of it waits in memory, and no half-hour is missing."""

    span: Span

    def inject(self, weather: Weather) -> None:
        weather.disk.add(self.span)


@dataclass(frozen=True, slots=True)
class TimeNever:
    """A power cut, a boot that never learns the time for the meter's cable is out too, another cut."""

    cut: Span
    boot: Span

    def inject(self, weather: Weather) -> None:
        off = -self.boot.begin_ms + 5 * SECOND_MS
        after_ms = UtcMs(self.boot.end_ms + MINUTE_MS)
        weather.deaths += [
            Death(
                self.cut.begin_ms, self.boot.begin_ms, power_cut=True, wrong_ms=off, synchronised_ms=_NEVER
            ),
            Death(self.boot.end_ms, after_ms, power_cut=True),
        ]
        weather.link.add(Span(self.boot.begin_ms, self.boot.end_ms))
        weather.never.add(self.boot)
        weather.gap(self.cut, CHANNELS, Cause.GATEWAY_OFF)
        weather.gap(Span(self.boot.begin_ms, after_ms), CHANNELS, Cause.CLOCK_UNKNOWN)


@dataclass(frozen=True, slots=True)
class ClockStep:
    """The system's clock is set years away for a while, by hand or by a time service that lies.

    By hand nothing comes of it. Of a service that is ahead everyone sees that the meter differs, and waits;
    one that is behind is not even heard: it is later than that.
    """

    step: Step

    def inject(self, weather: Weather) -> None:
        weather.steps.append(self.step)
        if self.step.synchronised and self.step.by_ms > 0:
            weather.disputes.add(self.step.span)


@dataclass(frozen=True, slots=True)
class MeterSwap:
    """A meter is replaced, and a person signs that off hours later with what both faces showed.

    Attributes:
        bases: What the new one shows when it is hung, by channel.
        silent: The P1 port says nothing meanwhile.
    """

    swap: Swap
    bases: Mapping[str, int]
    silent: Span | None = None

    def inject(self, weather: Weather) -> None:
        weather.swaps.append(self.swap)
        for channel, base in self.bases.items():
            weather.breaks.setdefault(channel, []).append(Break(self.swap.at_ms, base, swap=True))
        if self.silent is not None:
            MeterSilent(self.silent).inject(weather)


@dataclass(frozen=True, slots=True)
class Rollover:
    """A register has shown all that it can, and begins again at 0."""

    channel: str
    at_ms: UtcMs

    def inject(self, weather: Weather) -> None:
        weather.rollovers[self.channel] = self.at_ms


@dataclass(frozen=True, slots=True)
class RegisterReset:
    """A radio device's register begins again at 0; the half-hours hold what it shows.

    Attributes:
        dead: When it is out of reach soon after: the reading that confirms the reset comes late.
    """

    device: str
    at_ms: UtcMs
    dead: Span | None = None

    def inject(self, weather: Weather) -> None:
        weather.breaks.setdefault(self.device, []).append(Break(self.at_ms, 0))
        if self.dead is not None:
            DeviceDead(self.device, self.dead).inject(weather)


@dataclass(frozen=True, slots=True)
class Outlier:
    """One telegram says what the register never was; no half-hour may hold it."""

    at_ms: UtcMs

    def inject(self, weather: Weather) -> None:
        weather.outliers.append(self.at_ms)


Made = tuple[Story, UtcMs]
"""A story, and when it is over."""


@dataclass(frozen=True, slots=True)
class Author:
    """Draws stories.

    Args:
        chance: The seeded generator.
    """

    chance: random.Random
    kinds: Sequence[Callable[[UtcMs], Made]] = field(init=False)
    rare: Sequence[Callable[[UtcMs], Made]] = field(init=False)

    def __post_init__(self) -> None:
        kinds = (
            self.link_lost,
            self.meter_silent,
            self.device_dead,
            self.device_asleep,
            self.killed,
            self.killed_in_transaction,
            self.power_cut,
            self.stopped,
            self.boot_in_1970,
            self.disk_refuses,
            self.reset,
            self.outlier,
            self.clock_step,
        )
        object.__setattr__(self, "kinds", kinds)
        swaps = (self.electricity_swap, self.gas_swap, self.device_swap)
        object.__setattr__(self, "rare", (*swaps, self.time_never, self.dispute))

    def away(self, name: str, at_ms: UtcMs) -> Made:
        rough = self.chance.random() < 0.4
        span = self._span(at_ms, HOUR_MS, (2 if rough else 4) * DAY_MS)
        return PlatformAway(name, span, rough), span.end_ms

    def link_lost(self, at_ms: UtcMs) -> Made:
        span = self._span(at_ms, 10 * SECOND_MS, 12 * HOUR_MS)
        return LinkLost(span), span.end_ms

    def meter_silent(self, at_ms: UtcMs) -> Made:
        span = self._span(at_ms, MINUTE_MS, 12 * HOUR_MS)
        return MeterSilent(span), span.end_ms

    def device_dead(self, at_ms: UtcMs) -> Made:
        span = self._span(at_ms, 5 * MINUTE_MS, 2 * DAY_MS)
        return DeviceDead(self.chance.choice(("plug", "room")), span), span.end_ms

    def device_asleep(self, at_ms: UtcMs) -> Made:
        span = self._span(at_ms, 5 * MINUTE_MS, 8 * HOUR_MS)
        return DeviceAsleep(self.chance.choice(("plug", "room")), span), span.end_ms

    def killed(self, at_ms: UtcMs) -> Made:
        span = self._span(at_ms, 5 * SECOND_MS, 20 * MINUTE_MS)
        return GatewayOff(Death(span.begin_ms, span.end_ms)), span.end_ms

    def killed_in_transaction(self, at_ms: UtcMs) -> Made:
        span = self._span(at_ms, 5 * SECOND_MS, 2 * HOUR_MS)
        death = Death(
            span.begin_ms,
            # It waits for a transaction, and the next one must not begin before.
            UtcMs(span.end_ms + HOUR_MS),
            statements=self.chance.randrange(12),
            power_cut=self.chance.random() < 0.5,
        )
        return GatewayOff(death), death.back_ms

    def power_cut(self, at_ms: UtcMs) -> Made:
        span = self._span(at_ms, MINUTE_MS, 2 * DAY_MS)
        return GatewayOff(Death(span.begin_ms, span.end_ms, power_cut=True)), span.end_ms

    def stopped(self, at_ms: UtcMs) -> Made:
        span = self._span(at_ms, 5 * SECOND_MS, 3 * HOUR_MS)
        return GatewayOff(Death(span.begin_ms, span.end_ms, clean=True)), span.end_ms

    def boot_in_1970(self, at_ms: UtcMs) -> Made:
        """A power cut, a boot without the time, and network time minutes or hours later."""
        span = self._span(at_ms, MINUTE_MS, 12 * HOUR_MS)
        known = self._span(span.end_ms, MINUTE_MS, 6 * HOUR_MS)
        death = Death(
            span.begin_ms,
            span.end_ms,
            power_cut=True,
            wrong_ms=-span.end_ms + 5 * SECOND_MS,
            synchronised_ms=known.end_ms,
        )
        return GatewayOff(death, self.chance.random() < 0.5), known.end_ms

    def time_never(self, at_ms: UtcMs) -> Made:
        cut = self._span(at_ms, MINUTE_MS, 6 * HOUR_MS)
        boot = self._span(cut.end_ms, HOUR_MS, 8 * HOUR_MS)
        return TimeNever(cut, boot), UtcMs(boot.end_ms + HOUR_MS)

    def clock_step(self, at_ms: UtcMs) -> Made:
        ahead = self.chance.random() < 0.5
        return self._step(
            at_ms, self.chance.choice((1, 5, 12) if ahead else (-20, -3)), synchronised=not ahead
        )

    def dispute(self, at_ms: UtcMs) -> Made:
        return self._step(at_ms, self.chance.choice((1, 5, 12)), synchronised=True)

    def _step(self, at_ms: UtcMs, years: int, *, synchronised: bool) -> Made:
        span = self._span(at_ms, HOUR_MS, 12 * HOUR_MS)
        return ClockStep(Step(span, years * _YEAR_MS, synchronised)), UtcMs(span.end_ms + HOUR_MS)

    def electricity_swap(self, at_ms: UtcMs) -> Made:
        return self._swap("electricity", ELECTRICITY, at_ms)

    def gas_swap(self, at_ms: UtcMs) -> Made:
        return self._swap("gas", ("gas",), at_ms)

    def _swap(self, source: str, channels: Sequence[str], at_ms: UtcMs) -> Made:
        # On the hour: a new gas meter has captured nothing from before it was there.
        taken_ms = UtcMs(at_ms // HOUR_MS * HOUR_MS + HOUR_MS)
        signed = self._span(UtcMs(taken_ms + HOUR_MS), HOUR_MS, 12 * HOUR_MS)
        bases = {channel: self.chance.randrange(2_000) for channel in channels}
        silent = Span(UtcMs(taken_ms - 10 * MINUTE_MS), UtcMs(taken_ms + 7 * MINUTE_MS))
        return MeterSwap(Swap(source, taken_ms, signed.end_ms), bases, silent), signed.end_ms

    def device_swap(self, at_ms: UtcMs) -> Made:
        # The installer signs it off before leaving: nothing waits for a person, as nobody else can know.
        taken_ms = UtcMs(at_ms // HOUR_MS * HOUR_MS + HOUR_MS + 3 * MINUTE_MS)
        signed_ms = UtcMs(taken_ms + 22 * MINUTE_MS)
        return MeterSwap(Swap("plug", taken_ms, signed_ms), {"plug": self.chance.randrange(500)}), signed_ms

    def disk_refuses(self, at_ms: UtcMs) -> Made:
        span = self._span(at_ms, MINUTE_MS, 3 * HOUR_MS)
        return DiskRefuses(span), span.end_ms

    def reset(self, at_ms: UtcMs) -> Made:
        # The radio's register: a P1 register begins again only with another meter.
        twice_ms = 2 * REPORT_S["plug"] * SECOND_MS
        # Readings that nothing confirms for two hours are outliers.
        dead = self._span(UtcMs(at_ms + twice_ms), 20 * MINUTE_MS, 100 * MINUTE_MS)
        if self.chance.random() < 0.5:
            return RegisterReset("plug", at_ms), dead.end_ms
        return RegisterReset("plug", at_ms, dead), dead.end_ms

    def outlier(self, at_ms: UtcMs) -> Made:
        step_ms = TELEGRAM_S * SECOND_MS
        telegram_ms = UtcMs(at_ms // step_ms * step_ms)
        return Outlier(telegram_ms), telegram_ms

    def _span(self, at_ms: UtcMs, least_ms: int, most_ms: int) -> Span:
        """From then on; short ones are as likely as long ones of ten times the length."""
        length_ms = least_ms * (most_ms / least_ms) ** self.chance.random()
        return Span(at_ms, UtcMs(at_ms + int(length_ms) // 1000 * 1000))


def write(seed: int, start_ms: UtcMs, end_ms: UtcMs) -> Weather:
    """The stories of a run.

    Args:
        seed: Of all chances.
        start_ms, end_ms: The run.
    """
    author = Author(random.Random(f"{seed} stories"))
    weather = Weather()
    _site(author, weather, UtcMs(start_ms + _CALM_MS), UtcMs(end_ms - _CALM_MS))
    for name in ("reset", "wattics"):
        _platform(author, weather, name, UtcMs(start_ms + _CALM_MS), UtcMs(end_ms - _CALM_MS))
    return weather


def _site(author: Author, weather: Weather, at_ms: UtcMs, end_ms: UtcMs) -> None:
    """One after the other, every kind once before any comes again."""
    rolls = Rollover("water", UtcMs(at_ms + (end_ms - at_ms) // 3 // HOUR_MS * HOUR_MS))
    rolls.inject(weather)
    waiting = author.chance.sample([*author.kinds, *author.rare], len(author.kinds) + len(author.rare))
    round_ = 0
    while True:
        at_ms = UtcMs(at_ms + int(author.chance.expovariate(1 / (12 * HOUR_MS))) // 100 * 100)
        if not waiting:
            # Meters are not replaced every week: one of the rare kinds a round.
            kinds = [*author.kinds, author.rare[round_ % len(author.rare)]]
            waiting, round_ = author.chance.sample(kinds, len(kinds)), round_ + 1
        story, over_ms = waiting.pop()(at_ms)
        if over_ms >= end_ms:
            return
        story.inject(weather)
        at_ms = UtcMs(over_ms + _APART_MS)


def _platform(author: Author, weather: Weather, name: str, at_ms: UtcMs, end_ms: UtcMs) -> None:
    if end_ms - at_ms > 90 * DAY_MS:  # a month offline, once
        away = PlatformAway(name, Span(at_ms, UtcMs(at_ms + 31 * DAY_MS)), rough=False)
        away.inject(weather)
        at_ms = UtcMs(away.span.end_ms + DAY_MS)
    while True:
        at_ms = UtcMs(at_ms + int(author.chance.expovariate(1 / (4 * DAY_MS))))
        story, over_ms = author.away(name, at_ms)
        if over_ms >= end_ms:
            return
        story.inject(weather)
        at_ms = UtcMs(over_ms + HOUR_MS)
