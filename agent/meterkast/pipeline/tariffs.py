"""Tariff registers against the total register, where a meter gives both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from meterkast.model.half_hour import HalfHour, State
from meterkast.model.product import ProductId, Property, PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.register import difference, total
from meterkast.model.time import HALF_HOUR_MS, UtcMs


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A meter whose tariffs do not come to its total.

    Attributes:
        total_id: The total's property.
        at_ms: The half-hour's end.
        tariffs, total: The sum of the tariffs, and the total, in the canonical unit.
        count: Half-hours since the start in which they disagreed.
    """

    total_id: PropertyId
    at_ms: UtcMs
    tariffs: Quantity
    total: Quantity
    count: int


class Tariffs:
    """Compares them at the end of each half-hour. It only tells; nothing is changed.

    Attributes:
        wrong: Totals that disagreed in their newest half-hour.
    """

    def __init__(self) -> None:
        self.wrong: dict[PropertyId, Disagreement] = {}
        self._counts: dict[PropertyId, int] = {}

    def check(self, half_hours: Iterable[HalfHour], properties: Mapping[PropertyId, Property]) -> None:
        """Look at newly closed half-hours."""
        found: dict[tuple[ProductId, UtcMs, str], dict[str, HalfHour]] = {}
        for one in half_hours:
            prop = properties.get(one.property_id)
            if one.length_ms != HALF_HOUR_MS or prop is None or one.state is State.SUSPECT:
                continue
            stem, _, last = prop.key.rpartition("_")
            if stem and (last == "total" or (last[:1] == "t" and last[1:].isdigit())):
                found.setdefault((prop.product_id, one.end_ms, stem), {})[last] = one
        for parts in found.values():
            if (whole := parts.pop("total", None)) is not None and parts:
                self._compare(whole, list(parts.values()))

    def _compare(self, whole: HalfHour, parts: list[HalfHour]) -> None:
        values = [one.value for one in (whole, *parts) if one.value is not None]
        if len(values) <= len(parts) or len({one.taken_ms for one in (whole, *parts)}) > 1:
            return  # something is missing, or they are not of one telegram
        assert whole.value is not None
        tariffs = total(values[1:])
        gap = difference(tariffs, whole.value)
        # Each register drops what is behind its last digit, so the sum of several may be as many digits less.
        if abs(gap.whole) <= _last_digit(values, gap.decimals) * max(1, len(parts) - 1):
            self.wrong.pop(whole.property_id, None)
            return
        count = self._counts[whole.property_id] = self._counts.get(whole.property_id, 0) + 1
        self.wrong[whole.property_id] = Disagreement(
            total_id=whole.property_id, at_ms=whole.end_ms, tariffs=tariffs, total=whole.value, count=count
        )


def _last_digit(values: Iterable[Quantity], decimals: int) -> int:
    """What one of the last digit is that all of them show: a meter of whole kWh counts 1000 Wh at once."""
    wholes = [value.rescaled(decimals) for value in values]
    step = 1
    while any(wholes) and all(whole % (step * 10) == 0 for whole in wholes):
        step *= 10
    return step
