"""A site whose books are filled: half-hours, samples, items and receipts in a real database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

from meterkast.model.channel import Channel
from meterkast.model.delivery import NewItem
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.reading import Column, Frames
from meterkast.model.time import HALF_HOUR_MS, SECOND_MS, Grid, UtcMs, parse_iso
from meterkast.ports.store import Keep
from meterkast.proof.body import Body
from meterkast.proof.gathering import Site as Whose
from meterkast.proof.gathering import gather
from meterkast.proof.sealing import seal_next
from meterkast_buffer.store import SqliteStore

from ..electricity import METER, VALUES

ZONE = "Europe/Amsterdam"
GRID = Grid(ZoneInfo(ZONE))
DEVICE = "mk-test"
REGISTER, OTHER = PropertyId(1), PropertyId(2)


def at(text: str) -> UtcMs:
    """A wall clock's time at the site."""
    from datetime import datetime

    from meterkast.model.time import from_datetime

    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE)))


Lacks = Mapping[UtcMs, Cause]


class Site:
    """A database that is filled as the gateway fills it."""

    def __init__(self, store: SqliteStore, path: Path) -> None:
        self.store = store
        self.path = path

    async def load(self) -> Site:
        await self.store.declare(METER, VALUES)
        await self.store.set_state("gateway", "device_id", DEVICE)
        return self

    async def owe(
        self,
        from_ms: UtcMs,
        *,
        stream: str = "m1",
        name: str = "pC_1",
        until_ms: UtcMs | None = None,
        length_ms: int = HALF_HOUR_MS,
        properties: tuple[PropertyId, ...] = (REGISTER,),
    ) -> Channel:
        channel = Channel(
            uplink="wattics",
            stream=stream,
            name=name,
            properties=properties,
            from_ms=from_ms,
            until_ms=until_ms,
            length_ms=length_ms,
        )
        await self.store.keep(Keep(now_ms=from_ms, channels=[channel]))
        return channel

    async def fill(
        self,
        after_ms: UtcMs,
        until_ms: UtcMs,
        *,
        lacks: Lacks | None = None,
        stream: str | None = "m1",
        samples: bool = False,
        length_ms: int = HALF_HOUR_MS,
        change: Callable[[HalfHour], HalfHour] = lambda row: row,
    ) -> None:
        """Close intervals of the register in (after, until], day by day, and put an item in for each.

        Args:
            lacks: Which are missing, and why; they have no item.
            stream: Where the items go; None for none.
            samples: Whether the readings are kept too: one at the end, one in the middle.
            change: What is kept instead of a row.
        """
        rows: list[HalfHour] = []
        frames = Frames((Column(REGISTER, 0),))
        for end_ms in GRID.ends(after_ms, until_ms, length_ms):
            cause = (lacks or {}).get(end_ms)
            value = wh(end_ms)
            row = HalfHour(
                property_id=REGISTER,
                end_ms=end_ms,
                length_ms=length_ms,
                value=None if cause else Quantity(value),
                taken_ms=None if cause else UtcMs(end_ms - SECOND_MS),
                count=0 if cause else 2,
                state=State.MISSING if cause else State.MEASURED,
                cause=cause,
            )
            rows.append(change(row))
            if samples and cause is None:
                frames.times += [UtcMs(end_ms - length_ms // 2), UtcMs(end_ms - SECOND_MS)]
                frames.rows += [(value - 30,), (value,)]
        for place in range(0, len(rows), 48):
            await self._keep(rows[place : place + 48], stream, length_ms)
        for place in range(0, len(frames.times), 2):
            part = Frames(frames.layout, frames.times[place : place + 2], frames.rows[place : place + 2])
            await self.store.keep(Keep(now_ms=part.times[-1], frames=[part]))

    async def _keep(self, rows: list[HalfHour], stream: str | None, length_ms: int) -> None:
        last_ms = rows[-1].end_ms
        items = [
            NewItem(uplink="wattics", stream=stream, at_ms=row.end_ms, payload=b"{}")
            for row in rows
            if stream and row.value is not None
        ]
        await self.store.keep(
            Keep(
                now_ms=last_ms,
                half_hours=rows,
                items=items,
                composed={("wattics", stream): last_ms} if stream else None,
                closed={(REGISTER, length_ms): last_ms},
            )
        )

    async def deliver(self, until_ms: UtcMs, *, stream: str = "m1") -> None:
        """The platform takes all items of intervals that end until then."""
        while items := [
            one for one in await self.store.pending("wattics", stream, 500) if one.at_ms <= until_ms
        ]:
            await self.store.acknowledge([one.id for one in items], "200", UtcMs(items[-1].at_ms + 5000))

    async def revise(self, end_ms: UtcMs, value: int) -> HalfHour:
        """Late data for a half-hour."""
        [known] = await self.store.half_hours(UtcMs(end_ms - 1), end_ms, properties=[REGISTER])
        newer = replace(
            known, value=Quantity(value), taken_ms=end_ms, count=3, state=State.MEASURED, cause=None
        )
        revision = known.revised(newer)
        await self.store.keep(Keep(now_ms=end_ms, half_hours=[revision]))
        return revision

    async def seal(self, until_ms: UtcMs) -> int:
        """Seal all days that are over then; how many."""
        count = 0
        while await seal_next(self.store.books, GRID, DEVICE, until_ms):
            count += 1
        return count

    async def report(self, month: str, now: str = "") -> Body:
        """The report of a month, made when it was over unless said otherwise."""
        whose = Whose(name="Stationsweg 12", zone=ZONE, device=DEVICE, grid=GRID, samples_days=35)
        now_ms = at(now) if now else UtcMs(parse_iso("2026-12-31T12:00:00Z"))
        return await gather(self.store, whose, month, now_ms)


def wh(end_ms: UtcMs) -> int:
    """The register at the end of a half-hour: it rises by 100 Wh in each."""
    return 1_000_000 + end_ms // HALF_HOUR_MS % 1_000_000 * 100
