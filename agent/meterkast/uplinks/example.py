"""Made-up values for what the `show` commands print where nothing is closed yet."""

from __future__ import annotations

from meterkast.model.half_hour import HalfHour
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import Grid, UtcMs
from meterkast.model.units import Unit
from meterkast.ports.uplink import Wanted
from meterkast.uplinks.context import Closed

_VALUES = {
    # In canonical units; plainly no one's meter.
    Unit.WATT_HOUR: Quantity(1_234_567),
    Unit.WATT: Quantity(1234),
    Unit.VOLT: Quantity(2301, 1),
    Unit.AMPERE: Quantity(54, 1),
    Unit.LITRE: Quantity(1_234_567),
    Unit.MEGAJOULE: Quantity(12_345),
    Unit.CELSIUS: Quantity(2050, 2),
    Unit.PERCENT: Quantity(4800, 2),
    Unit.PARTS_PER_MILLION: Quantity(61_200, 2),
    Unit.PARTS_PER_BILLION: Quantity(12_300, 2),
    Unit.MICROGRAM_PER_CUBIC_METRE: Quantity(1234, 2),
    Unit.MILLIVOLT: Quantity(65_000, 2),
    Unit.PH: Quantity(720, 2),
    Unit.KILOGRAM: Quantity(123, 1),
}


def example(wanted: Wanted, grid: Grid, now_ms: UtcMs) -> Closed:
    """The newest interval of a stream that has ended, with an example for each of its values."""
    end_ms = grid.start_of(grid.end_of(now_ms, wanted.length_ms), wanted.length_ms)
    return end_ms, {
        binding: HalfHour(
            property_id=PropertyId(number),
            end_ms=end_ms,
            length_ms=wanted.length_ms,
            value=_VALUES.get(binding.unit or Unit.NONE, Quantity(123)),
            taken_ms=end_ms,
            count=1,
        )
        for number, binding in enumerate(wanted.bindings)
    }
