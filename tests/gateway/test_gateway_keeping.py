"""The built gateway without its devices: what is kept, what a restart finds, what a person is told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from meterkast.app import Gateway, Page, device_id
from meterkast.cli import main
from meterkast.clock import SystemClock
from meterkast.config import Config, decode
from meterkast.model.datatypes import ENERGY_CONSUMED, POWER
from meterkast.model.errors import LinkLostError, MisconfiguredError, NotDeliveredError, StorageError
from meterkast.model.half_hour import Cause, HalfHour, RowKey
from meterkast.model.product import Medium, ProductDescription, PropertyDescription
from meterkast.model.reading import Batch, Column, Frames
from meterkast.model.time import HALF_HOUR_MS, MINUTE_MS, UtcMs
from meterkast.model.units import Unit
from meterkast.ports import DriverStatus, Emit, Keep, LinkState, Trust
from meterkast_buffer.store import SqliteStore, open_store

START = UtcMs(1_773_154_800_000)  # a whole half-hour

METER = ProductDescription(
    identity="p1:MK01", name="Electricity meter", medium=Medium.ELECTRICITY, serial="MK01"
)
VALUES = (
    PropertyDescription(
        key="import_total", name="Energy import", datatype=ENERGY_CONSUMED, unit=Unit.WATT_HOUR
    ),
    PropertyDescription(key="power_import", name="Power import", datatype=POWER, unit=Unit.WATT),
)
UPLINKS: dict[str, dict[str, Any]] = {
    "wattics": {
        "endpoint": "http://127.0.0.1:9/",
        "user": "u",
        "password": "p",
        "meters": [
            {"id": "half", "interval_min": 30, "readings": {"pC_1": "electricity/import_total"}},
            {"id": "five", "interval_min": 5, "readings": {"aP_1": "electricity/power_import"}},
        ],
    }
}


class SteppedClock:
    """Stands still until a test moves it."""

    speed = 1.0

    def __init__(self) -> None:
        self.at_ms = int(START)
        self.trust = Trust.TRUSTED

    def now_ms(self) -> UtcMs:
        return UtcMs(self.at_ms)

    def boot_ns(self) -> int:
        return (self.at_ms - START) * 1_000_000

    def utc_of(self, boot_ns: int) -> UtcMs:
        return UtcMs(START + boot_ns // 1_000_000)

    def offer(self, stamp_ms: UtcMs, seen_ns: int) -> None: ...

    def allowance_ms(self, limit_ms: int) -> int:
        return limit_ms

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing sleeps here")

    async def sleep_until(self, at_ms: UtcMs) -> None:
        raise AssertionError("nothing sleeps here")


class Site:
    """A gateway on a stepped clock, and a meter that is read each minute."""

    def __init__(self, gateway: Gateway, store: SqliteStore, clock: SteppedClock) -> None:
        self.gateway = gateway
        self.store = store
        self.clock = clock
        self.layout: tuple[Column, ...] = ()

    async def load(self) -> None:
        await self.gateway.keeper.load()
        _, found = await self.gateway.keeper.declare("p1", METER, VALUES)
        self.layout = tuple(Column(prop.id, 0) for prop in found.values())

    async def minutes(self, count: int, *, read: bool = True) -> None:
        """Let minutes pass: a reading in the middle of each, a transaction at its end."""
        for _ in range(count):
            self.clock.at_ms += MINUTE_MS // 2
            if read:
                wh = (self.clock.at_ms - START) // MINUTE_MS
                self.gateway.intake.emit(Batch(self.layout, (wh, 600), self.clock.boot_ns()))
            self.clock.at_ms += MINUTE_MS // 2
            await self.gateway.keeper.flush()

    async def half_hours(self, key: str = "import_total", length_ms: int = HALF_HOUR_MS) -> list[HalfHour]:
        ids = [prop.id for prop in self.gateway.keeper.properties.values() if prop.key == key]
        return list(
            await self.store.half_hours(
                UtcMs(0), UtcMs(self.clock.at_ms), length_ms=length_ms, properties=ids
            )
        )

    async def payloads(self, stream: str) -> list[str]:
        return [item.payload.decode() for item in await self.store.pending("wattics", stream, 10_000)]

    def problems(self) -> str:
        return "\n".join(
            f"{one.where}: {one.what} {one.do}" for one in self.gateway.examiner.snapshot().problems
        )


Opened = Callable[..., contextlib.AbstractAsyncContextManager[Site]]


@pytest.fixture
def site(tmp_path: Path) -> Opened:
    """Opens the gateway over the test's database: `async with site(clock) as it`."""

    @contextlib.asynccontextmanager
    async def opened(clock: SteppedClock, uplinks: dict[str, Any] = UPLINKS) -> AsyncIterator[Site]:
        tree = {"storage": {"path": str(tmp_path / "meterkast.db")}, "uplinks": uplinks}
        store = await open_store(tmp_path / "meterkast.db")
        try:
            gateway = Gateway(decode(Config, tree), clock, store, await device_id(store))
            it = Site(gateway, store, clock)
            await it.load()
            yield it
        finally:
            await store.close()

    return opened


async def test_half_hours_and_their_packets_are_kept_together(site: Opened) -> None:
    async with site(SteppedClock()) as it:
        await it.minutes(65)
        first, second = await it.half_hours()
        assert (first.end_ms, first.value and first.value.whole) == (START + HALF_HOUR_MS, 29)
        assert (second.end_ms, second.value and second.value.whole) == (START + 2 * HALF_HOUR_MS, 59)
        assert [text.split('"pC_1":')[1] for text in await it.payloads("half")] == ["29}", "59}"]
        assert len(await it.payloads("five")) == 12
        assert {len(await it.half_hours("power_import", 5 * MINUTE_MS))} == {12}


async def test_a_restart_goes_on_where_the_last_run_ended(site: Opened) -> None:
    clock = SteppedClock()
    async with site(clock) as it:
        await it.minutes(25)
    async with site(clock) as it:
        await it.minutes(20)
    async with site(clock) as it:
        await it.minutes(20)
        assert [one.value and one.value.whole for one in await it.half_hours()] == [29, 59]
        assert [one.revision for one in await it.half_hours()] == [0, 0]
        assert len(await it.payloads("half")) == 2
        assert len(await it.payloads("five")) == 12
        assert [one.value and one.value.decimal() for one in await it.half_hours("power_import")] == [
            600,
            600,
        ]


async def test_the_hours_in_which_it_was_off_are_missing_for_that_reason(site: Opened) -> None:
    clock = SteppedClock()
    async with site(clock) as it:
        await it.minutes(35)
    clock.at_ms += 3 * 60 * MINUTE_MS
    async with site(clock) as it:
        await it.minutes(60)
        causes = [one.cause for one in await it.half_hours()]
        assert causes == [None, None, *[Cause.GATEWAY_OFF] * 5, None, None]
        assert len(await it.payloads("half")) == 4


async def test_a_silent_meter_is_missing_for_that_reason_and_a_lost_port_for_another(site: Opened) -> None:
    async with site(SteppedClock()) as it:
        await it.minutes(35)
        await it.minutes(60, read=False)
        it.gateway.supervisors.append(_supervisor(it))
        supervisor = it.gateway.supervisors[-1]
        supervisor._outages.lost("p1", it.clock.now_ms())
        await it.minutes(60, read=False)
        causes = [one.cause for one in await it.half_hours()]
        assert causes[:2] == [None, None]
        assert causes[2:] == [Cause.METER_SILENT, Cause.LINK_LOST, Cause.LINK_LOST]
        assert "has not been heard of" in it.problems()


async def test_what_the_disk_refuses_waits_and_is_kept_later(
    site: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(SteppedClock()) as it:
        await it.minutes(20)
        keep = it.store.keep

        async def refuse(what: Keep) -> None:
            raise StorageError("the disk is full", hint="Free space.")

        monkeypatch.setattr(it.store, "keep", refuse)
        await it.minutes(45)
        assert it.gateway.keeper.unsaved == 45
        assert await it.half_hours() == []
        monkeypatch.setattr(it.store, "keep", keep)
        await it.minutes(1)
        assert it.gateway.keeper.unsaved == 0
        assert [one.value and one.value.whole for one in await it.half_hours()] == [29, 59]
        assert await _samples(it.store) == 66


async def test_a_disk_that_refuses_for_long_costs_samples_and_never_half_hours(
    site: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(SteppedClock()) as it:
        await it.minutes(2)
        keep = it.store.keep

        async def refuse(what: Keep) -> None:
            raise StorageError("the disk is full", hint="Free space.")

        monkeypatch.setattr(it.store, "keep", refuse)
        await it.minutes(6 * 60)
        assert it.gateway.keeper.dropped_blocks == 120
        monkeypatch.setattr(it.store, "keep", keep)
        await it.minutes(1)
        assert [one.value and one.value.whole for one in await it.half_hours()] == list(range(29, 360, 30))
        assert len(await it.payloads("half")) == 12


async def test_a_damaged_half_hour_does_not_keep_it_from_starting(
    site: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    clock = SteppedClock()
    async with site(clock) as it:
        await it.minutes(65)
        await it.store.database.rows("UPDATE half_hours SET whole = 7 WHERE whole = 29")
    async with site(clock) as it:
        await it.minutes(30)
        damaged: list[RowKey] = []
        kept = await it.store.half_hours(UtcMs(0), it.clock.now_ms(), damaged=damaged)
        assert [key.end_ms for key in damaged] == [START + HALF_HOUR_MS]
        assert 7 not in [one.value.whole for one in kept if one.value]
    assert "half-hour damaged" in caplog.text


async def test_nothing_is_closed_or_kept_under_an_unknown_clock(site: Opened) -> None:
    clock = SteppedClock()
    clock.trust = Trust.UNKNOWN
    async with site(clock) as it:
        await it.minutes(65)
        assert await it.half_hours() == []
        assert await _samples(it.store) == 0
        assert it.gateway.examiner.snapshot().held == 65
        assert "does not know the time" in it.problems()
        clock.trust = Trust.METER
        await it.minutes(1)
        assert await _samples(it.store) == 66
        assert [one.value and one.value.whole for one in await it.half_hours()] == [29, 59]
        assert "does not know the time" not in it.problems()


async def test_the_last_seconds_are_kept_at_a_clean_stop(site: Opened) -> None:
    async with site(SteppedClock()) as it:
        await it.minutes(3)
        it.clock.at_ms += 20_000
        it.gateway.intake.emit(Batch(it.layout, (4, 600), it.clock.boot_ns()))
        await it.gateway.keeper.finish()
        assert await _samples(it.store) == 4


async def test_a_value_the_meter_does_not_have_is_named_with_those_it_has(site: Opened) -> None:
    uplinks = {
        "wattics": {
            **UPLINKS["wattics"],
            "meters": [
                {"id": "a", "interval_min": 30, "readings": {"pC_1": "electricity/import_t9"}},
                {"id": "b", "interval_min": 30, "kind": "value", "value": "gas/volume", "unit": "m3"},
            ],
        }
    }
    async with site(SteppedClock(), uplinks) as it:
        await it.minutes(40)
        said = it.problems()
        assert "import_t9" in said
        assert "import_total" in said
        assert "gas/volume: no such meter was read yet" in said
        assert it.gateway.examiner.snapshot().verdict == "problem"


async def test_a_stream_that_cannot_be_composed_is_told_and_made_up_for(
    site: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(SteppedClock()) as it:
        await it.minutes(5)
        uplink = it.gateway.uplinks["wattics"]
        compose = uplink.compose

        def broken(*_: object) -> list[bytes]:
            raise KeyError("oops")

        monkeypatch.setattr(uplink, "compose", broken)
        await it.minutes(35)
        assert "uplink wattics, half: Its half-hours are kept" in it.problems()
        assert it.gateway.examiner.snapshot().verdict == "problem"
        assert await it.payloads("half") == []
        monkeypatch.setattr(uplink, "compose", compose)
        await it.minutes(1)
        assert "half: Its half-hours" not in it.problems()
        assert len(await it.payloads("half")) == 1
        assert len(await it.payloads("five")) == 7


class IdleDriver:
    """A driver that says what a test tells it to."""

    name = "p1"

    def __init__(self) -> None:
        self.state = LinkState.READING
        self.detail = ""

    async def run(self, emit: Emit) -> None:
        raise LinkLostError("it was unplugged", hint="Plug it in.")

    def status(self) -> DriverStatus:
        return DriverStatus(state=self.state, detail=self.detail, counters={"good": 1})


def _supervisor(it: Site) -> Any:
    from meterkast.pipeline.supervisor import Supervisor

    outages = it.gateway.closing._why.__self__  # type: ignore[attr-defined]
    return Supervisor(IdleDriver(), it.gateway.intake.emit, it.clock, outages, lambda: 0.5)


@pytest.mark.parametrize(
    ("error", "state", "severity"),
    [
        (NotDeliveredError("no route to host", hint="Wait."), "waiting", "attention"),
        (MisconfiguredError("401: wrong password", hint="Correct it."), "paused", "problem"),
    ],
)
async def test_each_trouble_of_an_uplink_is_said_with_what_to_do(
    site: Opened, monkeypatch: pytest.MonkeyPatch, error: Exception, state: str, severity: str
) -> None:
    async with site(SteppedClock()) as it:
        it.gateway.supervisors.append(_supervisor(it))
        await it.minutes(35)
        assert it.gateway.examiner.snapshot().verdict == "ok", it.problems()
        delivery = it.gateway.deliveries["wattics"]

        async def deliver(stream: str, items: Sequence[object]) -> str:
            raise error

        monkeypatch.setattr(delivery.uplink, "deliver", deliver)
        await delivery._round()
        snapshot = it.gateway.examiner.snapshot()
        (uplink,) = snapshot.uplinks
        assert (uplink.state, uplink.backlog) == (state, 7)
        assert snapshot.verdict == severity
        assert str(error) in snapshot.sentence
        await it.gateway.uplinks["wattics"].close()


async def test_a_driver_without_its_device_is_said_with_what_to_do(site: Opened) -> None:
    async with site(SteppedClock()) as it:
        assert "No meter is configured" in it.problems()
        supervisor = _supervisor(it)
        it.gateway.supervisors.append(supervisor)
        supervisor.problem, supervisor.hint = "/dev/ttyUSB0 is gone", "Plug the cable in."
        assert "p1: /dev/ttyUSB0 is gone. Plug the cable in." in it.problems()


async def test_what_was_set_aside_is_listed_and_sent_again_by_command(
    site: Opened, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with site(SteppedClock()) as it:
        await it.minutes(65)
        first, second = await it.store.pending("wattics", "half", 10)
        await it.store.quarantine([first.id], "400 no such meter", it.clock.now_ms())
    config = tmp_path / "meterkast.toml"
    config.write_text(f'[storage]\npath = "{tmp_path}/meterkast.db"\n', encoding="utf-8")

    async def outbox(*arguments: str) -> str:
        status = await asyncio.to_thread(main, ["outbox", *arguments, "--config", str(config)])
        said = capsys.readouterr()
        return f"{status}\n{said.out}{said.err}"

    listed = await outbox("list")
    assert "wattics half: 1 pending" in listed
    assert f"set aside: {first.id}  half" in listed
    assert "400 no such meter" in listed
    assert "1\nmeterkast: no item 99999 was set aside" in await outbox("send-again", "99999")
    assert "back in its stream" in await outbox("send-again")
    async with site(SteppedClock()) as it:
        assert [item.id for item in await it.store.pending("wattics", "half", 10)] == [first.id, second.id]
        assert "is in use" in await outbox("send-again") or "gateway" in await outbox("send-again")


async def test_a_taken_page_port_does_not_stop_metering(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("meterkast.pipeline.door.RETRY_S", 0.05)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        tree = {"storage": {"path": str(tmp_path / "page.db")}, "page": {"port": taken.getsockname()[1]}}
        store = await open_store(tmp_path / "page.db")
        gateway = Gateway(decode(Config, tree), SystemClock(), store, "mk-test")
        page = Page(gateway)
        showing = asyncio.create_task(page.run())
        await page.tried.wait()
        assert page.url == ""
        assert "no page" in caplog.text
    try:
        for _ in range(500):
            if page.url:
                break
            await asyncio.sleep(0.02)
        assert page.url.endswith(f":{tree['page']['port']}/")
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
        await store.close()


async def _samples(store: SqliteStore) -> int:
    count = 0
    async for frames in store.samples(UtcMs(0)):
        count += _rows(frames)
    return count


def _rows(frames: Sequence[Frames]) -> int:
    return sum(len(table.times) for table in frames)
