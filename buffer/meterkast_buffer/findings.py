"""What a check of the database found."""

from __future__ import annotations

from dataclasses import dataclass, field

from meterkast.model.half_hour import RowKey


@dataclass(slots=True)
class Findings:
    """What a check found.

    Attributes:
        damage: Why the file cannot be used as it is; empty where it can.
        partial: Not the whole file was looked at.
        put_back: Half-hours that the second copy gave back.
        lost: Half-hours that nobody can vouch for.
        tables: What was wrong with which small table, a sentence each.
        items: Rows of the outbox that are lost or wrong, and are composed anew.
        journal: What is wrong with the second copy, a sentence each.
        aside: Where a damaged database was put.
        unreadable: Per table, what could not be read.
    """

    damage: str = ""
    partial: bool = False
    put_back: list[RowKey] = field(default_factory=list)
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

    def lines(self) -> list[str]:
        """The findings as sentences for a person."""
        lines = [f"The database was damaged: {self.damage}."] if self.damage else []
        if self.aside:
            lines.append(f"It was rebuilt. The damaged file is kept as {self.aside}.")
        lines += self.tables + self.unreadable
        if self.put_back:
            lines.append(f"{len(self.put_back)} half-hours were put back from the second copy.")
        if self.items:
            lines.append(
                f"{self.items} items of the outbox were not readable; those needed are composed anew."
            )
        if self.lost:
            lines.append(f"{len(self.lost)} half-hours are lost: " + "; ".join(map(str, self.lost[:20])))
        return lines + self.journal


@dataclass(slots=True)
class Holes:
    """What a salvage could not read.

    Attributes:
        half_hours: Per length, stretches (after, until) of ends.
        keys: Half-hours whose row is there and wrong.
    """

    half_hours: list[tuple[int, int, int]] = field(default_factory=list)
    keys: list[RowKey] = field(default_factory=list)
