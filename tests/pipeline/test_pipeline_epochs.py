"""Epochs: where a register did not go on, what is unknown then, and a counter that goes on all the same."""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterkast.model.datatypes import ENERGY_CONSUMED, WATER_VOLUME
from meterkast.model.epoch import Break, Epoch
from meterkast.model.half_hour import HalfHour, State
from meterkast.model.quantity import Quantity
from meterkast.model.register import difference, total
from meterkast.model.time import HOUR_MS, MINUTE_MS

from .sites import START, Device, Far, Reading, Site, prop, until


def kinds(site: Site) -> list[Break]:
    return [site.epochs[key].kind for key in sorted(site.epochs)]


def epoch(site: Site, number: int) -> Epoch:
    return next(one for (_, at), one in site.epochs.items() if at == number)


def continued(site: Site, row: HalfHour) -> Decimal:
    assert row.value is not None
    return site.closing.registers.continued(row.property_id, row.value, row.epoch).decimal()


def test_first_reading_begins_the_first_epoch() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 1000), (until(11), 1001))
    site.close(until(12))
    assert kinds(site) == [Break.FIRST]
    assert (epoch(site, 0).at_ms, epoch(site, 0).first) == (until(10), Quantity(1000))
    assert site.close(until(13)).epochs == []


def test_reset_goes_on_from_the_last_reading_and_invents_nothing() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 1000), (until(40), 7), (until(41), 9), (until(42), 12))
    site.close(until(62))
    assert kinds(site) == [Break.FIRST, Break.RESET]
    reset = epoch(site, 1)
    assert (reset.last, reset.last_ms) == (Quantity(1000), until(10))
    assert (reset.first, reset.at_ms) == (Quantity(7), until(40))
    assert [(row.epoch, row.value, continued(site, row)) for row in site.rows(1)] == [
        (0, Quantity(1000), 1000),
        (1, Quantity(12), 1005),
    ]


def test_rollover_goes_on_exactly() -> None:
    site = Site(prop(1, rolls_at=100_000))
    site.read(1, (until(10), 99_990), (until(40), 4), (until(41), 5), (until(42), 6))
    site.close(until(62))
    assert kinds(site) == [Break.FIRST, Break.ROLLOVER]
    assert [continued(site, row) for row in site.rows(1)] == [99_990, 100_006]


@pytest.mark.parametrize(
    ("size", "last", "first", "why"),
    [
        (None, 99_990, 4, "the register's size is not declared"),
        (100_000, 98_990, 4, "the old value is not above 99 %"),
        (100_000, 99_990, 1_200, "the new value is not below 1 %"),
        (100_000, 150_000, 4, "the register goes on beyond that size"),
        (10**12, 10**12 - 10**9, 4, "so much cannot have been counted meanwhile"),
    ],
)
def test_what_is_no_rollover_for_sure_is_a_reset(size: int | None, last: int, first: int, why: str) -> None:
    site = Site(prop(1, rolls_at=size))
    site.read(1, (until(10), last), *[(until(40 + n), first + n) for n in range(3)])
    site.close(until(62))
    assert kinds(site) == [Break.FIRST, Break.RESET], why
    assert continued(site, site.rows(1)[1]) == last + 2


def test_size_is_in_the_declared_decimals_also_where_finer_readings_come() -> None:
    site = Site(prop(1, WATER_VOLUME, rolls_at=1_000_000))
    site.read(1, (until(10), 999_995_500), decimals=3)
    site.read(1, *[(until(40 + n), 1_500 + n) for n in range(3)], decimals=3)
    site.close(until(62))
    assert kinds(site) == [Break.FIRST, Break.ROLLOVER]
    assert continued(site, site.rows(1)[1]) == Decimal("1000001.502")


def test_jump_is_no_consumption() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 1000), *[(until(40 + n), 10**9 + n) for n in range(3)])
    site.close(until(62))
    assert kinds(site) == [Break.FIRST, Break.JUMP]
    assert [continued(site, row) for row in site.rows(1)] == [1000, 1002]


def test_busy_hour_beyond_the_usual_is_consumption_and_no_jump() -> None:
    device = Device(ENERGY_CONSUMED)
    device.read((1, 1000), (16, 151_000), (31, 153_000), (46, 155_000))  # 600 kW for a quarter of an hour
    device.close(62)
    assert kinds(device.site) == [Break.FIRST]
    assert [row.value and row.value.whole for row in device.newest()] == [151_000, 155_000]


def test_the_same_beyond_what_a_person_says_is_a_jump() -> None:
    device = Device(ENERGY_CONSUMED)
    device.closing.registers.set_limit(device.prop.id, 20_000)
    device.read((1, 1000), (16, 151_000), (31, 153_000), (46, 155_000))
    device.close(62)
    assert kinds(device.site) == [Break.FIRST, Break.JUMP]


def test_late_reading_of_before_a_break_is_part_of_what_goes_on() -> None:
    site = Site(prop(1))
    site.read(1, (until(10), 500), (until(70), 3), (until(71), 4), (until(72), 5))
    site.close(until(92))
    site.read(1, (until(40), 510))
    site.close(until(93))
    assert (epoch(site, 1).last, epoch(site, 1).last_ms) == (Quantity(510), until(40))
    newest = {row.end_ms: row for row in site.rows(1)}
    assert [(row.epoch, continued(site, row)) for _, row in sorted(newest.items())] == [
        (0, 500),
        (0, 510),
        (1, 512),
    ]


def test_platform_gets_the_register_as_shown_or_continued_by_its_own_choice() -> None:
    site, shown, on = Site(prop(1)), Far(), Far()
    on.continues = True
    site.read(1, (until(10), 1000))
    assert site.bind(shown, 1, name="shown")
    assert site.bind(on, 1, name="on")
    site.close(until(31.5))
    site.read(1, *[(until(40 + n), 7 + n) for n in range(3)])
    site.close(until(62))
    sent = {name: [one.payload for one in site.items if one.stream == name] for name in ("shown", "on")}
    assert sent == {"shown": [b"p1=1000", b"p1=9"], "on": [b"p1=1000", b"p1=1002"]}


# ------------------------------------------------------------------------------------------ random histories


@dataclass
class History:
    """A register as it was read, and what was counted as far as anybody can know."""

    readings: list[Reading]
    counted: int
    breaks: list[Break]


SIZE = 10_000_000


def history(seed: int, events: int) -> History:
    """Readings every five minutes, and now and then a reset, a rollover or a jump."""
    rng = random.Random(seed)
    at, value, counted = START + MINUTE_MS, rng.randrange(1000, SIZE // 2), 0
    readings, breaks = [(at, value)], [Break.FIRST]
    for number in range(events * 12):
        at += 5 * MINUTE_MS
        step = rng.randrange(0, 900)
        kind = rng.choice([Break.RESET, Break.JUMP]) if number % 12 == 6 else None
        if kind is Break.RESET and value > 5000:
            value = rng.randrange(0, 2000)
            breaks.append(kind)
        elif kind is Break.JUMP:
            value += rng.randrange(10**9, 10**10)
            breaks.append(kind)
        elif value < SIZE <= value + step:
            value += step - SIZE
            counted += step
            breaks.append(Break.ROLLOVER)
        else:
            value += step
            counted += step
        readings.append((at, value))
    return History(readings, counted, breaks)


def rolling(seed: int) -> History:
    """A register that rolls over on its way."""
    rng = random.Random(seed)
    at, value, counted = START + MINUTE_MS, SIZE - 5_000 - rng.randrange(2_000), 0
    readings, breaks = [(at, value)], [Break.FIRST]
    for _ in range(60):
        at += 5 * MINUTE_MS
        step = rng.randrange(0, 900)
        counted += step
        value += step
        if value >= SIZE:
            value -= SIZE
            breaks.append(Break.ROLLOVER)
        readings.append((at, value))
    return History(readings, counted, breaks)


def run(was: History, restarts: frozenset[int]) -> tuple[Device, list[HalfHour]]:
    device = Device(ENERGY_CONSUMED, every_min=5, rolls_at=SIZE)
    device.run(was.readings, (was.readings[-1][0] - START) // MINUTE_MS + 90, restarts)
    return device, [row for row in device.newest() if row.value is not None]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10**9), st.integers(1, 6), st.sets(st.integers(1, 400), max_size=4), st.booleans())
def test_conservation_is_exact_within_and_across_epochs(
    seed: int, events: int, restarts: set[int], rolls: bool
) -> None:
    was = rolling(seed) if rolls else history(seed, events)
    device, rows = run(was, frozenset(restarts))
    assert kinds(device.site) == was.breaks
    assert all(row.state is not State.SUSPECT for row in rows)
    shown = [row.value for row in rows if row.value is not None]
    on = [Quantity(int(continued(device.site, row))) for row in rows]
    parts = [difference(after, before) for before, after in pairwise(on)]
    assert min((part.whole for part in parts), default=0) >= 0, "a continued counter never falls"
    # From the first closed value to the last one, as the register's own readings count it.
    first = next(at for at, value in was.readings if at == rows[0].taken_ms)
    before_first = counted(was, first)
    assert total([Quantity(0), *parts]).whole == was.counted - before_first
    for (before, after), (low, high) in zip(pairwise(rows), pairwise(shown), strict=True):
        if before.epoch == after.epoch:
            assert difference(high, low) == Quantity(
                int(continued(device.site, after) - continued(device.site, before))
            )


def counted(was: History, until_ms: int) -> int:
    """What was counted up to a reading, break by break."""
    found = 0
    for (_, before), (at, after) in pairwise(was.readings):
        if at > until_ms:
            break
        if 0 <= after - before < 10**6:
            found += after - before
        elif before > SIZE * 99 // 100 and after < SIZE // 100 and Break.ROLLOVER in was.breaks:
            found += after + SIZE - before
    return found


@pytest.mark.parametrize("seed", range(4))
def test_restarts_at_any_minute_give_the_same_epochs(seed: int) -> None:
    was = history(seed, 4)
    straight, rows = run(was, frozenset())
    rng = random.Random(seed)
    often, again = run(was, frozenset(rng.sample(range(1, 300), 40)))
    assert often.site.epochs == straight.site.epochs
    assert [(row.end_ms, row.value, row.epoch) for row in again] == [
        (row.end_ms, row.value, row.epoch) for row in rows
    ]


def test_break_that_happened_while_nothing_was_read_for_long_is_seen_after_a_restart() -> None:
    device = Device(ENERGY_CONSUMED, every_min=5)
    device.read((1, 50_000), (6, 50_010))
    device.close(32)
    for hour in range(1, 40):  # silent, and closed as such
        device.site.close(until(60 * hour))
    device.restart()
    device.read(*[(40 * 60 + 5 * n, 10 + n) for n in range(4)])
    device.close(41 * 60)
    assert kinds(device.site) == [Break.FIRST, Break.RESET]
    assert epoch(device.site, 1).last == Quantity(50_010)
    assert epoch(device.site, 1).at_ms - (epoch(device.site, 1).last_ms or 0) > HOUR_MS
