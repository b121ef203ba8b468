"""What a start and a stream that waited take up: nothing measured is called missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from meterkast.model.datatypes import ENERGY_CONSUMED, SENSOR
from meterkast.model.errors import StorageError
from meterkast.model.half_hour import HalfHour, RowKey, State
from meterkast.model.product import Medium, ProductDescription, ProductId, PropertyDescription
from meterkast.model.reading import Batch, Column, TimeSource
from meterkast.model.time import DAY_MS, HALF_HOUR_MS, HOUR_MS, MINUTE_MS, UtcMs
from meterkast.model.units import Unit
from meterkast.night import Night
from meterkast.pipeline.examine import Examiner
from meterkast.pipeline.keeping import AFTER_MINUTE_MS
from meterkast.ports.clock import Trust
from meterkast.ports.store import Keep
from meterkast.ports.uplink import Binding, Wanted
from meterkast_buffer.store import SqliteStore, open_store

from .kept_site import KeptSite
from .sites import GRID, START, Far, until

ENERGY = PropertyDescription(
    key="energy", name="Energy", datatype=ENERGY_CONSUMED, unit=Unit.WATT_HOUR, fresh_ms=2 * HOUR_MS
)
WEIGHT = PropertyDescription(key="weight", name="Weight", datatype=SENSOR, unit=Unit.KILOGRAM)


class Uplink(Far):
    """Asks for streams of one value each: `stream="product"`."""

    name = "far"

    def __init__(self, streams: dict[str, str], value: PropertyDescription, length_ms: int) -> None:
        super().__init__()
        self._streams = streams
        self._value = value
        self._length_ms = length_ms

    def wanted(self) -> Sequence[Wanted]:
        found = []
        for name, product in self._streams.items():
            bindings = (Binding(product=product, key=self._value.key),)
            peaks = bindings if self._value is WEIGHT else ()
            found.append(Wanted(name=name, bindings=bindings, length_ms=self._length_ms, peaks=peaks))
        return found


class House(KeptSite):
    """Meters that count a Wh a minute."""

    def __init__(self, store: SqliteStore) -> None:
        super().__init__(store)
        self.columns: dict[str, Column] = {}
        self.value = ENERGY
        self.length_ms = HALF_HOUR_MS

    async def start(self, **streams: str) -> None:
        """Again is a restart."""
        await self.load({"far": Uplink(streams, self.value, self.length_ms)})

    async def meter(self, name: str) -> ProductId:
        described = ProductDescription(identity=f"zwave:1:{len(name)}", name=name, medium=Medium.SUBMETER)
        product, found = await self.keeper.declare("zwave", described, [self.value])
        self.columns[name] = Column(found[self.value.key].id, 0)
        return product.id

    async def minutes(self, count: int, *, read: bool = True) -> None:
        for _ in range(count):
            self.clock.pass_ms(MINUTE_MS)
            if read:
                self.emit()
            await self.keeper.flush()

    def emit(self, value: int | None = None) -> None:
        counted = (self.clock.now_ms() - START) // MINUTE_MS
        for column in self.columns.values():
            self.intake.emit(Batch((column,), (counted if value is None else value,), self.clock.boot_ns()))

    def catch_up(self, name: str, minute: int) -> None:
        """A reading of back then comes in now."""
        late = Batch(
            (self.columns[name],), (minute,), self.clock.boot_ns(), until(minute + 0.5), TimeSource.CAPTURE
        )
        self.intake.emit(late)

    def refused(self) -> dict[str, int]:
        examiner = Examiner(
            site="Here",
            zone="Europe/Amsterdam",
            device_id="mk-test",
            grid=GRID,
            clock=self.clock,
            store=self.store,
            intake=self.intake,
            closing=self.closing,
            keeper=self.keeper,
            supervisors=[],
            deliveries={},
            networks={},
            night=Night(self.store, GRID, self.clock, "mk-test", {}, lambda _: None, samples_days=30),
        )
        return examiner.snapshot().refused

    async def sent(self, stream: str) -> list[str]:
        return [item.payload.decode() for item in await self.store.pending("far", stream, 1000)]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = await open_store(tmp_path / "meterkast.db")
    yield House(store)
    await store.close()


def counted(*half_hours: int) -> list[str]:
    return [f"energy={30 * number}" for number in half_hours]


async def test_stream_whose_device_has_its_name_again_goes_on_with_all_that_was_measured(
    house: House,
) -> None:
    await house.start(wash="Washer")
    number = await house.meter("Washer")
    await house.minutes(62)
    await house.keeper.rename_product(number, "Dryer")
    await house.start(wash="Washer")
    await house.minutes(8 * 60)
    assert await house.sent("wash") == counted(1, 2)
    assert "no such meter" in str(house.keeper.beginning.waiting_for["far", "wash"])
    await house.keeper.rename_product(number, "Washer")
    await house.minutes(1)
    assert await house.sent("wash") == counted(*range(1, 19))
    assert house.keeper.beginning.waiting_for["far", "wash"] == ()


async def test_stream_is_taken_up_when_the_database_answers_again(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuses(*_: object, **__: object) -> list[HalfHour]:
        raise StorageError("the disk failed", hint="Replace the card.")

    await house.start(wash="Washer")
    number = await house.meter("Washer")
    await house.minutes(62)
    await house.keeper.rename_product(number, "Dryer")
    await house.start(wash="Washer")
    await house.keeper.rename_product(number, "Washer")
    with monkeypatch.context() as patch:
        patch.setattr(house.store, "half_hours", refuses)
        await house.minutes(6 * 60)
    assert await house.sent("wash") == counted(1, 2)
    assert "stream not begun" in caplog.text
    assert house.keeper.beginning.waiting_for["far", "wash"] == ("the database: the disk failed",)
    await house.minutes(1)
    assert await house.sent("wash") == counted(*range(1, 15))


async def test_new_stream_of_a_device_that_was_just_named_begins_with_the_interval_that_is_open(
    house: House,
) -> None:
    await house.start(wash="Washer")
    number = await house.meter("Device 7")
    await house.minutes(100)
    assert await house.sent("wash") == []
    await house.keeper.rename_product(number, "Washer")
    assert house.keeper.beginning.waiting_for["far", "wash"] == ("the first reading",)
    await house.minutes(30)
    assert await house.sent("wash") == counted(4)


async def test_restart_composes_from_where_it_was_and_reads_no_years_for_streams_that_are_gone(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.start(wash="Washer", gone="Washer")
    await house.meter("Washer")
    await house.minutes(62)
    await house.start(wash="Washer")
    await house.minutes(12 * 60)
    asked: list[UtcMs] = []
    half_hours = house.store.half_hours

    async def watched(after_ms: UtcMs, *more: Any, **named: Any) -> list[HalfHour]:
        asked.append(after_ms)
        return await half_hours(after_ms, *more, **named)

    monkeypatch.setattr(house.store, "half_hours", watched)
    await house.start(wash="Washer")
    assert min(asked) >= until(9 * 60), "what is composed and closed is not read again"
    await house.minutes(60)
    assert await house.sent("wash") == counted(*range(1, 29))
    assert await house.sent("gone") == counted(1, 2)


async def test_damaged_half_hour_goes_out_as_missing_for_that_cause_and_a_late_reading_mends_it(
    house: House,
) -> None:
    await house.start(wash="Washer")
    await house.meter("Washer")
    await house.minutes(62)
    await house.start()
    await house.minutes(30)
    await house.store.database.rows("UPDATE half_hours SET whole = 7 WHERE whole = 90")
    await house.start(wash="Washer")
    await house.minutes(1)
    assert await house.sent("wash") == [*counted(1, 2), "energy=disk"]
    for revision in (1, 2):
        house.catch_up("Washer", 70 + revision)
        await house.minutes(1)
        damaged: list[RowKey] = []
        kept = await house.store.half_hours(until(60), until(90), damaged=damaged)
        assert [(one.value and one.value.whole, one.revision) for one in kept] == [(90, revision)]
        assert kept[0].state is State.LATE
        assert [key.revision for key in damaged] == list(range(revision))
        await house.store.database.rows("UPDATE half_hours SET whole = 7 WHERE whole = 90")
        await house.start(wash="Washer")
    assert len(house.keeper.unsaved) == 0


async def test_late_reading_revises_after_a_restart_what_it_would_have_revised_before(house: House) -> None:
    await house.start()
    await house.meter("Washer")
    await house.minutes(30)
    await house.minutes(30, read=False)
    await house.minutes(62)
    await house.start()
    house.catch_up("Washer", 50)
    await house.minutes(1)
    (kept,) = await house.store.half_hours(until(30), until(60))
    assert (kept.value and kept.value.whole, kept.revision, kept.state) == (50, 1, State.LATE)


async def test_reading_that_comes_too_late_for_a_revision_is_counted_where_it_is_seen(house: House) -> None:
    await house.start()
    await house.meter("Washer")
    await house.minutes(30)
    await house.minutes(30, read=False)
    await house.minutes(6 * 60)
    assert house.refused() == {}
    house.catch_up("Washer", 50)
    house.catch_up("Washer", 51)
    await house.minutes(1)
    assert house.refused() == {"came hours late: the half-hour stays as it was closed": 1}
    kept = await house.store.half_hours(until(30), until(60))
    assert [(one.value, one.revision) for one in kept] == [(None, 0)]


async def test_stop_in_the_midst_of_a_transaction_keeps_everything_once(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await house.start(wash="Washer")
    await house.meter("Washer")
    await house.minutes(31)
    begun = asyncio.Event()
    keep = house.store.keep

    async def watched(what: Keep) -> None:
        begun.set()
        await keep(what)

    monkeypatch.setattr(house.store, "keep", watched)
    running = asyncio.create_task(house.keeper.run())
    await asyncio.sleep(0)
    house.clock.pass_ms(MINUTE_MS + AFTER_MINUTE_MS)
    house.emit()
    await begun.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
    house.clock.pass_ms(MINUTE_MS)
    house.emit()
    await house.keeper.finish()
    assert len(house.keeper.unsaved) == 0
    assert await house.sent("wash") == counted(1)
    times = [at async for frames in house.store.samples(START) for table in frames for at in table.times]
    assert len(times) == len(set(times)) == 33
    assert caplog.records == []


async def test_clock_that_is_wrong_at_a_start_does_not_put_off_what_is_new_until_that_year(
    house: House,
) -> None:
    await house.start()
    await house.meter("Washer")
    await house.minutes(62)
    now_ms = house.clock.now_ms()
    house.clock.trust = Trust.UNKNOWN
    house.clock.set(UtcMs(now_ms + 400 * DAY_MS))
    house.length_ms = 5 * MINUTE_MS
    await house.start(wash="Washer")
    house.clock.set(now_ms)
    house.clock.trust = Trust.TRUSTED
    await house.minutes(20)
    assert await house.sent("wash") == [f"energy={minute}" for minute in (65, 70, 75, 80)]


async def test_readings_that_were_dropped_are_counted_where_an_operator_sees_them(house: House) -> None:
    await house.start()
    await house.meter("Washer")
    await house.minutes(10)
    assert house.refused() == {}
    for value in (10**9, 3):
        house.emit(value)
        await house.minutes(1)
    assert house.refused() == {"register's reading does not follow the others": 2}


async def test_bin_that_is_emptied_after_a_restart_has_the_weight_of_before(house: House) -> None:
    house.value = WEIGHT
    await house.start(bin="Bin")
    await house.meter("Bin")
    for number, weight in enumerate((40, 52, 48, 47, 10, 1, 20)):
        house.emit(weight)
        await house.minutes(1, read=False)
        if number == 2:
            await house.start(bin="Bin")
    await house.minutes(25, read=False)
    (kept,) = await house.store.half_hours(START, until(30))
    assert (kept.value and kept.value.whole, kept.before_emptyings) == (52, (52,))
