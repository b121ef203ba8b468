"""Which stream of an uplink delivers next, while several have something waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence


class Turns:
    """One round: those with a backlog take turns, and one that gets its first item meanwhile is next.

    A month's backlog of others must not hold up a new half-hour. Only the first turn is early: streams that
    get items faster than they are delivered must not keep the others waiting.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._waiting = deque(names)
        self._under_way: set[str] = set()
        self._served: set[str] = set()

    def __bool__(self) -> bool:
        """Whether any waits."""
        return bool(self._waiting)

    def begin(self) -> str:
        """The next, which is under way now."""
        name = self._waiting.popleft()
        self._under_way.add(name)
        return name

    def end(self, name: str, ready: Collection[str]) -> None:
        """Its turn is over.

        Args:
            ready: All that could deliver now, perhaps this one too.
        """
        self._under_way.remove(name)
        self._served.add(name)
        joining = sorted(set(ready) - self._under_way - set(self._waiting))
        self._waiting.extend(each for each in joining if each in self._served)
        self._waiting.extendleft(each for each in reversed(joining) if each not in self._served)
