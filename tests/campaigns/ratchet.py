"""What a gateway once kept it keeps: looked at after each kill, compared with the look before."""

from __future__ import annotations

from typing import Any

from meterkast.model.time import HOUR_MS
from meterkast_rig.site import Site

_BACK_MS = 12 * HOUR_MS

_ROWS = (
    "SELECT property_id, length_ms, end_ms, revision, whole, decimals, taken_before_ms, state, cause, crc"
    " FROM half_hours WHERE end_ms > ?"
)
_ITEMS = "SELECT id, stream_id, at_ms, payload, state FROM outbox WHERE at_ms > ?"
_MADE = "SELECT 1 FROM sqlite_schema WHERE name = 'outbox'"
_DELIVERED = 1


class Ratchet:
    """Remembers the rows of the last half day.

    Attributes:
        broken: What vanished or changed.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._rows: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._items: dict[int, tuple[Any, ...]] = {}
        self.broken: list[str] = []

    def look(self) -> None:
        """The gateway is dead now; compare."""
        if not self._site.database.exists() or not self._site.rows(_MADE):
            return  # killed before there was anything to keep
        since_ms = max((key[2] for key in self._rows), default=0) - _BACK_MS
        rows = {row[:4]: row[4:] for row in self._site.rows(_ROWS, since_ms)}
        items = {row[0]: row[1:] for row in self._site.rows(_ITEMS, since_ms)}
        for key, row in self._rows.items():
            if key[2] > since_ms and rows.get(key) != row:
                self.broken.append(f"half-hour {key} was {row}, is {rows.get(key)}")
        for number, item in self._items.items():
            now = items.get(number)
            if item[1] <= since_ms:
                continue
            if now is None or now[:3] != item[:3] or (item[3] == _DELIVERED != now[3]):
                self.broken.append(f"item {number} was {item}, is {now}")
        self._rows, self._items = rows, items
