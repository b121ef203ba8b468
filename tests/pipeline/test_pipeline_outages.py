"""What is noted of absences while the clock is unknown."""

from __future__ import annotations

from meterkast.model.datatypes import ENERGY_CONSUMED
from meterkast.model.half_hour import Cause
from meterkast.model.product import Availability, ProductId, Property, PropertyDescription, PropertyId
from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, UtcMs, parse_iso
from meterkast.model.units import Unit
from meterkast.pipeline.outages import Outages

NOON = parse_iso("2026-03-10T12:00:00Z")
METER = ProductId(7)
PROPERTY = Property(
    id=PropertyId(1),
    product_id=METER,
    description=PropertyDescription(
        key="energy", name="Energy", datatype=ENERGY_CONSUMED, unit=Unit.WATT_HOUR
    ),
)


def away(provisional_ms: UtcMs) -> Outages:
    """A device out of reach for three hours from a start on, by a clock that was wrong all that time."""
    outages = Outages(provisional_ms)
    outages.reachable(METER, Availability.UNREACHABLE, provisional_ms)
    outages.reachable(METER, Availability.AVAILABLE, UtcMs(provisional_ms + 3 * HOUR_MS))
    outages.trusted_since_ms = NOON
    return outages


def why(outages: Outages, half_hour: int) -> Cause:
    start_ms = UtcMs(NOON + half_hour * HALF_HOUR_MS)
    return outages.why(PROPERTY, start_ms, UtcMs(start_ms + HALF_HOUR_MS))


def test_what_was_noted_under_an_unknown_clock_moves_with_it() -> None:
    for hours in (-2, 2, 5):
        outages = away(UtcMs(NOON - hours * HOUR_MS))
        outages.started(NOON, UtcMs(NOON + 4 * HOUR_MS))
        assert [why(outages, number) for number in (0, 5, 6)] == [
            Cause.LINK_LOST,
            Cause.LINK_LOST,
            Cause.METER_SILENT,
        ], hours


def test_what_was_noted_rightly_or_before_this_run_stays() -> None:
    outages = Outages(UtcMs(NOON - 5 * HOUR_MS))
    outages.reachable(METER, Availability.UNREACHABLE, UtcMs(NOON - 9 * HOUR_MS))
    outages.reachable(METER, Availability.AVAILABLE, UtcMs(NOON + HOUR_MS))
    outages.trusted_since_ms = NOON
    outages.started(NOON, UtcMs(NOON + 4 * HOUR_MS))
    assert [why(outages, number) for number in (0, 1, 2)] == [
        Cause.LINK_LOST,
        Cause.LINK_LOST,
        Cause.METER_SILENT,
    ]
