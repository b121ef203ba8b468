"""Streams wait for their devices, and begin once all that they are made of was read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from meterkast.model.channel import Channel
from meterkast.model.delivery import Stream, StreamStatus
from meterkast.model.errors import StorageError
from meterkast.model.product import PropertyId
from meterkast.pipeline.binding import resolve
from meterkast.pipeline.closing import Closing
from meterkast.pipeline.commissioning import Commissioning
from meterkast.pipeline.meters import Meters, Recall
from meterkast.pipeline.resuming import Resuming
from meterkast.ports.clock import Clock, Trust
from meterkast.ports.uplink import Binding, Uplink, Wanted

log = logging.getLogger(__name__)

FIRST_READING = "the first reading"
"""What a stream waits for whose devices are known."""


class Beginning:
    """The streams that uplinks ask for and that have not begun.

    Args:
        uplinks: They compose the items.
        meters: Knows all products and properties, and which of them are set aside.
        commissioning: Is told of what begins.
        resuming: Where streams go on after a restore.
        recall: Reads closed intervals from the store.

    Attributes:
        waiting_for: By (uplink, stream), what it waits for, as sentences; empty once it has begun.
    """

    def __init__(
        self,
        uplinks: Iterable[Uplink],
        clock: Clock,
        closing: Closing,
        meters: Meters,
        commissioning: Commissioning,
        resuming: Resuming,
        recall: Recall,
    ) -> None:
        self._waiting: list[tuple[Uplink, Wanted]] = [
            (uplink, wanted) for uplink in uplinks for wanted in uplink.wanted()
        ]
        self._clock = clock
        self._closing = closing
        self._meters = meters
        self._commissioning = commissioning
        self._resuming = resuming
        self._recall = recall
        self._known: dict[tuple[str, str], StreamStatus] = {}
        self.waiting_for: dict[tuple[str, str], tuple[str, ...]] = {}

    def load(self, streams: Mapping[tuple[str, str], StreamStatus], channels: Sequence[Channel]) -> None:
        """What was kept before: how far each stream is, and what is owed; before anything is read again."""
        self._known = dict(streams)
        configured = {(uplink.name, wanted.name) for uplink, wanted in self._waiting}
        self._commissioning.load(channels, self._known, configured)
        self._take_peaks()

    def _take_peaks(self) -> None:
        """Before anything is read again: emptyings in it count."""
        known = self._meters
        for _, wanted in self._waiting:
            for binding in wanted.peaks:
                prop, _ = resolve(
                    binding, known.products.values(), known.properties.values(), known.set_aside()
                )
                if prop is not None:
                    self._closing.peaks(prop.id, wanted.emptied_percent)

    async def begin(self) -> None:
        """Begin every stream whose properties are known and were read."""
        for uplink, wanted, bindings in self.resolve():
            try:
                begun = await self._begin_one(uplink, wanted, bindings)
            except StorageError as error:
                log.error(
                    "stream not begun",
                    extra={"uplink": uplink.name, "stream": wanted.name, "reason": str(error)},
                )
                self.waiting_for[uplink.name, wanted.name] = (f"the database: {error}",)
                continue
            if begun:
                self._waiting.remove((uplink, wanted))
                self.waiting_for[uplink.name, wanted.name] = ()
                log.info("stream begun", extra={"uplink": uplink.name, "stream": wanted.name})

    async def _begin_one(self, uplink: Uplink, wanted: Wanted, bindings: dict[Binding, PropertyId]) -> bool:
        stream = Stream(
            uplink=uplink.name,
            name=wanted.name,
            properties=tuple(dict.fromkeys(bindings.values())),
            length_ms=wanted.length_ms,
        )
        if not self._closing.reads(stream):
            return False
        known = self._known.get((uplink.name, wanted.name))
        composed_ms = None if known is None else known.composed_ms
        if composed_ms is not None:
            # It may have waited for days while its half-hours were closed, and left the memory.
            await self._recall(composed_ms, stream.length_ms, self._closing.all_of(stream))
        composed_ms = self._closing.bind(stream, uplink, bindings, composed_ms)
        self._commissioning.begun(stream, wanted, bindings, composed_ms)
        self._resuming.skip(self._closing.streams[-1])
        return True

    def resolve(self) -> list[tuple[Uplink, Wanted, dict[Binding, PropertyId]]]:
        """The streams that wait and whose properties are known by now, though maybe not yet read."""
        found = []
        for uplink, wanted in self._waiting:
            if (bindings := self._resolve_one(uplink, wanted)) is not None:
                found.append((uplink, wanted, bindings))
        return found

    def _resolve_one(self, uplink: Uplink, wanted: Wanted) -> dict[Binding, PropertyId] | None:
        known = self._meters
        bindings: dict[Binding, PropertyId] = {}
        missing: list[str] = []
        for binding in wanted.bindings:
            prop, reason = resolve(
                binding, known.products.values(), known.properties.values(), known.set_aside()
            )
            if prop is None:
                missing.append(reason)
            else:
                bindings[binding] = prop.id
        self.waiting_for[uplink.name, wanted.name] = tuple(missing) or (FIRST_READING,)
        if missing:
            return None
        for binding in wanted.peaks:
            self._closing.peaks(bindings[binding], wanted.emptied_percent)
        if self._clock.trust is not Trust.UNKNOWN:
            now_ms = self._clock.now_ms()
            for property_id in bindings.values():
                self._closing.also(property_id, wanted.length_ms, now_ms)
        return bindings
