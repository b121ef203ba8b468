"""The epochs of one register: where its differences count, and what continues the counter across a break."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import replace
from typing import NamedTuple

from meterkast.model.epoch import Break, Epoch
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.register import difference, total
from meterkast.model.time import UtcMs

Changed = MutableMapping[tuple[PropertyId, int], Epoch]
"""Epochs that are to be kept, by register and number."""

NOTHING = Quantity(0, 0)


class Before(NamedTuple):
    """The register whose place another one took, and until when it counted."""

    property_id: PropertyId
    until_ms: UtcMs


class Epochs:
    """The epochs of a register, oldest first, and how each continues the one before.

    A reading belongs to the newest epoch that had begun when it was measured; before the first one, to that.

    Args:
        property_id: The register.
        changed: Takes those that are begun or known better.
    """

    def __init__(self, property_id: PropertyId, changed: Changed) -> None:
        self._property_id = property_id
        self._changed = changed
        self._epochs: list[Epoch] = []

    def load(self, epochs: Iterable[Epoch]) -> None:
        """Those that were kept before, by number."""
        self._epochs = list(epochs)

    def __bool__(self) -> bool:
        return bool(self._epochs)

    @property
    def all(self) -> tuple[Epoch, ...]:
        return tuple(self._epochs)

    def number_at(self, at_ms: int) -> int:
        """Which epoch a reading of that instant belongs to."""
        for epoch in reversed(self._epochs):
            if epoch.at_ms <= at_ms:
                return epoch.number
        return self._epochs[0].number if self._epochs else 0

    def begun_in(self, after_ms: int, until_ms: int) -> bool:
        """Whether an epoch began in (after, until]."""
        return any(after_ms < epoch.at_ms <= until_ms for epoch in reversed(self._epochs))

    def after(self, number: int) -> Epoch | None:
        """The epoch that follows."""
        return next((epoch for epoch in self._epochs if epoch.number > number), None)

    def offset(self, number: int) -> Quantity:
        """What is added to a reading of that epoch."""
        for epoch in reversed(self._epochs):
            if epoch.number <= number:
                return epoch.offset
        return NOTHING

    def continued(self, value: Quantity, number: int) -> Quantity:
        """A reading of that epoch as if the counter had never broken."""
        offset = self.offset(number)
        return total([value, offset]) if offset.whole else value

    def begin_first(self, at_ms: UtcMs, value: Quantity) -> None:
        """The register's very first reading."""
        if not self._epochs:
            self._put(
                Epoch(property_id=self._property_id, number=0, kind=Break.FIRST, at_ms=at_ms, first=value)
            )

    def begin(
        self, kind: Break, *, last_ms: UtcMs, last: Quantity, first_ms: UtcMs, first: Quantity, size: Quantity
    ) -> None:
        """The register did not go on from its last reading. What is known already, from a run before, stays.

        Args:
            kind: RESET, ROLLOVER or JUMP.
            last_ms, last: The last reading before.
            first_ms, first: The first one after.
            size: For a rollover: what the register can show, and one more.
        """
        if self.begun_in(last_ms, first_ms):
            return
        if not self._epochs:
            # Its first reading was kept by a run whose epochs are lost: it counts from here.
            self.begin_first(last_ms, last)
        before = self._epochs[-1]
        # What was counted between the two readings is known only where the register rolled over.
        gained = size if kind is Break.ROLLOVER else difference(last, first)
        self._put(
            Epoch(
                property_id=self._property_id,
                number=before.number + 1,
                kind=kind,
                at_ms=first_ms,
                first=first,
                last=last,
                last_ms=last_ms,
                offset=total([before.offset, gained]),
            )
        )

    def late(self, at_ms: UtcMs, value: Quantity) -> None:
        """A reading that came late: where it is an ended epoch's last one, the break is known better."""
        following = self.after(self.number_at(at_ms))
        if following is None or following.last is None or following.last_ms is None:
            return
        if at_ms <= following.last_ms or following.kind is Break.SWAP:
            return
        gained = NOTHING if following.kind is Break.ROLLOVER else difference(value, following.last)
        self._shift(following.number, gained)
        self._put(replace(self._epochs[self._place(following.number)], last=value, last_ms=at_ms))

    def signed(self, swap: Epoch) -> None:
        """A person, or the setting, says what the register was when it took another's place.

        Args:
            swap: With the number of the register's first epoch, which it takes the place of.
        """
        gained = difference(swap.offset, self.offset(swap.number))
        later = self.after(swap.number)
        if later is not None:
            self._shift(later.number, gained)
        self._epochs = [epoch for epoch in self._epochs if epoch.number != swap.number]
        self._epochs.insert(0, swap)
        self._changed[self._property_id, swap.number] = swap

    def _shift(self, number: int, gained: Quantity) -> None:
        """All epochs from this one on continue with so much more."""
        if gained.whole:
            for epoch in [one for one in self._epochs if one.number >= number]:
                self._put(replace(epoch, offset=total([epoch.offset, gained])))

    def _place(self, number: int) -> int:
        return next(place for place, epoch in enumerate(self._epochs) if epoch.number == number)

    def _put(self, epoch: Epoch) -> None:
        known = [one.number for one in self._epochs]
        if epoch.number in known:
            self._epochs[known.index(epoch.number)] = epoch
        else:
            self._epochs.append(epoch)
        self._changed[self._property_id, epoch.number] = epoch
