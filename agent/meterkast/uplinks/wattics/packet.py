"""The packets: what goes into one, and the time written on it.

Source: Wattics, "REST API – Smart Meter Energy Data API", sections "JSON Packet Format" and "Important
notes".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import StrEnum

from meterkast.model.half_hour import HalfHour, State
from meterkast.model.quantity import text
from meterkast.model.time import UtcMs, from_datetime, iso_local, to_datetime
from meterkast.model.units import Unit
from meterkast.ports.uplink import Binding

_PHASES = ("1", "2", "3")
ELECTRICAL: dict[str, Unit] = {
    **{f"aP_{phase}": Unit.WATT for phase in _PHASES},
    **{f"rP_{phase}": Unit.VAR for phase in _PHASES},  # the document says "VA reactive"
    **{f"apP_{phase}": Unit.VOLT_AMPERE for phase in _PHASES},
    **{f"v_{phase}": Unit.VOLT for phase in _PHASES},
    **{f"c_{phase}": Unit.AMPERE for phase in _PHASES},
    **{f"pC_{phase}": Unit.WATT_HOUR for phase in _PHASES},
    **{f"v_{pair}": Unit.VOLT for pair in ("12", "13", "23")},
}
"""The documented parameters of an electrical packet in the document's order, and their units."""


class Dst(StrEnum):
    """What is written as local time, because the platform may order packets by the wall clock alone.

    The documentation asks for local time with its offset; the platform's own Java client writes local time
    with a literal +00:00, so the offset may be ignored. Where it is, the second 02:30 of the night in October
    counts as a repeat of the first and is discarded without a word.
    """

    OFFSET = "offset"  # local time and its offset: what the documentation asks for
    STANDARD_TIME = "standard-time"  # the zone's winter time all year: the wall clock written never goes back
    UTC_ENDPOINT = "utc-endpoint"  # UTC, to the address that converts to local time


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One number of a packet.

    Attributes:
        key: Its JSON key.
        plus: What it is.
        minus: What is taken off it (export, for net power); None where nothing is.
        unit: The unit to write it in, a key of `units.POWERS`.
    """

    key: str
    plus: Binding
    minus: Binding | None = None
    unit: str

    @property
    def bindings(self) -> tuple[Binding, ...]:
        return (self.plus,) if self.minus is None else (self.plus, self.minus)

    def value(self, half_hours: Mapping[Binding, HalfHour]) -> Decimal | None:
        """The number, exact; None where a part of it is missing or suspect."""
        plus = _known(half_hours.get(self.plus), self.unit)
        if plus is None or self.minus is None:
            return plus
        minus = _known(half_hours.get(self.minus), self.unit)
        return None if minus is None else plus - minus


def packet(
    meter_id: str, stamp: str, parameters: tuple[Parameter, ...], half_hours: Mapping[Binding, HalfHour]
) -> bytes:
    """One packet: compact JSON on one line, keys in the document's order, missing parameters left out.

    Numbers are written with the digits they were measured with and never pass through a float.

    Args:
        meter_id: The id the meter is registered with.
        stamp: The interval's end, as `stamp` gives it.
        parameters: What the packet may hold.
        half_hours: What was measured.

    Returns:
        The packet; empty where no parameter is known.
    """
    numbers = [(one.key, number) for one in parameters if (number := one.value(half_hours)) is not None]
    if not numbers:
        return b""
    head = f'{{"id":{json.dumps(meter_id, ensure_ascii=False)},"tsISO8601":"{stamp}"'
    return (head + "".join(f',"{key}":{text(number)}' for key, number in numbers) + "}").encode()


def stamp(end_ms: UtcMs, where: tzinfo, dst: Dst) -> str:
    """The end of an interval as `tsISO8601`: yyyy-mm-ddThh:mm:ss.sss±hh:mm."""
    if dst is Dst.UTC_ENDPOINT:
        return iso_local(end_ms, UTC)
    if dst is Dst.STANDARD_TIME:
        return iso_local(end_ms, timezone(_standard_offset(end_ms, where)))
    return iso_local(end_ms, where)


def proven_ms(written: object, where: tzinfo, dst: Dst) -> UtcMs | None:
    """The instant of a stamp that the platform gave back; None where it proves nothing.

    A stamp proves an instant only if its offset is one that this site has then. Any other may be a wall clock
    that was labelled anew, and to trust it would be to skip a packet that can never be sent afterwards.

    Args:
        written: `tsISO8601` of the platform's answer, whatever it is.
        where: The site's zone.
        dst: As it was sent.
    """
    try:
        moment = datetime.fromisoformat(written) if isinstance(written, str) else None
        offset = moment.utcoffset() if moment is not None else None
        if moment is None or offset is None:
            return None
        at_ms = from_datetime(moment)
    except (ValueError, OverflowError):
        return None
    offsets = [to_datetime(at_ms, where).utcoffset()]
    if dst is Dst.STANDARD_TIME:
        offsets.append(_standard_offset(at_ms, where))
    return at_ms if offset in offsets else None


def _standard_offset(at_ms: UtcMs, where: tzinfo) -> timedelta:
    """Winter time's offset that year: the smaller of January's and July's, on either hemisphere."""
    year = to_datetime(at_ms).year
    offsets = [datetime(year, month, 1, tzinfo=where).utcoffset() for month in (1, 7)]
    return min(offset for offset in offsets if offset is not None)


def _known(half_hour: HalfHour | None, unit: str) -> Decimal | None:
    if half_hour is None or half_hour.value is None or half_hour.state is State.SUSPECT:
        return None
    return half_hour.value.in_unit(unit)
