"""What RESET's four modules measure: one table.

Source: RESET API V2.1 for Data Providers, "Parameter: included_parameters" (units) and, under "Event -
Readings", "Parameter: readings" (what is required, and what stands for a half-hour).
"""

from __future__ import annotations

from dataclasses import dataclass

from meterkast.model.units import POWERS, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a module.

    Attributes:
        name: Its JSON key.
        units: The units the document offers, the recommended one first; keys of `units.POWERS`.
        required: Whether the document asks for it in every reading. It contradicts itself there: the same
            parameters are optional where a monitor is defined.
    """

    name: str
    units: tuple[str, ...]
    required: bool = False

    def unit(self, written: str) -> Unit:
        """The canonical unit that goes with one of `units`."""
        return POWERS[written][0]


def _module(*parameters: Parameter) -> dict[str, Parameter]:
    return {parameter.name: parameter for parameter in parameters}


AIR, WATER, ENERGY, CIRCULARITY = "air", "water", "energy", "circularity"

PARAMETERS: dict[str, dict[str, Parameter]] = {
    # Means of the half-hour.
    AIR: _module(
        Parameter(name="pm2p5", units=("ug/m3",), required=True),
        Parameter(name="tvoc", units=("ppb", "mg/m3"), required=True),
        Parameter(name="co2", units=("ppm",), required=True),
        Parameter(name="temp", units=("C",), required=True),
        Parameter(name="rh", units=("%RH",), required=True),
        Parameter(name="pm10", units=("ug/m3",)),  # "Optional and not used in RESET processing"
    ),
    # water_flow is a cumulative counter: the latest in (start, end]. The others are means.
    WATER: _module(
        Parameter(name="water_flow", units=("L",), required=True),
        Parameter(name="water_temp", units=("C",), required=True),
        Parameter(name="tds", units=("ppm",)),
        Parameter(name="orp", units=("mv",)),
        Parameter(name="ph", units=("ph",)),
    ),
    # A cumulative counter.
    ENERGY: _module(Parameter(name="power_consumption", units=("kWh",), required=True)),
    # The maximum of the half-hour.
    CIRCULARITY: _module(Parameter(name="bin_weight", units=("kg",), required=True)),
}
"""Parameters by module, in the document's order."""
