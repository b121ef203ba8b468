"""The load of fifty Z-Wave devices: some five reports a second, each of one value, in no order.

A driver emits each report as it comes, so every value has a layout of its own and a minute is two hundred
little tables. It is a heavy load: real networks carry a fraction of it.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from meterkast.model.datatypes import CO2, DATATYPES, ENERGY_CONSUMED, POWER, VOLTAGE, DatatypeId
from meterkast.model.product import Medium, ProductDescription, PropertyDescription
from meterkast.model.reading import Column, Layout
from meterkast.model.time import HOUR_MS, UtcMs
from meterkast.ports.inventory import Catalog

DEVICES = 50
EVENTS_PER_S = 5
_HOME_ID = "c0ffee00"
_FRESH_MS = HOUR_MS // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Value:
    """One kind of value that every device has.

    Attributes:
        share: Out of six reports, how many are of this kind.
        noise: Standard deviation from one report to the next, in its last digit; a register rises instead.
    """

    key: str
    datatype: DatatypeId
    decimals: int
    first: int
    noise: float
    share: int


_VALUES = (
    _Value(key="power_import", datatype=POWER, decimals=1, first=4_000, noise=60, share=3),
    _Value(key="import_total", datatype=ENERGY_CONSUMED, decimals=0, first=4_500_000, noise=0, share=1),
    _Value(key="voltage", datatype=VOLTAGE, decimals=1, first=2_300, noise=12, share=1),
    _Value(key="co2", datatype=CO2, decimals=0, first=600, noise=4, share=1),
)


class NoisyNetwork:
    """Fifty devices of four values each.

    Args:
        seed: The same gives the same reports.

    Attributes:
        reports: How many there were so far.
    """

    def __init__(self, seed: int = 7) -> None:
        self.reports = 0
        self._random = random.Random(seed)
        self._layouts: list[list[Layout]] = []
        self._values = [[value.first for value in _VALUES] for _ in range(DEVICES)]
        self._kinds = [number for number, value in enumerate(_VALUES) for _ in range(value.share)]

    async def declare(self, catalog: Catalog) -> None:
        """Give the devices and their values ids.

        Raises:
            StorageError: The database refused.
        """
        for node in range(2, DEVICES + 2):
            product = ProductDescription(
                identity=f"zwave:{_HOME_ID}:{node}", name=f"Meter {node}", medium=Medium.ELECTRICITY
            )
            _, known = await catalog.declare(
                product,
                [
                    PropertyDescription(
                        key=value.key,
                        name=value.key,
                        datatype=value.datatype,
                        unit=DATATYPES[value.datatype].unit,
                        decimals=value.decimals,
                        fresh_ms=_FRESH_MS,
                    )
                    for value in _VALUES
                ],
            )
            self._layouts.append([(Column(known[value.key].id, value.decimals),) for value in _VALUES])

    def second(self, end_ms: UtcMs) -> Iterator[tuple[UtcMs, Layout, tuple[int, ...], bytes]]:
        """The reports of the second before an instant, oldest first; with a register's evidence."""
        chance = self._random
        times = sorted(end_ms - chance.randrange(1000) for _ in range(self._count()))
        self.reports += len(times)
        for at_ms in times:
            device, kind = chance.randrange(DEVICES), chance.choice(self._kinds)
            value, known = _VALUES[kind], self._values[device]
            moved = round(chance.gauss(0, value.noise)) if value.noise else chance.randrange(1, 30)
            known[kind] = max(0, (value.first if value.key == "voltage" else known[kind]) + moved)
            raw = _evidence(device + 2, known[kind]) if value.key == "import_total" else b""
            yield UtcMs(at_ms), self._layouts[device][kind], (known[kind],), raw

    def _count(self) -> int:
        """Poisson's distribution, as Knuth draws from it."""
        least, product, count = math.exp(-EVENTS_PER_S), self._random.random(), 0
        while product > least:
            product *= self._random.random()
            count += 1
        return count


def _evidence(node: int, watt_hours: int) -> bytes:
    """What the driver keeps of a meter's report, as it makes it."""
    meter = {"meterType": 1, "scale": 0, "rateType": 1}
    place = {"commandClassName": "Meter", "commandClass": 50, "endpoint": 0, "property": "value"}
    named = {"propertyKey": 65537, "propertyName": "value", "propertyKeyName": "Electric_kWh_Consumed"}
    told = {
        "node": node,
        "unit": "kWh",
        "type": "number",
        "ccSpecific": meter,
        "valueId": f"{node}-50-0-value-65537",
        "args": {**place, **named, "newValue": watt_hours / 1000, "prevValue": (watt_hours - 7) / 1000},
    }
    return json.dumps(told, separators=(",", ":")).encode()
