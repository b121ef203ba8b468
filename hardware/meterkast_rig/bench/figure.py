"""What a measurement comes to: rows with a target each, and whether it is met."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured number.

    Attributes:
        what: What was measured.
        measured: The number with its unit, as shown.
        target: What it should be; empty where it is for information.
        met: Whether it is; None without a target.
    """

    what: str
    measured: str
    target: str = ""
    met: bool | None = None

    @property
    def verdict(self) -> str:
        return "" if self.met is None else "yes" if self.met else "**no**"


@dataclass(slots=True)
class Figure:
    """The rows of one measurement.

    Attributes:
        notes: Under which circumstances, as whole sentences.
    """

    title: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def tell(self, what: str, value: float, unit: str = "") -> None:
        """A number without a target."""
        self.rows.append(Row(what=what, measured=written(value, unit)))

    def at_most(self, what: str, value: float, limit: float, unit: str = "") -> None:
        """A number that should not be larger."""
        target = f"≤ {written(limit, unit)}"
        self.rows.append(Row(what=what, measured=written(value, unit), target=target, met=value <= limit))

    def at_least(self, what: str, value: float, limit: float, unit: str = "") -> None:
        """A number that should not be smaller."""
        target = f"≥ {written(limit, unit)}"
        self.rows.append(Row(what=what, measured=written(value, unit), target=target, met=value >= limit))

    def holds(self, what: str, found: bool, target: str) -> None:
        """A statement that should be true."""
        self.rows.append(
            Row(what=what, measured="yes" if found else "no", target=target, met=found),
        )

    def markdown(self) -> str:
        """The figure as a section of docs/benchmarks.md."""
        lines = [f"## {self.title}", ""]
        if self.rows:
            lines += ["| | measured | target | met |", "| --- | ---: | ---: | --- |"]
            lines += [f"| {row.what} | {row.measured} | {row.target} | {row.verdict} |" for row in self.rows]
            lines.append("")
        lines += [f"- {note}" for note in self.notes]
        return "\n".join(lines).rstrip() + "\n"

    def text(self) -> str:
        """The figure for a terminal."""
        lines = [self.title]
        for row in self.rows:
            aim = f"  (target {row.target}: {'met' if row.met else 'MISSED'})" if row.target else ""
            lines.append(f"  {row.what}: {row.measured}{aim}")
        return "\n".join(lines + [f"  - {note}" for note in self.notes])


def written(value: float, unit: str = "") -> str:
    """A number with three digits that count, thousands apart; `×` goes without a space."""
    if value == int(value) or abs(value) >= 1000:
        number = f"{value:,.0f}"
    else:
        number = (
            f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"
        )
    return f"{number}×" if unit == "×" else f"{number} {unit}".rstrip()
