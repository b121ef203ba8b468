"""What a check of the database found."""

from __future__ import annotations

from dataclasses import dataclass, field

from meterkast.model.half_hour import RowKey

_NEWEST = 4
"""Stretches that a half-hour may belong to: they come nearly in the order of time."""


@dataclass(slots=True)
class Stretch:
    """Half-hours one after another, of any properties.

    Attributes:
        length_ms: Of each.
        first_ms, last_ms: End of the first and of the last.
        count: How many rows.
    """

    length_ms: int
    first_ms: int
    last_ms: int
    count: int = 1

    def takes(self, key: RowKey) -> bool:
        """Whether it is one of them, or the one before or after them; if so it is counted."""
        if key.length_ms != self.length_ms or not (
            self.first_ms - self.length_ms <= key.end_ms <= self.last_ms + self.length_ms
        ):
            return False
        self.first_ms, self.last_ms = min(self.first_ms, key.end_ms), max(self.last_ms, key.end_ms)
        self.count += 1
        return True


@dataclass(slots=True)
class Findings:
    """What a check found.

    Attributes:
        damage: Why the file cannot be used as it is; empty where it can.
        looked: It was only looked: nothing that is said here was done.
        partial: Not the whole file was looked at.
        put_back: Half-hours that the second copy gave back; years of them are one stretch.
        lost: Half-hours that nobody can vouch for.
        tables: What was wrong with which small table, a sentence each.
        items: Rows of the outbox that are lost or wrong, and are composed anew.
        journal: What is wrong with the second copy, a sentence each.
        aside: Where a damaged database was put.
        unreadable: Per table, what could not be read.
    """

    damage: str = ""
    looked: bool = False
    partial: bool = False
    put_back: list[Stretch] = field(default_factory=list)
    lost: list[RowKey] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    items: int = 0
    journal: list[str] = field(default_factory=list)
    aside: str = ""
    unreadable: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(
            self.damage
            or self.put_back
            or self.lost
            or self.tables
            or self.items
            or self.journal
            or self.aside
            or self.unreadable
        )

    def count_back(self, key: RowKey) -> None:
        """Note a half-hour that was put back."""
        if not any(stretch.takes(key) for stretch in self.put_back[: -_NEWEST - 1 : -1]):
            self.put_back.append(Stretch(key.length_ms, key.end_ms, key.end_ms))

    @property
    def put_back_rows(self) -> int:
        """How many half-hours the second copy gave back."""
        return sum(stretch.count for stretch in self.put_back)

    def lines(self) -> list[str]:
        """The findings as sentences for a person."""
        lines = [f"The database was damaged: {self.damage}."] if self.damage else []
        if self.aside:
            lines.append(f"It was rebuilt. The damaged file is kept as {self.aside}.")
        lines += self.tables + self.unreadable
        if self.put_back:
            done = "can be" if self.looked else "were"
            lines.append(f"{self.put_back_rows} half-hours {done} put back from the second copy.")
        if self.items:
            lines.append(
                f"{self.items} items of the outbox were not readable; those needed are composed anew."
            )
        if self.lost:
            lines.append(f"{len(self.lost)} half-hours are lost: " + "; ".join(map(str, self.lost[:20])))
        lines += self.journal
        if lines and self.looked:
            lines.insert(0, "Nothing was changed. `meterkast salvage` without --check does this:")
        return lines


@dataclass(slots=True)
class Holes:
    """What a salvage could not read.

    Attributes:
        half_hours: Per length, stretches (after, until) of ends.
        keys: Half-hours whose row is there and wrong.
    """

    half_hours: list[tuple[int, int, int]] = field(default_factory=list)
    keys: list[RowKey] = field(default_factory=list)
