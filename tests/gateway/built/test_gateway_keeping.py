"""The built gateway: what it keeps, and what a restart finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meterkast.model.epoch import Break
from meterkast.model.errors import StorageError
from meterkast.model.half_hour import Cause, RowKey
from meterkast.model.reading import Batch
from meterkast.model.time import MINUTE_MS, UtcMs
from meterkast.ports.clock import Trust
from meterkast.ports.store import Keep
from meterkast_rig.stepped import SteppedClock

Opened = Callable[..., Any]


async def test_half_hours_and_their_packets_are_kept_together(site: Opened) -> None:
    async with site() as it:
        await it.minutes(65)
        first, second = await it.half_hours()
        assert (first.end_ms, first.value and first.value.whole) == (it.end(1), 29)
        assert (second.end_ms, second.value and second.value.whole) == (it.end(2), 59)
        assert [text.split('"pC_1":')[1] for text in await it.payloads("half")] == ["29}", "59}"]
        assert len(await it.payloads("five")) == 12
        assert {len(await it.half_hours("power_import", 5 * MINUTE_MS))} == {12}


async def test_a_restart_goes_on_where_the_last_run_ended(site: Opened) -> None:
    async with site() as it:
        await it.minutes(25)
    async with site() as it:
        await it.minutes(20)
    async with site() as it:
        await it.minutes(20)
        assert [one.value and one.value.whole for one in await it.half_hours()] == [29, 59]
        assert [one.revision for one in await it.half_hours()] == [0, 0]
        assert len(await it.payloads("half")) == 2
        assert len(await it.payloads("five")) == 12
        assert [one.value and one.value.decimal() for one in await it.half_hours("power_import")] == [
            600,
            600,
        ]


async def test_a_restart_reads_nothing_again_from_before_where_registers_go_on(site: Opened) -> None:
    """Blocks are read again whole: one that reaches over the edge holds older readings too."""

    async def minutes(it: Any, count: int) -> None:
        """Three readings in each, kept in blocks of 13 minutes: none begins or ends with a half-hour."""
        for number in range(1, count * 3 + 1):
            it.clock.pass_ms(20_000)
            shown = (it.clock.now_ms() - it.end(0)) // 20_000
            it.gateway.intake.emit(Batch(it.layout, (shown, 600), it.clock.boot_ns()))
            if number % 39 == 0:
                await it.gateway.keeper.flush()

    async with site() as it:
        await minutes(it, 6 * 60)
    async with site() as it:
        await minutes(it, 60)
        assert [one.kind for one in await it.store.epochs()] == [Break.FIRST]
        assert it.gateway.closing.registers.outliers() == 0


async def test_the_hours_in_which_it_was_off_are_missing_for_that_reason(
    site: Opened, clock: SteppedClock
) -> None:
    async with site() as it:
        await it.minutes(35)
    clock.pass_ms(3 * 60 * MINUTE_MS)
    async with site() as it:
        await it.minutes(60)
        causes = [one.cause for one in await it.half_hours()]
        assert causes == [None, None, *[Cause.GATEWAY_OFF] * 5, None, None]
        assert len(await it.payloads("half")) == 4


async def test_a_silent_meter_is_missing_for_that_reason_and_a_lost_port_for_another(site: Opened) -> None:
    async with site() as it:
        await it.minutes(35)
        await it.minutes(60, read=False)
        supervisor = it.driver()
        supervisor._outages.lost("p1", it.clock.boot_ns() // 1_000_000)
        await it.minutes(60, read=False)
        causes = [one.cause for one in await it.half_hours()]
        assert causes[:2] == [None, None]
        assert causes[2:] == [Cause.METER_SILENT, Cause.LINK_LOST, Cause.LINK_LOST]
        assert "has not been heard of" in it.problems()


def fill_disk(it: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """From now on the store refuses; what kept until now."""
    keep = it.store.keep

    async def refuse(what: Keep) -> None:
        raise StorageError("the disk is full", hint="Free space.")

    monkeypatch.setattr(it.store, "keep", refuse)
    return keep


async def test_what_the_disk_refuses_waits_and_is_kept_later(
    site: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site() as it:
        await it.minutes(20)
        keep = fill_disk(it, monkeypatch)
        await it.minutes(45)
        assert len(it.gateway.keeper.unsaved) == 45
        assert await it.half_hours() == []
        monkeypatch.setattr(it.store, "keep", keep)
        await it.minutes(1)
        assert len(it.gateway.keeper.unsaved) == 0
        assert [one.value and one.value.whole for one in await it.half_hours()] == [29, 59]
        assert await it.samples() == 66


async def test_a_disk_that_refuses_for_long_costs_samples_and_never_half_hours(
    site: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site() as it:
        await it.minutes(2)
        keep = fill_disk(it, monkeypatch)
        await it.minutes(6 * 60)
        assert it.gateway.keeper.unsaved.dropped_blocks == 120
        # Of the 120 those are left that closed something or say how long the boot lasted: no empty ones.
        assert len(it.gateway.keeper.unsaved) < 240 + 40
        monkeypatch.setattr(it.store, "keep", keep)
        await it.minutes(1)
        assert [one.value and one.value.whole for one in await it.half_hours()] == list(range(29, 360, 30))
        assert len(await it.payloads("half")) == 12


async def test_a_damaged_half_hour_is_put_back_from_the_second_copy_and_told(site: Opened) -> None:
    async with site() as it:
        await it.minutes(65)
        await it.store.database.rows("UPDATE half_hours SET whole = 7 WHERE whole = 29")
    async with site() as it:
        await it.minutes(30)
        damaged: list[RowKey] = []
        kept = await it.store.half_hours(UtcMs(0), it.clock.now_ms(), damaged=damaged)
        assert damaged == []
        assert kept[0].value is not None
        assert kept[0].value.whole == 29
        assert "put back from the second copy" in it.problems()


async def test_nothing_is_closed_or_timed_under_an_unknown_clock(site: Opened, clock: SteppedClock) -> None:
    clock.trust = Trust.UNKNOWN
    async with site() as it:
        await it.minutes(65)
        assert await it.half_hours() == []
        assert await it.samples() == 0
        assert it.gateway.examiner.snapshot().held == 0, "each minute's readings are on the card"
        assert "does not know the time" in it.problems()
        clock.trust = Trust.METER
        await it.minutes(1)
        assert await it.samples() == 66
        assert [one.value and one.value.whole for one in await it.half_hours()] == [29, 59]
        assert "does not know the time" not in it.problems()


async def test_the_last_seconds_are_kept_at_a_clean_stop(site: Opened) -> None:
    async with site() as it:
        await it.minutes(3)
        it.clock.pass_ms(20_000)
        it.gateway.intake.emit(Batch(it.layout, (4, 600), it.clock.boot_ns()))
        await it.gateway.keeper.finish()
        assert await it.samples() == 4
