"""What the connections of a site can carry at most: readings beyond it are not believed at once.

Source: ours. They are those of a home or a small building, generously; larger sites are learned from their
own readings (`register.RegisterGuard`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from meterkast.model.units import Unit

GENEROUS = 3
"""Limits are so many times what they are derived from."""

MAIN_FUSE_W = 3 * 80 * 230
"""The largest connection of a home: three phases of 80 A at 230 V."""

_BORE_L = 40_000
_HEAT_W = 500_000
_PULSES = 60_000

LARGEST_PER_HOUR: Mapping[Unit, int] = {
    Unit.WATT_HOUR: GENEROUS * MAIN_FUSE_W,
    Unit.VAR_HOUR: GENEROUS * MAIN_FUSE_W,
    Unit.VOLT_AMPERE_HOUR: GENEROUS * MAIN_FUSE_W,
    # A water meter DN 50 and a gas meter G25: 40 m3 an hour.
    Unit.LITRE: GENEROUS * _BORE_L,
    # A heat exchanger of 500 kW; 1 kWh is 3.6 MJ.
    Unit.MEGAJOULE: GENEROUS * _HEAT_W * 36 // 10_000,
    # EN 62053-31: pulses of 30 ms at least, and as long between them.
    Unit.PULSE: GENEROUS * _PULSES,
}
"""What a register can grow by in an hour, in its canonical unit."""

UNKNOWN_PER_HOUR = GENEROUS * _PULSES
"""The same for a register of which nobody says what it counts."""

OVERLOAD = 1.5
"""What a connection carries at times above its rating.

A fuse carries up to 1.45 times its rating for an hour (EN 60898-1), a water meter 1.25 times (EN ISO 4064).
"""


def carried_per_hour(
    unit: Unit, *, power_w: float | None = None, flow_l: float | None = None, heat_w: float | None = None
) -> int | None:
    """What a register can grow by in an hour behind a connection of that rating.

    Args:
        unit: Of the register.
        power_w: The largest electric power, W.
        flow_l: The largest flow, L/h.
        heat_w: The largest thermal power, W.

    Returns:
        In the register's unit, with what a connection carries above its rating; None where the rating says
        nothing of such a register.
    """
    rated = {
        Unit.WATT_HOUR: power_w,
        Unit.VAR_HOUR: power_w,
        Unit.VOLT_AMPERE_HOUR: power_w,
        Unit.LITRE: flow_l,
        Unit.MEGAJOULE: None if heat_w is None else heat_w * 36 / 10_000,
    }.get(unit)
    return None if rated is None else math.ceil(rated * OVERLOAD)
