"""Multilevel Sensor (49): one row for each sensor type and scale of the specification.

Source: Z-Wave specification, Multilevel Sensor Command Class, list of assigned sensor types and scales, by
zwave-js' table. Units in a row stand in the order of their scale numbers, from 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from meterkast.model.datatypes import (
    AIR_PRESSURE,
    BAR_PRESSURE,
    CO2,
    CURRENT,
    DATATYPES,
    FLOW,
    HIGH_TEMPERATURE,
    HUMIDITY,
    LIGHT_LUX,
    LIGHT_PERCENT,
    METER,
    POWER,
    RELATIVE_PRESSURE,
    SENSOR,
    TEMPERATURE,
    VELOCITY,
    VOLTAGE,
    Aggregation,
    DatatypeId,
    Kind,
)
from meterkast.model.product import Medium
from meterkast_drivers.zwave.scales import MILLIVOLT, SCALES, TURNS_HZ, VOC_PPM, Scale, scale_of
from meterkast_drivers.zwave.target import Target
from meterkast_drivers.zwave.value import ZwaveValue

WEIGHT = 14


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    key: str
    datatype: DatatypeId
    scale: Scale


_TABLE: dict[tuple[int, int], _Row] = {}


def _one(number: int, key: str, name: str, datatype: DatatypeId, *scales: str | Scale) -> None:
    """A quantity whose scales are units of one another: one key."""
    for index, scale in enumerate(scales):
        found = SCALES[scale] if isinstance(scale, str) else scale
        _TABLE[number, index] = _Row(name, key, datatype, found)


def _each(number: int, name: str, *scales: tuple[str, DatatypeId, str | Scale]) -> None:
    """A type whose scales are different quantities: a key for each."""
    for index, (key, datatype, scale) in enumerate(scales):
        found = SCALES[scale] if isinstance(scale, str) else scale
        _TABLE[number, index] = _Row(name, key, datatype, found)


def _climate() -> None:
    # 12 is the small range (0–50 °C), for the air of a room; everything else may be colder or hotter.
    for number, key, name in (
        (1, "temperature", "Temperature"),
        (34, "target_temperature", "Target temperature"),
        (72, "return_air_temperature", "Return air temperature"),
    ):
        _one(number, key, name, TEMPERATURE, "°C", "°F")
    for number, key, name in (
        (11, "dew_point", "Dew point"),
        (23, "water_temperature", "Water temperature"),
        (24, "soil_temperature", "Soil temperature"),
        (62, "boiler_temperature", "Boiler water temperature"),
        (63, "hot_water_temperature", "Domestic hot water temperature"),
        (64, "outside_temperature", "Outside temperature"),
        (65, "exhaust_temperature", "Exhaust temperature"),
        (73, "supply_air_temperature", "Supply air temperature"),
        (74, "condenser_temperature", "Condenser coil temperature"),
        (75, "evaporator_temperature", "Evaporator coil temperature"),
        (76, "liquid_line_temperature", "Liquid line temperature"),
        (77, "discharge_line_temperature", "Discharge line temperature"),
        (80, "defrost_temperature", "Defrost temperature"),
    ):
        _one(number, key, name, HIGH_TEMPERATURE, "°C", "°F")
    _each(5, "Humidity", ("humidity", HUMIDITY, "%"), ("humidity_absolute", SENSOR, "g/m³"))
    _each(3, "Light", ("light_percent", LIGHT_PERCENT, "%"), ("light", LIGHT_LUX, "Lux"))
    _one(8, "air_pressure", "Atmospheric pressure", AIR_PRESSURE, "kPa", "inHg")
    _one(9, "barometric_pressure", "Barometric pressure", AIR_PRESSURE, "kPa", "inHg")
    _one(6, "velocity", "Velocity", VELOCITY, "m/s", "Mph")
    _one(18, "air_flow", "Air flow", FLOW, "m³/h", "cfm")


def _air() -> None:
    # RESET takes ppb and µg/m³. A molar density cannot be turned into either without knowing the substance.
    _one(17, "co2", "CO2", CO2, "ppm")
    _each(39, "Volatile organic compounds", ("tvoc_molar", SENSOR, "mol/m³"), ("tvoc", SENSOR, VOC_PPM))
    _each(35, "PM2.5", ("pm2p5_molar", SENSOR, "mol/m³"), ("pm2p5", SENSOR, "µg/m³"))
    _each(59, "PM10", ("pm10_molar", SENSOR, "mol/m³"), ("pm10", SENSOR, "µg/m³"))
    _one(86, "pm1", "PM1", SENSOR, "µg/m³")
    _each(40, "Carbon monoxide", ("co_molar", SENSOR, "mol/m³"), ("co", SENSOR, "ppm"))
    _one(37, "radon", "Radon", SENSOR, "bq/m³", "pCi/l")
    for number, key, name in (
        (36, "formaldehyde", "Formaldehyde"),
        (38, "methane", "Methane"),
        (43, "soil_salinity", "Soil salinity"),
    ):
        _one(number, key, name, SENSOR, "mol/m³")
    for number, key, name in (
        (81, "ozone", "Ozone"),
        (82, "sulfur_dioxide", "Sulfur dioxide"),
        (83, "nitrogen_dioxide", "Nitrogen dioxide"),
        (84, "ammonia", "Ammonia"),
        (85, "lead", "Lead"),
    ):
        _one(number, key, name, SENSOR, "µg/m³")


def _water_and_supply() -> None:
    _one(56, "water_flow", "Water flow", FLOW, "l/h")
    # A gauge in a water pipe shows what is above the air's pressure.
    _one(57, "water_pressure", "Water pressure", RELATIVE_PRESSURE, "kPa")
    _one(78, "suction_pressure", "Suction pressure", BAR_PRESSURE, "kPa", "psi")
    _one(79, "discharge_pressure", "Discharge pressure", BAR_PRESSURE, "kPa", "psi")
    _one(66, "chlorine", "Chlorine in water", SENSOR, "mg/l")
    _one(67, "ph", "Acidity of water", SENSOR, "pH")
    _one(68, "orp", "Oxidation reduction potential", SENSOR, MILLIVOLT)
    # Dissolved solids (TDS) are no sensor type; conductivity gives them only with the water's own factor.
    _one(29, "conductivity", "Electrical conductivity", SENSOR, "S/m")
    _one(19, "tank_volume", "Tank volume", SENSOR, "l", "m³", "gallon")
    # Meters have `power_import`, `voltage` and `current`: a device may have both.
    _one(4, "power_sensor", "Power", POWER, "W", "Btu/h")
    _one(15, "voltage_sensor", "Voltage", VOLTAGE, "V", "mV")
    _one(16, "current_sensor", "Current", CURRENT, "A", "mA")
    _one(32, "frequency", "Frequency", SENSOR, "Hz", "kHz")


def _body_and_counts() -> None:
    _one(WEIGHT, "weight", "Weight", SENSOR, "kg", "lb")
    for number, key, name, unit in (
        (44, "heart_rate", "Heart rate", "bpm"),
        (46, "muscle_mass", "Muscle mass", "kg"),
        (47, "fat_mass", "Fat mass", "kg"),
        (48, "bone_mass", "Bone mass", "kg"),
        (49, "body_water", "Total body water", "kg"),
        (50, "metabolic_rate", "Basis metabolic rate", "J"),
        (51, "body_mass_index", "Body mass index", ""),
        (60, "respiratory_rate", "Respiratory rate", "bpm"),
        (69, "heart_rate_ratio", "Heart rate LF/HF ratio", ""),
    ):
        _one(number, key, name, SENSOR, unit)
    _each(
        45,
        "Blood pressure",
        ("blood_pressure_systolic", SENSOR, "mmHg"),
        ("blood_pressure_diastolic", SENSOR, "mmHg"),
    )
    _one(87, "persons_in", "Persons entering", METER, "")
    _one(88, "persons_out", "Persons leaving", METER, "")


def _others() -> None:
    for number, key, name, units in (
        (7, "direction", "Direction", ("°",)),
        (10, "solar_radiation", "Solar radiation", ("W/m²",)),
        (12, "rain_rate", "Rain rate", ("mm/h", "in/h")),
        (13, "tide_level", "Tide level", ("m", "ft")),
        (20, "distance", "Distance", ("m", "cm", "ft")),
        (22, "rotation", "Rotation", ("rpm", TURNS_HZ)),
        (27, "uv_index", "UV index", ("",)),
        (28, "resistivity", "Electrical resistivity", ("Ωm",)),
        (33, "time", "Time", ("s",)),
        (41, "soil_humidity", "Soil humidity", ("%",)),
        (42, "soil_ph", "Soil acidity", ("pH",)),
        (52, "acceleration_x", "Acceleration X", ("m/s²",)),
        (53, "acceleration_y", "Acceleration Y", ("m/s²",)),
        (54, "acceleration_z", "Acceleration Z", ("m/s²",)),
        (55, "smoke_density", "Smoke density", ("%",)),
        (61, "modulation", "Relative modulation level", ("%",)),
        (70, "motion_direction", "Motion direction", ("°",)),
        (71, "force", "Force on the sensor", ("N",)),
    ):
        _one(number, key, name, SENSOR, *units)
    for number, name, keys in (
        (2, "General purpose", (("general_percent", "%"), ("general", ""))),
        (21, "Angle", (("angle_percent", "%"), ("angle_north", "°N"), ("angle_south", "°S"))),
        (
            25,
            "Seismic intensity",
            (
                ("seismic_mercalli", ""),
                ("seismic_european", ""),
                ("seismic_liedu", ""),
                ("seismic_shindo", ""),
            ),
        ),
        (
            26,
            "Seismic magnitude",
            (
                ("magnitude_local", ""),
                ("magnitude_moment", ""),
                ("magnitude_surface", ""),
                ("magnitude_body", ""),
            ),
        ),
        (30, "Loudness", (("loudness", "dB"), ("loudness_a", "dBA"))),
        (
            31,
            "Moisture",
            (
                ("moisture", "%"),
                ("moisture_volume", "m³/m³"),
                ("moisture_impedance", "kΩ"),
                ("water_activity", "aw"),
            ),
        ),
        (58, "Radio signal", (("signal_percent", "%"), ("signal_power", "dBm"))),
    ):
        _each(number, name, *((key, SENSOR, unit) for key, unit in keys))


for _fill in (_climate, _air, _water_and_supply, _body_and_counts, _others):
    _fill()


def sensor(value: ZwaveValue) -> Target | None:
    """Multilevel Sensor (49); None where there is nothing to know it by."""
    kind, number = value.cc_specific.get("sensorType"), value.cc_specific.get("scale")
    if kind is None or number is None:
        return None
    row = _TABLE.get((kind, number))
    if row is None:
        found = scale_of(value.unit)
        return Target(
            key=f"sensor_{kind}_{number}",
            name=value.label or f"Sensor {kind}",
            datatype=SENSOR,
            unit=found.unit,
            conversion=found.conversion,
            kind=Kind.MOMENTARY,
            parameter=str(kind),
            medium=Medium.SENSOR,
            why=f"Multilevel Sensor: type {kind}, scale {number} are not in the table; kept as generic",
        )
    weight = kind == WEIGHT
    unit = f", {value.unit}" if value.unit else ""
    return Target(
        key=row.key,
        name=row.name,
        datatype=row.datatype,
        unit=row.scale.unit,
        conversion=row.scale.conversion,
        kind=DATATYPES[row.datatype].kind,
        parameter=str(kind),
        medium=Medium.SENSOR,
        # RESET circularity: the maximum of a half-hour, and the reading before each emptying.
        aggregation=Aggregation.MAX if weight else None,
        emptyings=weight,
        why=f"Multilevel Sensor: {row.name}{unit}",
    )
