"""What a gateway kept and delivered, judged by the meter itself: it is a pure function of seed and instant.

Every half-hour since the begin has to be measured or missing with a cause, as what was kept of its readings
says; every measured one has to be at each platform once, in order, with the meter's own number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from meterkast.model.half_hour import HalfHour
from meterkast.model.product import PropertyId
from meterkast.model.time import HALF_HOUR_MS, UtcMs, iso_utc, parse_iso
from meterkast_buffer.store import SqliteStore, open_store
from meterkast_rig.p1_meter import SimulatedMeter

FAULTS = ("lost", "doubled", "out of order", "wrong", "unaccounted", "set aside")
"""What must not happen, as `Verdict.counts` names it."""

_LISTED = 20


class Channel(NamedTuple):
    """One register on its way to one platform.

    Attributes:
        uplink, stream, name: RESET's monitor and channel, or Wattics' meter and parameter.
        key: What the configuration calls the value: medium and property.
        registers: Of the meter; they add up to it.
        per: Canonical units in one of the platform's.
    """

    uplink: str
    stream: str
    name: str
    key: str
    registers: tuple[str, ...]
    per: int


IMPORT, EXPORT, WATER = ("1-0:1.8.1", "1-0:1.8.2"), ("1-0:2.8.2",), ("0-2:24.2.1",)
CHANNELS = (
    Channel("reset", "energy", "import", "electricity/import_total", IMPORT, 1000),
    Channel("reset", "energy", "export", "electricity/export_t2", EXPORT, 1000),
    Channel("wattics", "main", "pC_1", "electricity/import_total", IMPORT, 1),
    Channel("wattics", "water", "value", "water/volume", WATER, 1),
)
"""Of `site.MONITORS` and `site.METERS`."""

Refused = Collection[tuple[str, str, UtcMs]]
"""Uplink, stream and end of what a platform refuses for good."""


@dataclass(slots=True)
class Verdict:
    """What was found.

    Attributes:
        counts: Half-hours by what became of them, and `FAULTS`.
        findings: The first faults, in words.
    """

    counts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def fault(self, kind: str, what: str) -> None:
        """One more of them."""
        self.counts[kind] += 1
        if len(self.findings) < _LISTED:
            self.findings.append(f"{kind}: {what}")

    def text(self) -> str:
        """All counts in one line, the faults also where there are none."""
        names = [name for name in self.counts if name not in FAULTS] + list(FAULTS)
        return ", ".join(f"{self.counts[name]:,} {name}" for name in names)


class Arrived(NamedTuple):
    """A value at a platform: its number, and its place in the order of arrival."""

    value: Decimal
    place: int


Received = Mapping[tuple[str, str, str], Mapping[UtcMs, Arrived]]
"""By uplink, stream and channel, in order of arrival."""


async def judge(
    database: Path,
    meter: SimulatedMeter,
    at_reset: Mapping[str, Any],
    at_wattics: Mapping[str, Any],
    *,
    channels: Sequence[Channel] = CHANNELS,
    refused: Refused = (),
) -> Verdict:
    """Compare a stopped gateway's database with the meter, and both platforms with the database.

    Raises:
        StorageError: The database cannot be read.
    """
    verdict = Verdict()
    received = _received(at_reset, at_wattics)
    _platforms(verdict, at_reset, at_wattics)
    store = await open_store(database, read_only=True)
    try:
        await _outbox(verdict, store, refused)
        for key, registers in {(one.key, one.registers) for one in channels}:
            rows = await _register(verdict, store, meter, key, registers)
            for channel in channels:
                if channel.key == key:
                    _delivered(verdict, channel, rows, received, await _begun(store, channel), refused)
    finally:
        await store.close()
    return verdict


def _platforms(verdict: Verdict, at_reset: Mapping[str, Any], at_wattics: Mapping[str, Any]) -> None:
    for one in at_reset["conflicts"] + at_wattics["conflicts"]:
        verdict.fault("doubled", f"another value for {one}")
    for one in at_reset["out_of_order"] + at_wattics["discarded"]:
        verdict.fault("out of order", f"{one}")
    for one in at_reset["falls"]:
        verdict.fault("wrong", f"a register fell: {one}")
    verdict.counts["sent again"] += at_wattics["repeated"] + sum(
        slot["count"] - 1 for slot in at_reset["readings"]
    )


async def _outbox(verdict: Verdict, store: SqliteStore, refused: Refused) -> None:
    """Each item once; set aside exactly those that are refused, with the platform's words."""
    rows = await store.database.rows(
        "SELECT uplink, name, at_ms, state, words, receipt FROM outbox JOIN streams ON streams.id = stream_id"
    )
    seen = Counter((uplink, stream, at_ms) for uplink, stream, at_ms, *_ in rows)
    for place, times in seen.items():
        if times > 1:
            verdict.fault("doubled", f"{times} items {_place(place)}")
    for uplink, stream, at_ms, state, words, receipt in rows:
        aside = (uplink, stream, at_ms) in refused
        if aside != (state == 2) or (aside and "refused" not in words):
            verdict.fault("set aside", f"{_place((uplink, stream, at_ms))}: state {state}, {words!r}")
        if state == 1 and not receipt:
            verdict.fault("lost", f"{_place((uplink, stream, at_ms))}: delivered without a receipt")
    verdict.counts["items"] = len(rows)
    verdict.counts["items set aside"] = sum(row[3] == 2 for row in rows)


async def _register(
    verdict: Verdict, store: SqliteStore, meter: SimulatedMeter, key: str, registers: Sequence[str]
) -> Mapping[UtcMs, HalfHour]:
    """A register's half-hours, each compared with the meter and with the samples it was made of."""
    property_id = await _property(store, key)
    damaged: list[Any] = []
    rows = {
        one.end_ms: one
        for one in await store.half_hours(UtcMs(0), UtcMs(1 << 60), properties=[property_id], damaged=damaged)
    }
    for one in damaged:
        verdict.fault("wrong", f"{key}: the row's CRC, {one}")
    newest = await _newest_samples(store, property_id, min(rows, default=UtcMs(0)))
    for end_ms in range(min(rows, default=0), max(rows, default=-1) + 1, HALF_HOUR_MS):
        if (row := rows.get(UtcMs(end_ms))) is None:
            verdict.fault("unaccounted", f"{key} {iso_utc(UtcMs(end_ms))}: no row")
        else:
            _row(verdict, key, row, meter, registers, newest.get(UtcMs(end_ms)))
    return rows


def _row(
    verdict: Verdict,
    key: str,
    row: HalfHour,
    meter: SimulatedMeter,
    registers: Sequence[str],
    newest_ms: UtcMs | None,
) -> None:
    where = f"{key} {iso_utc(row.end_ms)}"
    if row.value is None or row.taken_ms is None:
        verdict.counts[f"missing ({row.cause})"] += 1
        if row.cause is None:
            verdict.fault("unaccounted", f"{where}: missing without a cause")
        if newest_ms is not None:
            verdict.fault("lost", f"{where}: missing, but {iso_utc(newest_ms)} was kept")
        return
    verdict.counts["measured"] += 1
    shown = meter.registers(row.taken_ms)
    if row.value.decimal() != sum(shown[one] for one in registers):
        verdict.fault("wrong", f"{where}: {row.value} instead of {shown}")
    if not row.end_ms - HALF_HOUR_MS < row.taken_ms <= row.end_ms:
        verdict.fault("wrong", f"{where}: taken at {iso_utc(row.taken_ms)}")
    if newest_ms is not None and row.taken_ms < newest_ms:
        verdict.fault("lost", f"{where}: of {iso_utc(row.taken_ms)}, but {iso_utc(newest_ms)} was kept")


def _delivered(
    verdict: Verdict,
    channel: Channel,
    rows: Mapping[UtcMs, HalfHour],
    received: Received,
    begun_ms: UtcMs,
    refused: Refused,
) -> None:
    there = received.get((channel.uplink, channel.stream, channel.name), {})
    where = f"{channel.uplink} {channel.stream} {channel.name}"
    ends = list(there)
    if ends != sorted(ends):
        verdict.fault("out of order", where)
    for end_ms, row in rows.items():
        aside = (channel.uplink, channel.stream, end_ms) in refused
        if row.value is None or end_ms < begun_ms or aside:
            continue
        if end_ms not in there:
            verdict.fault("lost", f"{where} {iso_utc(end_ms)} is not there")
        elif there[end_ms].value * channel.per != row.value.decimal():
            verdict.fault(
                "wrong", f"{where} {iso_utc(end_ms)}: {there[end_ms].value} there, {row.value} here"
            )
        verdict.counts["delivered"] += 1
    for end_ms in ends:
        if end_ms not in rows or rows[end_ms].value is None:
            verdict.fault("wrong", f"{where} {iso_utc(end_ms)} is there and was not measured")


def _received(at_reset: Mapping[str, Any], at_wattics: Mapping[str, Any]) -> Received:
    found: dict[tuple[str, str, str], dict[UtcMs, Arrived]] = {}

    def put(place: tuple[str, str, str], end_ms: UtcMs, value: object, seq: int) -> None:
        found.setdefault(place, {})[end_ms] = Arrived(Decimal(str(value)), seq)

    for slot in sorted(at_reset["readings"], key=lambda one: one["seq"]):
        if slot["value"] is not None:
            put(
                ("reset", slot["connection_id"], slot["channel"]),
                parse_iso(slot["reading_time"]),
                slot["value"],
                slot["seq"],
            )
    for meter, packets in at_wattics["meters"].items():
        for packet in packets:
            for name, value in packet["body"].items():
                if name not in ("id", "tsISO8601"):
                    put(("wattics", meter, name), parse_iso(packet["tsISO8601"]), value, packet["seq"])
    return found


async def _property(store: SqliteStore, key: str) -> PropertyId:
    medium, _, name = key.partition("/")
    products = {product.id for product in await store.products() if product.description.medium == medium}
    (found,) = (
        one.id
        for one in await store.properties()
        if one.description.key == name and one.product_id in products
    )
    return found


async def _begun(store: SqliteStore, channel: Channel) -> UtcMs:
    """The first interval that a stream was composed for."""
    [(first,)] = await store.database.rows(
        "SELECT min(at_ms) FROM outbox JOIN streams ON streams.id = stream_id WHERE uplink = ? AND name = ?",
        (channel.uplink, channel.stream),
    )
    return UtcMs(first or 0)


async def _newest_samples(
    store: SqliteStore, property_id: PropertyId, first_end_ms: UtcMs
) -> Mapping[UtcMs, UtcMs]:
    """When the newest reading of each half-hour was taken that is kept, by the half-hour's end."""
    newest: dict[UtcMs, UtcMs] = {}
    async for frames in store.samples(UtcMs(first_end_ms - HALF_HOUR_MS)):
        for table in frames:
            if any(column.property_id == property_id for column in table.layout):
                for at_ms in table.times:
                    end_ms = UtcMs(-(-at_ms // HALF_HOUR_MS) * HALF_HOUR_MS)
                    newest[end_ms] = max(at_ms, newest.get(end_ms, at_ms))
    return newest


def _place(place: Iterable[Any]) -> str:
    *names, at_ms = place
    return f"{' '.join(names)} {iso_utc(UtcMs(at_ms))}"
