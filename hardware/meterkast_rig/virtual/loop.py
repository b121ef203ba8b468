"""An event loop that never sleeps: where it would wait, its clock jumps to the next timer.

What is ready at the same instant runs in an order drawn from a seeded generator, so that the interleaving is
hostile and can be repeated. Work for threads is done at once, in the loop's own thread: a thread makes timing
real.
"""

from __future__ import annotations

import asyncio
import math
import random
import selectors
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

_SECOND_US = 1_000_000


class DeadlockError(RuntimeError):
    """Everything waits, and nothing is scheduled that could end it."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """One process's loop; the next process begins another one where this one ended.

    Args:
        chance: Draws the order.
        now_us: Where its clock begins, in µs. Whole numbers, so that a year adds up exactly.
    """

    def __init__(self, chance: random.Random, now_us: int = 0) -> None:
        self.now_us = now_us
        self._chance = chance
        super().__init__(_Jump(self))
        # asyncio adds this to the time to find the timers that are due. Its nanosecond is less than a float
        # can tell apart after 2**23 s (97 days), and a due timer would spin for ever.
        self._clock_resolution = 1 / _SECOND_US

    def time(self) -> float:
        return self.now_us / _SECOND_US

    def run_in_executor(  # type: ignore[override]  # asyncio's own is looser
        self, executor: object, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Call it now."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # it belongs to whoever awaits it
            done.set_exception(error)
        return done

    def _make_self_pipe(self) -> None:
        """Nobody calls from another thread, and a year has hundreds of loops."""

    def _close_self_pipe(self) -> None:
        """There is none."""

    def _write_to_self(self) -> None:
        """Nor is it needed: nothing sleeps."""

    def _run_once(self) -> None:
        ready = self._ready  # type: ignore[attr-defined]  # a deque of asyncio's own
        if len(ready) > 1:
            mixed = list(ready)
            self._chance.shuffle(mixed)
            ready.clear()
            ready.extend(mixed)
        super()._run_once()  # type: ignore[misc]  # of BaseEventLoop, not in its stubs


class _Jump(selectors.BaseSelector):
    """Knows files only by name; to wait is to move the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._files: dict[Any, selectors.SelectorKey] = {}  # whatever has a file descriptor

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._files[fileobj] = selectors.SelectorKey(fileobj, 0, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._files.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise DeadlockError("everything waits, and nothing is scheduled")
        if timeout > 0:
            self._loop.now_us += math.ceil(timeout * _SECOND_US)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._files
