"""One changed bit in a row: it costs that row, and is told."""

# ruff: noqa: ASYNC240 - files are small here, and nothing else runs
from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from meterkast.model.boot import Boot
from meterkast.model.delivery import NewItem
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import Installation, InstallationMessage, PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.seal import Seal
from meterkast.model.time import HALF_HOUR_MS, UtcMs
from meterkast.ports.store import Keep
from meterkast_buffer import SqliteStore

Open = Callable[..., Awaitable[SqliteStore]]

START = UtcMs(1_790_812_800_000)


async def lived(opened: Open, path: Path) -> None:
    store = await opened(path)
    for number in range(1, 41):
        end = UtcMs(START + number * HALF_HOUR_MS)
        rows = [
            HalfHour(property_id=PropertyId(one), end_ms=end, value=Quantity(number)) for one in range(1, 9)
        ]
        item = NewItem(uplink="far", stream="a", at_ms=end, payload=b"packet %d" % number)
        await store.keep(Keep(now_ms=end, half_hours=rows, items=[item], composed={("far", "a"): end}))
        boot = Boot(id=f"boot {number}", first_ms=1, last_ms=number, offset_ms=START)
        await store.keep(Keep(now_ms=end, boot=boot))
        message = InstallationMessage(
            kind=Installation.INSTALL, product_id=None, status="install_found", at_ms=end
        )
        await store.report(message)
    await store.set_state("uplink", "key", "a text")
    seal = Seal(number=1, day="2026-10-01", after_ms=START, until_ms=START, rows=1, digest="00")
    await store.books.add_seal(seal, [], [])
    await store.close()


def flip(path: Path, word: bytes, bit: int) -> None:
    data = bytearray(path.read_bytes())
    places = [at for at in range(len(data)) if data.startswith(word, at)]
    assert places
    for at in places:
        data[at] ^= bit
    path.write_bytes(data)


@pytest.mark.parametrize("bit", [0x80, 0x02])
@pytest.mark.parametrize(
    ("word", "table"),
    [
        (b"boot 7", "boots"),
        (b"install_found", "installation_messages"),
        (b"2026-10-01", "seals"),
        (b"a text", "state"),
    ],
)
async def test_a_changed_letter_costs_its_row_and_never_the_start(
    path: Path, opened: Open, word: bytes, table: str, bit: int
) -> None:
    await lived(opened, path)
    flip(path, word, bit)
    store = await opened(path)
    assert any(f"table {table} " in doubt.detail for doubt in await store.doubts())
    assert all(boot.id.startswith("boot ") for boot in await store.boots())
    assert await store.get_state("uplink", "key") == "a text"
    assert len(await store.half_hours(UtcMs(0), UtcMs(1 << 60))) == 320
    await store.close()
    assert not (await opened(path)).database.findings


async def test_an_item_under_another_ones_id_takes_nobodys_place(path: Path, opened: Open) -> None:
    await lived(opened, path)
    connection = sqlite3.connect(path)
    [[root]] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'outbox'").fetchall()
    assert connection.execute("SELECT count(*) FROM outbox").fetchone() == (40,)
    connection.close()
    data = bytearray(path.read_bytes())
    page = (root - 1) * 4096
    assert data[page] == 13, "all items are on one page"
    # A row begins with its length and its id, a byte each.
    cell = page + int.from_bytes(data[page + 8 + 2 * 29 : page + 10 + 2 * 29], "big")
    assert data[cell + 1] == 30
    data[cell + 1] = 10
    path.write_bytes(data)
    store = await opened(path)
    stream = store.streams()["far", "a"]
    assert stream.composed_ms is not None
    kept = {item.payload for item in await store.pending("far", "a", 99)}
    lost = [number for number in range(1, 41) if b"packet %d" % number not in kept]
    assert all(stream.composed_ms < START + number * HALF_HOUR_MS for number in lost)
    assert {10, 30} & set(lost)
