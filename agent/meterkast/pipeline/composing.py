"""What is composed of closed intervals: one stream of an uplink at a time, in order, frozen from then on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from meterkast.model.delivery import NewItem, Stream
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.product import PropertyId
from meterkast.model.time import UtcMs
from meterkast.ports.uplink import Binding, Uplink

if TYPE_CHECKING:
    from meterkast.pipeline.closing import Closed, Closing

log = logging.getLogger(__name__)


@dataclass(slots=True)
class BoundStream:
    """A stream all of whose properties are known.

    Attributes:
        composed_ms: End of the newest interval that was composed.
        begun: Where it begins was given out, to be kept.
        failed: The uplink's code failed at the next one.
        held_ms: Nothing that ends after this is composed until a meter's swap is signed off.
    """

    stream: Stream
    uplink: Uplink
    bindings: Mapping[Binding, PropertyId]
    composed_ms: UtcMs
    begun: bool = True
    failed: bool = False
    held_ms: UtcMs | None = None


class Composing:
    """Composes what is closed.

    Args:
        closing: Whose intervals.
    """

    def __init__(self, closing: Closing) -> None:
        self._closing = closing

    def compose(self, bound: BoundStream, done: Closed) -> None:
        """All intervals of a stream that are closed, known for sure, and not held."""
        stream = bound.stream
        if not bound.begun:
            done.composed[stream.uplink, stream.name] = bound.composed_ms
            bound.begun = True
        while (values := self._values(bound)) is not None:
            end_ms = self._closing.grid.next_end(bound.composed_ms, stream.length_ms)
            try:
                payloads = bound.uplink.compose(stream, values, end_ms)
            except Exception:  # a fault in one uplink's code must not stop reading; the interval waits
                if not bound.failed:
                    log.exception("not composed", extra={"uplink": stream.uplink, "stream": stream.name})
                bound.failed = True
                break
            bound.failed = False
            for payload in payloads:
                done.items.append(
                    NewItem(uplink=stream.uplink, stream=stream.name, at_ms=end_ms, payload=payload)
                )
            bound.composed_ms = done.composed[stream.uplink, stream.name] = end_ms

    def _values(self, bound: BoundStream) -> dict[Binding, HalfHour] | None:
        """What the stream's next interval is made of; None where it is not due."""
        length_ms = bound.stream.length_ms
        end_ms = self._closing.grid.next_end(bound.composed_ms, length_ms)
        if bound.held_ms is not None and end_ms > bound.held_ms:
            return None
        if not all(self._settled(one, length_ms, end_ms) for one in bound.stream.properties):
            return None
        values = {
            binding: self._value(property_id, length_ms, end_ms)
            for binding, property_id in bound.bindings.items()
        }
        if any(one.state is State.SUSPECT for one in values.values()):
            return None  # it is decided soon, and then the platform gets the truth at once
        if bound.uplink.continues:
            values = {binding: self._continued(one) for binding, one in values.items()}
        return values

    def _settled(self, property_id: PropertyId, length_ms: int, end_ms: UtcMs) -> bool:
        """Whether nothing more is to be closed of an interval, of the register and of those before it."""
        closing = self._closing
        if not closing.is_closed(property_id, length_ms, end_ms):
            return False
        before = closing.registers.before(property_id)
        return before is None or self._settled(before.property_id, length_ms, end_ms)

    def _value(self, property_id: PropertyId, length_ms: int, end_ms: UtcMs) -> HalfHour:
        """What an interval came to: the register's own, or what the meter had that it took the place of."""
        own = self._found(property_id, length_ms, end_ms)
        if own is not None:
            return own
        # The property was not yet known in that interval, or nobody waits for its device any more.
        removed = self._closing.is_retired(property_id)
        cause = Cause.DEVICE_REMOVED if removed else Cause.METER_SILENT
        return HalfHour.missing(property_id, end_ms, length_ms, cause)

    def _found(self, property_id: PropertyId, length_ms: int, end_ms: UtcMs) -> HalfHour | None:
        own = self._closing.recent.closed_as(property_id, length_ms, end_ms)
        before = self._closing.registers.before(property_id)
        if before is None or (own is not None and own.value is not None and end_ms >= before.until_ms):
            return own
        # Before the swap, or in the interval across it while the new meter had not been read yet.
        older = self._found(before.property_id, length_ms, end_ms)
        if older is None or (end_ms >= before.until_ms and older.value is None):
            return own
        return older

    def _continued(self, one: HalfHour) -> HalfHour:
        if one.value is None:
            return one
        value = self._closing.registers.continued(one.property_id, one.value, one.epoch)
        return one if value is one.value else replace(one, value=value)
