"""Half-hours: kept once, read back checked."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from meterkast.model.errors import StorageError
from meterkast.model.half_hour import Cause, HalfHour, RowKey, State
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import HALF_HOUR_MS, UtcMs
from meterkast.ports.store import Keep
from meterkast_buffer import SqliteStore
from meterkast_buffer.half_hours import _STATES

Open = Callable[..., Awaitable[SqliteStore]]


NOW = UtcMs(1_735_689_600_000)
QUARTER_MS = HALF_HOUR_MS // 2


def half_hour(
    number: int = 0, property_id: int = 1, *, whole: int = 84276, decimals: int = 0, revision: int = 0
) -> HalfHour:
    end = UtcMs(NOW + number * HALF_HOUR_MS)
    return HalfHour(
        property_id=PropertyId(property_id),
        end_ms=end,
        value=Quantity(whole + number, decimals),
        taken_ms=UtcMs(end - 1000),
        count=1800,
        revision=revision,
    )


async def keep(store: SqliteStore, *half_hours: HalfHour) -> None:
    await store.keep(Keep(now_ms=NOW, half_hours=half_hours))


async def everything(store: SqliteStore) -> list[HalfHour]:
    return await store.half_hours(UtcMs(0), UtcMs(NOW * 2))


async def test_every_kind_of_half_hour_comes_back_as_it_was(
    path: Path, store: SqliteStore, opened: Open
) -> None:
    kinds = [
        half_hour(0),
        half_hour(1, decimals=3, whole=-(1 << 61)),
        replace(half_hour(2), state=State.LATE, taken_ms=None, count=0),
        replace(half_hour(3), state=State.SUSPECT, before_emptyings=(17, 0, -4)),
        replace(half_hour(4), taken_ms=UtcMs(NOW + 9 * HALF_HOUR_MS)),  # a meter whose clock is ahead
    ]
    for number, cause in enumerate(Cause, start=5):
        kinds.append(replace(half_hour(number), value=None, taken_ms=None, state=State.MISSING, cause=cause))
    await keep(store, *kinds)
    assert await everything(store) == kinds
    await store.close()
    again = await opened(path)
    assert await everything(again) == kinds
    await again.close()


def test_every_state_has_a_number() -> None:
    assert set(_STATES) == set(State)


async def test_a_range_is_open_on_the_left_and_sorted_by_end_then_property(store: SqliteStore) -> None:
    rows = [half_hour(number, property_id) for number in range(4) for property_id in (1, 2, 7)]
    await keep(store, *reversed(rows))
    assert await everything(store) == rows
    assert await store.half_hours(rows[0].end_ms, rows[6].end_ms) == rows[3:9]
    some = await store.half_hours(rows[0].end_ms, rows[6].end_ms, properties=[PropertyId(7), PropertyId(1)])
    assert some == [rows[3], rows[5], rows[6], rows[8]]
    assert await store.half_hours(UtcMs(0), UtcMs(NOW * 2), properties=[]) == []


async def test_other_lengths_do_not_mix(store: SqliteStore) -> None:
    quarter = replace(half_hour(0), length_ms=QUARTER_MS)
    await keep(store, half_hour(0), quarter)
    assert await everything(store) == [half_hour(0)]
    assert await store.half_hours(UtcMs(0), NOW, length_ms=QUARTER_MS) == [quarter]


async def test_many_pages_of_an_answer_are_one_answer(store: SqliteStore) -> None:
    rows = [half_hour(number, property_id) for number in range(60) for property_id in range(1, 101)]
    await keep(store, *rows)
    assert await everything(store) == rows


async def test_the_newest_revision_is_what_is_read(store: SqliteStore) -> None:
    first = half_hour(0)
    late = first.revised(replace(first, value=Quantity(84999)))
    await keep(store, first, half_hour(1))
    await keep(store, late)
    assert await everything(store) == [late, half_hour(1)]


async def test_a_closed_row_is_never_overwritten(store: SqliteStore) -> None:
    await keep(store, half_hour(0), half_hour(2))
    with pytest.raises(StorageError, match="never overwritten") as caught:
        await keep(store, half_hour(1), replace(half_hour(2), value=Quantity(1)), half_hour(3))
    assert "property 1, 30 minutes until 2025-01-01T01:00:00Z, revision 0" in str(caught.value)
    assert await everything(store) == [half_hour(0), half_hour(2)]


async def test_how_far_each_property_is_closed_survives(path: Path, store: SqliteStore, opened: Open) -> None:
    marks = {(PropertyId(1), HALF_HOUR_MS): NOW, (PropertyId(2), QUARTER_MS): UtcMs(NOW - 5)}
    await store.keep(Keep(now_ms=NOW, closed=marks))
    marks[PropertyId(1), HALF_HOUR_MS] = UtcMs(NOW + HALF_HOUR_MS)
    await store.keep(Keep(now_ms=NOW, closed={(PropertyId(1), HALF_HOUR_MS): UtcMs(NOW + HALF_HOUR_MS)}))
    assert await store.closed_until() == marks
    await store.close()
    again = await opened(path)
    assert await again.closed_until() == marks
    await again.close()


COLUMNS = {
    "end_ms": f"end_ms + {HALF_HOUR_MS * 64}",
    "property_id": "property_id + 64",
    "revision": "revision + 1",
    "whole": "whole + 1024",
    "decimals": "decimals + 1",
    "taken_before_ms": "taken_before_ms + 4",
    "count": "count + 1",
    "state": "1",
    "unknown state": "9",
    "cause": "'disk'",
    "before_emptyings": "'1,2'",
    "no numbers": "'a'",
    "crc": "crc + 1",
}


@pytest.mark.parametrize("name", COLUMNS)
async def test_a_change_of_any_column_is_found_and_hides_no_other_row(store: SqliteStore, name: str) -> None:
    rows = [half_hour(number) for number in range(5)]
    await keep(store, *rows)
    column = {"unknown state": "state", "no numbers": "before_emptyings"}.get(name, name)
    await store.database.rows(
        f"UPDATE half_hours SET {column} = {COLUMNS[name]} WHERE end_ms = ?", (rows[2].end_ms,)
    )
    with pytest.raises(StorageError, match="1 damaged: property"):
        await everything(store)
    damaged: list[RowKey] = []
    whole = await store.half_hours(UtcMs(0), UtcMs(NOW * 2), damaged=damaged)
    assert whole == [*rows[:2], *rows[3:]]
    assert len(damaged) == 1
    assert "1 half-hours" in store.storage().problem


def flip(path: Path, number: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(number) + 3] ^= 0x10
    path.write_bytes(data)


async def test_a_flipped_byte_in_the_file_is_found(path: Path, store: SqliteStore, opened: Open) -> None:
    marked = half_hour(1, whole=0x1122334455667788)
    await keep(store, half_hour(0), marked, half_hour(2))
    await store.close()
    flip(path, (0x1122334455667788 + 1).to_bytes(8, "big"))
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]  # SQLite does not see it
    connection.close()
    looking = await opened(path, read_only=True)
    with pytest.raises(StorageError, match="2025-01-01T00:30:00Z"):
        await everything(looking)
    await looking.close()
    again = await opened(path)  # the second copy has it
    assert await everything(again) == [half_hour(0), marked, half_hour(2)]
    assert [doubt.kind for doubt in await again.doubts()] == ["put back"]


async def test_an_older_revision_does_not_stand_in_for_a_damaged_one(store: SqliteStore) -> None:
    first = half_hour(0)
    await keep(store, first, first.revised(replace(first, value=Quantity(1))))
    await store.database.rows("UPDATE half_hours SET whole = 2 WHERE revision = 1")
    damaged: list[RowKey] = []
    assert await store.half_hours(UtcMs(0), NOW, damaged=damaged) == []
    assert damaged == [RowKey(HALF_HOUR_MS, NOW, 1, 1)]
