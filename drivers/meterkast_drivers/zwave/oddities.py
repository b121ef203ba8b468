"""What is odd about messages is counted, and the first of each kind is told in the log."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)

_MOST_KINDS = 200
"""Kinds of odd things that are told apart in the log."""

_COUNTERS = ("messages", "unknown events", "odd messages", "failed handlers", "nodes not understood")

_VALUE_ID = ("commandClass", "endpoint", "property", "propertyKey")

_NO_EVENT: Mapping[str, Any] = {}


class Oddities:
    """Those of one connection.

    Attributes:
        counters: "messages", "unknown events", "odd messages", "failed handlers", "nodes not understood".
    """

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter(dict.fromkeys(_COUNTERS, 0))
        self._told: set[str] = set()

    def message(self, kind: str, detail: str) -> None:
        """One that is not what it should be.

        Args:
            kind: In which way.
            detail: Tells it apart from others of that kind.
        """
        self.count("odd messages", f"{kind}: {detail}")

    def count(
        self, counter: str, kind: str, error: Exception | None = None, event: Mapping[str, Any] = _NO_EVENT
    ) -> None:
        """Count it; the first of each kind is told in the log, with the device that it came from."""
        self.counters[counter] += 1
        key = f"{counter}, {kind}" if error is None else f"{counter}, {kind}, {type(error).__name__}"
        if key in self._told or len(self._told) >= _MOST_KINDS:
            return
        self._told.add(key)
        level = logging.INFO if counter == "unknown events" else logging.WARNING
        # Only a handler of ours that fails is worth a traceback.
        trace = error if counter == "failed handlers" else None
        log.log(
            level,
            "Z-Wave: %s",
            counter,
            exc_info=trace,
            extra={"kind": kind[:200], "reason": repr(error)[:200], "of": _origin(event)},
        )


def _origin(event: Mapping[str, Any]) -> str:
    """The device and value that an event tells of, as far as it says so."""
    args = event.get("args")
    value = args if isinstance(args, dict) else {}
    told = (event.get("nodeId"), *(value.get(key) for key in _VALUE_ID))
    return "-".join(str(part) for part in told if part is not None)[:200]
