"""The outbox to one uplink: one task, one connection, one breaker; a dead platform never delays another.

close → intent → send → acknowledge → next. Order within a stream is kept always; streams are independent.

Three kinds of failure. *Transient*: keep, wait with full jitter; two different streams failing in a row open
the breaker for the whole uplink. *Configuration*: keep everything, pause, say so, probe rarely. *Permanent
for one item*: after three refusals it is set aside with the platform's own words and the stream goes on; but
five different items refused in a row mean that the uplink is wrong and not the items: all go back, pause.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from meterkast.model.delivery import Item, ItemId
from meterkast.model.errors import (
    MeterkastError,
    MisconfiguredError,
    NotDeliveredError,
    RejectedError,
    StorageError,
)
from meterkast.model.time import UtcMs
from meterkast.pipeline.backoff import Backoff
from meterkast.ports import Clock, Store, Uplink

log = logging.getLogger(__name__)

BASE_S, CAP_S = 5.0, 300.0
PROBE_FIRST_S, PROBE_S = 60.0, 900.0
"""A paused uplink or stream is tried again after a minute, then every quarter of an hour."""

REFUSALS = 3
"""How often one item is refused before it is set aside."""

REFUSAL_WAITS_S = (60.0, 300.0)
"""Between the refusals: a platform that is being repaired must not cost a half-hour."""

SUSPICIOUS = 5
"""Different items refused in a row, over all streams: the uplink is wrong, not the items."""

PAGE = 200
"""Items read from the outbox at once."""

ROUND_S = 20.0
"""Real time after which streams with new items join those that drain a backlog."""


@dataclass(slots=True)
class StreamState:
    """Where one stream is.

    Attributes:
        retry_at_ms: Not before this.
        limit: The largest batch; halved while looking for the item that is refused.
        doubt: Nothing was acknowledged since the start: its first items may be at the far end already.
        refusals: How often the oldest item was refused.
        paused: Why it is paused; empty where it is not.
        due_ms: When its oldest item may be sent.
    """

    backoff: Backoff
    retry_at_ms: UtcMs = UtcMs(0)
    limit: int = 1_000_000
    doubt: bool = True
    refusals: int = 0
    probes: int = 0
    paused: str = ""
    hint: str = ""
    due_ms: UtcMs = UtcMs(0)
    page: list[Item] = field(default_factory=list)


def _internal(error: Exception) -> NotDeliveredError:
    return NotDeliveredError(
        f"internal error: {error!r}", hint="Nothing is lost. Please report this, with the log."
    )


def slot_ms(device_id: str, spread_ms: int) -> int:
    """This device's own fixed delay after :00 and :30, in [0, spread_ms)."""
    return zlib.crc32(device_id.encode()) % spread_ms if spread_ms > 0 else 0


class Delivery:
    """Empties the outbox to one uplink.

    Args:
        slot_ms: The device's own delay after an interval's end.
        random: Uniform in [0, 1), for the jitter.

    Attributes:
        state: "idle", "sending", "waiting" or "paused".
        detail, hint: What happened last, and what to do; empty when all is well.
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
        self._backoff = Backoff(BASE_S, CAP_S, random)
        self._failed_streams: set[str] = set()
        self._in_a_row: dict[ItemId, Item] = {}
        self._probing = False
        self._probes = 0
        self.retry_at_ms = UtcMs(0)
        self.state = "idle"
        self.detail = ""
        self.hint = ""
        self.delivered = 0
        self.failures = 0
        self.last_acknowledged_ms: UtcMs | None = None
        self.last_receipt = ""
        self.quarantined: list[Item] = []

    def announce(self) -> None:
        """There are new items, or a setting changed: look now."""
        self._wake.set()

    def stream_state(self, name: str) -> StreamState | None:
        """Where a stream is; None where nothing was sent to it yet."""
        return self._streams.get(name)

    async def run(self) -> None:
        """Deliver until cancelled, then close the connection."""
        try:
            self.quarantined = list(await self._store.quarantined(self.uplink.name))
            while True:
                self._wake.clear()
                try:
                    pause_s = await self._round()
                except StorageError as error:
                    self._say("waiting", str(error), error.hint)
                    pause_s = self._backoff.next_s(1.0)
                await self._wait(pause_s)
        finally:
            await self.uplink.close()

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
        backlog = await self._backlog()
        if not backlog:
            if self.state != "idle":
                self._say("idle", "", "")
            await self.uplink.idle()
            return None
        if self.retry_at_ms > now_ms:
            return (self.retry_at_ms - now_ms) / 1000
        ready = [name for name in backlog if self._ready_ms(name) <= now_ms]
        if ready:
            if self.detail:
                # After a failure one batch of one stream tries the way first.
                ready.sort(key=self._ready_ms)
                await self._deliver_stream(ready[0], until_s=0.0)
            else:
                await self._deliver_streams(ready)
            return 0.0
        if self.state == "sending":
            self._say("idle", "", "")
        soonest = min(self._ready_ms(name) for name in backlog)
        return max(0.05, (soonest - now_ms) / 1000)

    async def _backlog(self) -> list[str]:
        found = [
            status.stream
            for (uplink, _), status in (await self._store.streams()).items()
            if uplink == self.uplink.name and status.pending
        ]
        for name in found:
            self._streams.setdefault(name, StreamState(Backoff(BASE_S, CAP_S, self._random)))
        return sorted(found)

    def _ready_ms(self, name: str) -> UtcMs:
        state = self._streams[name]
        return max(state.retry_at_ms, state.due_ms)

    async def _deliver_streams(self, names: list[str]) -> None:
        gate = asyncio.Semaphore(max(1, self.uplink.parallel))
        until_s = asyncio.get_running_loop().time() + ROUND_S

        async def one(name: str) -> None:
            async with gate:
                await self._deliver_stream(name, until_s)

        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(one(name))

    async def _deliver_stream(self, name: str, until_s: float) -> None:
        """Deliver a stream's items in order until none is due, one fails, or the round is over."""
        state = self._streams[name]
        state.page = []
        while self.retry_at_ms <= self._clock.now_ms():
            batch = await self._next_batch(name, state)
            if not batch:
                return
            await self._store.intend([item.id for item in batch], self._clock.now_ms())
            tries = 2 if state.doubt else 1
            sent = [replace(item, tries=item.tries + tries) for item in batch]
            try:
                receipt = await self.uplink.deliver(name, sent)
            except NotDeliveredError as error:
                self._failed(name, state, error)
                return
            except MisconfiguredError as error:
                self._misconfigured(name, state, error)
                return
            except RejectedError as error:
                if not await self._refused(name, state, batch, error):
                    return
                continue
            except Exception as error:
                # A fault in one uplink's code must not stop the others, nor reading.
                log.exception("uplink failed", extra={"uplink": self.uplink.name})
                self._failed(name, state, _internal(error))
                return
            await self._store.acknowledge([item.id for item in batch], receipt, self._clock.now_ms())
            self._succeeded(name, state, batch, receipt)
            if asyncio.get_running_loop().time() >= until_s:
                return

    async def _next_batch(self, name: str, state: StreamState) -> list[Item]:
        if not state.page:
            state.page = list(await self._store.pending(self.uplink.name, name, PAGE))
        if not state.page:
            return []
        due_ms = UtcMs(self.uplink.due_ms(state.page[0].at_ms) + self._slot_ms)
        if due_ms > self._clock.now_ms():
            state.due_ms = due_ms
            return []
        limit = max(1, min(self.uplink.batch_limit(name), state.limit))
        now_ms = self._clock.now_ms() - self._slot_ms
        batch = [item for item in state.page[:limit] if self.uplink.due_ms(item.at_ms) <= now_ms]
        state.page = state.page[len(batch) :]
        return batch

    def _succeeded(self, name: str, state: StreamState, batch: list[Item], receipt: str) -> None:
        if self.detail:
            log.info("delivering again", extra={"uplink": self.uplink.name, "stream": name})
        state.backoff.reset()
        state.doubt = False
        state.limit = 1_000_000
        state.refusals = state.probes = 0
        state.paused = state.hint = ""
        self._backoff.reset()
        self._failed_streams.clear()
        self._in_a_row.clear()
        self._probing, self._probes = False, 0
        self.delivered += len(batch)
        self.last_acknowledged_ms = self._clock.now_ms()
        self.last_receipt = receipt
        self._say("sending", "", "")

    def _failed(self, name: str, state: StreamState, error: NotDeliveredError) -> None:
        self.failures += 1
        now_ms = self._clock.now_ms()
        wait_s = state.backoff.next_s(error.retry_after_s or 0.0)
        state.retry_at_ms = UtcMs(now_ms + int(wait_s * 1000))
        self._failed_streams.add(name)
        first = not self.detail
        # One stream alone is the whole uplink as far as anyone can tell.
        if len(self._failed_streams) > 1 or len(self._streams) == 1 or error.retry_after_s:
            uplink_s = self._backoff.next_s(error.retry_after_s or 0.0)
            self.retry_at_ms = UtcMs(now_ms + int(uplink_s * 1000))
        self._say("waiting", str(error), error.hint)
        level = logging.WARNING if first else logging.DEBUG
        log.log(
            level, "not delivered", extra={"uplink": self.uplink.name, "stream": name, "reason": str(error)}
        )

    def _misconfigured(self, name: str, state: StreamState, error: MisconfiguredError) -> None:
        self.failures += 1
        now_ms = self._clock.now_ms()
        if error.stream is None:
            wait_s = PROBE_S if self._probes else PROBE_FIRST_S
            self._probes += 1
            self.retry_at_ms = UtcMs(now_ms + int(wait_s * 1000))
            self._say("paused", str(error), error.hint)
        else:
            wait_s = PROBE_S if state.probes else PROBE_FIRST_S
            state.probes += 1
            state.retry_at_ms = UtcMs(now_ms + int(wait_s * 1000))
            state.paused, state.hint = str(error), error.hint
        log.error(
            "paused",
            extra={"uplink": self.uplink.name, "stream": error.stream or "all", "reason": str(error)},
        )

    async def _refused(self, name: str, state: StreamState, batch: list[Item], error: RejectedError) -> bool:
        """Narrow a refused batch down to one item; then count, and set it aside in the end.

        Returns:
            Whether the stream may go on at once.
        """
        self.failures += 1
        state.page = []
        if len(batch) > 1:
            state.limit = len(batch) // 2
            return True
        item = batch[0]
        now_ms = self._clock.now_ms()
        if self._probing:
            self._pause_all(error, now_ms)
            return False
        state.refusals += 1
        if state.refusals < REFUSALS:
            wait_s = REFUSAL_WAITS_S[state.refusals - 1]
            state.retry_at_ms = UtcMs(now_ms + int(wait_s * 1000))
            self._say("waiting", f"{name}: {error}", error.hint)
            return False
        state.refusals = 0
        state.limit = 1_000_000
        await self._store.quarantine([item.id], error.words, now_ms)
        self._in_a_row[item.id] = replace(item, words=error.words)
        self.quarantined.append(replace(item, words=error.words))
        log.error("set aside", extra={"uplink": self.uplink.name, "stream": name, "words": error.words})
        if len(self._in_a_row) >= SUSPICIOUS:
            await self._store.release(list(self._in_a_row))
            back = set(self._in_a_row)
            self.quarantined = [one for one in self.quarantined if one.id not in back]
            self._in_a_row.clear()
            self._probing = True
            self._pause_all(error, now_ms)
            return False
        return True

    def _pause_all(self, error: MeterkastError, now_ms: UtcMs) -> None:
        self.retry_at_ms = UtcMs(now_ms + int(PROBE_S * 1000))
        self._say(
            "paused",
            f"{self.uplink.name} refuses everything: {error}",
            "Nothing is lost. Check this uplink's settings and what the platform says; "
            f"one item is tried every {int(PROBE_S / 60)} minutes.",
        )

    def _say(self, state: str, detail: str, hint: str) -> None:
        self.state, self.detail, self.hint = state, detail, hint

    async def send_again(self, ids: list[ItemId]) -> None:
        """Put items that were set aside back into their streams."""
        await self._store.release(ids)
        self.quarantined = [item for item in self.quarantined if item.id not in set(ids)]
        self.announce()
