"""What is done each night: rows are looked at, the books are checked, the day is sealed, platforms are asked.

At a quiet minute, one small step after another. What it needs is imported when it is needed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from meterkast.model.errors import MeterkastError
from meterkast.model.time import HOUR_MS, MINUTE_MS, Grid, UtcMs
from meterkast.pipeline.health import BooksHealth, Problem
from meterkast.ports.clock import Clock, Trust
from meterkast.ports.uplink import Uplink

if TYPE_CHECKING:
    from meterkast.proof.books import BookedStore

log = logging.getLogger(__name__)

SCOPE = "proof"

AT_MS = 3 * HOUR_MS + 17 * MINUTE_MS
"""After the site's midnight: no half-hour ends then, no fleet sends, and the clock has changed if it does."""

STEP_S = 1.0
"""Between two steps: the meters come first."""

SCAN_STEP_S = 0.2
"""Between two pages of rows; ten years of twenty streams are a thousand pages a night."""

SETTLE_S = 300.0
"""After a start, and between two tries: first come the meters and what waits for the platforms."""

LONGEST_S = 3600.0
"""Between two tries, where one after the other fails."""


class Night:
    """The nightly work.

    Args:
        announce: Called with the uplinks that have something to send again.
        samples_days: For how long samples are kept: what is older cannot be checked.

    Attributes:
        health: What came of it, for the page.
    """

    def __init__(
        self,
        store: BookedStore,
        grid: Grid,
        clock: Clock,
        device_id: str,
        uplinks: Mapping[str, Uplink],
        announce: Callable[[set[str]], None],
        *,
        samples_days: int,
    ) -> None:
        self._store = store
        self._grid = grid
        self._clock = clock
        self._device_id = device_id
        self._uplinks = uplinks
        self._announce = announce
        self.health = BooksHealth()
        self._samples_days = samples_days
        self._checked: list[tuple[str, str]] = []
        self._done: str | None = None
        self._failures = 0
        self._trouble = ""

    async def run(self) -> None:
        """Work each night until cancelled; what was missed while the gateway was off follows its start."""
        while True:
            try:
                await self._recall()
                await self._nights()
            except MeterkastError as error:
                log.error("books not checked", extra={"reason": str(error)})
                self._failed(str(error))
            except Exception as error:  # what goes wrong at night must not end what runs by day
                log.exception("books not checked")
                self._failed(f"internal error: {error!r}")
            await self._clock.sleep(min(LONGEST_S, SETTLE_S * 2.0 ** min(self._failures - 1, 10)))

    async def _nights(self) -> None:
        while True:
            day = self._grid.date_of(self._clock.now_ms()) - timedelta(days=1)
            if self._done == day.isoformat():
                await self._clock.sleep_until(self._next_ms())
                continue
            await self._clock.sleep(SETTLE_S)
            if self._clock.trust is Trust.UNKNOWN:
                continue
            await self.work()
            await self._store.set_state(SCOPE, "night", self.health.day)
            self._done, self._failures, self._trouble = self.health.day, 0, ""

    def _failed(self, trouble: str) -> None:
        self._failures += 1
        self._trouble = trouble

    def _next_ms(self) -> UtcMs:
        now_ms = self._clock.now_ms()
        midnight_ms, end_ms = self._grid.day(self._grid.date_of(now_ms))
        at_ms = UtcMs(midnight_ms + AT_MS)
        return at_ms if at_ms > now_ms else UtcMs(end_ms + AT_MS)

    async def work(self) -> None:
        """Look for rows that the card changed, check what was not yet, seal what is over, ask the platforms.

        Raises:
            StorageError: The database refused.
        """
        async for _ in self._store.scan(self._clock.now_ms()):
            await self._clock.sleep(SCAN_STEP_S)
        await self._conserve()
        await self._seal()
        await self._reconcile()

    async def _conserve(self) -> None:
        wrong, first = 0, ""
        for day in await self._due():
            await self._check(day)
            wrong, first = wrong + self.health.wrong, first or self.health.first
            await self._clock.sleep(STEP_S)
        self.health = replace(self.health, wrong=wrong, first=first)

    async def _due(self) -> list[date]:
        """Yesterday, and the days before it that were missed and whose samples are kept."""
        from meterkast.proof.checked_days import days_from

        yesterday = self._grid.date_of(self._clock.now_ms()) - timedelta(days=1)
        if self.health.day:
            first = date.fromisoformat(self.health.day) + timedelta(days=1)
        else:
            first_ms = await self._store.books.first_ms()
            first = yesterday if first_ms is None else self._grid.date_of(first_ms)
        # Not the oldest day that has samples: part of it is gone.
        kept = yesterday - timedelta(days=max(0, self._samples_days - 2))
        return list(days_from(min(yesterday, max(first, kept)), yesterday))

    async def _check(self, day: date) -> None:
        from meterkast.proof.checked_days import with_day
        from meterkast.proof.conservation import check

        found = await check(self._store, self._grid, *self._grid.day(day))
        if found.wrongs:
            log.error("books do not add up", extra={"day": day.isoformat(), "wrong": found.wrongs})
        self.health = BooksHealth(
            day=day.isoformat(),
            rows=found.rows,
            unchecked=found.unchecked,
            wrong=found.wrongs,
            first=found.wrong[0] if found.wrong else "",
        )
        whole = not found.unchecked
        self._checked = with_day(self._checked, day) if whole else self._checked
        told = {
            "day": day.isoformat(),
            "rows": found.rows,
            "unchecked": found.unchecked,
            "registers": found.registers,
            "wrong": found.wrongs,
            "sentences": found.wrong,
        }
        if found.wrongs or not whole:
            # It stays to be read in the report, also when the nights after it were good.
            await self._store.set_state(SCOPE, f"conservation {day.isoformat()}", json.dumps(told))
        await self._store.set_state(SCOPE, "conservation", json.dumps({**told, "checked": self._checked}))

    async def _seal(self) -> None:
        from meterkast.proof.sealing import seal_next

        while await seal_next(
            self._store.books, self._grid, self._device_id, UtcMs(self._clock.now_ms() - 5 * MINUTE_MS)
        ):
            await self._clock.sleep(STEP_S)

    async def _reconcile(self) -> None:
        from meterkast.proof.reconcile import lacking, reconcile

        answers = await reconcile(self._store, self._uplinks, self._clock.now_ms())
        again = {one.uplink for one in answers if one.again}
        if again:
            log.warning("sent again", extra={"items": sum(one.again for one in answers)})
            self._announce(again)
        self.health = replace(
            self.health, lacking=tuple(f"{one.uplink} {one.stream}" for one in lacking(answers))
        )

    async def _recall(self) -> None:
        self._done = await self._store.get_state(SCOPE, "night")
        text = await self._store.get_state(SCOPE, "conservation")
        if text:
            told = json.loads(text)
            self._checked = [(first, last) for first, last in told["checked"]]
            self.health = BooksHealth(
                day=told["day"],
                rows=told["rows"],
                unchecked=told["unchecked"],
                wrong=told["wrong"],
                first=(told["sentences"] or [""])[0],
            )

    def problems(self) -> list[Problem]:
        """What a person should know of it."""
        found = []
        health = self.health
        if self._trouble:
            since = f"since the night after {self._done}" if self._done else "yet"
            found.append(
                Problem(
                    severity="attention",
                    where="books",
                    what=f"The books were not checked to the end {since}: {self._trouble}",
                    do="Nothing is lost; it is tried again each hour. If it stays, report it with the log.",
                )
            )
        if health.wrong:
            found.append(
                Problem(
                    severity="problem",
                    where="books",
                    what=f"{health.wrong} half-hours up to {health.day} do not agree with the readings: "
                    f"{health.first}",
                    do="Keep the database as it is, and send it with `meterkast report` to who maintains "
                    "this gateway.",
                )
            )
        if health.lacking:
            found.append(
                Problem(
                    severity="attention",
                    where="books",
                    what="A platform does not show what it acknowledged, or could not be asked for three "
                    f"nights: {', '.join(health.lacking)}.",
                    do="`meterkast reconcile` says which; `meterkast report` lists what was acknowledged. "
                    "Look at the platform's address and credentials, or ask it.",
                )
            )
        return found
