"""The port to a far end: what it asks for, what it is given, and what its answers mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from meterkast.model.delivery import Item, Stream
from meterkast.model.emptyings import EMPTIED_PERCENT
from meterkast.model.half_hour import HalfHour
from meterkast.model.time import UtcMs
from meterkast.model.units import Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Which property an uplink asks for: `<product>/<property key>`.

    The product is a serial or equipment identifier, a product's identity, or a medium's name
    ("electricity") where the site has one such meter.

    Attributes:
        unit: The canonical unit the property must be kept in, so that litres never go out as kWh; None takes
            any. It is no part of what is asked for: equal bindings may differ in it.
    """

    product: str
    key: str
    unit: Unit | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.product}/{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A stream as an uplink's configuration asks for it, before properties have ids.

    Attributes:
        name: The platform's name for it.
        bindings: What it is made of.
        length_ms: The interval.
        peaks: Those of the bindings that are closed by their maximum, and the maximum before each emptying.
        emptied_percent: A fall of one of those by more than this share is an emptying.
        channels: The numbers that it holds, by the platform's name for them, and what each is made of.
    """

    name: str
    bindings: tuple[Binding, ...]
    length_ms: int
    peaks: tuple[Binding, ...] = ()
    emptied_percent: int = EMPTIED_PERCENT
    channels: Mapping[str, tuple[Binding, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One step of a connection test.

    Attributes:
        name: What was tried: DNS, TCP, TLS, …
        ok: Whether it worked.
        detail: What was seen; the cause and the cure where it did not work.
    """

    name: str
    ok: bool
    detail: str


class Answering(Protocol):
    """An uplink whose platform can be asked what it has; others leave it out."""

    async def held_until(self, stream: str) -> UtcMs | None:
        """End of the newest interval of a stream that the platform has; None where it has none.

        Raises:
            NotDeliveredError: It could not be asked now, or its answer proves nothing.
            MisconfiguredError: A setting is wrong.
        """


class Uplink(Protocol):
    """One far end. It keeps no queue of its own; the engine gives it items of one stream at a time."""

    name: str
    urls: Sequence[str]
    """Every address it sends to."""
    warnings: Sequence[str]
    """What in its settings is allowed and probably not meant."""
    parallel: int
    """How many streams may be delivered at the same time."""
    continues: bool
    """Whether it is given registers that go on across resets and swaps, instead of what the meter shows."""

    def wanted(self) -> Sequence[Wanted]:
        """The streams its configuration asks for."""

    def batch_limit(self, stream: str) -> int:
        """How many items of that stream one call may carry."""

    def compose(self, stream: Stream, half_hours: Mapping[Binding, HalfHour], end_ms: UtcMs) -> list[bytes]:
        """The payloads for one interval of a stream, frozen from here on; empty: nothing to send.

        Pure. `half_hours` holds every binding of the stream; missing ones are in state MISSING.
        """

    async def deliver(self, stream: str, items: Sequence[Item]) -> str:
        """Send the items, oldest first; return only once the far end has acknowledged all of them.

        An item with `tries` > 1 may be there already: sending it twice must be harmless.

        Returns:
            The receipt: what proved it.

        Raises:
            NotDeliveredError: Keep them, try later.
            MisconfiguredError: Keep them, pause the stream or the uplink.
            RejectedError: These items are refused for good.
        """

    def due_ms(self, end_ms: UtcMs) -> UtcMs:
        """When items of that interval may be sent (the end itself, or a daily time)."""

    async def ask_time(self) -> None:
        """Have the far end say what time it is (`Clock.told`), sending nothing else; silent if it cannot."""

    async def idle(self) -> None:
        """Nothing is left to send: close the connection or keep it, as the platform asks."""

    async def close(self) -> None:
        """Close for good."""

    async def check(self) -> Sequence[Check]:
        """Test the connection, creating nothing at the far end; stops at the first step that fails."""
