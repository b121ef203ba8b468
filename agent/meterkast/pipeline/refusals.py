"""What a platform refuses: one bad item among many is set aside, and where everything is refused nothing is.

After three refusals an item is set aside with the platform's own words and the stream goes on; but five
different items refused in a row mean that the uplink is wrong and not the items (or, where all are of one
stream of several, that this stream is): all go back, pause.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from meterkast.model.delivery import Item, ItemId
from meterkast.model.errors import RejectedError
from meterkast.pipeline.breaker import PROBE_S, Breaker
from meterkast.pipeline.stream_state import WHOLE, StreamState
from meterkast.ports.clock import Clock
from meterkast.ports.store import Store

log = logging.getLogger(__name__)

REFUSALS = 3
"""How often one item is refused before it is set aside."""

REFUSAL_WAITS_S = (60.0, 300.0)
"""Between the refusals: a platform that is being repaired must not cost a half-hour."""

SUSPICIOUS = 5
"""Different items refused in a row: the uplink or the stream is wrong, not the items."""


class Refusals:
    """The refusals of one uplink, and what it set aside.

    Args:
        uplink: Its name.
        streams: By name, those that have or had something waiting.
        breaker: Is told where the uplink waits or pauses.

    Attributes:
        quarantined: The items that are set aside.
        probing: Everything was refused; one item is tried now and then.
    """

    def __init__(
        self, uplink: str, store: Store, clock: Clock, streams: Mapping[str, StreamState], breaker: Breaker
    ) -> None:
        self._uplink = uplink
        self._store = store
        self._clock = clock
        self._streams = streams
        self._breaker = breaker
        self._in_a_row: dict[ItemId, Item] = {}
        self.quarantined: list[Item] = []
        self.probing = False

    async def load(self) -> None:
        """What was set aside before.

        Raises:
            StorageError: The database refused.
        """
        self.quarantined = list(await self._store.quarantined(self._uplink))

    def accepted(self, state: StreamState, batch: Sequence[Item]) -> None:
        """A batch was taken: whatever was refused in a row before, not everything is."""
        if state.narrow_until is not None and batch[-1].id >= state.narrow_until:
            state.limit, state.narrow_until = WHOLE, None
        state.refusals = 0
        state.row.clear()
        state.probing = False
        self._in_a_row.clear()
        self.probing = False

    async def refused(self, name: str, state: StreamState, batch: list[Item], error: RejectedError) -> bool:
        """Narrow a refused batch down to one item; then count, and set it aside in the end.

        Returns:
            Whether the stream may go on at once.
        """
        self._breaker.failures += 1
        state.page = []
        if len(batch) > 1:
            state.limit = len(batch) // 2
            state.narrow_until = state.narrow_until or batch[-1].id
            return True
        if self.probing or state.probing:
            self._refuses_everything(name, state, error)
            return False
        if state.refusals + 1 < REFUSALS:
            wait_s = REFUSAL_WAITS_S[state.refusals]
            state.refusals += 1
            state.retry_boot_ms = self._breaker.after(wait_s)
            self._breaker.say("waiting", f"{name}: {error}", error.hint)
            return False
        item = replace(batch[0], words=error.words)
        await self._store.quarantine([item.id], error.words, self._clock.now_ms())
        state.refusals, state.limit, state.narrow_until = 0, WHOLE, None
        state.row[item.id] = self._in_a_row[item.id] = item
        self.quarantined.append(item)
        log.error("set aside", extra={"uplink": self._uplink, "stream": name, "words": error.words})
        several = len(self._streams) == 1 or len({one.stream for one in self._in_a_row.values()}) > 1
        if len(self._in_a_row) >= SUSPICIOUS and several:
            self.probing = True
        elif len(state.row) >= SUSPICIOUS:
            state.probing = True
        else:
            return True
        self._refuses_everything(name, state, error)
        await self.put_back()
        return False

    async def put_back(self) -> None:
        """What was set aside while not yet everything was refused is pending again, in its order."""
        rows = [state.row for state in self._streams.values() if state.probing]
        if self.probing:
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

    def _refuses_everything(self, name: str, state: StreamState, error: RejectedError) -> None:
        """Pause the uplink or the stream; another stream is tried first the next time."""
        state.retry_boot_ms = self._breaker.after(PROBE_S)
        who = self._uplink if self.probing else name
        detail = f"{who} refuses everything: {error}"
        hint = (
            "Nothing is lost. Check the settings and what the platform says; "
            f"one item is tried every {int(PROBE_S / 60)} minutes."
        )
        if self.probing:
            self._breaker.retry_boot_ms = state.retry_boot_ms
            self._breaker.say("paused", detail, hint)
        else:
            state.paused, state.hint = detail, hint
