"""The oracle of the campaigns: it finds each kind of fault, and none where there is none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from meterkast.model.datatypes import DatatypeId
from meterkast.model.delivery import ItemId, NewItem
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.product import Medium, ProductDescription, PropertyDescription, PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.reading import Column, Frames
from meterkast.model.time import HALF_HOUR_MS, UtcMs, iso_utc, parse_iso
from meterkast.model.units import Unit
from meterkast.ports.store import Keep
from meterkast_buffer.store import SqliteStore, open_store
from meterkast_rig.p1_meter import SimulatedMeter
from meterkast_rig.truth import FAULTS, IMPORT, Channel, Verdict, judge

METER = SimulatedMeter(seed=5)
FIRST = parse_iso("2026-03-28T20:00:00Z")
ENDS = [UtcMs(FIRST + number * HALF_HOUR_MS) for number in range(6)]
CHANNELS = [Channel("wattics", "main", "pC_1", "electricity/import_total", IMPORT, 1)]
NOTHING: dict[str, list[Any]] = {
    name: [] for name in ("readings", "conflicts", "out_of_order", "falls")
}  # of RESET

Change = Callable[["Told"], None]


class Told:
    """A gateway's rows and a platform's packets, right until a test changes them."""

    def __init__(self) -> None:
        self.values: dict[UtcMs, int | None] = {end_ms: shown(end_ms) for end_ms in ENDS}
        self.causes: dict[UtcMs, Cause] = {}
        self.items = list(ENDS)
        self.packets = [(end_ms, shown(end_ms)) for end_ms in ENDS]
        self.samples = list(ENDS)
        self.conflicts: list[str] = []
        self.discarded: list[str] = []

    def received(self) -> dict[str, Any]:
        packets = [
            {"tsISO8601": iso_utc(end_ms), "body": {"id": "main", "pC_1": value}, "seq": seq}
            for seq, (end_ms, value) in enumerate(self.packets)
        ]
        return {
            "meters": {"main": packets},
            "conflicts": self.conflicts,
            "discarded": self.discarded,
            "repeated": 0,
        }


def shown(at_ms: UtcMs) -> int:
    """What the meter shows."""
    return sum(METER.registers(at_ms)[one] for one in IMPORT)


async def kept(store: SqliteStore, told: Told) -> None:
    """Put it in, as a gateway would."""
    _, found = await store.declare(
        ProductDescription(identity="p1:E1", name="Electricity", medium=Medium.ELECTRICITY),
        [
            PropertyDescription(
                key="import_total", name="Import", datatype=DatatypeId(39), unit=Unit.WATT_HOUR
            )
        ],
    )
    property_id = found["import_total"].id
    rows = [row(property_id, end_ms, value, told.causes.get(end_ms)) for end_ms, value in told.values.items()]
    items = [NewItem(uplink="wattics", stream="main", at_ms=end_ms, payload=b"{}") for end_ms in told.items]
    frames = [Frames((Column(property_id, 0),), told.samples, [(shown(at),) for at in told.samples])]
    await store.keep(Keep(now_ms=ENDS[-1], half_hours=rows, items=items, frames=frames))
    ids = [ItemId(number + 1) for number in range(len(items))]
    await store.acknowledge(ids, "200", ENDS[-1])


def row(property_id: PropertyId, end_ms: UtcMs, value: int | None, cause: Cause | None) -> HalfHour:
    return HalfHour(
        property_id=property_id,
        end_ms=end_ms,
        value=None if value is None else Quantity(value, 0),
        taken_ms=None if value is None else end_ms,
        state=State.MISSING if value is None else State.MEASURED,
        cause=cause,
        count=0 if value is None else 9,
    )


@pytest.fixture
def judged(tmp_path: Path) -> Callable[[Told], Awaitable[Verdict]]:
    """Keeps it in a database, and judges that."""

    async def judging(told: Told) -> Verdict:
        store = await open_store(tmp_path / "meterkast.db")
        try:
            await kept(store, told)
        finally:
            await store.close()
        return await judge(tmp_path / "meterkast.db", METER, NOTHING, told.received(), channels=CHANNELS)

    return judging


async def test_nothing_is_found_where_all_is_right(judged: Callable[[Told], Awaitable[Verdict]]) -> None:
    told = Told()
    told.values[ENDS[2]], told.causes[ENDS[2]] = None, Cause.GATEWAY_OFF
    for listed in (told.items, told.samples):
        listed.remove(ENDS[2])
    del told.packets[2]
    verdict = await judged(told)
    assert verdict.findings == []
    assert (verdict.counts["measured"], verdict.counts["delivered"]) == (5, 5)
    assert verdict.counts["missing (gateway off)"] == 1


def never_arrived(told: Told) -> None:
    del told.packets[3]


def kept_and_not_closed(told: Told) -> None:
    told.values[ENDS[2]], told.causes[ENDS[2]] = None, Cause.METER_SILENT
    del told.packets[2]


def two_items(told: Told) -> None:
    told.items.append(ENDS[1])


def another_value(told: Told) -> None:
    told.conflicts.append("12 was 11")


def swapped(told: Told) -> None:
    told.packets[2], told.packets[3] = told.packets[3], told.packets[2]


def discarded(told: Told) -> None:
    told.discarded.append("older than its newest")


def one_digit(told: Told) -> None:
    told.values[ENDS[4]] = shown(ENDS[4]) + 1


def one_digit_there(told: Told) -> None:
    told.packets[4] = (ENDS[4], shown(ENDS[4]) + 1)


def invented(told: Told) -> None:
    told.packets.append((UtcMs(ENDS[-1] + HALF_HOUR_MS), shown(ENDS[-1])))


def no_row(told: Told) -> None:
    del told.values[ENDS[2]]
    del told.packets[2]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (never_arrived, "lost"),
        (kept_and_not_closed, "lost"),
        (two_items, "doubled"),
        (another_value, "doubled"),
        (swapped, "out of order"),
        (discarded, "out of order"),
        (one_digit, "wrong"),
        (one_digit_there, "wrong"),
        (invented, "wrong"),
        (no_row, "unaccounted"),
    ],
)
async def test_each_fault_is_found_and_named(
    judged: Callable[[Told], Awaitable[Verdict]], change: Change, kind: str
) -> None:
    told = Told()
    change(told)
    verdict = await judged(told)
    assert verdict.counts[kind] == 1 or (change is one_digit and verdict.counts[kind] == 2)
    assert not any(verdict.counts[other] for other in FAULTS if other != kind)
