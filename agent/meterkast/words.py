"""Numbers and instants as a person reads them, on the page and on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, tzinfo
from decimal import ROUND_HALF_UP, Decimal

from meterkast.model.datatypes import Kind
from meterkast.model.quantity import text
from meterkast.model.time import UtcMs, to_datetime
from meterkast.pipeline.health import DriverHealth, PropertyHealth

NOTHING = "—"
"""What stands where a value is unknown; the reason is always beside it."""

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

_UNITS = {"Watt": "W", "gr C": "°C", "m3": "m³", "m3/h": "m³/h", "µg/m3": "µg/m³"}
# A mean has more digits than its meter measures. How many decimals say something, by the printed unit.
_DECIMALS = {
    **dict.fromkeys(("lx", "ppm", "ppb", "Pa", "mV"), 0),
    **dict.fromkeys(("W", "VA", "var", "V", "°C", "%", "µg/m³"), 1),
    **dict.fromkeys(("A", "Hz", "kPa", "m/s", "pH"), 2),
}
_MOST_DECIMALS = 3
_SIZES = ("B", "kB", "MB", "GB", "TB")
_STEPS = ((60, 1, "s"), (3600, 60, "min"), (2 * 86_400, 3600, "h"))


def span(seconds: float) -> str:
    """A length of time in its largest fitting unit, rounded down: 3 s, 12 min, 5 h, 3 days."""
    whole = max(0, int(seconds))
    for limit, step, unit in _STEPS:
        if whole < limit:
            return f"{whole // step} {unit}"
    return f"{whole // 86_400} days"


def ago(seconds: float) -> str:
    """How long ago: "now", "3 s ago"."""
    return "now" if seconds < 1 else f"{span(seconds)} ago"


def size(count: int) -> str:
    """Bytes in the unit that leaves at most three digits before the point: 512 B, 4.1 MB, 12 GB."""
    number, steps = float(count), 0
    while number >= 999.5 and steps < len(_SIZES) - 1:
        number, steps = number / 1000, steps + 1
    return f"{number:.0f} {_SIZES[steps]}" if not steps or number >= 9.95 else f"{number:.1f} {_SIZES[steps]}"


def waiting(half_hours: int, left_s: float | None) -> str:
    """What an uplink has still to deliver: "1,488 half-hours waiting, about 25 minutes"; without an estimate
    where there is none.
    """
    text = f"{half_hours:,} {'half-hour' if half_hours == 1 else 'half-hours'} waiting"
    return text if left_s is None else f"{text}, {about(left_s)}"


def about(seconds: float) -> str:
    """An estimate of a length of time: "about 25 minutes", or "less than a minute"."""
    if seconds < 60:
        return "less than a minute"
    for limit, step, one in ((5400, 60, "minute"), (36 * 3600, 3600, "hour")):
        if seconds < limit:
            return f"about {amount(round(seconds / step), one)}"
    return f"about {amount(round(seconds / 86_400), 'day')}"


def unit_name(unit: str) -> str:
    """A unit as it is printed: BeNext's `m3` is m³, `Watt` is W."""
    return _UNITS.get(unit, unit)


def shown(value: str | Decimal, entry: PropertyHealth) -> str:
    """A property's value as it is printed: a measurement rounded, a register and a state digit for digit."""
    number = Decimal(value)
    if entry.kind != Kind.MOMENTARY:
        return text(number)
    decimals = _DECIMALS.get(unit_name(entry.unit), _MOST_DECIMALS)
    if int(number.as_tuple().exponent) < -decimals:
        number = number.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return text(number + 0)  # never -0.0


def amount(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: 1 item, 3 items."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def no_meter_yet(drivers: Sequence[DriverHealth]) -> str:
    """What stands where the meters will be, by what the drivers read."""
    kinds = {driver.name.partition(".")[0] for driver in drivers}
    ways = ["No meter was found yet."]
    if kinds != {"zwave"}:
        ways.append("A meter on a cable appears here by itself, a few seconds after its first telegram.")
    if "zwave" in kinds:
        ways.append("Add a Z-Wave device with `meterkast zwave include`.")
    return " ".join(ways)


def day_name(day: date, today: date) -> str:
    """Friday 21 November; with the year where it is not this year's."""
    year = f" {day.year}" if day.year != today.year else ""
    return f"{_DAYS[day.weekday()]} {day.day} {_MONTHS[day.month - 1]}{year}"


class SiteTime:
    """Instants in the site's wall clock, short: the date only where it is another day than now."""

    def __init__(self, where: tzinfo, now_ms: UtcMs) -> None:
        self._zone = where
        self._now_ms = now_ms
        self._today = to_datetime(now_ms, where).date()

    def at(self, at_ms: UtcMs, seconds: bool = False) -> str:
        """14:30, or 20 Nov 14:30."""
        moment = to_datetime(at_ms, self._zone)
        text = moment.strftime("%H:%M:%S" if seconds else "%H:%M")
        if moment.date() == self._today:
            return text
        year = f" {moment.year}" if moment.year != self._today.year else ""
        return f"{moment.day} {_MONTHS[moment.month - 1][:3]}{year} {text}"

    def since(self, at_ms: UtcMs) -> str:
        """How long ago that is."""
        return ago((self._now_ms - at_ms) / 1000)
