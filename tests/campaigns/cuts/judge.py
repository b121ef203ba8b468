"""Whether what a power cut left is what was promised."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from meterkast.model.errors import MeterkastError
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.reading import Column, Frames
from meterkast.model.time import HALF_HOUR_MS, UtcMs
from meterkast.ports.store import Keep
from meterkast_buffer import SqliteStore, open_store
from meterkast_buffer.sealed import SEALED, crc_of, rows_of, sums_of
from meterkast_rig.disk.trace import State, Trace, made

from .story import NAME, STREAMS, contents

FOREVER = UtcMs(1 << 60)
EVERY = 40
"""One in so many states is opened by the gateway's own store as well, and used."""


@dataclass(slots=True)
class Promise:
    """What may be there after a cut: the content after one of the calls from the last durable one on.

    Attributes:
        allowed: Digests of contents, oldest first; every transaction whole and no gap between them.
        started: A call began and has not returned: what it makes is the next of `history`.
    """

    allowed: list[str]
    started: bool = False

    def mark(self, text: str) -> None:
        word, *rest = text.split(" ")
        if word == "A":
            self.allowed = [rest[0]]
        elif word == "B":
            self.started = True
        else:
            durable, digest = rest[1] == "1", rest[2]
            if (
                digest != self.allowed[-1]
            ):  # a call that changed nothing promises nothing, of the ones before too
                self.allowed = [digest] if durable else [*self.allowed, digest]
            self.started = False


@dataclass(slots=True)
class Verdict:
    """What a campaign came to.

    Attributes:
        cuts: Power cuts.
        states: Different ones among what they left.
        opened: Those of them that the store opened, checked and went on with.
        calls: How many calls each kind of cut fell into.
        wrong: What was not as promised, one line each.
        left: What one of the cuts left.
    """

    cuts: int = 0
    states: int = 0
    opened: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    left: State = field(default_factory=dict)


def outcomes(trace: Path, folder: Path, before: State) -> list[tuple[Promise, str]]:
    """What is promised at each step of the trace, with the name of the call it is in.

    The content that a call in progress makes is known only later, so it is found in a first pass.
    """
    found: list[tuple[Promise, str]] = []
    promise, name, first = Promise([]), "", 0
    for step in Trace(trace, folder, before).steps():
        if step.mark is not None:
            if step.mark.startswith("E "):
                for earlier, _ in found[first:]:
                    earlier.allowed.append(step.mark.rsplit(" ", 1)[1])
            promise.mark(step.mark)
            name = step.mark.split(" ", 2)[2] if step.mark.startswith("B ") else "between"
            first = len(found) + 1
        found.append((Promise(list(promise.allowed), promise.started), name))
    return found


def judge(trace: Path, folder: Path, before: State, cuts: int, seed: str, scratch: Path) -> Verdict:
    """Cut the power so often, evenly over the steps of a trace, and look at what is left.

    Args:
        before: The files that were there before the trace.
        scratch: A folder in memory; it is emptied.
    """
    verdict = Verdict()
    promised = outcomes(trace, folder, before)
    chance = Random(seed)
    begun = next(at for at, (promise, _) in enumerate(promised) if promise.allowed)
    at_step = Counter(chance.randrange(begun, len(promised)) for _ in range(cuts))
    playing = Trace(trace, folder, before)
    seen: set[tuple[object, tuple[str, ...]]] = set()
    for number, _ in enumerate(playing.steps()):
        promise, name = promised[number]
        for place in range(at_step[number]):
            verdict.cuts += 1
            verdict.calls[name] += 1
            key, chosen = playing.disk.cut(chance)
            if (key, tuple(promise.allowed)) in seen:
                continue
            seen.add((key, tuple(promise.allowed)))
            verdict.states += 1
            state = made(chosen)
            said = look(state, promise, scratch)
            if not said and verdict.states % EVERY == 0:
                verdict.opened += 1
                said = asyncio.run(use(state, scratch))
            if number > begun + (len(promised) - begun) * 0.8 and not verdict.left:
                verdict.left = state
            if said:
                verdict.wrong.append(f"seed {seed}, step {number}, cut {place}, during {name}: {said}")
    return verdict


def look(state: State, promise: Promise, scratch: Path) -> str:
    """What is wrong, as SQLite sees it: structure, and every row of every table; empty where nothing is."""
    write(state, scratch)
    connection = sqlite3.connect(scratch / NAME)
    try:
        damage = connection.execute("PRAGMA integrity_check").fetchall()
        if damage != [("ok",)]:
            return f"damaged: {damage[:3]}"
        digest = contents(lambda sql: connection.execute(sql).fetchall())
        if digest in promise.allowed:
            made = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sums'").fetchall()
            sums = {name: crc for name, (_, crc) in (sums_of(connection) if made else {}).items()}
            sums = {name: crc for name, crc in sums.items() if name in SEALED}
            wrong = [name for name, crc in sums.items() if crc != crc_of(rows_of(connection, name))]
            return f"sums of {wrong}" if wrong else ""
        return f"content {digest}, promised was one of {promise.allowed}"
    except sqlite3.Error as error:
        return f"cannot be read: {error}"
    finally:
        connection.close()


async def use(state: State, scratch: Path) -> str:
    """What is wrong, as the gateway sees it: it opens the store, checks it, keeps more, closes and opens."""
    write(state, scratch)
    try:
        store = await open_store(scratch / NAME, samples_days=1)
        try:
            said = await _checked(store) or await _goes_on(store)
        finally:
            await store.close()
        return said
    except (MeterkastError, sqlite3.Error, OSError) as error:
        return f"the store refused: {error}"


async def _checked(store: SqliteStore) -> str:
    """CRCs of every half-hour and block, marks that are not ahead, items in order."""
    if damage := await store.database.check():
        return f"damaged: {damage[:3]}"
    last: dict[tuple[int, int], int] = {}
    for length in (HALF_HOUR_MS, HALF_HOUR_MS // 2):
        for row in await store.half_hours(UtcMs(0), FOREVER, length_ms=length):
            last[row.property_id, length] = row.end_ms
    async for _ in store.samples(UtcMs(0)):
        pass
    if status := store.storage().problem:
        return status
    closed = await store.closed_until()
    if closed != last:
        return f"closed until {closed}, the rows end at {last}"
    for key in STREAMS:
        items = await store.pending(*key, 1 << 30)
        if [item.at_ms for item in items] != sorted({item.at_ms for item in items}):
            return f"{key}: items out of order or twice"
        rows = await store.database.rows(
            "SELECT max(at_ms), count(*) FROM outbox JOIN streams ON streams.id = stream_id "
            "WHERE uplink = ? AND name = ?",
            key,
        )
        composed = store.streams()[key].composed_ms if key in store.streams() else None
        if composed != rows[0][0]:
            return f"{key}: composed until {composed}, the newest item is of {rows[0][0]}"
    return ""


async def _goes_on(store: SqliteStore) -> str:
    """The next minute can be kept and read."""
    ends = [row.end_ms for row in await store.half_hours(UtcMs(0), FOREVER)]
    end = UtcMs(max(ends, default=HALF_HOUR_MS) + HALF_HOUR_MS)
    row = HalfHour(property_id=PropertyId(1), end_ms=end, value=Quantity(1))
    await store.keep(
        Keep(now_ms=end, frames=[Frames((Column(PropertyId(1), 0),), [end], [(1,)])], half_hours=[row])
    )
    return "" if (await store.half_hours(UtcMs(0), FOREVER))[-1] == row else "the next half-hour is not there"


def write(state: State, folder: Path) -> None:
    """Make the files of a state in a folder of their own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in state.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
