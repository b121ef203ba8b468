"""Seals the site's days one after another, and works out again what a seal covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from meterkast.model.doubt import Doubt
from meterkast.model.errors import StorageError
from meterkast.model.half_hour import HalfHour, Intervals, RowKey
from meterkast.model.product import PropertyId
from meterkast.model.seal import Part, Parts, Seal, digest
from meterkast.model.time import DAY_MS, HALF_HOUR_MS, Grid, UtcMs
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
    amendments = await _rows_of(books, waiting, [])
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


async def covered_by(books: Books, seal: Seal, doubts: Sequence[Doubt]) -> Covered:
    """What a seal covers, as the database has it now.

    Args:
        doubts: What the storage cannot vouch for.

    Raises:
        StorageError: The database refused, or a row is damaged, or is lost as a doubt says. What is gone
            without a word of it is left out, and the digest does not fit.
    """
    damaged: list[RowKey] = []
    rows = await books.sealable(seal.after_ms, seal.until_ms, damaged=damaged)
    keys = await books.amendments(seal.number)
    covered = Covered(rows, await _rows_of(books, keys, damaged))
    if damaged:
        raise StorageError(
            f"{len(damaged)} of its half-hours are not as they were written: {damaged[0]}",
            hint="The card changed them: copy the database and replace the card.",
        )
    short = seal.rows - len(rows) - len(covered.amendments)
    lost = _lost(seal, keys, doubts) if short else []
    if lost:
        raise StorageError(
            f"{short} of its half-hours are not there: {lost[0]} is lost",
            hint="The card damaged them: copy the database and replace the card.",
        )
    return covered


def _lost(seal: Seal, amendments: Sequence[Key], doubts: Sequence[Doubt]) -> list[str]:
    """The half-hours that a seal may have covered, and that nobody can vouch for."""
    amended = {key[:2] for key in amendments}
    return [
        one.detail
        for one in doubts
        if one.kind == "lost"
        and one.length_ms == HALF_HOUR_MS
        and one.end_ms is not None
        and (seal.after_ms < one.end_ms <= seal.until_ms or (one.end_ms, one.property_id) in amended)
    ]


async def _rows_of(books: Books, keys: Sequence[Key], damaged: list[RowKey]) -> list[HalfHour]:
    """The rows of those keys, in their order; what is damaged or gone is left out.

    Args:
        damaged: Takes the keys of those that are.
    """
    wanted = set(keys)
    found: dict[Key, HalfHour] = {}
    done_ms = -1
    for end_ms, _, _ in keys:
        if end_ms <= done_ms:
            continue
        done_ms = end_ms + DAY_MS
        wrong: list[RowKey] = []
        rows = await books.revisions(Intervals(UtcMs(end_ms - 1), UtcMs(done_ms)), damaged=wrong)
        damaged += [key for key in wrong if (key.end_ms, key.property_id, key.revision) in wanted]
        found.update({_key(row): row for row in rows})
    return [found[key] for key in keys if key in found]


def _key(row: HalfHour) -> Key:
    return row.end_ms, row.property_id, row.revision
