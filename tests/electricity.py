"""An electricity meter with a register and a power, for tests that ask for no more."""

from __future__ import annotations

from meterkast.model.datatypes import ENERGY_CONSUMED, POWER
from meterkast.model.product import Medium, ProductDescription, PropertyDescription
from meterkast.model.units import Unit

METER = ProductDescription(
    identity="p1:MK01", name="Electricity meter", medium=Medium.ELECTRICITY, serial="MK01"
)
VALUES = (
    PropertyDescription(
        key="import_total", name="Energy import", datatype=ENERGY_CONSUMED, unit=Unit.WATT_HOUR
    ),
    PropertyDescription(key="power_import", name="Power import", datatype=POWER, unit=Unit.WATT),
)
