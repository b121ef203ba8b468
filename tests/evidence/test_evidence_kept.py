"""The telegram behind each register edge: which one is kept, when, for how long, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meterkast.model.evidence import OPENED, Evidence
from meterkast.model.half_hour import State
from meterkast.model.product import PropertyId
from meterkast.model.reading import Batch, Column, TimeSource
from meterkast.model.time import DAY_MS, HALF_HOUR_MS, HOUR_MS, SECOND_MS, UtcMs
from meterkast.pipeline.evidence import QUARTER_MS, REMEMBERED, Raws
from meterkast.pipeline.held_raws import HeldRaws, may_close
from meterkast.ports.clock import Trust
from meterkast.ports.store import Keep
from meterkast_buffer.evidence import pack, unpack
from meterkast_buffer.store import open_store
from meterkast_drivers.p1.framing import Framer
from meterkast_rig.p1_meter import SimulatedMeter

START = UtcMs(1_776_290_400_000)  # 2026-04-15T22:00:00Z
METER = SimulatedMeter(seed=3)
LATE = SimulatedMeter(seed=3, mbus_late_s=120)


async def test_each_register_has_the_telegram_that_closed_it(reading: Callable[..., Any]) -> None:
    async with reading() as it:
        await it.read(METER, START + 2 * HALF_HOUR_MS + 120 * SECOND_MS)
        for number in (1, 2):
            end = START + number * HALF_HOUR_MS
            for channel in (
                "electricity/import_t1",
                "electricity/import_total",
                "gas/volume",
                "water/volume",
            ):
                row = await it.row(channel, end)
                found = await it.store.evidence(row.property_id, row.taken_ms)
                assert found is not None, (channel, number)
                assert found.at_ms == row.taken_ms == end
                assert found.arrived_ms == end + 300
                assert found.raw == it.sent[end].rstrip()
                assert row.property_id in found.properties


async def test_what_is_no_register_has_none(reading: Callable[..., Any]) -> None:
    async with reading() as it:
        await it.read(METER, START + HALF_HOUR_MS + 120 * SECOND_MS)
        _, power = await it.prop("electricity/power_import")
        _, register = await it.prop("electricity/import_t1")
        found = await it.store.evidence(register.id, UtcMs(START + HALF_HOUR_MS))
        assert power.id not in found.properties
        assert await it.store.evidence(power.id, UtcMs(START + HALF_HOUR_MS)) is None


async def test_a_meter_whose_stamps_miss_the_boundary_has_the_last_before_it(
    reading: Callable[..., Any],
) -> None:
    async with reading(UtcMs(START + 3 * SECOND_MS)) as it:  # :03, :13, … and the last at :53
        await it.read(METER, START + HALF_HOUR_MS + 180 * SECOND_MS)
        row = await it.row("electricity/import_t1", START + HALF_HOUR_MS)
        assert row.taken_ms == START + HALF_HOUR_MS - 7 * SECOND_MS
        found = await it.store.evidence(row.property_id, row.taken_ms)
        assert found.raw == it.sent[row.taken_ms].rstrip()


async def test_a_value_that_comes_late_has_the_telegram_that_brought_it(reading: Callable[..., Any]) -> None:
    async with reading() as it:
        await it.read(LATE, START + HALF_HOUR_MS + 300 * SECOND_MS)
        row = await it.row("gas/volume", START + HALF_HOUR_MS)
        found = await it.store.evidence(row.property_id, row.taken_ms)
        assert found.at_ms == START + HALF_HOUR_MS
        assert found.raw == it.sent[START + HALF_HOUR_MS + 120 * SECOND_MS].rstrip()


async def test_one_transaction_of_the_closing_keeps_it_and_one_row_serves_all(
    reading: Callable[..., Any],
) -> None:
    async with reading() as it:
        await it.read(METER, START + 4 * HALF_HOUR_MS + 120 * SECOND_MS)
        database = it.store.database
        # Gas and water were captured at the start itself, which closes the half-hour before it.
        assert (await database.rows("SELECT count(*) FROM evidence"))[0][0] == 1 + 4
        blocks = (await database.rows("SELECT count(*) FROM blocks"))[0][0]
        # Declaring the meters and their values are the other transactions.
        assert database.writes - blocks <= 6
        ids = await database.rows("SELECT id FROM evidence EXCEPT SELECT id FROM blocks")
        assert ids == []


async def test_a_cut_between_boundary_and_closing_does_not_lose_it(reading: Callable[..., Any]) -> None:
    async with reading() as it:
        await it.read(METER, START + HALF_HOUR_MS + 2 * SECOND_MS, every_s=1)
        at_cut = it.clock.now_ms()
        assert await it.store.half_hours(START, UtcMs(at_cut)) == []  # not closed yet
    async with reading(UtcMs(at_cut + 30 * SECOND_MS)) as it:
        await it.read(METER, START + HALF_HOUR_MS + 180 * SECOND_MS)
        row = await it.row("electricity/import_t1", START + HALF_HOUR_MS)
        assert row.taken_ms == START + HALF_HOUR_MS
        found = await it.store.evidence(row.property_id, row.taken_ms)
        assert found.raw == METER.telegram(UtcMs(START + HALF_HOUR_MS)).rstrip()


async def test_an_outlier_at_the_boundary_is_not_the_evidence(reading: Callable[..., Any]) -> None:
    """The last telegram before the boundary is read back by ten kWh: held back, and the one before closes."""
    edge = UtcMs(START + HALF_HOUR_MS)
    async with reading() as it:
        await it.read(METER, edge - 10 * SECOND_MS)
        it.clock.set(UtcMs(edge + 300))
        # An older telegram of the same meter, with the boundary's stamp and a right checksum.
        await it.telegram(_stamped(METER.telegram(UtcMs(edge - 5 * DAY_MS)), METER.telegram(edge)))
        await it.gateway.keeper.flush()
        await it.read(METER, edge + 180 * SECOND_MS)
        row = await it.row("electricity/import_t1", edge)
        assert row.taken_ms == edge - 10 * SECOND_MS
        found = await it.store.evidence(row.property_id, row.taken_ms)
        assert found.raw == it.sent[row.taken_ms].rstrip()


def _stamped(telegram: bytes, like: bytes) -> bytes:
    from meterkast_rig.p1_telegram import checked

    mark = b"0-0:1.0.0("
    at, to = telegram.index(mark), like.index(mark)
    changed = telegram[:at] + like[to : to + 24] + telegram[at + 24 :]
    return checked(changed[: changed.rindex(b"!") + 1])


async def test_a_late_revision_has_its_own_evidence(reading: Callable[..., Any]) -> None:
    edge = UtcMs(START + HALF_HOUR_MS)
    async with reading() as it:
        await it.read(METER, edge - 60 * SECOND_MS)
        await it.idle(60 + 120)  # closed with the reading of a minute before
        row = await it.row("electricity/import_t1", edge)
        assert (row.taken_ms, row.revision) == (edge - 60 * SECOND_MS, 0)
        _, prop = await it.prop("electricity/import_t1")
        late = next(batch for batch in reversed(it.batches) if len(batch.layout) > 1)
        values = tuple(value + 1 for value in late.values)
        stamp, raw = UtcMs(edge - 30 * SECOND_MS), b"/LATE"
        it.gateway.intake.emit(Batch(late.layout, values, it.clock.boot_ns(), stamp, TimeSource.CAPTURE, raw))
        await it.idle(60)
        row = await it.row("electricity/import_t1", edge)
        assert (row.taken_ms, row.revision, row.state) == (stamp, 1, State.LATE)
        assert (await it.store.evidence(prop.id, stamp)).raw == raw


async def test_it_survives_that_the_database_refuses_for_hours(
    reading: Callable[..., Any], tmp_path: Any
) -> None:
    async with reading() as it:
        await it.read(METER, START + HALF_HOUR_MS - 60 * SECOND_MS)
        whole = it.store.keep

        async def refuse(what: Keep) -> None:
            from meterkast.model.errors import StorageError

            raise StorageError("no", hint="no")

        it.store.keep = refuse
        await it.read(METER, START + 10 * HALF_HOUR_MS + 120 * SECOND_MS)
        assert it.gateway.keeper.unsaved.dropped_blocks > 0
        it.store.keep = whole
        await it.idle(60)
        for number in range(1, 11):
            row = await it.row("electricity/import_t1", START + number * HALF_HOUR_MS)
            assert (await it.store.evidence(row.property_id, row.taken_ms)) is not None


async def test_batches_of_a_telegram_share_its_bytes(reading: Callable[..., Any]) -> None:
    async with reading() as it:
        await it.read(METER, START + 300 * SECOND_MS)
        last = [batch for batch in it.batches if batch.seen_ns == it.batches[-1].seen_ns]
        assert len(last) == 3  # electricity, gas and water
        assert all(batch.raw is last[0].raw for batch in last)


async def test_one_that_came_encrypted_is_kept_opened_and_says_so() -> None:
    from meterkast_drivers.p1.reader import Reader

    (frame,) = Framer().feed(METER.telegram(START))
    reader = Reader()
    reader.take(frame._replace(opened=True), 0)
    assert reader._raw == OPENED + METER.telegram(START).rstrip()


def test_of_what_waits_for_a_clock_only_what_may_close_a_half_hour_is_held() -> None:
    """Of hours of telegrams those stamped just before a quarter keep their bytes."""
    layout = (Column(PropertyId(1), 0),)
    batches = [
        Batch(layout, (n,), n, UtcMs(START + n * 1000), TimeSource.TELEGRAM, b"x") for n in range(20_000)
    ]
    kept = [one for one in batches if may_close(one)]
    assert len(kept) == 20_000 // 900 * 10 + 1  # ten seconds before each quarter, and the first instant
    assert all(-one.device_ms % QUARTER_MS < 10_000 for one in kept)
    assert not may_close(Batch(layout, (1,), 1, raw=b"{}"))


def test_days_on_an_unknown_clock_are_bounded_and_what_is_given_up_is_counted() -> None:
    """Of a meter that sends each second the newest few of each quarter are held, of two days at most."""
    layout, held = (Column(PropertyId(1), 0),), HeldRaws()
    for quarter in range(3 * 96):
        end = START + quarter * QUARTER_MS
        held.take(
            Batch(layout, (n,), n, UtcMs(end + n * 1000), TimeSource.TELEGRAM, b"x") for n in range(-9, 1)
        )
    assert held.dropped == 96 * REMEMBERED
    kept = held.release()
    assert len(kept) == 2 * 96 * REMEMBERED
    assert {one.device_ms - START - 96 * QUARTER_MS for one in kept[:REMEMBERED]} == {-3000, -2000, -1000, 0}
    assert held.release() == []


def test_what_is_remembered_is_bounded() -> None:
    raws, layout = Raws(), (Column(PropertyId(1), 0),)
    for second in range(8 * 3600):
        raws.take(Batch(layout, (1,), second, raw=b"x"), UtcMs(START + second * 1000))
        if second % 60 == 0:
            raws.due([], lambda _: True, _Grid(), UtcMs(START + second * 1000), lambda ns: UtcMs(ns))
    counts = [len(one.raws) for quarter in raws._quarters.values() for one in quarter.values()]
    assert max(counts) == REMEMBERED
    assert len(counts) <= 2 * HOUR_MS // QUARTER_MS + 2


class _Grid:
    def end_of(self, at_ms: UtcMs) -> UtcMs:
        return UtcMs(-(-at_ms // HALF_HOUR_MS) * HALF_HOUR_MS)


async def test_retention_removes_it_a_little_each_hour(tmp_path: Any) -> None:
    store = await open_store(tmp_path / "meterkast.db", evidence_months=1)
    try:
        for day in range(40):
            at = UtcMs(START + day * DAY_MS)
            one = Evidence(properties=(PropertyId(1),), at_ms=at, arrived_ms=at, raw=b"/x")
            await store.keep(Keep(now_ms=UtcMs(at + HOUR_MS), evidence=[one]))
        assert await store.oldest_evidence_ms() == START + 8 * DAY_MS + HOUR_MS
        assert await store.evidence(PropertyId(1), UtcMs(START + 7 * DAY_MS)) is None
        assert await store.evidence(PropertyId(1), UtcMs(START + 8 * DAY_MS)) is not None
    finally:
        await store.close()


async def test_nothing_is_kept_on_an_unknown_clock_and_all_once_it_is_known(
    reading: Callable[..., Any],
) -> None:
    async with reading(trust=Trust.UNKNOWN) as it:
        await it.read(METER, START + HALF_HOUR_MS + 180 * SECOND_MS)
        assert await it.store.oldest_evidence_ms() is None
        it.clock.trust = Trust.TRUSTED
        await it.idle(60)
        row = await it.row("electricity/import_t1", START + HALF_HOUR_MS)
        found = await it.store.evidence(row.property_id, row.taken_ms)
        assert found.raw == it.sent[START + HALF_HOUR_MS].rstrip()


async def test_hours_on_an_unknown_clock_have_all_their_evidence_once_it_is_known(
    reading: Callable[..., Any],
) -> None:
    # A telegram at :03, :13, …: none lies on a boundary and is evidence before its half-hour is closed.
    async with reading(UtcMs(START + 3 * SECOND_MS), trust=Trust.UNKNOWN) as it:
        await it.read(METER, START + 9 * HALF_HOUR_MS + 60 * SECOND_MS)
        it.clock.trust = Trust.TRUSTED
        await it.read(METER, START + 10 * HALF_HOUR_MS + 180 * SECOND_MS)
        for number in range(1, 11):
            row = await it.row("electricity/import_t1", START + number * HALF_HOUR_MS)
            found = await it.store.evidence(row.property_id, row.taken_ms)
            assert found is not None, number
            assert found.raw == it.sent[row.taken_ms].rstrip()


@pytest.mark.parametrize("damage", [b"", b"\2", b"\1abc"])
def test_a_damaged_row_is_told_and_not_taken_for_evidence(damage: bytes) -> None:
    with pytest.raises(ValueError, match=r"form|Error|cut"):
        unpack(damage)
    one = Evidence(properties=(PropertyId(1),), at_ms=START, arrived_ms=START, raw=METER.telegram(START))
    data = pack([one])
    for place in range(1, len(data), 7):
        flipped = data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]
        with pytest.raises(ValueError):  # noqa: PT011 - zlib has many words for it
            unpack(flipped)
    with pytest.raises(ValueError, match="cut"):
        unpack(data[:-5])


async def test_a_damaged_row_does_not_hide_the_others(tmp_path: Any) -> None:
    store = await open_store(tmp_path / "meterkast.db")
    try:
        for raw in (b"/one", b"/two"):
            one = Evidence(properties=(PropertyId(1),), at_ms=START, arrived_ms=START, raw=raw)
            await store.keep(Keep(now_ms=START, evidence=[one]))
        await store.database.transact(
            lambda connection: connection.execute("UPDATE evidence SET data = x'01' WHERE id = ?", (START,))
        )
        found = await store.evidence(PropertyId(1), START)
        assert found is not None
        assert found.raw == b"/two"
    finally:
        await store.close()
