"""A clock that stands still until a test moves it, a platform that plays a script, and the real store."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meterkast.clock import Undisputed
from meterkast.model.delivery import Item, ItemId, NewItem, Stream
from meterkast.model.errors import NotDeliveredError, RejectedError, StorageError
from meterkast.model.half_hour import HalfHour
from meterkast.model.time import HALF_HOUR_MS, UtcMs
from meterkast.pipeline.delivery import Delivery
from meterkast.ports.clock import Trust
from meterkast.ports.store import Keep
from meterkast.ports.uplink import Binding, Check, Wanted
from meterkast_buffer.store import SqliteStore

START = UtcMs(1_773_154_800_000)

Answer = Callable[[str, Sequence[Item]], Exception | None]


class VirtualClock(Undisputed):
    """Gateway time that passes only by `pass_s`; everything that is due on the way runs in its order."""

    speed = 1.0

    def __init__(self) -> None:
        super().__init__()
        self._now_ms = int(START)
        self._off_ms = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self.busy: Callable[[], bool] = lambda: False
        self.trust = Trust.TRUSTED

    def now_ms(self) -> UtcMs:
        return UtcMs(self._now_ms + self._off_ms)

    def boot_ns(self) -> int:
        return (self._now_ms - START) * 1_000_000

    def utc_of(self, boot_ns: int) -> UtcMs:
        return UtcMs(START + self._off_ms + boot_ns // 1_000_000)

    def set_by(self, off_ms: int) -> None:
        """It finds out that it is so much later than it said; no time passes by that."""
        self._off_ms += off_ms

    def offer(self, stamp_ms: UtcMs, seen_ns: int, meter: str = "") -> None: ...

    def allowance_ms(self, limit_ms: int) -> int:
        return limit_ms

    async def sleep(self, seconds: float) -> None:
        await self.sleep_until(UtcMs(self.now_ms() + -int(-seconds * 1000 // 1)))

    async def sleep_until(self, at_ms: UtcMs) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (at_ms - self._off_ms, next(self._numbers), woken))
        await woken

    async def settle(self) -> None:
        """Let everything run that needs no time to pass."""
        quiet = 0
        while quiet < 25:
            if self.busy():
                quiet = 0
                await asyncio.sleep(0.0002)
            else:
                quiet += 1
                await asyncio.sleep(0)

    async def pass_s(self, seconds: float) -> None:
        until_ms = self._now_ms + int(seconds * 1000)
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= until_ms:
            at_ms, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                self._now_ms = max(self._now_ms, at_ms)
                woken.set_result(None)
                await self.settle()
        self._now_ms = until_ms
        await self.settle()


class WatchedStore:
    """The real store; it knows when it works, tells what was asked, and refuses where a test says so."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.running = 0
        self.refuses: set[str] = set()
        self.log: list[tuple[str, tuple[ItemId, ...]]] = []

    def streams(self) -> Any:
        if "streams" in self.refuses:
            raise StorageError("the disk is full", hint="Free space.")
        return self._store.streams()

    def __getattr__(self, name: str) -> Any:  # whatever the store has
        method = getattr(self._store, name)

        async def watched(*args: Any, **more: Any) -> Any:
            if name in self.refuses:
                raise StorageError("the disk is full", hint="Free space.")
            if name in ("intend", "acknowledge", "quarantine", "release"):
                self.log.append((name, tuple(args[0])))
            self.running += 1
            try:
                return await method(*args, **more)
            finally:
                self.running -= 1

        return watched


@dataclass
class Sent:
    """One call of `deliver`."""

    stream: str
    at_ms: UtcMs
    items: tuple[Item, ...]


@dataclass
class Platform:
    """An uplink whose far end does what `answer` says."""

    name: str = "far"
    urls: Sequence[str] = ()
    parallel: int = 1
    limit: int = 10
    delay_ms: int = 0
    continues: bool = False
    answer: Answer = lambda *_: None
    clock: VirtualClock = field(default_factory=VirtualClock)
    log: list[tuple[str, tuple[ItemId, ...]]] = field(default_factory=list)
    calls: list[Sent] = field(default_factory=list)
    taken: dict[str, list[bytes]] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    idled: int = 0
    asked_time: int = 0
    closed: int = 0

    def wanted(self) -> Sequence[Wanted]:
        return ()

    def batch_limit(self, stream: str) -> int:
        return self.limit

    def compose(self, stream: Stream, half_hours: Mapping[Binding, HalfHour], end_ms: UtcMs) -> list[bytes]:
        return []

    async def deliver(self, stream: str, items: Sequence[Item]) -> str:
        self.log.append(("deliver", tuple(item.id for item in items)))
        self.calls.append(Sent(stream, self.clock.now_ms(), tuple(items)))
        if self.gate is not None:
            await self.gate.wait()
        if (error := self.answer(stream, items)) is not None:
            raise error
        self.taken.setdefault(stream, []).extend(item.payload for item in items)
        return f"receipt {len(self.calls)}"

    def due_ms(self, end_ms: UtcMs) -> UtcMs:
        return UtcMs(end_ms + self.delay_ms)

    async def ask_time(self) -> None:
        self.asked_time += 1

    async def idle(self) -> None:
        self.idled += 1

    async def close(self) -> None:
        self.closed += 1

    async def check(self) -> Sequence[Check]:
        return ()

    def times(self, stream: str | None = None) -> list[float]:
        """When it was called, in s since the start."""
        return [(one.at_ms - START) / 1000 for one in self.calls if stream in (None, one.stream)]

    def sizes(self) -> list[int]:
        return [len(one.items) for one in self.calls]


class Bench:
    """A delivery with its platform, store and clock."""

    def __init__(self, store: SqliteStore) -> None:
        self.clock = VirtualClock()
        self.store = WatchedStore(store)
        self.clock.busy = lambda: self.store.running > 0
        self.platform = Platform(clock=self.clock, log=self.store.log)
        self.random = 1.0
        self.slot_ms = 0
        self.delivery = self._made()
        self.task: asyncio.Task[None] | None = None

    def _made(self) -> Delivery:
        return Delivery(
            self.platform,
            self.store,  # type: ignore[arg-type]  # it passes on whatever the store has
            self.clock,
            slot_ms=self.slot_ms,
            random=lambda: self.random,
        )

    async def put(self, stream: str, *payloads: str, at_ms: int = START - HALF_HOUR_MS) -> None:
        items = [
            NewItem(uplink="far", stream=stream, at_ms=UtcMs(at_ms), payload=payload.encode())
            for payload in payloads
        ]
        await self.store.keep(Keep(now_ms=self.clock.now_ms(), items=items))
        self.delivery.announce()

    async def start(self) -> None:
        self.delivery = self._made()
        self.task = asyncio.create_task(self.delivery.run())
        await self.clock.settle()

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            self.task = None

    async def start_with_good(self, rounds: int, every_s: float) -> None:
        """Start; a stream named `good` gets an item now and then, and each arrives."""
        await self.put("good", "first")
        await self.start()
        for number in range(rounds):
            await self.put("good", f"g{number}")
            await self.clock.pass_s(every_s)
        assert self.taken("good") == ["first", *(f"g{number}" for number in range(rounds))]

    def taken(self, stream: str) -> list[str]:
        return [payload.decode() for payload in self.platform.taken.get(stream, [])]

    def status(self, stream: str) -> Any:
        return self.store.streams()["far", stream]


def down(**more: Any) -> NotDeliveredError:
    return NotDeliveredError("no route", hint="Check the cable.", **more)


def refused(words: str = "bad value") -> RejectedError:
    return RejectedError(f"refused: {words}", hint="Look at it.", words=words)


def refusing(*bad: str) -> Answer:
    """A platform that refuses whatever holds one of those."""
    return lambda _, items: refused() if any(item.payload.decode() in bad for item in items) else None


def names(count: int, first: str = "p") -> list[str]:
    return [f"{first}{number:03d}" for number in range(count)]
