"""The outbox to one uplink: one task, one connection, one breaker; a dead platform never delays another.

close → intent → send → acknowledge → next. Order within a stream is kept always; streams are independent.

Three kinds of failure. *Transient*: keep, wait with full jitter; two different streams failing in a row open
the breaker for the whole uplink. *Configuration*: keep everything, pause, say so, probe rarely. *Permanent
for one item*: after three refusals it is set aside with the platform's own words and the stream goes on; but
five different items refused in a row mean that the uplink is wrong and not the items (or, where all are of
one stream of several, that this stream is): all go back, pause.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile

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
from meterkast.pipeline.pace import Pace
from meterkast.pipeline.stream_state import WHOLE, StreamState
from meterkast.pipeline.turns import Turns
from meterkast.ports.clock import Clock, Trust
from meterkast.ports.store import Store
from meterkast.ports.uplink import Uplink

log = logging.getLogger(__name__)

BASE_S, CAP_S = 5.0, 300.0
PROBE_FIRST_S, PROBE_S = 60.0, 900.0
"""A paused uplink or stream is tried again after a minute, then every quarter of an hour."""

REFUSALS = 3
"""How often one item is refused before it is set aside."""

REFUSAL_WAITS_S = (60.0, 300.0)
"""Between the refusals: a platform that is being repaired must not cost a half-hour."""

SUSPICIOUS = 5
"""Different items refused in a row: the uplink or the stream is wrong, not the items."""

STUBBORN = 3
"""Failures in a row of one stream, while others are delivered, after which the page shows them."""

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
        self._pace = Pace()
        self._failed_streams: set[str] = set()
        self._in_a_row: dict[ItemId, Item] = {}
        self._probing = False
        self._probes = 0
        self._doubt_until_ms: UtcMs | None = None
        self.retry_at_ms = UtcMs(0)
        self.state = "idle"
        self.detail = ""
        self.hint = ""
        self.delivered = 0
        self.failures = 0
        self.last_acknowledged_ms: UtcMs | None = None
        self.last_receipt = ""
        self._asked_ms: UtcMs | None = None
        self.quarantined: list[Item] = []

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
                        self.quarantined = list(await self._store.quarantined(self.uplink.name))
                        loaded = True
                    pause_s = await self._round()
                except Exception as error:  # the uplink's only task waits and shows why, but never ends
                    pause_s = self._hold_all(error)
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
        await self._put_back()  # what the database refused to
        backlog = self._backlog()
        if not backlog:
            if self.state != "idle":
                self._say("idle", "", "")
            self._pace.rest()
            await self.uplink.idle()
            return None
        if self._clock.trust is Trust.UNKNOWN or self._clock.dispute:
            unknown = "The time is not known yet, so nothing is sent."
            self._say("waiting", self._clock.dispute or unknown, "It goes on by itself.")
            if self._asked_ms is None or not 0 <= now_ms - self._asked_ms < ASK_S * 1000:
                self._asked_ms = now_ms
                await self.uplink.ask_time()
            return CLOCK_S
        if self._doubt_until_ms is None:
            # Acknowledgements are not flushed one by one: after a power cut any of these may be there.
            self._doubt_until_ms = now_ms
        if self.retry_at_ms > now_ms:
            return (self.retry_at_ms - now_ms) / 1000
        ready = [name for name in backlog if self._ready_ms(name) <= now_ms]
        if ready:
            if self.detail:
                # After a failure one batch of one stream tries the way first.
                ready.sort(key=self._ready_ms)
                await self._deliver_stream(ready[0], share_s=0.0)
            else:
                await self._deliver_streams(ready)
            return 0.0
        if self.state == "sending":
            self._say("idle", "", "")
        soonest = min(self._ready_ms(name) for name in backlog)
        return max(0.05, (soonest - now_ms) / 1000)

    def _backlog(self) -> list[str]:
        found = [
            status.stream
            for (uplink, _), status in self._store.streams().items()
            if uplink == self.uplink.name and status.pending
        ]
        for name in found:
            self._streams.setdefault(name, StreamState(Backoff(BASE_S, CAP_S, self._random)))
        return sorted(found)

    def _ready_ms(self, name: str) -> UtcMs:
        state = self._streams[name]
        return max(state.retry_at_ms, state.due_ms)

    async def _deliver_streams(self, names: list[str]) -> None:
        """Deliver streams in turns, so that as many as may be are always under way."""
        loop = asyncio.get_running_loop()
        turns, until_s = Turns(names), loop.time() + ROUND_S

        async def worker() -> None:
            while turns and loop.time() < until_s and self._may_send():
                name = turns.begin()
                await self._deliver_stream(name, TURN_S)
                now_ms = self._clock.now_ms()
                turns.end(name, [each for each in self._backlog() if self._ready_ms(each) <= now_ms])

        async with asyncio.TaskGroup() as group:
            for _ in range(min(max(1, self.uplink.parallel), len(names))):
                group.create_task(worker())

    async def _deliver_stream(self, name: str, share_s: float) -> None:
        """Deliver a stream's items in order until none is due, one fails, or its share of time is over."""
        state = self._streams[name]
        try:
            await self._drain(name, state, asyncio.get_running_loop().time() + share_s)
        except NotDeliveredError as error:
            self._failed(name, state, error)
        except MisconfiguredError as error:
            self._misconfigured(name, state, error)
        except StorageError as error:
            self._hold_all(error)
        except Exception as error:  # a fault in one uplink's code must not stop the others, nor reading
            log.exception("uplink failed", extra={"uplink": self.uplink.name, "stream": name})
            self._failed(name, state, _internal(error))
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
                if not await self._refused(name, state, batch, error):
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
        return self.retry_at_ms <= self._clock.now_ms() and not self._clock.dispute

    async def _next_batch(self, name: str, state: StreamState) -> list[Item]:
        now_ms = self._clock.now_ms()
        limit = max(1, min(self.uplink.batch_limit(name), state.limit))
        if self._probing or state.probing:
            limit = 1
        if not state.page:
            # One batch tries the way: a month's backlog is not read with every try.
            most = limit if self.detail else PAGE
            state.page = list(await self._store.pending(self.uplink.name, name, most))
        if not state.page:
            # Should the count of what is pending ever be wrong, this must not become a busy loop.
            state.due_ms = UtcMs(now_ms + 1000)
            return []
        due_ms = UtcMs(self.uplink.due_ms(state.page[0].at_ms) + self._slot_ms)
        if due_ms > now_ms:
            state.due_ms = due_ms
            return []
        until_ms = now_ms - self._slot_ms
        batch = list(takewhile(lambda item: self.uplink.due_ms(item.at_ms) <= until_ms, state.page[:limit]))
        state.page = state.page[len(batch) :]
        return batch

    def _hold_all(self, error: Exception) -> float:
        """The database refused, or our own code failed: all wait.

        Returns:
            For how long, s.
        """
        if isinstance(error, StorageError):
            self._say("waiting", str(error), error.hint)
        else:
            log.exception("delivery failed", extra={"uplink": self.uplink.name}, exc_info=error)
            self._say("waiting", str(_internal(error)), _internal(error).hint)
        wait_s = self._backoff.next_s(1.0)
        self.retry_at_ms = UtcMs(self._clock.now_ms() + int(wait_s * 1000))
        return wait_s

    def _succeeded(self, name: str, state: StreamState, batch: list[Item], receipt: str) -> None:
        if self.detail:
            log.info("delivering again", extra={"uplink": self.uplink.name, "stream": name})
        state.backoff.reset()
        if state.narrow_until is not None and batch[-1].id >= state.narrow_until:
            state.limit, state.narrow_until = WHOLE, None
        state.refusals = state.probes = 0
        state.row.clear()
        state.probing = False
        state.paused = state.hint = ""
        for other in self._streams.values():
            if other.backoff.failures >= STUBBORN and not other.paused:
                other.paused, other.hint = other.trouble
        self._backoff.reset()
        self._failed_streams.clear()
        self._in_a_row.clear()
        self._probing, self._probes = False, 0
        self.delivered += len(batch)
        self._pace.acknowledged(len(batch), self._clock.now_ms())
        self.last_acknowledged_ms = self._clock.now_ms()
        self.last_receipt = receipt
        self._say("sending", "", "")

    def _failed(self, name: str, state: StreamState, error: NotDeliveredError) -> None:
        self.failures += 1
        now_ms = self._clock.now_ms()
        wait_s = state.backoff.next_s(error.retry_after_s or 0.0)
        state.retry_at_ms = UtcMs(now_ms + int(wait_s * 1000))
        state.trouble = str(error), error.hint
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
            self.retry_at_ms = state.retry_at_ms = UtcMs(now_ms + int(wait_s * 1000))
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
            state.narrow_until = state.narrow_until or batch[-1].id
            return True
        if self._probing or state.probing:
            self._refuses_everything(name, state, error)
            return False
        if state.refusals + 1 < REFUSALS:
            wait_s = REFUSAL_WAITS_S[state.refusals]
            state.refusals += 1
            state.retry_at_ms = UtcMs(self._clock.now_ms() + int(wait_s * 1000))
            self._say("waiting", f"{name}: {error}", error.hint)
            return False
        item = replace(batch[0], words=error.words)
        await self._store.quarantine([item.id], error.words, self._clock.now_ms())
        state.refusals, state.limit, state.narrow_until = 0, WHOLE, None
        state.row[item.id] = self._in_a_row[item.id] = item
        self.quarantined.append(item)
        log.error("set aside", extra={"uplink": self.uplink.name, "stream": name, "words": error.words})
        several = len(self._streams) == 1 or len({one.stream for one in self._in_a_row.values()}) > 1
        if len(self._in_a_row) >= SUSPICIOUS and several:
            self._probing = True
        elif len(state.row) >= SUSPICIOUS:
            state.probing = True
        else:
            return True
        self._refuses_everything(name, state, error)
        await self._put_back()
        return False

    async def _put_back(self) -> None:
        """What was set aside while not yet everything was refused is pending again, in its order."""
        rows = [state.row for state in self._streams.values() if state.probing]
        if self._probing:
            rows.append(self._in_a_row)
        # Where a later item is with the platform at this moment, an earlier one must not follow it.
        ids = {one.id for row in rows for one in row.values() if not self._streams[one.stream].busy}
        if not ids:
            return
        await self._store.release(sorted(ids))
        self.quarantined = [one for one in self.quarantined if one.id not in ids]
        for state in self._streams.values():
            state.page = []
            state.row = {one: item for one, item in state.row.items() if one not in ids}
        self._in_a_row = {one: item for one, item in self._in_a_row.items() if one not in ids}

    def _refuses_everything(self, name: str, state: StreamState, error: MeterkastError) -> None:
        """Pause the uplink or the stream; another stream is tried first the next time."""
        state.retry_at_ms = UtcMs(self._clock.now_ms() + int(PROBE_S * 1000))
        who = self.uplink.name if self._probing else name
        detail = f"{who} refuses everything: {error}"
        hint = (
            "Nothing is lost. Check the settings and what the platform says; "
            f"one item is tried every {int(PROBE_S / 60)} minutes."
        )
        if self._probing:
            self.retry_at_ms = state.retry_at_ms
            self._say("paused", detail, hint)
        else:
            state.paused, state.hint = detail, hint

    def _say(self, state: str, detail: str, hint: str) -> None:
        self.state, self.detail, self.hint = state, detail, hint
