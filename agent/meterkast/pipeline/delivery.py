"""The outbox to one uplink: one task, one connection, one breaker; a dead platform never delays another.

close → intent → send → acknowledge → next. Order within a stream is kept always; streams are independent.
What failures mean is decided by `Breaker` and, where one item is refused for good, by `Refusals`.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile

from meterkast.model.delivery import Item, ItemId
from meterkast.model.errors import MisconfiguredError, NotDeliveredError, RejectedError, StorageError
from meterkast.model.time import UtcMs
from meterkast.pipeline.backoff import Backoff
from meterkast.pipeline.breaker import BASE_S, CAP_S, Breaker, internal
from meterkast.pipeline.pace import Pace
from meterkast.pipeline.refusals import Refusals
from meterkast.pipeline.stream_state import StreamState
from meterkast.pipeline.turns import Turns
from meterkast.ports.clock import Clock, Trust
from meterkast.ports.store import Store
from meterkast.ports.uplink import Uplink

log = logging.getLogger(__name__)

CLOCK_S = 10.0
"""How often the clock is asked again while the time is unknown."""

ASK_S = 300.0
"""How often a platform is asked for the time while it is unknown or in dispute."""

PAGE = 200
"""Items read from the outbox at once."""

AHEAD = 15
"""Single items for which one intent is recorded together; those not sent after all count as in doubt."""

TURN_S = 1.0
"""Real time that one stream delivers before the next of those that wait for a place."""

ROUND_S = 20.0
"""Real time after which everything is looked at anew, though streams have a backlog."""


def slot_ms(device_id: str, spread_ms: int) -> int:
    """This device's own fixed delay after :00 and :30, in [0, spread_ms)."""
    return zlib.crc32(device_id.encode()) % spread_ms if spread_ms > 0 else 0


class Delivery:
    """Empties the outbox to one uplink.

    Args:
        slot_ms: The device's own delay after an interval's end.
        random: Uniform in [0, 1), for the jitter.

    Attributes:
        breaker: How it is as a whole.
        refusals: What was refused and set aside.
        delivered: Items since the start.
        last_acknowledged_ms, last_receipt: Of the newest batch that the far end took.
    """

    def __init__(
        self, uplink: Uplink, store: Store, clock: Clock, *, slot_ms: int, random: Callable[[], float]
    ) -> None:
        self.uplink = uplink
        self._store = store
        self._clock = clock
        self._slot_ms = slot_ms
        self._random = random
        self._wake = asyncio.Event()
        self._streams: dict[str, StreamState] = {}
        self.breaker = Breaker(uplink.name, clock, self._streams, random)
        self.refusals = Refusals(uplink.name, store, clock, self._streams, self.breaker)
        self._pace = Pace()
        self._doubt_until_ms: UtcMs | None = None
        self.delivered = 0
        self.last_acknowledged_ms: UtcMs | None = None
        self.last_receipt = ""
        self._asked_boot_ms: int | None = None

    def announce(self) -> None:
        """There are new items, or a setting changed: look now."""
        self._wake.set()

    def stream_state(self, name: str) -> StreamState | None:
        """Where a stream is; None where nothing was sent to it yet."""
        return self._streams.get(name)

    def left_s(self) -> float | None:
        """How long what waits will take at the pace of late, s; None while nothing is delivered."""
        statuses = self._store.streams().items()
        waiting = sum(status.pending for (uplink, _), status in statuses if uplink == self.uplink.name)
        return self._pace.left_s(waiting, self._clock.now_ms()) if waiting else None

    async def run(self) -> None:
        """Deliver until cancelled, then close the connection."""
        loaded = False
        try:
            while True:
                self._wake.clear()
                pause_s: float | None
                try:
                    if not loaded:
                        await self.refusals.load()
                        loaded = True
                    pause_s = await self._round()
                except Exception as error:  # the uplink's only task waits and shows why, but never ends
                    pause_s = self.breaker.hold_all(error)
                await self._wait(pause_s)
        finally:
            try:
                await self.uplink.close()
            except Exception:  # the gateway stops; this one must not keep the others from closing
                log.exception("uplink not closed", extra={"uplink": self.uplink.name})

    async def _wait(self, pause_s: float | None) -> None:
        if pause_s is not None and pause_s <= 0:
            await asyncio.sleep(0)
            return
        waiting = asyncio.create_task(self._wake.wait())
        pause = None if pause_s is None else asyncio.create_task(self._clock.sleep(pause_s))
        tasks = [waiting] if pause is None else [waiting, pause]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _round(self) -> float | None:
        """Deliver all that can be delivered now.

        Returns:
            How long until something else can, in s of gateway time; None where only new items change it.
        """
        now_ms = self._clock.now_ms()
        await self.refusals.put_back()  # what the database refused to
        backlog = self._backlog()
        if not backlog:
            if self.breaker.state != "idle":
                self.breaker.say("idle")
            self._pace.rest()
            await self.uplink.idle()
            return None
        if self._clock.trust is Trust.UNKNOWN or self._clock.dispute:
            unknown = "The time is not known yet, so nothing is sent."
            self.breaker.say("waiting", self._clock.dispute or unknown, "It goes on by itself.")
            boot_ms = self._boot_ms()
            if self._asked_boot_ms is None or boot_ms - self._asked_boot_ms >= ASK_S * 1000:
                self._asked_boot_ms = boot_ms
                await self.uplink.ask_time()
            return CLOCK_S
        if self._doubt_until_ms is None:
            # Acknowledgements are not flushed one by one: after a power cut any of these may be there.
            self._doubt_until_ms = now_ms
        if (wait_ms := self.breaker.retry_boot_ms - self._boot_ms()) > 0:
            return wait_ms / 1000
        ready = [name for name in backlog if self._wait_ms(name) <= 0]
        if ready:
            if self.breaker.detail:
                # After a failure one batch of one stream tries the way first.
                ready.sort(key=self._wait_ms)
                await self._deliver_stream(ready[0], share_s=0.0)
            else:
                await self._deliver_streams(ready)
            return 0.0
        if self.breaker.state == "sending":
            self.breaker.say("idle")
        return max(0.05, min(map(self._wait_ms, backlog)) / 1000)

    def _backlog(self) -> list[str]:
        found = [
            status.stream
            for (uplink, _), status in self._store.streams().items()
            if uplink == self.uplink.name and status.pending
        ]
        for name in found:
            self._streams.setdefault(name, StreamState(Backoff(BASE_S, CAP_S, self._random)))
        return sorted(found)

    def _wait_ms(self, name: str) -> int:
        """For how long a stream waits yet; not above 0 where it does not."""
        state = self._streams[name]
        return max(state.retry_boot_ms - self._boot_ms(), state.due_ms - self._clock.now_ms())

    def _boot_ms(self) -> int:
        return self._clock.boot_ns() // 1_000_000

    async def _deliver_streams(self, names: list[str]) -> None:
        """Deliver streams in turns, so that as many as may be are always under way."""
        loop = asyncio.get_running_loop()
        turns, until_s = Turns(names), loop.time() + ROUND_S

        async def worker() -> None:
            while turns and loop.time() < until_s and self._may_send():
                name = turns.begin()
                await self._deliver_stream(name, TURN_S)
                turns.end(name, [each for each in self._backlog() if self._wait_ms(each) <= 0])

        async with asyncio.TaskGroup() as group:
            for _ in range(min(max(1, self.uplink.parallel), len(names))):
                group.create_task(worker())

    async def _deliver_stream(self, name: str, share_s: float) -> None:
        """Deliver a stream's items in order until none is due, one fails, or its share of time is over."""
        state = self._streams[name]
        try:
            await self._drain(name, state, asyncio.get_running_loop().time() + share_s)
        except NotDeliveredError as error:
            self.breaker.failed(name, state, error)
        except MisconfiguredError as error:
            self.breaker.misconfigured(state, error)
        except StorageError as error:
            self.breaker.hold_all(error)
        except Exception as error:  # a fault in one uplink's code must not stop the others, nor reading
            log.exception("uplink failed", extra={"uplink": self.uplink.name, "stream": name})
            self.breaker.failed(name, state, internal(error))
        finally:
            state.busy = False

    async def _drain(self, name: str, state: StreamState, until_s: float) -> None:
        state.page = []
        intended: set[ItemId] = set()
        while self._may_send():
            batch = await self._next_batch(name, state)
            if not batch:
                return
            if batch[0].id not in intended:
                # Where each item is a request of its own, one transaction speaks for the next few too.
                ahead = state.page[:AHEAD] if len(batch) == 1 else []
                intended = {item.id for item in (*batch, *ahead)}
                await self._store.intend(sorted(intended), self._clock.now_ms())
            state.busy = True
            try:
                receipt = await self.uplink.deliver(name, [self._tried(item) for item in batch])
            except RejectedError as error:
                state.busy = False
                if not await self.refusals.refused(name, state, batch, error):
                    return
            else:
                await self._store.acknowledge([item.id for item in batch], receipt, self._clock.now_ms())
                self._succeeded(name, state, batch, receipt)
            if asyncio.get_running_loop().time() >= until_s:
                return

    def _tried(self, item: Item) -> Item:
        in_doubt = self._doubt_until_ms is not None and item.at_ms <= self._doubt_until_ms
        return replace(item, tries=item.tries + (2 if in_doubt else 1))

    def _may_send(self) -> bool:
        # A platform's answer may have told that the time is in dispute.
        return self.breaker.retry_boot_ms <= self._boot_ms() and not self._clock.dispute

    async def _next_batch(self, name: str, state: StreamState) -> list[Item]:
        now_ms = self._clock.now_ms()
        limit = max(1, min(self.uplink.batch_limit(name), state.limit))
        if self.refusals.probing or state.probing:
            limit = 1
        if not state.page:
            # One batch tries the way: a month's backlog is not read with every try.
            most = limit if self.breaker.detail else PAGE
            state.page = list(await self._store.pending(self.uplink.name, name, most))
        if not state.page:
            # Should the count of what is pending ever be wrong, this must not become a busy loop.
            state.retry_boot_ms = self.breaker.after(1.0)
            return []
        due_ms = UtcMs(self.uplink.due_ms(state.page[0].at_ms) + self._slot_ms)
        if due_ms > now_ms:
            state.due_ms = due_ms
            return []
        until_ms = now_ms - self._slot_ms
        batch = list(takewhile(lambda item: self.uplink.due_ms(item.at_ms) <= until_ms, state.page[:limit]))
        state.page = state.page[len(batch) :]
        return batch

    def _succeeded(self, name: str, state: StreamState, batch: list[Item], receipt: str) -> None:
        self.refusals.accepted(state, batch)
        self.breaker.succeeded(name, state)
        self.delivered += len(batch)
        self.last_acknowledged_ms = self._clock.now_ms()
        self._pace.acknowledged(len(batch), self.last_acknowledged_ms)
        self.last_receipt = receipt
