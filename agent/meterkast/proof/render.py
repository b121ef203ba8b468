"""The report for people: one set of tables, as text for a terminal or as one HTML page to print.

A PDF is left to the browser that prints the page: the libraries that make one draw a second layout
(reportlab), or bring a text engine with its fonts to a card that has to be small (weasyprint).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from meterkast.model.half_hour import Cause
from meterkast.model.quantity import Quantity, text
from meterkast.model.time import Grid, UtcMs, to_datetime, zone
from meterkast.model.units import POWERS
from meterkast.proof.body import Body, ChannelPart, PropertyPart, Span
from meterkast.proof.language import month_name, words
from meterkast.proof.tally import lacking, not_due

TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True, slots=True)
class Table:
    """One part of the report.

    Attributes:
        numbers: From which column on there are numbers.
        rows: Texts; none where there is nothing to say.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: int = 99


@dataclass(frozen=True, slots=True)
class Shown:
    """The report in words.

    Attributes:
        verdict: The first line: complete or not.
        facts: Site, gateway and the like, with their names.
    """

    language: str
    title: str
    status: str
    verdict: str
    facts: Sequence[tuple[str, str]]
    tables: Sequence[Table]
    note: str
    none: str


class Wording:
    """Puts a report into words."""

    def __init__(self, body: Body, language: str) -> None:
        self._body = body
        self._language = language
        self._words = words(language)
        self._grid = Grid(zone(body.zone))
        self._properties = {one.id: one for one in body.properties}

    def shown(self, fingerprint: str) -> Shown:
        """All of it.

        Args:
            fingerprint: Of the device's key.
        """
        body, say = self._body, self._words
        facts = [
            (say["site"], body.site),
            (say["zone"], body.zone),
            (say["device"], body.device),
            (say["version"], f"Meterkast {body.version}"),
            (say["made"], self._at(body.now_ms)),
            (say["key"], fingerprint),
        ]
        tables = [
            self._channels(),
            self._spans(),
            self._registers(),
            self._refused(),
            self._breaks(),
            self._clock(),
            self._doubts(),
            self._asked(),
            self._checks(),
            self._seals(),
        ]
        return Shown(
            language=self._language,
            title=f"{say['title'].format(month=month_name(body.month, self._language))} · {body.site}",
            status=body.status,
            verdict=self._verdict(),
            facts=facts,
            tables=tables,
            note=say["verify"],
            none=say["none"],
        )

    def _verdict(self) -> str:
        body, say = self._body, self._words
        seldom = sum(map(not_due, body.channels))
        first = say["running" if body.status == "complete" and not body.over else body.status].format(
            expected=sum(one.expected for one in body.channels) - seldom,
            lacking=sum(map(lacking, body.channels)),
            undelivered=sum(one.expected - one.delivered for one in body.channels) - seldom,
        )
        if seldom:
            first = f"{first} {say['seldom'].format(count=seldom)}"
        return first if body.over else f"{first} {say['so far'].format(made=self._at(body.now_ms))}"

    def _at(self, at_ms: int | None) -> str:
        if at_ms is None:
            return "—"
        # With its offset: on the night in October an hour comes twice.
        return to_datetime(UtcMs(at_ms), self._grid.zone).strftime("%Y-%m-%d %H:%M %z")

    def _name(self, one: ChannelPart) -> str:
        return f"{one.uplink} {one.stream} {one.name}"

    def _meter(self, one: ChannelPart) -> str:
        own = [self._properties[number] for number in one.properties if number in self._properties]
        return ", ".join(map(_called, own))

    def _owed(self, one: ChannelPart) -> str:
        """The meter, and since or until when it is this channel's, where that is within the month."""
        body, said = self._body, self._meter(one)
        if one.from_ms > body.after_ms:
            said += f"; {self._words['from'].lower()} {self._at(one.from_ms)}"
        if one.until_ms is not None and one.until_ms < body.until_ms:
            said += f"; {self._words['until'].lower()} {self._at(one.until_ms)}"
        return said

    def _table(self, title: str, heads: str, rows: Sequence[Sequence[str]], numbers: int = 99) -> Table:
        say = self._words
        return Table(say[title], [say[head] for head in heads.split()], rows, numbers)

    def _channels(self) -> Table:
        counts = "expected measured late suspect missing delivered pending quarantined nothing"
        # Two counts that are nearly always 0 have a column only where they are not.
        counts += "".join(
            f" {name}" for name in ("open", "aged") if any(getattr(one, name) for one in self._body.channels)
        )
        rows = [
            [self._name(one), self._owed(one), *(str(getattr(one, name)) for name in counts.split())]
            for one in self._body.channels
        ]
        return self._table("channels", f"channel meter {counts}", rows, 2)

    def _spans(self) -> Table:
        rows = [
            [
                self._name(one),
                self._words[span.cause],
                self._at(span.after_ms),
                self._at(span.until_ms),
                str(span.count),
            ]
            for one in self._body.channels
            for span in _told(one)
        ]
        return self._table("spans", "channel cause from until count", rows, 4)

    def _registers(self) -> Table:
        rows = [
            [
                self._name(one),
                f"{_face(part.begin, part.unit)} ({self._at(part.begin_ms)})",
                f"{_face(part.end, part.unit)} ({self._at(part.end_ms)})",
                _face(part.difference, part.unit),
            ]
            for one in self._body.channels
            if (part := one.register) is not None
        ]
        return self._table("registers", "channel begin end difference", rows, 1)

    def _refused(self) -> Table:
        rows = [
            [f"{one.uplink} {one.stream}", self._at(at_ms), said]
            for one in self._body.streams
            for at_ms, state, _, _, said in one.items
            if state == "quarantined"
        ]
        return self._table("refused", "stream interval words", rows)

    def _breaks(self) -> Table:
        body = self._body
        rows = []
        for one in sorted(body.epochs, key=lambda epoch: epoch.at_ms):
            prop = self._properties.get(one.property_id)
            if prop is None or one.last is None or not body.after_ms < one.at_ms <= body.until_ms:
                continue
            old, new = (
                _face(text(Quantity(*number).decimal()), prop.unit) for number in (one.last, one.first)
            )
            before = self._properties.get(one.predecessor) if one.predecessor is not None else None
            meter = _called(prop) if before is None else f"{_called(before)} → {_called(prop)}"
            rows.append([meter, self._words[one.kind], self._at(one.at_ms), old, new, one.signed_by or "—"])
        return self._table("breaks", "meter kind when old new signed", rows)

    def _clock(self) -> Table:
        rows = [
            [
                self._at(one.after_ms),
                self._at(one.before_ms),
                str(one.duration_ms // 60_000),
                "" if one.moved_ms is None else f"{round(one.moved_ms / 60_000):+}",
            ]
            for one in self._body.clock
        ]
        return self._table("clock", "from until lasted moved", rows, 2)

    def _doubts(self) -> Table:
        rows = [[self._at(one.at_ms), one.kind, one.detail] for one in self._body.doubts]
        rows += [
            [self._at(end_ms), "CRC", f"property {number}, revision {revision}, {length // 60_000} min"]
            for length, end_ms, number, revision in self._body.damaged
        ]
        for seal in self._body.seals:
            there = sum(rows for rows, _ in seal.parts.values())
            short = f"{seal.count} half-hours were sealed, {there} are there" if there != seal.count else ""
            if told := seal.broken or short:
                rows.append([self._at(seal.until_ms), "seal", f"{seal.day}: {told}"])
        return self._table("doubts", "when kind detail", rows)

    def _asked(self) -> Table:
        rows = [
            [
                f"{one['uplink']} {one['stream']}",
                self._at(one["asked_ms"]),
                self._words[one["outcome"]].format(again=one["again"])
                + (f": {one['words']}" if one["words"] else ""),
                self._at(one["held_ms"]),
                self._at(one["delivered_ms"]),
            ]
            for one in self._body.reconcile
        ]
        return self._table("asked", "stream when outcome held ours", rows)

    def _checks(self) -> Table:
        rows = [
            [
                one["day"],
                str(one["rows"]),
                str(one["unchecked"]),
                str(one["wrong"]),
                "; ".join(one["sentences"]),
            ]
            for one in self._body.checks.found
        ]
        for ranges, word in (
            (self._body.checks.agree, "agrees"),
            (self._body.checks.not_checked, "not checked"),
        ):
            for first, last in ranges:
                days = first if first == last else f"{first} – {last}"
                rows.append([days, "", "", "", self._words[word]])
        rows.sort()
        return self._table("checks", "day rows unchecked wrong detail", rows)

    def _seals(self) -> Table:
        rows = [[one.day, str(one.count), one.digest] for one in self._body.seals]
        return self._table("seals", "day sealed digest", rows)


_FACES = {"Wh": "kWh", "varh": "kvarh", "VAh": "kVAh", "L": "m3", "MJ": "GJ"}


def _face(written: str, unit: str) -> str:
    """A register as the display of a meter shows it; empty where it is not known."""
    if not written or unit not in _FACES:
        return f"{written} {unit}".strip() if written else "—"
    return f"{text(Decimal(written).scaleb(-POWERS[_FACES[unit]][1]))} {_FACES[unit]}"


def _called(one: PropertyPart) -> str:
    """A register with its meter, by name and by what stands on it: a house has several of one name."""
    return f"{one.product} ({one.identity}), {one.name}"


def _told(one: ChannelPart) -> list[Span]:
    """What is missing in a row; all that was not due as one, for it may be every second interval."""
    seldom = [span for span in one.spans if span.cause == Cause.NOT_DUE]
    told = [span for span in one.spans if span.cause != Cause.NOT_DUE]
    if seldom:
        told.append(
            Span(
                cause=seldom[0].cause,
                after_ms=seldom[0].after_ms,
                until_ms=seldom[-1].until_ms,
                count=not_due(one),
            )
        )
    return told


def as_text(shown: Shown) -> str:
    """For a terminal: the verdict first, then table by table; empty ones are left out."""
    lines = [shown.verdict, "", shown.title, *(f"{name}: {fact}" for name, fact in shown.facts)]
    for table in shown.tables:
        if not table.rows:
            continue
        all_rows = [table.heads, *table.rows]
        widths = [max(len(row[place]) for row in all_rows) for place in range(len(table.heads))]
        lines += ["", table.title]
        for row in all_rows:
            cells = [
                cell.rjust(width) if place >= table.numbers else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join([*lines, "", shown.note]) + "\n"


def as_html(shown: Shown) -> str:
    """One page that needs nothing else: no script, no address, to be read on a phone and printed on A4."""
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return templates.get_template("report.html").render(s=shown)
