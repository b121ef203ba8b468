"""The form of a meter's telegrams: which value stands in which line.

A meter sends the same lines every second and nine of forty change. So a telegram is decoded as a whole once;
after that each line is compared with the one before it at its place, and only what changed is read, straight
into whole numbers. What does not fit the form is never guessed at.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from enum import IntEnum
from itertools import compress
from operator import ne

from meterkast.model.time import UtcMs
from meterkast.model.units import POWERS
from meterkast_drivers.p1 import objects
from meterkast_drivers.p1.mapping import Meaning, Role, meaning_of
from meterkast_drivers.p1.objects import Line
from meterkast_drivers.p1.stamps import EARLIEST_MS
from meterkast_drivers.p1.telegram import Reading, Telegram, quantity, reread

_POINT = 0x2E


class SlotKind(IntEnum):
    """What a line is to the form."""

    NUMBER = 0
    CLOCK = 1
    FREE = 2  # may change and means nothing for values: messages, logs
    METER = 3  # a meter on the M-Bus
    FIXED = 4  # if it changes, the telegram has to be decoded anew


@dataclass(slots=True)
class Slot:
    """One line of the form.

    Attributes:
        kind: What it is.
        prefix, suffix: What stands before and behind the digits.
        length: Of the whole line.
        start, point, end: Where the digits are; the point is at the end where there are no decimals.
        column: Which column the value goes to; of a meter, which meter.
        factor: From the whole number of all digits to the column's.
    """

    kind: SlotKind
    prefix: bytes = b""
    suffix: bytes = b""
    length: int = 0
    start: int = 0
    point: int = 0
    end: int = 0
    column: int = 0
    factor: int = 1


@dataclass(slots=True)
class ColumnForm:
    """One value of the electricity meter.

    Attributes:
        reading: As it was when the form was made.
        decimals: Of the whole numbers.
        line: Where it stands; -1 for a sum.
        parts: For a sum, the columns it is made of and what each is multiplied by.
    """

    reading: Reading
    key: str
    decimals: int
    line: int = -1
    parts: tuple[tuple[int, int], ...] = ()


@dataclass(slots=True)
class MeterForm:
    """One meter on the M-Bus.

    Attributes:
        reading: Its newest reading.
        line: Where it stands.
    """

    reading: Reading
    line: int


@dataclass(slots=True)
class Form:
    """The form, and the newest values.

    Attributes:
        telegram: The telegram it was made of.
        lines: The newest telegram's.
        at: The newest telegram's own time; None where it gives no possible one.
        values: One whole number per column.
        columns: The electricity meter's columns.
        meters: The meters on the M-Bus.
        misfits: Lines of the newest telegram that did not fit; their values are those of the one before.
    """

    telegram: Telegram
    lines: list[bytes]
    slots: list[Slot] = field(default_factory=list)
    values: list[int] = field(default_factory=list)
    columns: list[ColumnForm] = field(default_factory=list)
    meters: list[MeterForm] = field(default_factory=list)
    at: UtcMs | None = None
    misfits: list[int] = field(default_factory=list)
    _sums: list[tuple[int, tuple[tuple[int, int], ...]]] = field(default_factory=list)
    _places: range = range(0)
    _fast: list[tuple[int, bytes, bytes, int, int, int, int, int, int]] = field(default_factory=list)

    def update(self, lines: list[bytes]) -> bool:
        """Take the values of the next telegram.

        Returns:
            Whether it has this form. If not, `misfits` says which lines do not fit, or is empty where the
            telegram has more or fewer lines or is another meter's; the values of all other lines are taken.
        """
        self.misfits = []
        old = self.lines
        if len(lines) != len(old):
            return False
        values, misfits = self.values, self.misfits
        for place in compress(self._places, map(ne, lines, old)):
            kind, prefix, suffix, length, start, point, end, column, factor = self._fast[place]
            line = lines[place]
            if kind == 0:  # SlotKind.NUMBER; an enum's name costs a function call in Python 3.11
                digits = line[start:point] + line[point + 1 : end]
                if (
                    len(line) == length
                    and digits.isdigit()
                    and line.startswith(prefix)
                    and line.endswith(suffix)
                    and (point == end or line[point] == _POINT)
                ):
                    values[column] = int(digits) * factor
                elif not self._reread(place, line):
                    misfits.append(place)
            elif kind == 1:  # SlotKind.CLOCK
                self.at = self._time(line, len(prefix))
                if not line.startswith(prefix):
                    misfits.append(place)
            elif kind == 2:  # SlotKind.FREE
                if not line.startswith(prefix):
                    misfits.append(place)
            elif kind == 3:  # SlotKind.METER
                if not self._reread_meter(column, place, line):
                    misfits.append(place)
            elif kind == 4:  # SlotKind.FIXED
                misfits.append(place)
        for place in misfits:
            lines[place] = old[place]
        self.lines = lines
        for column, parts in self._sums:
            total = 0
            for part, factor in parts:
                total += values[part] * factor
            values[column] = total
        return not misfits

    def structure_changed(self) -> bool:
        """Whether a misfit is one on which the meaning of others depends."""
        return any(self.slots[place].kind is SlotKind.FIXED for place in self.misfits)

    def _time(self, line: bytes, start: int) -> UtcMs | None:
        if not line.endswith(b")"):
            return None
        at = self.telegram.profile.time.utc(line[start:-1].decode("ascii", "replace"))
        return at if at is not None and at >= EARLIEST_MS else None

    def _reread(self, place: int, line: bytes) -> bool:
        """A number in another shape, such as a negative one: the general reader, same unit and decimals."""
        column = self.columns[self.slots[place].column]
        found = reread(self.telegram, place, line)
        if (
            not isinstance(found, Reading)
            or found.unit != column.reading.unit
            or found.line.reference != column.reading.line.reference
            or found.key != column.key
        ):
            return False
        if self.telegram.checksum.value == "none" and "-" not in found.value:
            return False
        whole, decimals = quantity(found)
        if decimals != column.decimals:
            return False
        self.values[self.slots[place].column] = whole
        return True

    def _reread_meter(self, number: int, place: int, line: bytes) -> bool:
        meter = self.meters[number]
        found = reread(self.telegram, place, line)
        if (
            not isinstance(found, Reading)
            or found.unit != meter.reading.unit
            or found.line.reference != meter.reading.line.reference
            or len(found.value.partition(".")[2]) != len(meter.reading.value.partition(".")[2])
        ):
            return False
        meter.reading = found
        return True


def form_of(telegram: Telegram) -> Form:
    """The form of a telegram that was decoded as a whole, with its values."""
    form = Form(telegram, telegram.raw)
    form.slots = [Slot(SlotKind.FIXED) for _ in telegram.raw]
    form._places = range(len(telegram.raw))
    form.at = telegram.at if telegram.at is not None and telegram.at >= EARLIEST_MS else None
    by_line: dict[int, list[Reading]] = {}
    for reading in telegram.readings:
        by_line.setdefault(reading.line.number, []).append(reading)
    clock_seen = False
    for number, readings in by_line.items():
        line = readings[0].line
        meaning = meaning_of(line.code)
        assert meaning is not None
        slot = form.slots[number]
        if meaning.role is Role.CLOCK:
            if not clock_seen:
                _place_clock(slot, telegram.raw[number])
            else:
                slot.kind = SlotKind.FREE
            clock_seen = True
        elif meaning.role is Role.METER_VALUE:
            _place_meter(form, slot, readings[0])
        elif meaning.role is Role.NUMBER and line.channel == 0 and len(readings) == 1:
            _place_number(form, slot, readings[0], telegram.raw[number])
        elif meaning.role is not Role.STRUCTURE and (meaning.role is not Role.NUMBER or line.channel):
            slot.kind = SlotKind.FREE
    for unset in telegram.refused:
        # A clock that was never set may become set at any time.
        if unset.number < len(telegram.raw) and telegram.raw[unset.number].startswith(b"0-0:1.0.0("):
            _place_clock(form.slots[unset.number], telegram.raw[unset.number])
    for line in telegram.unknown:
        form.slots[line.number].kind = SlotKind.FREE
    for slot, raw in zip(form.slots, telegram.raw, strict=True):
        if slot.kind is SlotKind.FREE:
            slot.prefix = raw[: raw.index(b"(") + 1]
    _add_sums(form)
    # A tuple is taken apart in one step; a slot costs a look-up for each of its attributes.
    form._fast = [astuple(slot) for slot in form.slots]
    return form


def _place_clock(slot: Slot, raw: bytes) -> None:
    slot.kind = SlotKind.CLOCK
    slot.prefix = raw[: raw.index(b"(") + 1]


def _place_number(form: Form, slot: Slot, reading: Reading, raw: bytes) -> None:
    if any(column.key == reading.key for column in form.columns):
        return  # the same object twice: the first one counts, and the telegram is never taken for granted
    whole, decimals = quantity(reading)
    text = reading.line.groups[-1]
    start = raw.rindex(b"(") + 1
    digits = text[: len(text) - len(text.lstrip("-0123456789."))]
    slot.kind = SlotKind.NUMBER
    slot.start, slot.end = start, start + len(digits)
    left, _, right = digits.partition(".")
    slot.point = start + len(left)
    slot.prefix, slot.suffix = raw[:start], raw[slot.end :]
    slot.column = len(form.columns)
    slot.factor = 10 ** max(0, POWERS[reading.unit][1] - len(right))
    # A peak's time may change with its value, and a sign comes and goes: those always by the general reader.
    slot.length = -1 if reading.stamp or left.startswith("-") else len(raw)
    form.columns.append(ColumnForm(reading, reading.key, decimals, reading.line.number))
    form.values.append(whole)


def _place_meter(form: Form, slot: Slot, reading: Reading) -> None:
    identifier = form.telegram.meter(reading.line.channel)
    if not identifier:
        # Without an identity it cannot be kept: channels are reused when a meter is replaced.
        return
    for place, meter in enumerate(form.meters):
        if form.telegram.meter(meter.reading.line.channel) == identifier and meter.reading.key == reading.key:
            if (reading.at or 0) <= (meter.reading.at or 0):
                return
            form.slots[meter.line].kind = SlotKind.FIXED
            form.meters[place] = MeterForm(reading, reading.line.number)
            slot.kind, slot.column = SlotKind.METER, place
            return
    slot.kind, slot.column = SlotKind.METER, len(form.meters)
    form.meters.append(MeterForm(reading, reading.line.number))


def _add_sums(form: Form) -> None:
    """Totals over tariffs, where the meter gives the tariffs but no total."""
    for stem, code in (("import", "1:1.8.0"), ("export", "1:2.8.0")):
        if any(column.key == f"{stem}_total" for column in form.columns):
            continue
        parts = [
            (place, column)
            for place, column in enumerate(form.columns)
            if column.key.startswith(f"{stem}_t") and column.key != f"{stem}_total"
        ]
        # A tariff that is there but cannot be read must not be missing from a sum.
        refused = {number for number, *_ in form.telegram.refused}
        unread = any(
            _code_of(form.lines[number]).startswith(code[:-1])
            for number in refused
            if number < len(form.lines)
        )
        if not parts or unread:
            continue
        decimals = max(column.decimals for _, column in parts)
        factors = tuple((place, 10 ** (decimals - column.decimals)) for place, column in parts)
        meaning = meaning_of(code)
        assert isinstance(meaning, Meaning)
        first = parts[0][1].reading
        line = Line(-1, "", "+".join(column.reading.line.reference for _, column in parts), 0, code, ())
        reading = Reading(
            line=line,
            key=meaning.key,
            name=meaning.name,
            datatype=meaning.datatype,
            value="0",
            unit=first.unit,
        )
        form._sums.append((len(form.columns), factors))
        form.columns.append(ColumnForm(reading, meaning.key, decimals, -1, factors))
        form.values.append(sum(form.values[place] * factor for place, factor in factors))


def _code_of(raw: bytes) -> str:
    line = objects.read(0, raw)
    if isinstance(line, Line):
        return line.code
    text = raw.partition(b"(")[0].decode("ascii", "replace")
    a, _, rest = text.partition("-")
    return f"{a}:{rest.partition(':')[2]}"
