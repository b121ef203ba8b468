"""The server's guesses: after a write it tells the new value at once, before the device has said anything.

The event looks like a report (zwave.md, 3, trap 4), and zwave-js takes its origin out of it. It always comes
between the write and the write's answer, so what comes in that time is held back. Where the answer is that
the device confirmed it (Supervision) it counts after all; where it was only sent, zwave-js asks the device
a moment later, and that report counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

LONGEST_S = 300.0
"""No write takes longer; an echo that nobody ended does not hide a value for ever. Real seconds."""


class Echo:
    """One write under way; call `end` when it has been answered, failed or given up."""

    def __init__(self, echoes: Echoes, key: tuple[int, str]) -> None:
        self._echoes = echoes
        self._key = key
        self.began_s = asyncio.get_running_loop().time()
        self.held: tuple[Any, int] | None = None

    def end(self, *, confirmed: bool = False) -> None:
        """Reports count again from now on.

        Args:
            confirmed: The device itself confirmed the write, so what was told meanwhile was measured.
        """
        self._echoes.ended(self, self._key, confirmed)


class Echoes:
    """The writes under way, by node and value id.

    Attributes:
        on_confirmed: Called with node, value id, raw value and arrival of what was held and is true.
    """

    def __init__(self) -> None:
        self.on_confirmed: Callable[[int, str, Any, int], None] | None = None
        self._open: dict[tuple[int, str], Echo] = {}

    def expect(self, node: int, value_id: str) -> Echo:
        """A write begins; a newer one of the same value takes its place."""
        echo = self._open[node, value_id] = Echo(self, (node, value_id))
        return echo

    def hold(self, node: int, value_id: str, raw: Any, seen_ns: int) -> bool:
        """Whether that event is no report, or not yet."""
        echo = self._open.get((node, value_id))
        if echo is None:
            return False
        if asyncio.get_running_loop().time() - echo.began_s > LONGEST_S:
            del self._open[node, value_id]
            return False
        echo.held = raw, seen_ns
        return True

    def ended(self, echo: Echo, key: tuple[int, str], confirmed: bool) -> None:
        """The write was answered; a second call does nothing."""
        if self._open.get(key) is echo:
            del self._open[key]
            if confirmed and echo.held is not None and self.on_confirmed is not None:
                self.on_confirmed(*key, *echo.held)

    def clear(self) -> None:
        """The connection is gone, and every write with it."""
        self._open.clear()
