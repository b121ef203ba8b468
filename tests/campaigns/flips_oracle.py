"""What must hold of a damaged gateway after its start.

Every damage is judged by the file that the check at start leaves, read with plain `sqlite3`. A sample is
judged in full: the store is opened on that file, must find nothing more to do, must answer as the file says,
and must go on working.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from meterkast.model.half_hour import Cause, HalfHour, RowKey, State
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import HALF_HOUR_MS, UtcMs
from meterkast.ports.store import Keep
from meterkast_buffer import evidence, half_hours, open_store, starting
from meterkast_buffer.block import BlockError, unpack_layout
from meterkast_buffer.block import decode as decode_block
from meterkast_buffer.database import Row
from meterkast_buffer.sealed import COPIED

from .flips_base import CHANNELS, QUARTER_MS, START, Base, Files, restore

DB = "meterkast.db"


class Outcome:
    """What became of one damage.

    Attributes:
        reported: Anything was told.
        silent: Rows of samples or evidence that their own CRC refuses when they are read, not at start.
        lost: Half-hours of 30 minutes, all of them named.
        put_back: Half-hours that the second copy gave back.
        unsure: Rows of small tables that may be newer than the copy, or damaged: kept, and their table named.
        items: Items of the outbox that are composed anew.
        different: What is not as it was promised, in a word each.
    """

    def __init__(self) -> None:
        self.reported = False
        self.silent = 0
        self.lost = 0
        self.put_back = 0
        self.items = 0
        self.unsure = 0
        self.different: set[str] = set()


async def judge(folder: Path, base: Base, files: Files, *, full: bool) -> Outcome:
    """Start on what is left, and hold it against what was promised.

    Raises:
        AssertionError: A promise is broken.
    """
    restore(folder, files)
    outcome, path = Outcome(), folder / DB
    findings = starting.make_ready(str(path), 10)
    outcome.put_back = findings.put_back_rows
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        doubts = file.execute("SELECT kind, length_ms, end_ms, property_id FROM doubts").fetchall()
        outcome.reported = bool(doubts or findings)
        _half_hours(file, base, {tuple(row[1:]) for row in doubts if row[0] == "lost"}, outcome)
        _items(file, base, outcome)
        _tables(file, base, outcome)
        assert outcome.reported or not outcome.different, f"silent: {outcome.different}"
        if full:
            await _goes_on(file, path)
    return outcome


def _half_hours(
    file: sqlite3.Connection, base: Base, named: set[tuple[int, int, int]], outcome: Outcome
) -> None:
    missing: dict[int, int] = {}
    there: dict[RowKey, HalfHour] = {}
    for row in file.execute(f"SELECT {half_hours.COLUMNS} FROM half_hours"):
        key = RowKey(*row[:4])
        if base.promise.rows.get(key) == row:
            there[key] = base.promise.half_hours[key]
            continue
        one = half_hours.half_hour_of(row)
        assert one is not None, f"wrong row left: {row[:4]}"
        there[key] = one
    for key, one in there.items():
        if one != (promised := base.promise.half_hours.get(key)):
            assert one.state is State.MISSING, f"wrong value as good: {one}, promised {promised}"
            assert one.cause is Cause.DISK
    for key, promised in base.promise.half_hours.items():
        if there.get(key) == promised:
            continue
        outcome.different.add("half-hours")
        if key.length_ms == HALF_HOUR_MS:
            missing[key.property_id] = missing.get(key.property_id, 0) + 1
            outcome.lost += 1
        elif key not in there:
            continue  # closed again from the samples: only what was closed by 30 minutes is copied
        assert key[:3] in named, f"not named: {key}"
    assert max(missing.values(), default=0) <= 1, f"more than one per channel: {missing}"


def _items(file: sqlite3.Connection, base: Base, outcome: Outcome) -> None:
    streams = file.execute("SELECT name, coalesce(redo_from_ms, composed_ms, 0) FROM streams")
    composed = dict(streams.fetchall())
    assert composed.keys() == set("abc"), f"not recovered: streams {composed}"
    rows = file.execute(
        "SELECT name, at_ms, payload, state FROM outbox JOIN streams ON streams.id = stream_id"
    )
    there = {tuple(row[:3]): row[3] for row in rows}
    assert there.keys() <= base.promise.items.keys(), "an item that was never composed"
    for key, delivered in base.promise.items.items():
        if key in there:
            assert delivered or there[key] == 0, f"{key} was never delivered"
            continue
        outcome.different.add("items")
        outcome.items += 1
        assert composed[key[0]] < key[1], f"{key} is lost, and not composed anew: {composed}"


def _tables(file: sqlite3.Connection, base: Base, outcome: Outcome) -> None:
    layouts = {row[0]: unpack_layout(row[1]) for row in file.execute("SELECT id, columns FROM layouts")}
    for name, promised in base.promise.tables.items():
        rows = set(file.execute(f"SELECT * FROM {name}"))
        wrong = rows - base.promise.ever[name]
        if name in ("blocks", "untimed", "evidence"):
            for row in wrong:
                outcome.silent += 1
                _is_refused(name, row, promised, layouts)
        elif name == "strays":
            pass  # where to look for blocks; what is found there is the blocks'
        elif name in COPIED:
            assert rows >= promised, f"not recovered: {name}: {promised - rows}"
            # What the copy lacks may be newer than it: where nothing tells any more, it is kept and named.
            named = f"The table {name} is not as it was written; the copy of % replaced what was in it then."
            told = file.execute("SELECT 1 FROM doubts WHERE detail LIKE ?", (named,)).fetchone()
            outcome.unsure += len(wrong)
            assert not wrong or told, f"wrong rows of {name} as good: {wrong}"
        else:
            assert not wrong, f"wrong rows of {name} as good: {wrong}"
        if promised - rows - wrong and not wrong:
            outcome.different.add(name)


def _is_refused(name: str, row: Row, promised: set[Row], layouts: dict[int, tuple[object, ...]]) -> None:
    """Its own CRC must refuse a wrong row; or what it holds is right, and only its place is not."""
    if any(row[-1] == one[-1] for one in promised):
        return
    try:
        if name == "evidence":
            evidence.unpack(row[-1])
        else:
            decode_block(row[-1], layouts)  # type: ignore[arg-type]  # columns, as they were unpacked
    except (BlockError, ValueError):
        return
    raise AssertionError(f"a wrong row of {name} as good: {row[:-1]}")


async def _goes_on(file: sqlite3.Connection, path: Path) -> None:
    """The store finds nothing more to do, answers as the file says, and keeps what comes next."""
    store = await open_store(path)
    try:
        again = store.database.findings
        assert not again, f"found again: {again.lines() if again else ''}"
        for length in (QUARTER_MS, HALF_HOUR_MS):
            told = await store.half_hours(UtcMs(0), UtcMs(1 << 60), length_ms=length)
            [[count]] = file.execute("SELECT count(*) FROM half_hours WHERE length_ms = ?", (length,))
            assert len(told) == count
        for stream in "abc":
            told_items = await store.pending("far", stream, 9999)
            [[count]] = file.execute(
                "SELECT count(*) FROM outbox JOIN streams ON streams.id = stream_id WHERE name = ? "
                "AND state = 0",
                (stream,),
            )
            assert len(told_items) == count
        assert len(await store.epochs()) == CHANNELS
        await store.boots(), await store.clock_episodes(UtcMs(0), UtcMs(1 << 60))
        await store.books.all_seals(), await store.availabilities(UtcMs(0), UtcMs(1 << 60))
        await store.installation_messages(), await store.pendings(open_only=False)
        end = UtcMs(START + 400 * HALF_HOUR_MS)
        rows = [
            HalfHour(property_id=PropertyId(one), end_ms=end, value=Quantity(1))
            for one in range(1, CHANNELS + 1)
        ]
        await store.keep(
            Keep(now_ms=end, half_hours=rows, closed={(one.property_id, HALF_HOUR_MS): end for one in rows})
        )
    finally:
        await store.close()
