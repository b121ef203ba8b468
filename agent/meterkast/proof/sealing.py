"""Seals the site's days one after another, and works out again what a seal covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from meterkast.model.errors import StorageError
from meterkast.model.half_hour import HalfHour, Intervals, RowKey
from meterkast.model.product import PropertyId
from meterkast.model.seal import Part, Parts, Seal, digest
from meterkast.model.time import DAY_MS, Grid, UtcMs
from meterkast.proof.books import Books, Key


@dataclass(frozen=True, slots=True)
class Covered:
    """What a seal covers, in the order in which it covers it."""

    rows: Sequence[HalfHour]
    amendments: Sequence[HalfHour]

    def parts(self) -> dict[PropertyId, Part]:
        """By property."""
        gathered = Parts()
        for row in (*self.rows, *self.amendments):
            gathered.add(row)
        return gathered.parts()


async def seal_next(books: Books, grid: Grid, device_id: str, now_ms: UtcMs) -> Seal | None:
    """Seal the oldest day that is over and not yet sealed; one day at a call, so that others have their turn.

    Args:
        device_id: What the chain begins with.
        now_ms: Only days that are over are sealed.

    Returns:
        The seal; None where there is no such day.

    Raises:
        StorageError: The database refused.
    """
    newest = await books.newest_seal()
    if newest is None:
        first_ms = await books.first_ms()
        if first_ms is None:
            return None
        number, previous = 1, device_id
        day = grid.date_of(first_ms)
        after_ms = grid.day(day)[0]
    else:
        number, previous, after_ms = newest.number + 1, newest.digest, newest.until_ms
        # Also where the site moved to another time zone: its days follow one another without a hole.
        day = max(grid.date_of(UtcMs(after_ms + 1)), date.fromisoformat(newest.day) + timedelta(days=1))
    until_ms = grid.day(day)[1]
    if until_ms > now_ms:
        return None
    # First, and before anything is read: what is kept from here on belongs into a later seal.
    books.begin_seal(until_ms)
    damaged: list[RowKey] = []
    rows = await books.sealable(after_ms, until_ms, damaged=damaged)
    waiting = await books.amendments(0)
    amendments = await _rows_of(books, waiting)
    covered = Covered(rows, amendments)
    parts = covered.parts()
    seal = Seal(
        number=number,
        day=day.isoformat(),
        after_ms=after_ms,
        until_ms=until_ms,
        rows=len(rows) + len(amendments),
        digest=digest(number, day.isoformat(), after_ms, until_ms, previous, parts),
    )
    await books.add_seal(seal, [_key(row) for row in amendments], damaged)
    return seal


async def covered_by(books: Books, seal: Seal) -> Covered:
    """What a seal covers, as the database has it now.

    Raises:
        StorageError: The database refused, or a row is damaged.
    """
    damaged: list[RowKey] = []
    rows = await books.sealable(seal.after_ms, seal.until_ms, damaged=damaged)
    if damaged:
        raise StorageError(
            f"{len(damaged)} half-hours of {seal.day} are not as they were written: {damaged[0]}",
            hint="The card changed them: copy the database and replace the card.",
        )
    return Covered(rows, await _rows_of(books, await books.amendments(seal.number)))


async def _rows_of(books: Books, keys: Sequence[Key]) -> list[HalfHour]:
    """The rows of those keys, in their order; what is damaged or gone is left out."""
    found: dict[Key, HalfHour] = {}
    done_ms = -1
    for end_ms, _, _ in keys:
        if end_ms <= done_ms:
            continue
        done_ms = end_ms + DAY_MS
        rows = await books.revisions(Intervals(UtcMs(end_ms - 1), UtcMs(done_ms)), damaged=[])
        found.update({_key(row): row for row in rows})
    return [found[key] for key in keys if key in found]


def _key(row: HalfHour) -> Key:
    return row.end_ms, row.property_id, row.revision
