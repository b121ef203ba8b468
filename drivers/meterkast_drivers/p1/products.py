"""What the store is told of the meters in a form: products, properties, and how fresh their values are."""

from __future__ import annotations

from meterkast.model.datatypes import DATATYPES, METER, SENSOR, Aggregation, Kind
from meterkast.model.product import Medium, ProductDescription, PropertyDescription
from meterkast.model.time import MINUTE_MS
from meterkast.model.units import POWERS
from meterkast_drivers.p1.form import Form, MeterForm
from meterkast_drivers.p1.telegram import Reading, quantity

FRESH_MS = MINUTE_MS
"""How long a value of the electricity meter stands; telegrams come every 1 to 10 s."""

_MOST_DIGITS = 18  # what 63 bits have room for
_LATE_MS = 15 * MINUTE_MS
_NAMES = {
    Medium.GAS: "Gas meter",
    Medium.WATER: "Water meter",
    Medium.HEAT: "Heat meter",
    Medium.COOLING: "Cooling meter",
    Medium.ELECTRICITY: "Electricity sub-meter",
}


_NOT_AVERAGED = {
    "tariff",
    "breaker",
    "power_failure_duration",
    "demand_peak",
    "demand_peak_export",
    "net_total",
    *(f"net_t{tariff}" for tariff in range(1, 7)),
    *(f"net_l{phase}" for phase in (1, 2, 3)),
}
"""States and totals under the generic Sensor: the mean of tariff 1 and tariff 2 is nothing."""


def identity(meter: str) -> str:
    return f"p1:{meter}"


def electricity(form: Form, interval_ms: int = 0) -> tuple[ProductDescription, list[PropertyDescription]]:
    """The electricity meter and its columns, in their order.

    Args:
        form: The meter's form.
        interval_ms: How far its telegrams are apart; 0 where that is not known yet.
    """
    telegram = form.telegram
    serial = telegram.meter(0)
    product = ProductDescription(
        identity=identity(serial or telegram.ident),
        name="Electricity meter",
        medium=Medium.ELECTRICITY,
        maker=telegram.ident[:3],
        model=telegram.ident[3:].lstrip("0123456789\\ "),
        serial=serial,
    )
    fresh_ms = max(FRESH_MS, 3 * interval_ms)
    properties = [
        PropertyDescription(
            key=column.key,
            name=column.reading.name,
            datatype=column.reading.datatype or (SENSOR if column.line >= 0 else METER),
            unit=POWERS[column.reading.unit][0],
            decimals=column.decimals,
            reference=column.reading.line.reference,
            fresh_ms=fresh_ms,
            aggregation=Aggregation.LAST if column.key in _NOT_AVERAGED else None,
            rolls_at=_rolls_at(column.reading, column.decimals),
        )
        for column in form.columns
    ]
    return product, properties


def mbus(form: Form, meter: MeterForm) -> tuple[ProductDescription, PropertyDescription]:
    """A meter on the M-Bus and its register."""
    reading = meter.reading
    assert reading.kind is not None
    serial = form.telegram.meter(reading.line.channel)
    cadence_ms = form.telegram.profile.mbus_ms
    product = ProductDescription(
        identity=identity(serial),
        name=_NAMES.get(reading.kind.medium, "Meter"),
        medium=reading.kind.medium,
        serial=serial,
    )
    return product, PropertyDescription(
        key=reading.key,
        name=reading.name,
        datatype=reading.kind.datatype,
        unit=reading.kind.unit,
        decimals=quantity(reading)[1],
        rolls_at=_rolls_at(reading, quantity(reading)[1]),
        reference=reading.line.reference,
        fresh_ms=2 * cadence_ms,
        # Meters read every hour come up to an hour late, and the telegram with them a little later still.
        late_ms=_LATE_MS if cadence_ms < 60 * MINUTE_MS else 75 * MINUTE_MS,
    )


def _rolls_at(reading: Reading, decimals: int) -> int | None:
    """Where a register begins again at 0: behind as many nines as the meter shows digits.

    P1's registers have a fixed width, with zeros in front (IEC 62056-21, F9(3,3) and the like).
    """
    if (
        reading.datatype is None
        or DATATYPES[reading.datatype].kind is not Kind.REGISTER
        or not reading.line.groups
    ):
        return None
    digits = reading.line.groups[-1].partition("*")[0].partition(".")[0]
    power = POWERS[reading.unit][1] + decimals
    if not (digits.isascii() and digits.isdigit()) or len(digits) + power > _MOST_DIGITS:
        return None
    return int(10 ** (len(digits) + power))
