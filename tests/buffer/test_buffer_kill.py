"""A gateway killed while it keeps: nothing that was promised is lost, nothing is there by half."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from meterkast.model.time import UtcMs
from meterkast_buffer import SqliteStore

Open = Callable[..., Awaitable[SqliteStore]]

CHILD = """
import asyncio, sys
from meterkast.model.delivery import NewItem
from meterkast.model.half_hour import HalfHour
from meterkast.model.quantity import Quantity
from meterkast.model.reading import Column, Frames
from meterkast.ports.store import Keep
from meterkast_buffer import open_store

NOW, LENGTH = 1_735_689_600_000, 1_800_000

async def main() -> None:
    store = await open_store(sys.argv[1])
    layout = (Column(1, 0),)
    number = len(await store.half_hours(0, 1 << 60))
    while True:
        end = NOW + number * LENGTH
        await store.keep(Keep(
            now_ms=end,
            frames=[Frames(layout, [end], [(number,)])],
            half_hours=[HalfHour(property_id=1, end_ms=end, value=Quantity(number))],
            items=[NewItem(uplink="u", stream="s", at_ms=end, payload=b"%d" % number)],
            composed={("u", "s"): end},
            closed={(1, LENGTH): end},
        ))
        print(number, flush=True)
        number += 1
        for item in await store.pending("u", "s", 1):
            await store.intend([item.id], end)
            if number % 3 == 0:
                await store.acknowledge([item.id], "ok", end)

asyncio.run(main())
"""


async def test_five_kills_lose_nothing_that_was_promised(path: Path, opened: Open) -> None:
    chance = random.Random(5)
    promised = -1
    for _ in range(5):
        child = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs meanwhile
            [sys.executable, "-c", CHILD, str(path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert child.stdout is not None
        with child, child.stdout:
            for _ in range(chance.randrange(1, 25)):
                promised = int(child.stdout.readline())
            child.send_signal(signal.SIGKILL)
            for line in child.stdout:  # said before the signal came through
                promised = int(line)
        store = await opened(path)
        kept = await store.half_hours(UtcMs(0), UtcMs(1 << 60))
        whole = [row.value.whole for row in kept if row.value]
        assert whole == list(range(len(kept)))
        assert len(kept) - 1 in (promised, promised + 1)  # kept, but killed before it could say so
        [status] = store.streams().values()
        [closed] = (await store.closed_until()).values()
        assert closed == status.composed_ms == kept[-1].end_ms
        assert await store.database.rows("SELECT count(*), min(id), max(id) FROM outbox") == [
            (len(kept), 1, len(kept))
        ]
        assert [count async for block in store.samples(UtcMs(0)) for (count,) in block[0].rows] == whole
        assert await store.database.check() == []
        await store.close()
    assert promised > 5
