"""A table that may be damaged anywhere: all rows that can be read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

_LIMIT = 1 << 62

_DEPTH = 8
"""How often a stretch that cannot be read is halved in search of sound pages: 256 places."""

_TRIES = 3
"""How often at most where nothing at all could be read so far: its first page is gone, most likely."""

_BATCH = 2000


class DamagedTable:
    """Reads a table that may be damaged anywhere.

    Attributes:
        gaps: Stretches (after, until) of the axis in which something could not be read.
    """

    def __init__(
        self, source: sqlite3.Connection, table: str, columns: Sequence[str], keys: Sequence[str]
    ) -> None:
        self._source = source
        self._table = table
        self._columns = ", ".join(f'"{name}"' for name in columns)
        self._keys = keys
        self._fixed: tuple[str, int] | None = None
        self._any = False
        self.gaps: list[tuple[int, int]] = []

    def rows(
        self, fixed: tuple[str, int] | None, axis: str | None, between: tuple[int, int]
    ) -> Iterator[Sequence[Any]]:
        """All rows that can be read; one may come twice.

        Args:
            fixed: A column and the value it must have.
            axis: The column of whole numbers that the table is searched by; None reads from both ends only.
            between: Where its values lie, as far as is known: between these a search is worth while.
        """
        self.gaps = []
        self._fixed = fixed
        self._any = False
        place = [0, _LIMIT]  # how far was read from below and from above
        whole = yield from self._scan(axis, 0, _LIMIT, down=False, place=place)
        if whole:
            return
        yield from self._scan(axis, place[0] if axis else 0, _LIMIT, down=True, place=place)
        low, high = max(place[0], between[0]), min(place[1], between[1])
        if axis is not None and high - low > 1:
            self._gap(place[0], low)
            yield from self._search(axis, low, high, _DEPTH)
            self._gap(high, place[1])
        else:
            self._gap(place[0], place[1])

    def _gap(self, low: int, high: int) -> None:
        """Note a stretch, one with those beside it."""
        if self.gaps and self.gaps[-1][1] >= low:
            low, _ = self.gaps.pop()
        self.gaps.append((low, high))

    def _search(self, axis: str, low: int, high: int, depth: int) -> Iterator[Sequence[Any]]:
        """Between two places behind which something cannot be read: is there anything sound?"""
        middle = (low + high) // 2
        if depth == 0 or high - low < 2 or (not self._any and depth <= _DEPTH - _TRIES):
            self._gap(low, high)
            return
        place = [middle, middle]
        yield from self._scan(axis, middle, high, down=False, place=place)
        right = place[0]
        yield from self._scan(axis, low, middle, down=True, place=place)
        left = place[1]
        # Without anything sound on one side, look on in both halves; else only around what was found.
        yield from self._beside(axis, low, left, depth - 1)
        yield from self._beside(axis, right, high, depth - 1)

    def _beside(self, axis: str, low: int, high: int, depth: int) -> Iterator[Sequence[Any]]:
        if high - low >= 1:
            yield from self._search(axis, low, high, depth)

    def _scan(self, axis: str | None, low: int, high: int, *, down: bool, place: list[int]) -> Any:
        """Rows from one end until an error; notes how far it came; returns whether there was no error."""
        word = " DESC" if down else ""
        where = ["true"] if self._fixed is None else [f"{self._fixed[0]} = {self._fixed[1]}"]
        if axis is not None:
            where.append(f'"{axis}" >= {low} AND "{axis}" <= {high}')
        order = (
            ", ".join(f'"{key}"{word}' for key in self._keys) if self._keys != ("rowid",) else f"rowid{word}"
        )
        sql = (
            f"SELECT {self._columns}, {axis or 0} FROM {self._table} NOT INDEXED WHERE {' AND '.join(where)} "
            f"ORDER BY {order}"
        )
        if self._keys != ("rowid",) and len(self._keys) > 1:
            sql = sql.replace(" NOT INDEXED", "")
        try:
            for row in self._source.execute(sql):
                self._any = True
                if isinstance(row[-1], int):
                    place[int(down)] = row[-1]
                yield row[:-1]
        except (sqlite3.DatabaseError, OverflowError, UnicodeDecodeError):
            return False
        if axis is not None:
            place[int(down)] = low if down else high
        return True


def batches(rows: Iterator[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    """Rows some at a time."""
    batch: list[Sequence[Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
