"""The nightly look at the rows of a gateway that runs: what is found, put back and named."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from meterkast.model.boot import Boot
from meterkast.model.delivery import NewItem
from meterkast.model.evidence import Evidence
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.reading import Column, Frames
from meterkast.model.time import HALF_HOUR_MS, UtcMs
from meterkast.ports.store import Keep
from meterkast_buffer import SqliteStore, scanning
from meterkast_buffer.journal import Journal

Open = Callable[..., Awaitable[SqliteStore]]

START = UtcMs(1_790_812_800_000)


def closing(number: int) -> Keep:
    end = UtcMs(START + number * HALF_HOUR_MS)
    raw = Evidence(properties=(PropertyId(1),), at_ms=end, arrived_ms=end, raw=b"/telegram!")
    return Keep(
        now_ms=end,
        frames=[Frames((Column(1, 0),), [end], [(number,)])],
        half_hours=[HalfHour(property_id=PropertyId(1), end_ms=end, value=Quantity(number))],
        evidence=[raw],
        items=[NewItem(uplink="far", stream="a", at_ms=end, payload=b"{}")],
        composed={("far", "a"): end},
        closed={(PropertyId(1), HALF_HOUR_MS): end},
        boot=Boot(id="b", first_ms=1, last_ms=number, offset_ms=START),
    )


async def lived(opened: Open, path: Path, count: int = 20) -> SqliteStore:
    store = await opened(path)
    for number in range(count):
        await store.keep(closing(number))
    return store


async def scan(store: SqliteStore) -> int:
    steps = 0
    async for _ in store.scan(UtcMs(START + 400 * HALF_HOUR_MS)):
        steps += 1
    return steps


def hurt(path: Path, sql: str) -> None:
    """What a card does: no trigger, no CRC."""
    connection = sqlite3.connect(path, isolation_level=None)
    assert connection.execute(sql).rowcount > 0
    connection.close()


async def test_a_wrong_half_hour_is_put_back_from_the_second_copy_while_the_gateway_runs(
    path: Path, opened: Open
) -> None:
    store = await lived(opened, path)
    hurt(path, "UPDATE half_hours SET whole = 70 WHERE whole = 7")
    await scan(store)
    rows = await store.half_hours(UtcMs(0), UtcMs(1 << 60))
    assert [row.value.whole for row in rows if row.value] == list(range(20))
    [doubt] = await store.doubts()
    assert (doubt.kind, doubt.property_id, doubt.end_ms) == ("put back", 1, START + 7 * HALF_HOUR_MS)
    assert "put back" in store.storage().notices[0][0]
    await scan(store)
    assert len(await store.doubts()) == 1


async def test_a_row_that_is_gone_is_put_back_within_thirty_nights(path: Path, opened: Open) -> None:
    store = await lived(opened, path)
    hurt(path, "DELETE FROM half_hours WHERE whole IN (3, 11)")
    for _ in range(scanning.NIGHTS):
        await scan(store)
    assert len(await store.half_hours(UtcMs(0), UtcMs(1 << 60))) == 20
    assert [doubt.kind for doubt in await store.doubts()] == ["put back"] * 2


async def test_a_half_hour_that_both_copies_lost_is_missing_and_named(path: Path, opened: Open) -> None:
    store = await lived(opened, path)
    [segment] = Journal.beside(path).segments()
    segment.write_bytes(b"")
    hurt(path, "UPDATE half_hours SET whole = 70 WHERE whole = 7")
    await scan(store)
    rows = await store.half_hours(UtcMs(0), UtcMs(1 << 60))
    assert [row.value.whole if row.value else None for row in rows] == [*range(7), None, *range(8, 20)]
    [doubt] = await store.doubts()
    assert (doubt.kind, doubt.end_ms) == ("lost", START + 7 * HALF_HOUR_MS)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("UPDATE blocks SET data = CAST(substr(data, 1, 9) AS BLOB) WHERE id % 7 = 0", "blocks"),
        ("UPDATE evidence SET first_ms = first_ms + 1 WHERE id = (SELECT min(id) FROM evidence)", "evidence"),
        ("UPDATE outbox SET at_ms = at_ms + 1 WHERE id = 4", "outbox"),
        ("UPDATE boots SET offset_ms = offset_ms + 1", "boots"),
        ("UPDATE closed SET end_ms = end_ms + 1", "closed"),
        ("UPDATE streams SET name = 'b'", "streams"),
    ],
)
async def test_what_has_no_second_copy_is_named_once(path: Path, opened: Open, sql: str, told: str) -> None:
    store = await lived(opened, path)
    await scan(store)
    assert await store.doubts() == []
    hurt(path, sql)
    await scan(store)
    await scan(store)
    [doubt] = await store.doubts()
    assert doubt.kind == "table"
    assert f"table {told} " in doubt.detail
    assert told in store.storage().notices[0][0]


async def test_a_damaged_file_of_the_second_copy_is_named(path: Path, opened: Open) -> None:
    store = await lived(opened, path)
    [segment] = Journal.beside(path).segments()
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    for _ in range(scanning.NIGHTS):
        await scan(store)
    [doubt] = await store.doubts()
    assert (doubt.kind, segment.name in doubt.detail) == ("second copy", True)


async def test_a_large_database_is_looked_at_in_thirty_nights_and_no_row_is_left_out(
    path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "_LEAST", 0)
    store = await lived(opened, path, 300)
    for _ in range(3 * scanning.NIGHTS):  # the first rounds learn how much there is
        await scan(store)
    [[rows]] = await store.database.rows(
        "SELECT (SELECT count(*) FROM half_hours) + (SELECT count(*) FROM outbox) + "
        "(SELECT count(*) FROM blocks) + (SELECT count(*) FROM evidence) + (SELECT count(*) FROM boots)"
    )
    hurt(path, "UPDATE half_hours SET whole = whole + 1")
    steps = [await scan(store) for _ in range(scanning.NIGHTS)]
    assert len([one for one in await store.doubts() if one.kind == "put back"]) == 300
    assert sum(steps) < rows / 10 + scanning.NIGHTS * 20
    assert max(steps) < 40
