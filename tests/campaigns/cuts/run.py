"""The process that is recorded: the real store through a story, or with a disk that fails.

    run.py FOLDER record SEED STEPS SWITCH   one story, in an empty folder or on what a cut left
    run.py FOLDER faults SEED STRIDE SWITCH  every call, with every STRIDE-th of its first operations failing,
                                             and ever fewer after these

Marks in the trace: `A digest` the content it begins with, `B n name` a call begins, `E n durable digest` it
returned. A switch takes one protection away, to see that the campaign notices.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from random import Random
from typing import Any

import aiosqlite
from story import NAME, OTHERS, Story, content

import meterkast_buffer.write_ahead_log as log_module
from meterkast.model.errors import StorageError
from meterkast.ports.store import Keep
from meterkast_buffer import SqliteStore
from meterkast_buffer.database import Database
from meterkast_rig.disk.recorder import Fault, Recorder

# The product's own are 2000 pages: the log would begin anew once in a story of 300 steps.
CHECKPOINT_PAGES = 60

# Switches that show only where a flush fails and the power goes while that is mended.
RARE = ("not rewritten", "checkpoint at any time")


async def record(story: Story, recorder: Recorder, steps: int, failing: float) -> None:
    """One story; at some steps (`failing` is how many of all) a flush fails, and the call is tried again."""
    recorder.mark(f"A {await content(story)}")
    for number, (name, durable, call) in zip(range(steps), story.steps(), strict=False):
        recorder.mark(f"B {number} {name}")
        # Of calls that are not durable few flush anything: those that come to a checkpoint.
        often = failing if durable else 6 * failing
        if number > 10 and name != "reopen" and story.chance.random() < often:
            recorder.fail(Fault.LOST_FLUSH, story.chance.choice((1, 1, 1, 2, 3)))
            try:
                await call()
            except StorageError:
                recorder.lift()
                await call()
            recorder.lift()
        else:
            await call()
        recorder.mark(f"E {number} {int(durable)} {await content(story)}")
    await story.close()


async def faults(story: Story, recorder: Recorder, stride: int) -> dict[str, Any]:
    """Every kind of call, and in each of them operations on the disk that fail: most at its beginning."""
    counts = {"faults": 0, "refused": 0, "operations": 0}
    wrong: list[str] = []
    for _, (_, _, call) in zip(range(25), story.steps(), strict=False):
        await call()
    for kind in dict.fromkeys(("keep", "intend", "acknowledge", *OTHERS)):
        for fault in (Fault.IO_ERROR, Fault.NO_SPACE, Fault.SHORT_WRITE, Fault.LOST_FLUSH):
            for lasting in (False, True):
                nth = story.chance.randint(1, stride)
                while True:
                    said, fired = await _strike(story, recorder, kind, (fault, nth, lasting))
                    counts["faults"] += bool(fired)
                    counts["operations"] += fired
                    counts["refused"] += said == "refused"
                    if said not in ("", "refused"):
                        wrong.append(f"{kind}, {fault.name} at operation {nth}, lasting {lasting}: {said}")
                    if not fired:
                        break
                    nth += stride + nth * stride // 32  # to open a damaged database takes thousands
        kept = await content(story)
        await story._reopen()
        if await content(story) != kept or await story._s.database.check():
            wrong.append(f"{kind}: not the same after a restart")
    await story.close()
    return {**counts, "wrong": wrong}


async def _strike(
    story: Story, recorder: Recorder, kind: str, how: tuple[Fault, int, bool]
) -> tuple[str, int]:
    """One call in which one operation fails; what was wrong, and how many operations failed."""
    for name in ("keep", "declare_node"):  # something to intend, to quarantine and to remove
        await story.step(name)[2]()
    call = story.step(kind)[2]
    before = await content(story)
    fault, nth, lasting = how
    recorder.fail(fault, nth, lasting=lasting)
    said = ""
    try:
        await call()
    except StorageError:
        said = "refused"
    except Exception as error:  # the campaign is there to find those; it is told with the others
        said = f"{type(error).__name__}: {error}"
    fired = recorder.lift()
    try:
        if said == "refused":
            if await content(story) != before:
                said = "refused, and kept all the same"
            await call()
        await story.step("keep")[2]()
    except Exception as error:  # as above
        said = f"does not go on when the disk is well again: {type(error).__name__}: {error}"
        await story._reopen()
    return said, fired


def weaken(switch: str) -> None:
    """Take one protection away."""
    if switch in ("NORMAL", "OFF"):
        _replace_sql("synchronous = FULL", f"synchronous = {switch}")
    elif switch == "not durable":
        durable = Database.transact

        async def transact(self: Database, work: Any, **how: Any) -> Any:
            return await durable(self, work, **{**how, "durable": False})

        Database.transact = transact  # type: ignore[method-assign]
    elif switch == "in two":
        whole = SqliteStore.keep

        async def keep(self: SqliteStore, what: Keep) -> None:
            await whole(self, Keep(now_ms=what.now_ms, half_hours=what.half_hours, closed=what.closed))
            await whole(
                self,
                Keep(
                    now_ms=what.now_ms,
                    frames=what.frames,
                    epochs=what.epochs,
                    items=what.items,
                    composed=what.composed,
                ),
            )

        SqliteStore.keep = keep  # type: ignore[method-assign]
    elif switch == "checkpoint at any time":
        _replace_sql("wal_autocheckpoint = 0", f"wal_autocheckpoint = {CHECKPOINT_PAGES}")
    elif switch == "not rewritten":
        log_module.rewrite_log = lambda path: None
    elif switch != "none":
        raise SystemExit(f"no such switch: {switch}")


def _replace_sql(old: str, new: str) -> None:
    for name in ("execute", "execute_fetchall"):
        asked = getattr(aiosqlite.Connection, name)

        def ask(self: Any, sql: str, *more: Any, _asked: Any = asked) -> Any:
            return _asked(self, sql.replace(old, new), *more)

        setattr(aiosqlite.Connection, name, ask)


async def main(folder: str, what: str, seed: str, size: str, switch: str) -> None:
    log_module.CHECKPOINT_PAGES = CHECKPOINT_PAGES
    log_module.LOG_BYTES = (CHECKPOINT_PAGES + 40) * (log_module.PAGE_BYTES + 24) + 32
    weaken(switch)
    story = Story(Path(folder) / NAME, Random(f"story {seed}"))
    recorder = Recorder()
    try:
        if what == "record":
            await record(story, recorder, int(size), 0.15 if switch in RARE else 0.05)
        else:
            print(json.dumps(await faults(story, recorder, int(size))))
    finally:
        await story.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
