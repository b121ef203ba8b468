"""What storage cannot vouch for: written down when a damaged database was repaired."""

from __future__ import annotations

from dataclasses import dataclass

from meterkast.model.product import PropertyId
from meterkast.model.time import UtcMs


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """One finding of a check of the database.

    Attributes:
        at_ms: When something was kept last before it was found.
        kind: "damaged" (the file as a whole), "table", "items", "second copy", "put back" (half-hours that
            the second copy gave back as they were) or "lost" (one half-hour that nobody can vouch for).
        detail: In words.
        property_id, length_ms, end_ms: The interval concerned; None where it is about more than one.
    """

    at_ms: UtcMs
    kind: str
    detail: str
    property_id: PropertyId | None = None
    length_ms: int | None = None
    end_ms: UtcMs | None = None
