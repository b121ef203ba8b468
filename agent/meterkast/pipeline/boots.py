"""What happens to readings before the time is known, and when it becomes known.

While the clock is unknown each minute's readings are kept with the time since the machine's start. Once it
is known they get their time in one transaction, and are closed block by block, as if they came in now.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

from meterkast.model.boot import Boot
from meterkast.model.clock_episode import ClockEpisode
from meterkast.model.errors import StorageError
from meterkast.model.reading import Frames
from meterkast.model.time import MINUTE_MS, UtcMs
from meterkast.model.untimed import Untimed
from meterkast.pipeline.intake import Intake
from meterkast.pipeline.outages import Outages
from meterkast.ports.clock import Clock, Trust
from meterkast.ports.store import Store

log = logging.getLogger(__name__)

RECORD_MS = 10 * MINUTE_MS
"""How often what is known of this boot is kept: the time never goes below the newest."""

_EVER = UtcMs(1 << 62)


class Boots:
    """Keeps this boot, and gives its readings their time when that is learned."""

    def __init__(self, store: Store, clock: Clock, intake: Intake, outages: Outages) -> None:
        self._store = store
        self._clock = clock
        self._intake = intake
        self._outages = outages
        self._recorded: Boot | None = None
        self._earlier: Boot | None = None
        self._past: list[Boot] = []
        self._behind: Callable[[], AsyncIterator[Sequence[Frames]]] | None = None
        self._through = 0
        self._behind_ms: UtcMs | None = None

    async def load(self) -> None:
        """Tell the clock what earlier runs knew.

        Raises:
            StorageError: The database cannot be read.
        """
        past = self._past = list(await self._store.boots())
        self._clock.recall(past)
        self._intake.reckon()
        self._outages.started(self._intake.started_ms, self._clock.now_ms())
        mine = self._clock.boot_id
        self._earlier = next((boot for boot in past if boot.id == mine), None)
        never = any(boot.offset_ms is None and boot.id != mine for boot in past)
        self._intake.waits = never or await self._store.has_untimed()
        if not self._intake.waits:
            self._intake.resume()  # known from the start on, and not from the first reading on

    def unclosed_from(self, closed_ms: UtcMs) -> UtcMs | None:
        """Where readings begin that got their time in an earlier run, which ended before they were closed.

        Args:
            closed_ms: The newest end that was closed.
        """
        since: list[UtcMs] = []
        for boot in self._past:
            if boot.offset_ms is None or boot.learned_ms is None or boot.last_utc_ms is None:
                continue
            if boot.offset_ms + boot.learned_ms > closed_ms:
                first_ms = UtcMs(boot.offset_ms + boot.first_ms)
                self._outages.ran(first_ms, boot.last_utc_ms)
                since.append(max(first_ms, closed_ms))
        self._behind_ms = since_ms = min(since, default=None)
        if since_ms is not None:
            self._behind = partial(self._since, since_ms)
        return since_ms

    async def explain_unclosed(self) -> None:
        """Boots without a time before those: what `learn` told the run that ended.

        Raises:
            StorageError: The database cannot be read.
        """
        if self._behind_ms is not None:
            self._place(await self._episodes(), self._behind_ms)

    async def behind(self) -> AsyncIterator[Sequence[Frames]]:
        """Blocks that got their time and are not closed yet; again from where the database refused to go on.

        Until it is through nothing else may be kept: it would be among them.

        Raises:
            StorageError: The database refused.
        """
        if self._behind is None:
            return
        number = 0
        async for frames in self._behind():
            number += 1
            if number > self._through:
                self._through = number
                yield frames
        self._behind, self._through = None, 0

    async def _since(self, since_ms: UtcMs) -> AsyncIterator[Sequence[Frames]]:
        async for frames in self._store.samples(UtcMs(since_ms - 1)):
            if newest_of(frames) >= since_ms:
                yield frames

    def untimed(self) -> list[Untimed]:
        """What came in since the last time and cannot be timed yet."""
        if self._clock.trust is Trust.UNKNOWN or self._intake.waits:
            return self._intake.take_untimed()
        return []

    @property
    def due(self) -> bool:
        """Whether readings wait for a time that is known now."""
        return self._intake.waits and self._clock.trust is not Trust.UNKNOWN

    async def learn(self) -> None:
        """Give the readings of this boot their time; earlier boots without one become episodes.

        What the database refuses is tried again in a minute.
        """
        boot = self._clock.record()
        assert boot.offset_ms is not None
        try:
            first, last = await self._store.learn(boot, self._intake.place)
            episodes = await self._episodes()
        except StorageError as error:
            log.error("readings not timed", extra={"reason": str(error)})
            return
        self._explain(boot, episodes)
        self._recorded = boot
        self._intake.resume()
        if last >= first:
            log.info("readings timed", extra={"blocks": last - first + 1})
            # Where blocks of an earlier run wait, these follow them.
            self._behind = self._behind or partial(self._store.blocks, first, last)

    def _explain(self, boot: Boot, episodes: Sequence[ClockEpisode]) -> None:
        """Which part of what was not read is not the gateway's absence."""
        assert boot.offset_ms is not None
        first_ms = UtcMs(boot.offset_ms + boot.first_ms)
        if self._earlier is not None:
            self._outages.ran(first_ms, UtcMs(boot.offset_ms + self._earlier.last_ms))
        self._place(episodes, first_ms)

    async def _episodes(self) -> Sequence[ClockEpisode]:
        return await self._store.clock_episodes(UtcMs(self._outages.off_since_ms or 0), _EVER)

    def _place(self, episodes: Sequence[ClockEpisode], until_ms: UtcMs) -> None:
        for episode in reversed(episodes):
            until_ms = self._outages.clock_unknown(min(until_ms, episode.before_ms), episode.duration_ms)

    def record(self, *, now: bool, stopping: bool) -> Boot | None:
        """This boot as it is to be kept with the transaction at hand; None while what is kept is new enough.

        Args:
            now: In any case.
            stopping: The gateway stops in order.
        """
        boot, last = self._clock.record(stopping=stopping), self._recorded
        if (
            not now
            and last is not None
            and last.trust == boot.trust
            and boot.last_ms - last.last_ms < RECORD_MS
        ):
            return None
        self._recorded = boot
        return boot


def newest_of(frames: Sequence[Frames]) -> UtcMs:
    """When the newest reading of a block was measured."""
    return max(max(table.times) for table in frames if table.times)
