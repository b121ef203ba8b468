"""What a register counted from one half-hour to another; unknown across some of its breaks."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from meterkast.model.epoch import Break, Epoch

ANEW = "the register started anew"
JUMPED = "the counter jumped"


class Stand(NamedTuple):
    """What a register was at the end of a half-hour, and which of its epochs that belongs to."""

    value: Decimal
    epoch: int


class Counted:
    """The differences of one register.

    Args:
        epochs: The register's own; of one that is not among them nothing is known across its begin.
        power: Of ten, from the canonical unit to the shown one.
    """

    def __init__(self, epochs: Iterable[Epoch] = (), power: int = 0) -> None:
        self._epochs = {one.number: one for one in epochs}
        self._power = power

    def between(self, before: Stand, after: Stand) -> Decimal | None:
        """What was counted between the two; None where that is not known, or the register fell."""
        risen = after.value - before.value
        if before.epoch != after.epoch:
            numbers = range(before.epoch + 1, after.epoch + 1)
            if before.epoch > after.epoch or any(self._kind(one) is not Break.ROLLOVER for one in numbers):
                return None
            risen += self._offset(after.epoch) - self._offset(before.epoch)
        return risen if risen >= 0 else None

    def why_not(self, before: Stand, after: Stand) -> str:
        """Why nothing is known between the two."""
        numbers = range(before.epoch + 1, after.epoch + 1)
        return JUMPED if any(self._kind(one) is Break.JUMP for one in numbers) else ANEW

    def _kind(self, number: int) -> Break | None:
        epoch = self._epochs.get(number)
        return None if epoch is None else epoch.kind

    def _offset(self, number: int) -> Decimal:
        epoch = self._epochs.get(number)
        return Decimal(0) if epoch is None else epoch.offset.decimal(self._power)
