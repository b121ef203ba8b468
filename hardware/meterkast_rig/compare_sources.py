"""Where a comparison gets its sides from: the rig's records, the stand-ins, the gateway's database."""

from __future__ import annotations

import contextlib
import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from meterkast.model.time import HALF_HOUR_MS, UtcMs, parse_iso
from meterkast_rig.compare import UNBELIEVABLE_PER_HOUR, Rule, Series, Shown
from meterkast_rig.p1_meter import SimulatedMeter

Spell = tuple[float, float]
"""From when until when, in ms of real time."""


class Scale(NamedTuple):
    """From a device's unit to a platform's: (number - `zero`) × `factor`."""

    factor: Decimal
    zero: Decimal = Decimal(0)

    def of(self, number: Decimal) -> Decimal:
        return (number - self.zero) * self.factor


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value ends up: RESET's monitor, parameter and channel, or Wattics' meter and parameter."""

    platform: str
    stream: str
    parameter: str
    channel: str | None = None

    def __str__(self) -> str:
        parts = (self.platform, self.stream, self.parameter, self.channel)
        return " ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """One value all the way from its device to a platform.

    Attributes:
        product, key: What the configuration calls it.
        rule: What stands for a half-hour.
        node, endpoint, command_class, type: Which value of a Z-Wave device; see `zwave.Stick.shown`.
        scales: By the device's scale number.
        references: Of the P1 meter instead: registers that add up to it.
    """

    place: Place
    product: str
    key: str
    rule: Rule
    node: int = 0
    endpoint: int = 0
    command_class: int = 0
    type: int = 0
    scales: Mapping[int, Scale] = field(default_factory=dict)
    references: tuple[str, ...] = ()


class Clocks:
    """What the gateway's clock said at some instants of real time.

    Between them it runs at its speed.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._real_ms: list[float] = []
        self._gateway_ms: list[int] = []

    def note(self, real_ms: float, gateway_ms: int) -> None:
        """Take a pair; later than those before."""
        self._real_ms.append(real_ms)
        self._gateway_ms.append(gateway_ms)

    def gateway_ms(self, real_ms: float) -> int:
        """What it said at an instant; by the nearest pair at or after it, for it may have been set before.

        Raises:
            ValueError: There is no pair.
        """
        if not self._real_ms:
            raise ValueError("the gateway's clock was never looked at")
        place = min(bisect_left(self._real_ms, real_ms), len(self._real_ms) - 1)
        return round(self._gateway_ms[place] + (real_ms - self._real_ms[place]) * self._speed)


class Causes:
    """Why the gateway has no value for a half-hour, from its database."""

    def __init__(self, database: Path) -> None:
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            rows = connection.execute(
                "SELECT d.name, p.key, h.end_ms, h.cause FROM half_hours h"
                " JOIN properties p ON p.id = h.property_id JOIN products d ON d.id = p.product_id"
                " WHERE h.length_ms = ? AND h.revision = 0",
                (HALF_HOUR_MS,),
            ).fetchall()
        self._causes = {(name, key, UtcMs(end_ms)): cause for name, key, end_ms, cause in rows}

    def of(self, product: str, key: str) -> Callable[[UtcMs], str | None]:
        """The causes of one value, by half-hour."""
        return lambda end_ms: self._causes.get((product, key, end_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Both sides of a comparison: what was shown, and what was received.

    Attributes:
        records: `Stick.shown()`.
        sent: What the P1 meter's line sent; see `P1Line.sent`.
        deaf: When the gateway may not have heard the radio; `off`: when it did not run at all.
    """

    clocks: Clocks
    records: Sequence[Mapping[str, Any]]
    meter: SimulatedMeter
    sent: Sequence[tuple[UtcMs, Mapping[str, int]]]
    at_reset: Mapping[str, Any]
    at_wattics: Mapping[str, Any]
    causes: Causes
    until_ms: UtcMs
    tolerance_ms: int
    hold_ms: int
    deaf: Sequence[Spell] = ()
    off: Sequence[Spell] = ()

    def series(self, wires: Sequence[Wire]) -> list[Series]:
        """Each wire's two ends."""
        return [self._one(wire) for wire in wires]

    def _one(self, wire: Wire) -> Series:
        of_p1 = bool(wire.references)
        factor = max(abs(scale.factor) for scale in wire.scales.values())
        return Series(
            name=f"{wire.product}, {wire.key} → {wire.place}",
            rule=wire.rule,
            shown=self._from_p1(wire) if of_p1 else self._from_radio(wire),
            received=received(wire.place, self.at_reset, self.at_wattics),
            why=self.causes.of(wire.product, wire.key),
            hold_ms=self.hold_ms,
            tolerance_ms=0 if of_p1 else self.tolerance_ms,
            until_ms=self.until_ms,
            most_per_hour=UNBELIEVABLE_PER_HOUR * factor * (1000 if of_p1 else 1),
        )

    def _from_radio(self, wire: Wire) -> list[Shown]:
        found = []
        for record in self.records:
            value = record["node"], record["endpoint"], record["commandClass"], record["key"]
            if value != (wire.node, wire.endpoint, wire.command_class, wire.type):
                continue
            scale = wire.scales.get(record["scale"])
            if scale is None:
                continue  # set by hand to a unit that is not compared
            digit = Decimal(1).scaleb(-record["decimals"])
            found.append(
                Shown(
                    self.clocks.gateway_ms(record["real_ms"]),
                    scale.of(Decimal(repr(record["value"]))),
                    not within(record["real_ms"], self.deaf),
                    digit * abs(scale.factor),
                )
            )
        # A clock that was set back a little must not turn two reports round.
        return sorted(found, key=lambda one: one.at_ms)

    def _from_p1(self, wire: Wire) -> list[Shown]:
        scale = wire.scales[0]
        off = [(self.clocks.gateway_ms(since), self.clocks.gateway_ms(until)) for since, until in self.off]
        found: dict[int, Shown] = {}
        for at_ms, registers in self.sent:
            captured_ms = at_ms if len(wire.references) > 1 else self.meter.captured_ms(at_ms)
            value = scale.of(Decimal(sum(registers[name] for name in wire.references)))
            # One capture is in many telegrams; that the gateway heard one of them is enough.
            sure = not within(at_ms, off) or (captured_ms in found and found[captured_ms].sure)
            found[captured_ms] = Shown(captured_ms, value, sure, scale.factor)
        return [found[at_ms] for at_ms in sorted(found)]


def within(at_ms: float, spells: Iterable[tuple[float, float]]) -> bool:
    """Whether an instant lies in one of them."""
    return any(since <= at_ms <= until for since, until in spells)


def received(
    place: Place, at_reset: Mapping[str, Any], at_wattics: Mapping[str, Any]
) -> dict[UtcMs, list[Decimal]]:
    """What a stand-in has of one value, by half-hour; the list is empty where it was sent as missing."""
    found: dict[UtcMs, list[Decimal]] = {}
    if place.platform == "Wattics":
        for packet in at_wattics["meters"].get(place.stream, ()):
            value = packet["body"].get(place.parameter)
            found[parse_iso(packet["tsISO8601"])] = [] if value is None else [Decimal(str(value))]
        return found
    slots = [
        slot
        for slot in at_reset["readings"]
        if (slot["connection_id"], slot["parameter"], slot["channel"])
        == (place.stream, place.parameter, place.channel)
    ]
    for slot in sorted(slots, key=lambda slot: (slot["end_ms"], slot["emptying"])):
        values = found.setdefault(UtcMs(slot["end_ms"]), [])
        if slot["value"] not in (None, "", "None"):
            values.append(Decimal(str(slot["value"])))
    return found


def unwanted(at_reset: Mapping[str, Any], at_wattics: Mapping[str, Any]) -> list[str]:
    """What neither platform may ever get: another value for a slot, or half-hours out of order."""
    kinds: tuple[tuple[str, Mapping[str, Any], Collection[str]], ...] = (
        ("RESET", at_reset, ("conflicts", "out_of_order", "refused")),
        ("Wattics", at_wattics, ("conflicts", "discarded", "refused")),
    )
    return [
        f"{platform} got {len(got[name])} × {name}, the first: {got[name][0]}"
        for platform, got, names in kinds
        for name in names
        if got[name]
    ]
