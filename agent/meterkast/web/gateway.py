"""What the page can see of the gateway, with meters' serials shortened.

There is no login, so a serial is never shown in full: its last four characters are enough to find the meter
in the cupboard, and too few to look its owner up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from msgspec.structs import replace

from meterkast.model.time import Grid
from meterkast.pipeline.health import ProductHealth, Snapshot, UplinkHealth
from meterkast.ports.store import Store

SHOWN = 4
"""How many characters of a serial are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The page's only way to the rest.

    Attributes:
        snapshot: How the gateway is now; cheap, and never raises on behalf of the store.
        store: For half-hours.
        grid: The site's wall clock.
    """

    snapshot: Callable[[], Snapshot]
    store: Store
    grid: Grid

    def seen(self) -> Snapshot:
        """The snapshot as anybody may see it."""
        return masked(self.snapshot())


def shortened(serial: str) -> str:
    """The last characters of a serial: `E0047000001234517` is `…4517`."""
    return f"…{serial[-SHOWN:]}" if len(serial) > SHOWN else serial


def masked(snapshot: Snapshot) -> Snapshot:
    """The snapshot with every known meter's serial shortened, also where a sentence mentions it."""
    hide = _hider(tuple(product.serial for product in snapshot.products))
    return replace(
        snapshot,
        sentence=hide(snapshot.sentence),
        problems=tuple(
            replace(problem, where=hide(problem.where), what=hide(problem.what), do=hide(problem.do))
            for problem in snapshot.problems
        ),
        drivers=tuple(
            replace(driver, detail=hide(driver.detail), hint=hide(driver.hint)) for driver in snapshot.drivers
        ),
        products=tuple(_product(product, hide) for product in snapshot.products),
        uplinks=tuple(_uplink(uplink, hide) for uplink in snapshot.uplinks),
    )


def _product(product: ProductHealth, hide: Callable[[str], str]) -> ProductHealth:
    return replace(product, name=hide(product.name), serial=shortened(product.serial))


def _uplink(uplink: UplinkHealth, hide: Callable[[str], str]) -> UplinkHealth:
    return replace(
        uplink,
        detail=hide(uplink.detail),
        hint=hide(uplink.hint),
        last_receipt=hide(uplink.last_receipt),
        streams=tuple(
            replace(
                stream,
                waiting_for=tuple(_binding(hide(binding)) for binding in stream.waiting_for),
                problem=hide(stream.problem),
            )
            for stream in uplink.streams
        ),
        quarantined=tuple(replace(item, words=hide(item.words)) for item in uplink.quarantined),
    )


def _binding(text: str) -> str:
    # A meter that was never seen is not among the products; a long name with digits in it is its serial.
    product, slash, key = text.partition("/")
    known = "…" in product or len(product) <= 2 * SHOWN or not any(mark.isdigit() for mark in product)
    return text if known else f"{shortened(product)}{slash}{key}"


@lru_cache(maxsize=4)
def _hider(serials: Iterable[str]) -> Callable[[str], str]:
    # Longest first, else a serial that begins like another would hide only part of it.
    long = sorted({serial for serial in serials if len(serial) > SHOWN}, key=len, reverse=True)
    if not long:
        return str
    pattern = re.compile("|".join(map(re.escape, long)))
    return lambda text: pattern.sub(lambda match: shortened(match[0]), text)
