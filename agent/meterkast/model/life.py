"""The lives of meters: which source shows them, whose place they took, and when they were retired."""

from __future__ import annotations

from dataclasses import dataclass

from meterkast.model.product import ProductId
from meterkast.model.time import UtcMs


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One meter's place among the others.

    Attributes:
        product_id: The meter.
        source: The driver whose port shows it, or showed it last; "" for a device of a network.
        replaces: The meter whose place it took, or seems to have taken.
        sure: Whether it alone can have taken that place; where several meters changed at once a person says.
        signed_ms: When that was signed off; None before, and nothing of either meter is sent until then.
        retired_ms: Since when nobody waits for it any more; None while it is in use.
    """

    product_id: ProductId
    source: str = ""
    replaces: ProductId | None = None
    sure: bool = True
    signed_ms: UtcMs | None = None
    retired_ms: UtcMs | None = None

    @property
    def waits(self) -> bool:
        """Whether a swap waits to be signed off."""
        return self.replaces is not None and self.signed_ms is None

    @property
    def set_aside(self) -> bool:
        """Whether a name means it only where it can mean no other meter."""
        return self.waits or self.retired_ms is not None
