"""Units: the canonical ones we keep values in, and what meters and platforms write.

Every conversion that a register goes through is a power of ten, so registers stay whole numbers and
come out digit for digit.
"""

from __future__ import annotations

from enum import StrEnum


class Unit(StrEnum):
    """The canonical units; every value is kept in the one of its property."""

    WATT_HOUR = "Wh"
    WATT = "W"
    VAR_HOUR = "varh"
    VAR = "var"
    VOLT_AMPERE_HOUR = "VAh"
    VOLT_AMPERE = "VA"
    VOLT = "V"
    AMPERE = "A"
    HERTZ = "Hz"
    LITRE = "L"
    LITRE_PER_HOUR = "L/h"
    MEGAJOULE = "MJ"
    CELSIUS = "°C"
    PERCENT = "%"
    LUX = "lx"
    PARTS_PER_MILLION = "ppm"
    PARTS_PER_BILLION = "ppb"
    MICROGRAM_PER_CUBIC_METRE = "µg/m3"
    PASCAL = "Pa"
    METRE_PER_SECOND = "m/s"
    KILOGRAM = "kg"
    MILLIVOLT = "mV"
    PH = "pH"
    SECOND = "s"
    PULSE = "pulse"
    # What only sensors on a radio measure.
    GRAM_PER_CUBIC_METRE = "g/m3"
    MILLIGRAM_PER_LITRE = "mg/L"
    MOLE_PER_CUBIC_METRE = "mol/m3"
    BECQUEREL_PER_CUBIC_METRE = "Bq/m3"
    CUBIC_METRE_PER_CUBIC_METRE = "m3/m3"
    WATT_PER_SQUARE_METRE = "W/m2"
    MILLIMETRE_PER_HOUR = "mm/h"
    METRE = "m"
    DEGREE = "°"
    METRE_PER_SQUARE_SECOND = "m/s2"
    REVOLUTION_PER_MINUTE = "rpm"
    PER_MINUTE = "bpm"
    NEWTON = "N"
    JOULE = "J"
    MILLIMETRE_OF_MERCURY = "mmHg"
    OHM = "Ω"
    OHM_METRE = "Ωm"
    SIEMENS_PER_METRE = "S/m"
    DECIBEL = "dB"
    DECIBEL_A = "dBA"
    DECIBEL_MILLIWATT = "dBm"
    NONE = ""


POWERS: dict[str, tuple[Unit, int]] = {
    # As meters and platforms write it: (canonical unit, power of ten to get there).
    "Wh": (Unit.WATT_HOUR, 0),
    "kWh": (Unit.WATT_HOUR, 3),
    "MWh": (Unit.WATT_HOUR, 6),
    "W": (Unit.WATT, 0),
    "kW": (Unit.WATT, 3),
    "varh": (Unit.VAR_HOUR, 0),
    "kvarh": (Unit.VAR_HOUR, 3),
    "var": (Unit.VAR, 0),
    "kvar": (Unit.VAR, 3),
    "VAh": (Unit.VOLT_AMPERE_HOUR, 0),
    "kVAh": (Unit.VOLT_AMPERE_HOUR, 3),
    "VA": (Unit.VOLT_AMPERE, 0),
    "kVA": (Unit.VOLT_AMPERE, 3),
    "V": (Unit.VOLT, 0),
    # Lithuanian meters with an old configuration report kV, kA and kHz.
    "kV": (Unit.VOLT, 3),
    "A": (Unit.AMPERE, 0),
    "kA": (Unit.AMPERE, 3),
    "Hz": (Unit.HERTZ, 0),
    "kHz": (Unit.HERTZ, 3),
    "L": (Unit.LITRE, 0),
    "dm3": (Unit.LITRE, 0),
    "m3": (Unit.LITRE, 3),
    "m3/h": (Unit.LITRE_PER_HOUR, 3),
    "MJ": (Unit.MEGAJOULE, 0),
    "GJ": (Unit.MEGAJOULE, 3),
    "°C": (Unit.CELSIUS, 0),
    "C": (Unit.CELSIUS, 0),
    "%": (Unit.PERCENT, 0),
    "%RH": (Unit.PERCENT, 0),
    "lx": (Unit.LUX, 0),
    "ppm": (Unit.PARTS_PER_MILLION, 0),
    "ppb": (Unit.PARTS_PER_BILLION, 0),
    "ug/m3": (Unit.MICROGRAM_PER_CUBIC_METRE, 0),
    "µg/m3": (Unit.MICROGRAM_PER_CUBIC_METRE, 0),
    "mg/m3": (Unit.MICROGRAM_PER_CUBIC_METRE, 3),
    "Pa": (Unit.PASCAL, 0),
    "kPa": (Unit.PASCAL, 3),
    "bar": (Unit.PASCAL, 5),
    "m/s": (Unit.METRE_PER_SECOND, 0),
    "kg": (Unit.KILOGRAM, 0),
    "mv": (Unit.MILLIVOLT, 0),
    "mV": (Unit.MILLIVOLT, 0),
    "ph": (Unit.PH, 0),
    "pH": (Unit.PH, 0),
    "s": (Unit.SECOND, 0),
    "g/m3": (Unit.GRAM_PER_CUBIC_METRE, 0),
    "mg/L": (Unit.MILLIGRAM_PER_LITRE, 0),
    "mol/m3": (Unit.MOLE_PER_CUBIC_METRE, 0),
    "Bq/m3": (Unit.BECQUEREL_PER_CUBIC_METRE, 0),
    "m3/m3": (Unit.CUBIC_METRE_PER_CUBIC_METRE, 0),
    "W/m2": (Unit.WATT_PER_SQUARE_METRE, 0),
    "mm/h": (Unit.MILLIMETRE_PER_HOUR, 0),
    "m": (Unit.METRE, 0),
    "°": (Unit.DEGREE, 0),
    "m/s2": (Unit.METRE_PER_SQUARE_SECOND, 0),
    "rpm": (Unit.REVOLUTION_PER_MINUTE, 0),
    "bpm": (Unit.PER_MINUTE, 0),
    "N": (Unit.NEWTON, 0),
    "J": (Unit.JOULE, 0),
    "mmHg": (Unit.MILLIMETRE_OF_MERCURY, 0),
    "Ω": (Unit.OHM, 0),
    "Ωm": (Unit.OHM_METRE, 0),
    "S/m": (Unit.SIEMENS_PER_METRE, 0),
    "dB": (Unit.DECIBEL, 0),
    "dBA": (Unit.DECIBEL_A, 0),
    "dBm": (Unit.DECIBEL_MILLIWATT, 0),
    "pulse": (Unit.PULSE, 0),
    "": (Unit.NONE, 0),
}
"""Unit text → (canonical unit, power of ten): `000001.234*kWh` is 1.234 × 10³ Wh."""
