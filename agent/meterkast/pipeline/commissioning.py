"""From when on each platform is owed what: keeps the channels in step with the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

from meterkast.model.channel import Channel
from meterkast.model.delivery import Stream, StreamStatus
from meterkast.model.product import PropertyId
from meterkast.model.time import UtcMs
from meterkast.ports.uplink import Binding, Wanted


class Commissioning:
    """Knows the channels that are owed, and what changes of them is still to be kept."""

    def __init__(self) -> None:
        self._owed: dict[tuple[str, str, str], Channel] = {}
        self._changes: list[Channel] = []

    def load(
        self,
        channels: Sequence[Channel],
        streams: Mapping[tuple[str, str], StreamStatus],
        configured: Set[tuple[str, str]],
    ) -> None:
        """Take up what was kept; what is no longer configured ends where its stream was composed last.

        Args:
            channels: All there ever were.
            streams: How far each stream is.
            configured: (uplink, stream) of every stream that is asked for.
        """
        for one in channels:
            if one.until_ms is None:
                self._owed[one.uplink, one.stream, one.name] = one
        for one in list(self._owed.values()):
            if (key := (one.uplink, one.stream)) not in configured:
                composed_ms = streams[key].composed_ms if key in streams else None
                self._end(one, one.from_ms if composed_ms is None else composed_ms)

    def begun(
        self,
        stream: Stream,
        wanted: Wanted,
        bindings: Mapping[Binding, PropertyId],
        composed_ms: UtcMs,
    ) -> None:
        """A stream begins, or goes on after a start, maybe with other channels than before.

        Args:
            composed_ms: Its next interval is the one that follows this instant.
        """
        asked = {name: tuple(bindings[one] for one in parts) for name, parts in wanted.channels.items()}
        own = [one for one in self._owed.values() if (one.uplink, one.stream) == (stream.uplink, stream.name)]
        for one in own:
            if asked.get(one.name) == one.properties and one.length_ms == stream.length_ms:
                del asked[one.name]
            else:
                self._end(one, composed_ms)
        for name, properties in asked.items():
            made = Channel(
                uplink=stream.uplink,
                stream=stream.name,
                name=name,
                properties=properties,
                from_ms=composed_ms,
                length_ms=stream.length_ms,
            )
            self._owed[made.uplink, made.stream, made.name] = made
            self._changes.append(made)

    def moved(self, stream: Stream, new: Mapping[PropertyId, PropertyId], at_ms: UtcMs) -> None:
        """A meter took another one's place: what is owed is the new one's from an instant on.

        Args:
            new: The new meter's properties by the old one's.
        """
        for one in list(self._owed.values()):
            properties = tuple(new.get(prop, prop) for prop in one.properties)
            if (one.uplink, one.stream) == (stream.uplink, stream.name) and properties != one.properties:
                self._end(one, at_ms)
                made = replace(one, properties=properties, from_ms=max(at_ms, one.from_ms))
                self._owed[made.uplink, made.stream, made.name] = made
                self._changes.append(made)

    def changes(self) -> list[Channel]:
        """What is to be kept, in that order; given out once."""
        changes, self._changes = self._changes, []
        return changes

    def _end(self, one: Channel, at_ms: UtcMs) -> None:
        del self._owed[one.uplink, one.stream, one.name]
        self._changes.append(replace(one, until_ms=max(at_ms, one.from_ms)))
