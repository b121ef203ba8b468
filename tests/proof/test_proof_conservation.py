"""The nightly check of the books against the raw samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from meterkast.model.epoch import Break, Epoch
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.quantity import Quantity
from meterkast.model.reading import Column, Frames
from meterkast.model.time import HALF_HOUR_MS, MINUTE_MS, SECOND_MS, UtcMs
from meterkast.ports.store import Keep
from meterkast.proof.conservation import Conservation, check

from .site import GRID, REGISTER, Site, at, wh

BEGIN, DAY, END = at("2026-04-01"), at("2026-04-02"), at("2026-04-03")


async def checked(site: Site) -> Conservation:
    return await check(site.store, GRID, DAY, END)


async def test_an_honest_day_agrees(site: Site) -> None:
    await site.fill(BEGIN, END, samples=True, lacks={at("2026-04-02T10:00"): Cause.LINK_LOST})
    found = await checked(site)
    assert (found.rows, found.unchecked, found.registers, found.wrong) == (48, 0, 1, [])


def one_more_at(end_ms: UtcMs) -> Callable[[HalfHour], HalfHour]:
    """Puts a watt-hour too many into the half-hour that ends then."""

    def change(row: HalfHour) -> HalfHour:
        assert row.value is not None
        return replace(row, value=Quantity(row.value.whole + 1)) if row.end_ms == end_ms else row

    return change


async def test_one_watt_hour_too_many_is_found(site: Site) -> None:
    planted = at("2026-04-02T10:00")
    await site.fill(BEGIN, END, samples=True, change=one_more_at(planted))
    found = await checked(site)
    assert found.wrongs == 1
    assert f"says {wh(planted) + 1}, and {wh(planted)} was read" in found.wrong[0]


async def test_an_error_at_the_day_s_end_breaks_the_sum_too(site: Site) -> None:
    await site.fill(BEGIN, END, samples=True, change=one_more_at(END))
    found = await checked(site)
    assert found.wrongs == 2
    assert "add up to 4801, and its register counted 4800" in found.wrong[1]


async def test_a_reading_that_is_not_the_latest_is_found(site: Site) -> None:
    planted = at("2026-04-02T10:00")

    def change(row: HalfHour) -> HalfHour:
        if row.end_ms != planted:
            return row
        middle = UtcMs(row.end_ms - HALF_HOUR_MS // 2)
        return replace(row, value=Quantity(wh(planted) - 30), taken_ms=middle)

    await site.fill(BEGIN, END, samples=True, change=change)
    [wrong] = (await checked(site)).wrong
    assert f"says {wh(planted) - 30}, and {wh(planted)} was read after it" in wrong


async def test_a_false_gap_is_found(site: Site) -> None:
    gap = at("2026-04-02T10:00")

    def change(row: HalfHour) -> HalfHour:
        if row.end_ms != gap:
            return row
        return replace(row, value=None, taken_ms=None, state=State.MISSING, cause=Cause.METER_SILENT)

    await site.fill(BEGIN, END, samples=True, change=change)
    [wrong] = (await checked(site)).wrong
    assert f"is called missing (meter silent), and {wh(gap)} was read" in wrong


async def test_a_value_that_was_never_read_is_found(site: Site) -> None:
    gap = at("2026-04-02T10:00")
    await site.fill(BEGIN, END, samples=True, lacks={gap: Cause.LINK_LOST})
    # Others were read then, so it is no hole in the samples.
    other = Frames((Column(REGISTER + 1, 0),), [UtcMs(gap - SECOND_MS)], [(5,)])  # type: ignore[arg-type]
    await site.store.keep(Keep(now_ms=END, frames=[other]))
    invented = HalfHour(
        property_id=REGISTER, end_ms=gap, value=Quantity(wh(gap)), taken_ms=UtcMs(gap - SECOND_MS), revision=1
    )
    await site.store.keep(Keep(now_ms=END, half_hours=[invented]))
    [wrong] = (await checked(site)).wrong
    assert "which was not read then" in wrong


async def test_an_outlier_that_was_rightly_left_out_is_no_error(site: Site) -> None:
    await site.fill(BEGIN, END, samples=True)
    spike = UtcMs(at("2026-04-02T10:00") - SECOND_MS // 2)
    for value in (99_999_999, 3):
        frames = Frames((Column(REGISTER, 0),), [spike], [(value,)])
        await site.store.keep(Keep(now_ms=spike, frames=[frames]))
    assert (await checked(site)).wrong == []


async def test_a_reading_that_came_hours_too_late_is_no_error(site: Site) -> None:
    gap = at("2026-04-02T10:00")
    await site.fill(BEGIN, END, samples=True, lacks={gap: Cause.LINK_LOST})
    late = Frames(
        (Column(REGISTER, 0),),
        [UtcMs(gap - MINUTE_MS), UtcMs(gap + 5 * 60 * MINUTE_MS)],
        [(wh(gap),), (wh(UtcMs(gap + 5 * 60 * MINUTE_MS)),)],
    )
    await site.store.keep(Keep(now_ms=UtcMs(gap + 5 * 60 * MINUTE_MS), frames=[late]))
    assert (await checked(site)).wrong == []


async def test_half_hours_without_samples_are_counted_and_not_called_wrong(site: Site) -> None:
    await site.fill(BEGIN, END)
    found = await checked(site)
    assert (found.rows, found.unchecked, found.wrong) == (0, 48, [])


SWAP = at("2026-04-02T12:10")


def swapped(kind: Break, offset: int, first: int = 0, at_ms: UtcMs = SWAP) -> list[Epoch]:
    """A register that began again at `first`, after its last reading of the half-hour before."""
    last = wh(at("2026-04-02T12:00"))
    return [
        Epoch(property_id=REGISTER, number=0, kind=Break.FIRST, at_ms=BEGIN, first=Quantity(0)),
        Epoch(
            property_id=REGISTER,
            number=1,
            kind=kind,
            at_ms=at_ms,
            first=Quantity(first),
            last=Quantity(last),
            last_ms=UtcMs(at("2026-04-02T12:00") - SECOND_MS),
            offset=Quantity(offset),
        ),
    ]


async def broken(site: Site, epochs: list[Epoch], rows_epoch: int = 1) -> Conservation:
    """A day in which the register began again at 12:10 and counted on as before."""
    base = wh(at("2026-04-02T12:00"))
    noon = at("2026-04-02T12:00")

    def change(row: HalfHour) -> HalfHour:
        if row.end_ms <= noon or row.value is None:
            return row
        return replace(row, value=Quantity(row.value.whole - base), epoch=rows_epoch)

    await site.fill(BEGIN, END, change=change)
    frames = Frames((Column(REGISTER, 0),))
    for end_ms in GRID.ends(BEGIN, END):
        frames.times.append(UtcMs(end_ms - SECOND_MS))
        frames.rows.append((wh(end_ms) - (base if end_ms > noon else 0),))
    for place in range(0, 96, 4):
        part = Frames(frames.layout, frames.times[place : place + 4], frames.rows[place : place + 4])
        await site.store.keep(Keep(now_ms=part.times[-1], frames=[part]))
    await site.store.keep(Keep(now_ms=END, epochs=epochs))
    return await checked(site)


async def test_differences_add_up_across_a_reset_and_a_rollover(site: Site) -> None:
    base = wh(at("2026-04-02T12:00"))
    assert (await broken(site, swapped(Break.RESET, base))).wrong == []


async def test_an_offset_that_lets_the_counter_fall_is_found(site: Site) -> None:
    base = wh(at("2026-04-02T12:00"))
    found = await broken(site, swapped(Break.RESET, base - 1))
    assert any("its counter as it is sent falls at the break" in wrong for wrong in found.wrong)


async def test_a_fall_without_a_new_epoch_is_found(site: Site) -> None:
    found = await broken(site, [], rows_epoch=0)
    assert any("and no new epoch began" in wrong for wrong in found.wrong)


async def test_an_epoch_that_is_not_known_is_found(site: Site) -> None:
    found = await broken(site, [])
    assert any("epoch 1 of its half-hours is not known" in wrong for wrong in found.wrong)
