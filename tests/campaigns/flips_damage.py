"""What is done to the files, and what must hold afterwards."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

from meterkast.model.half_hour import Cause, HalfHour, RowKey, State
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import HALF_HOUR_MS, UtcMs
from meterkast.ports import Keep
from meterkast_buffer import SqliteStore, open_store

from .flips_base import CHANNELS, QUARTER_MS, START, Base, Files, restore

PAGE = 4096
DB, LOG = "meterkast.db", "meterkast.db-wal"


def _journal(files: Mapping[str, bytes]) -> str:
    return max(name for name in files if ".journal/" in name)


def _flip(files: Files, name: str, chance: random.Random, low: int = 0) -> str:
    data = bytearray(files[name])
    at = chance.randrange(low, len(data))
    data[at] ^= 1 << chance.randrange(8)
    files[name] = bytes(data)
    return f"bit of byte {at} of {name} (page {at // PAGE + 1})"


def _over(files: Files, name: str, at: int, new: bytes) -> None:
    data = files[name]
    files[name] = data[:at] + new[: len(data) - at] + data[at + len(new) :]


def _log_end(data: bytes) -> int:
    """Where the used part of the log ends: behind it are the zeros it was grown by."""
    return max(32, len(data.rstrip(b"\0")))


def bit(base: Base, chance: random.Random) -> tuple[Files, str]:
    """One bit of the database."""
    files = dict(base.clean)
    return files, _flip(files, DB, chance)


def bits(base: Base, chance: random.Random) -> tuple[Files, str]:
    """Two to eight bits of it."""
    files = dict(base.clean)
    return files, ", ".join(_flip(files, DB, chance) for _ in range(chance.randrange(2, 9)))


def page(base: Base, chance: random.Random) -> tuple[Files, str]:
    """A page zeroed, or filled with noise."""
    files = dict(base.clean)
    at = chance.randrange(len(files[DB]) // PAGE) * PAGE
    _over(files, DB, at, bytes(PAGE) if chance.random() < 0.5 else chance.randbytes(PAGE))
    return files, f"page {at // PAGE + 1}"


def pages(base: Base, chance: random.Random) -> tuple[Files, str]:
    """Three pages."""
    files, told = dict(base.clean), []
    for _ in range(3):
        at = chance.randrange(len(files[DB]) // PAGE) * PAGE
        _over(files, DB, at, bytes(PAGE) if chance.random() < 0.5 else chance.randbytes(PAGE))
        told.append(str(at // PAGE + 1))
    return files, "pages " + ", ".join(told)


def short(base: Base, chance: random.Random) -> tuple[Files, str]:
    """The database cut off, or gone."""
    files = dict(base.clean)
    if chance.random() < 0.1:
        del files[DB]
        return files, "no database"
    at = chance.randrange(len(files[DB]))
    files[DB] = files[DB][:at]
    return files, f"database cut off at {at}"


def log_cut(base: Base, chance: random.Random) -> tuple[Files, str]:
    """The write-ahead log cut off, or gone."""
    files = dict(base.crashed)
    at = chance.randrange(_log_end(files[LOG]))
    files[LOG] = files[LOG][:at]
    if at < 4096:
        del files[LOG]
    return files, f"log cut off at {at}"


def log_flip(base: Base, chance: random.Random) -> tuple[Files, str]:
    """One bit of the log."""
    files = dict(base.crashed)
    data = bytearray(files[LOG])
    at = chance.randrange(_log_end(files[LOG]))
    data[at] ^= 1 << chance.randrange(8)
    files[LOG] = bytes(data)
    return files, f"bit of byte {at} of the log"


def log_zero(base: Base, chance: random.Random) -> tuple[Files, str]:
    """A stretch of the log zeroed."""
    files = dict(base.crashed)
    at = chance.randrange(_log_end(files[LOG]))
    _over(files, LOG, at, bytes(chance.choice((512, 4096, 65536))))
    return files, f"log zeroed from {at}"


def copy_hurt(base: Base, chance: random.Random) -> tuple[Files, str]:
    """The second copy flipped, cut off, zeroed or gone."""
    files = dict(base.clean if chance.random() < 0.5 else base.crashed)
    name = _journal(files)
    kind = chance.randrange(4)
    if kind == 0:
        return files, _flip(files, name, chance)
    at = chance.randrange(len(files[name]))
    if kind == 1:
        files[name] = files[name][:at]
    elif kind == 2:
        _over(files, name, at, bytes(512))
    else:
        del files[name]
    return files, f"second copy damaged ({kind}) at {at}"


def lie(base: Base, chance: random.Random) -> tuple[Files, str]:
    """A disk that ignored flush: each page as it was at this or an earlier closing."""
    files, old = dict(base.crashed), chance.choice(base.earlier)
    share = chance.choice((0.02, 0.2, 1.0))
    for name in (DB, LOG):
        now, was = files[name], old.get(name, b"")
        parts = [
            was[at : at + PAGE] if at < len(was) and chance.random() < share else now[at : at + PAGE]
            for at in range(0, len(now), PAGE)
        ]
        files[name] = b"".join(parts)
    # The second copy is another file, and ends where its last write that came through ends.
    lost_copy = chance.random() < 0.3
    if lost_copy:
        files[_journal(files)] = base.earlier[-1][_journal(files)]
    return files, f"{share:.0%} of pages of an earlier closing, copy {'behind' if lost_copy else 'whole'}"


DAMAGES: dict[str, Callable[[Base, random.Random], tuple[Files, str]]] = {
    one.__name__: one for one in (bit, bits, page, pages, short, log_cut, log_flip, log_zero, copy_hurt, lie)
}


class Outcome:
    """What became of one damage.

    Attributes:
        reported: Anything was told.
        lost: Half-hours of 30 minutes.
        items: Items of the outbox that are composed anew.
    """

    def __init__(self) -> None:
        self.reported = False
        self.lost = 0
        self.items = 0


async def judge(folder: Path, base: Base, files: Files, *, again: bool) -> Outcome:
    """Open what is left and hold it against what was promised.

    Raises:
        AssertionError: A promise is broken.
    """
    restore(folder, files)
    outcome, path = Outcome(), folder / DB
    store = await open_store(path)
    try:
        doubts = await store.doubts()
        outcome.reported = bool(doubts or store.storage().notices)
        different = await _half_hours(store, base, {
            (one.length_ms, one.end_ms, one.property_id) for one in doubts if one.kind == "lost"
        }, outcome)  # fmt: skip
        different |= await _catalog(store, base)
        different |= await _items(store, base, outcome)
        assert outcome.reported or not different, f"silent: {different}"
        await _goes_on(store)
    finally:
        await store.close()
    if again:
        store = await open_store(path)
        findings = store.database.findings
        await store.close()
        assert not findings, f"found again: {findings.lines() if findings else ''}"
    return outcome


async def _half_hours(
    store: SqliteStore, base: Base, named: set[tuple[int | None, int | None, int | None]], outcome: Outcome
) -> set[str]:
    different: set[str] = set()
    missing: dict[int, int] = {}
    for length in (QUARTER_MS, HALF_HOUR_MS):
        bad: list[RowKey] = []
        found = await store.half_hours(UtcMs(0), UtcMs(1 << 60), length_ms=length, damaged=bad)
        assert not bad, f"wrong rows left: {bad[:3]}"
        there = {RowKey(one.length_ms, one.end_ms, one.property_id, one.revision): one for one in found}
        for key, one in there.items():
            promised = base.promise.half_hours.get(key)
            if one == promised:
                continue
            assert one.state is State.MISSING, f"wrong value as good: {one}, promised {promised}"
            assert one.cause is Cause.DISK
        for key, promised in base.promise.half_hours.items():
            if key.length_ms == length and there.get(key) != promised:
                different.add("half-hours")
                if length == HALF_HOUR_MS:
                    missing[key.property_id] = missing.get(key.property_id, 0) + 1
                    outcome.lost += 1
                elif key not in there:
                    continue  # closed again from the samples: only what was closed by 30 minutes is copied
                assert key[:3] in named, f"not named: {key}"
    assert max(missing.values(), default=0) <= 1, f"more than one per channel: {missing}"
    return different


async def _catalog(store: SqliteStore, base: Base) -> set[str]:
    promise, different = base.promise, set()
    products, properties = await store.products(), await store.properties()
    ids = {one.description.identity: int(one.id) for one in products}
    ids |= {f"{one.product_id}/{one.description.key}": int(one.id) for one in properties}
    ids |= {f"stream {stream}": 0 for _, stream in store.streams()}
    if ids != promise.ids or any(one.description.decimals for one in properties):
        different.add("ids")
    for key, text in promise.texts.items():
        if await store.get_state("uplink", key) != text:
            different.add("texts")
    if list(await store.epochs()) != promise.epochs:
        different.add("epochs")
    # Recoverable: all of it is in the second copy or in the database.
    assert not different, f"not recovered: {different}"
    return different


async def _items(store: SqliteStore, base: Base, outcome: Outcome) -> set[str]:
    different: set[str] = set()
    composed = {stream: status.composed_ms or 0 for (_, stream), status in store.streams().items()}
    pending = {
        (item.stream, item.at_ms, item.payload)
        for stream in "abc"
        for item in await store.pending("far", stream, 9999)
    }
    assert pending <= base.promise.items.keys(), "an item that was never composed"
    rows = await store.database.rows(
        "SELECT name, at_ms, payload, state FROM outbox JOIN streams ON streams.id = stream_id"
    )
    there = {tuple(row[:3]): row[3] for row in rows}
    for key, delivered in base.promise.items.items():
        if key in there:
            assert delivered or there[key] == 0, f"{key} was never delivered"
            continue
        different.add("items")
        outcome.items += 1
        assert composed[key[0]] < key[1], f"{key} is lost, and not composed anew: {composed}"
    return different


async def _goes_on(store: SqliteStore) -> None:
    end = UtcMs(START + 400 * HALF_HOUR_MS)
    rows = [
        HalfHour(property_id=PropertyId(one), end_ms=end, value=Quantity(1)) for one in range(1, CHANNELS + 1)
    ]
    await store.keep(
        Keep(now_ms=end, half_hours=rows, closed={(one.property_id, HALF_HOUR_MS): end for one in rows})
    )
