"""Which colour and word each part of the page gets.

Green means end to end. What is still on its way is neutral, never green; a colour always has its word, for
those who cannot see it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from meterkast import words
from meterkast.model.datatypes import Kind
from meterkast.model.half_hour import Cause, State
from meterkast.model.time import HOUR_MS, MINUTE_MS, UtcMs
from meterkast.pipeline.health import (
    ClockHealth,
    DriverHealth,
    ProductHealth,
    PropertyHealth,
    Snapshot,
    StorageHealth,
    UplinkHealth,
)


class Tone(NamedTuple):
    """A colour by its meaning, and the word beside it."""

    name: Literal["good", "wait", "attention", "problem"]
    word: str


START_MS = 2 * MINUTE_MS
"""How long after a start a meter may be silent before that is a problem."""

CLOSED_MS = 3 * HOUR_MS
"""How old the newest half-hour may be: hourly gas arrives over an hour late, and then waits for its close."""

CAUGHT_UP_MS = 2 * HOUR_MS
"""How old the oldest pending item may be before the uplink is behind: its slot and a few retries."""


def of_product(product: ProductHealth, snapshot: Snapshot) -> Tone:
    """A meter: fresh, and its newest half-hours measured; a device: can be reached, too."""
    if product.removed:
        return Tone("wait", "Removed")
    if not product.properties:
        return Tone("wait", "No device yet")
    registers = [each for each in product.properties if each.kind == Kind.REGISTER]
    if product.availability == "unreachable":
        return Tone("problem" if registers else "attention", "Cannot be reached")
    if product.availability:
        # Some values of a device are told rarely, and some never.
        told = [each for each in product.properties if each.value is not None and not each.slow]
        judged = [each for each in told if each.kind == (Kind.REGISTER if registers else Kind.MOMENTARY)]
        if product.fresh and product.availability == "retrying":
            return Tone("attention", "Hard to reach")
        if product.fresh and not judged:
            return Tone("good", "Available")
        return _of_readings(product, judged, snapshot)
    return _of_readings(product, registers or list(product.properties), snapshot)


def _of_readings(product: ProductHealth, judged: list[PropertyHealth], snapshot: Snapshot) -> Tone:
    now_ms = snapshot.clock.now_ms
    if not product.fresh:
        if all(each.value is None for each in product.properties):
            if now_ms - snapshot.started_ms < START_MS * max(1.0, snapshot.clock.speed):
                return Tone("wait", "Waiting for the first reading")
            return Tone("problem", "Nothing read since the start")
        return Tone("problem", "No fresh reading")
    closed = [each.last_half_hour for each in judged if each.last_half_hour is not None]
    if any(each.state == State.MISSING and each.cause != Cause.NOT_DUE for each in closed):
        return Tone("attention", "Last half-hour missing")
    if any(each.state == State.SUSPECT for each in closed):
        return Tone("attention", "Last half-hour doubtful")
    if not closed:
        return Tone("wait", "Reading; no half-hour closed yet")
    if now_ms - max(each.end_ms for each in closed) > CLOSED_MS:
        return Tone("attention", "No half-hour closed lately")
    return Tone("good", "Fresh")


def of_uplink(uplink: UplinkHealth, now_ms: UtcMs) -> Tone:
    """An uplink: the platform acknowledged what was sent, and nothing is set aside or held up."""
    if uplink.state == "paused":
        return Tone("problem", "Paused")
    if uplink.state == "waiting":
        return Tone("attention", "Will try again")
    if uplink.quarantined or any(stream.quarantined for stream in uplink.streams):
        return Tone("attention", "Items set aside")
    if any(stream.problem for stream in uplink.streams):
        return Tone("attention", "A stream has a problem")
    if any(not stream.bound for stream in uplink.streams):
        return Tone("attention", "Waiting for a meter")
    if uplink.last_acknowledged_ms is None:
        return Tone("wait", "Nothing acknowledged yet")
    oldest = uplink.oldest_pending_ms
    if uplink.backlog and oldest is not None and now_ms - oldest > CAUGHT_UP_MS:
        return Tone("wait", "Catching up")
    return Tone("good", "Acknowledged")


def of_driver(driver: DriverHealth) -> Tone:
    """A driver: does it hear its device?"""
    if driver.state == "reading":
        return Tone("good", "Reading")
    if driver.state == "opening":
        return Tone("wait", "Opening")
    return Tone("problem", "Silent" if driver.state == "silent" else "Lost")


def of_clock(clock: ClockHealth) -> Tone:
    """The clock: nothing is closed or sent while it is unknown."""
    if clock.dispute:
        return Tone("problem", "In dispute")
    if clock.trust == "trusted":
        return Tone("good", "Trusted")
    if clock.trust == "meter":
        return Tone("good", "From the meter")
    return Tone("problem", "Unknown")


def of_storage(storage: StorageHealth) -> Tone:
    """The disk: does it take what is written?"""
    return Tone("problem", "Refuses to keep") if storage.problem else Tone("good", "Keeping")


def nothing_because(entry: PropertyHealth) -> str:
    """Why a property shows no value; empty where it has one that still stands."""
    if entry.value is None:
        return "not read since the start"
    if entry.fresh:
        return ""
    last = f"{entry.word or words.shown(entry.value, entry)} {words.unit_name(entry.unit)}".strip()
    return (
        f"last was {last}, too old to count"
        if entry.age_s is None
        else (f"last was {last}, {words.ago(entry.age_s)}: too old to count")
    )
