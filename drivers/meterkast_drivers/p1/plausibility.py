"""Care for telegrams without a checksum (DSMR 2.2, 3.0, Q3D): what one damaged byte could have made.

The form has already refused what changed its shape. A digit that became another digit is caught here: a
register neither falls nor jumps, and a state or an M-Bus value counts only when two telegrams agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meterkast.model.datatypes import DATATYPES, Kind
from meterkast.model.limits import GENEROUS, LARGEST_PER_HOUR, MAIN_FUSE_W
from meterkast.model.units import POWERS, Unit
from meterkast_drivers.p1.form import ColumnForm, Form, MeterForm
from meterkast_drivers.p1.telegram import Reading

# Largest momentary values of such a connection, in canonical units.
_LIMITS = {
    Unit.WATT: GENEROUS * MAIN_FUSE_W,
    Unit.VAR: GENEROUS * MAIN_FUSE_W,
    Unit.VOLT_AMPERE: GENEROUS * MAIN_FUSE_W,
    Unit.VOLT: 500,
    Unit.AMPERE: GENEROUS * 80,
    Unit.HERTZ: 70,
}
_NS_PER_HOUR = 3_600_000_000_000


@dataclass(slots=True)
class _Held:
    """A value that waits for the next telegram to agree."""

    value: int
    seen_ns: int


class Guard:
    """Holds back what cannot be, one telegram long.

    Attributes:
        held: How many values were held back so far.
    """

    def __init__(self) -> None:
        self.held = 0
        self._accepted: dict[str, tuple[int, int]] = {}
        self._waiting: dict[str, _Held] = {}
        self._meters: dict[str, Reading] = {}
        self._waiting_meters: dict[str, tuple[str, object]] = {}

    def doubtful(self, form: Form, seen_ns: int) -> list[int]:
        """The columns of the newest telegram that must not be given out."""
        return [
            place
            for place, (column, value) in enumerate(zip(form.columns, form.values, strict=True))
            if not column.parts and not self._accepts(column, value, seen_ns)
        ]

    def accepts_meter(self, identifier: str, meter: MeterForm) -> bool:
        """Whether two telegrams in a row gave this reading of a meter on the M-Bus."""
        told = (meter.reading.value, meter.reading.at)
        agreed = self._waiting_meters.get(identifier) == told
        self._waiting_meters[identifier] = told
        if not agreed:
            self.held += 1
        return agreed

    def _accepts(self, column: ColumnForm, value: int, seen_ns: int) -> bool:
        last = self._accepted.get(column.key)
        waiting = self._waiting.pop(column.key, None)
        if (
            last is None
            or _possible(column, last[0], value, seen_ns - last[1])
            or (waiting is not None and _possible(column, waiting.value, value, seen_ns - waiting.seen_ns))
        ):
            self._accepted[column.key] = (value, seen_ns)
            return True
        self.held += 1
        self._waiting[column.key] = _Held(value, seen_ns)
        return False


def _possible(column: ColumnForm, before: int, after: int, elapsed_ns: int) -> bool:
    """Whether a value can follow another one after so long."""
    datatype = column.reading.datatype
    unit = _unit(column)
    kind = DATATYPES[datatype].kind if datatype is not None else Kind.STATE
    one = int(10**column.decimals)
    if kind is Kind.REGISTER and unit in LARGEST_PER_HOUR:
        # Whole steps of the register's own last digit come on top.
        most = LARGEST_PER_HOUR[unit] * one * elapsed_ns // _NS_PER_HOUR + _step(column)
        return 0 <= after - before <= most
    limit = _LIMITS.get(unit)
    if limit is not None and not column.key.startswith(("power_limit", "current_limit")):
        return abs(after) <= limit * one
    return after == before


def _step(column: ColumnForm) -> int:
    shown = len(column.reading.value.partition(".")[2])
    return 2 * int(10 ** max(0, POWERS[column.reading.unit][1] + column.decimals - shown))


def _unit(column: ColumnForm) -> Unit:
    return POWERS[column.reading.unit][0]


def without(columns: Sequence[ColumnForm], left_out: Sequence[int]) -> set[int]:
    """The columns left out, and the sums that they are part of."""
    gone = set(left_out)
    for place, column in enumerate(columns):
        if any(part in gone for part, _ in column.parts):
            gone.add(place)
    return gone
