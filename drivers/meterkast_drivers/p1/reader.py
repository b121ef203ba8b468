"""Telegrams in, batches out: one meter's telegrams against its form."""

from __future__ import annotations

from dataclasses import dataclass, field

from meterkast.model.evidence import OPENED
from meterkast.model.product import ProductId
from meterkast.model.reading import Batch, Column, Layout, TimeSource
from meterkast.model.time import MINUTE_MS, UtcMs
from meterkast.ports.inventory import MeterCatalog
from meterkast_drivers.p1 import objects, products
from meterkast_drivers.p1.form import Form, form_of
from meterkast_drivers.p1.framing import Checksum, Frame
from meterkast_drivers.p1.plausibility import Guard, without
from meterkast_drivers.p1.profiles import Profile
from meterkast_drivers.p1.telegram import Reading, Telegram, decode, quantity

_SLOW_MS = 20_000
_SLOWEST_MS = MINUTE_MS
# The dialects say 1 or 10 s; adapters that pass on one telegram of many are kept in mind.
_GAPS = 3
# The smallest of so many is the interval: a cable that was out, or telegrams that were lost, make one longer.
_FORMS_KEPT = 64
# Python 3.11 looks up a member of an enum by a function call; these are asked for with every telegram.
_OK = Checksum.OK
_ARRIVAL, _TELEGRAM, _CAPTURE = TimeSource.ARRIVAL, TimeSource.TELEGRAM, TimeSource.CAPTURE


@dataclass(slots=True)
class Tally:
    """What was found in good telegrams.

    Attributes:
        unknown: References of objects that mean nothing to us.
        refused: Lines that gave nothing, each counted when it changes.
        held: Telegrams without checksum that were held back as a whole.
        reasons: The newest reason by reference.
    """

    unknown: set[str] = field(default_factory=set)
    refused: int = 0
    held: int = 0
    reasons: dict[str, str] = field(default_factory=dict)


class Reader:
    """Reads one meter.

    `take` gives the batches of a telegram. When it meets a form for the first time it gives none and
    `undeclared` is true: then `declare`, and `batches`.
    """

    def __init__(self, profile: Profile | None = None) -> None:
        self.tally = Tally()
        self.form: Form | None = None
        self._profile = profile
        self._candidate: Form | None = None
        self._guard = Guard()
        self._candidate_guard = Guard()
        self._proven = False
        self._declared: dict[object, Layout] = {}
        self._raw = b""
        self._layout: Layout = ()
        self._layouts: dict[Layout, Layout] = {}
        self._meter_layouts: dict[str, Layout] = {}
        self._given: dict[str, Reading] = {}  # of meters on the M-Bus, what was given out last
        self._left_out: list[int] = []
        self._last_at: UtcMs | None = None
        self._interval_ms = 0
        self._gaps: list[int] = []
        self.undeclared = False

    @property
    def held_values(self) -> int:
        return self._guard.held

    @property
    def proven(self) -> bool:
        """Whether the meter's telegrams have had right checksums."""
        return self._proven

    def take(self, frame: Frame, seen_ns: int) -> list[Batch]:
        """The batches of a telegram whose checksum is not wrong."""
        self._raw = (OPENED if frame.opened else b"") + frame.data + frame.given
        if frame.checksum is _OK:
            self._proven = True
            form = self.form
            # Lines that end otherwise, or go on in the next, do not fit the form and are decoded in full.
            if form is None or not form.update(frame.data.split(b"\r\n")):
                self._adopt(form_of(self._decode(frame)))
        elif not self._take_unproven(frame, objects.split(frame.data), seen_ns):
            return []
        self._watch_interval()
        return [] if self.undeclared else self.batches(seen_ns)

    def batches(self, seen_ns: int) -> list[Batch]:
        """The newest telegram's values."""
        form = self.form
        assert form is not None
        batches = []
        at = form.at
        source = _ARRIVAL if at is None else _TELEGRAM
        if self._left_out:
            batches += self._reduced(form, seen_ns, source)
        elif self._layout:
            batches.append(Batch(self._layout, tuple(form.values), seen_ns, at, source, self._raw))
        if form.meters:
            self._add_meters(form, seen_ns, batches)
        return batches

    async def declare(self, catalog: MeterCatalog) -> None:
        """Give the meters and values of a new form their ids.

        Raises:
            StorageError: The store refused; call again.
        """
        form = self.form
        assert form is not None
        layout: Layout = ()
        present: list[ProductId] = []
        if form.columns:
            product, properties = products.electricity(form, self._interval_ms)
            made, known = await catalog.declare(product, properties)
            present.append(made.id)
            layout = tuple(Column(known[what.key].id, what.decimals) for what in properties)
        for meter in form.meters:
            product, register = products.mbus(form, meter)
            made, known = await catalog.declare(product, [register])
            present.append(made.id)
            self._meter_layouts[_meter_key(product.identity, register.key, register.decimals)] = self._shared(
                (Column(known[register.key].id, register.decimals),)
            )
        catalog.present(present)
        self._layout = self._shared(layout)
        if len(self._declared) >= _FORMS_KEPT:
            self._declared.clear()
        self._declared[_signature(form)] = self._layout
        self.undeclared = False

    def _decode(self, frame: Frame) -> Telegram:
        return decode(frame, self._profile)

    def _adopt(self, form: Form) -> None:
        """Go on with this form; ids are asked for only where it has new values."""
        previous = self.form
        self._left_out = []
        self.form = form
        telegram = form.telegram
        lines = set(previous.telegram.raw) if previous is not None else set()
        self.tally.unknown.update(line.reference for line in telegram.unknown)
        for refused in telegram.refused:
            if telegram.raw[refused.number] not in lines:
                self.tally.refused += 1
            self.tally.reasons[refused.line.partition("(")[0]] = refused.why
        # A line that is refused now and then makes the form change to and fro.
        layout = self._declared.get(_signature(form))
        self.undeclared = layout is None
        self._layout = layout or ()

    def _take_unproven(self, frame: Frame, lines: list[bytes], seen_ns: int) -> bool:
        """A telegram without a checksum: its form counts once two telegrams in a row have it."""
        if self._proven:
            # This meter sends checksums: one that has none was damaged at its end.
            self.tally.held += 1
            return False
        form, candidate = self.form, self._candidate
        self._left_out = []
        if form is not None:
            fits = form.update(list(lines))
            if fits:
                self._candidate = None
            elif form.misfits and not form.structure_changed():
                self._refuse(form)
            if fits or (form.misfits and not form.structure_changed() and not self._confirmed(lines)):
                if not fits:
                    self._propose(frame, seen_ns)
                self._left_out = sorted({*self._left_out, *self._guard.doubtful(form, seen_ns)})
                return True
        if candidate is not None and self._confirmed(lines):
            self._adopt(candidate)
            self._candidate = None
            self._guard = self._candidate_guard
            self._left_out = self._guard.doubtful(candidate, seen_ns)
            return True
        self._propose(frame, seen_ns)
        self.tally.held += 1
        return False

    def _propose(self, frame: Frame, seen_ns: int) -> None:
        self._candidate = form_of(self._decode(frame))
        self._candidate_guard = Guard()
        self._candidate_guard.doubtful(self._candidate, seen_ns)

    def _confirmed(self, lines: list[bytes]) -> bool:
        return self._candidate is not None and self._candidate.update(list(lines))

    def _refuse(self, form: Form) -> None:
        """Leave out the values of lines that do not have their usual shape."""
        for place in form.misfits:
            self.tally.refused += 1
            slot = form.slots[place]
            reference = form.lines[place].partition(b"(")[0].decode("ascii", "replace")
            self.tally.reasons[reference] = "not the line's usual shape, and no checksum to prove it"
            if form.columns and any(column.line == place for column in form.columns):
                self._left_out.append(slot.column)

    def _reduced(self, form: Form, seen_ns: int, source: TimeSource) -> list[Batch]:
        gone = without(form.columns, self._left_out)
        kept = [place for place in range(len(form.columns)) if place not in gone]
        layout = self._shared(tuple(self._layout[place] for place in kept))
        if not layout:
            return []
        values = tuple(form.values[place] for place in kept)
        return [Batch(layout, values, seen_ns, form.at, source, self._raw)]

    def _add_meters(self, form: Form, seen_ns: int, batches: list[Batch]) -> None:
        for meter in form.meters:
            reading = meter.reading
            identifier = form.telegram.meter(reading.line.channel)
            given = self._given.get(identifier)
            if given is reading:
                continue
            if given is not None and (given.value, given.at, given.key) == (
                reading.value,
                reading.at,
                reading.key,
            ):
                self._given[identifier] = reading
                continue
            if not self._proven and not self._guard.accepts_meter(identifier, meter):
                continue
            whole, decimals = quantity(reading)
            layout = self._meter_layouts.get(_meter_key(products.identity(identifier), reading.key, decimals))
            if layout is not None:
                self._given[identifier] = reading
                batches.append(Batch(layout, (whole,), seen_ns, reading.at, _CAPTURE, self._raw))

    def _watch_interval(self) -> None:
        """Meters that send less than every 20 s: their values stand longer."""
        form = self.form
        if form is None or self._interval_ms:
            return
        if self._last_at is not None and form.at is not None and form.at > self._last_at:
            self._gaps.append(form.at - self._last_at)
            smallest = min(self._gaps)
            if smallest <= _SLOW_MS or len(self._gaps) == _GAPS:
                self._interval_ms = min(smallest, _SLOWEST_MS)
                self.undeclared = self.undeclared or self._interval_ms > _SLOW_MS
        self._last_at = form.at

    def _shared(self, layout: Layout) -> Layout:
        return self._layouts.setdefault(layout, layout)


def _meter_key(identity: str, key: str, decimals: int) -> str:
    return f"{identity}/{key}/{decimals}"


def _signature(form: Form) -> tuple[object, ...]:
    """What the store has to know: if it is the same, nothing need be declared."""
    telegram = form.telegram
    return (
        telegram.meter(0) or telegram.ident,
        tuple((column.key, column.decimals, column.reading.unit) for column in form.columns),
        tuple(
            (telegram.meter(meter.reading.line.channel), meter.reading.key, quantity(meter.reading)[1])
            for meter in form.meters
        ),
    )
