"""Work that nobody waits for: what it fails at is logged, and it ends with the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from meterkast.model.errors import MeterkastError, StorageError

log = logging.getLogger(__name__)

RETRY_S = 5.0
"""How long until the database is asked again that refused."""


class Errands:
    """The tasks of one part of the driver."""

    def __init__(self, failed: str) -> None:
        """
        Args:
            failed: The phrase that is logged where one fails.
        """
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None], **facts: object) -> asyncio.Task[None]:
        """Do it meanwhile.

        Args:
            facts: What it is about, for the log.
        """
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(done, facts))
        return task

    def insist(self, work: Callable[[], Awaitable[object]], **facts: object) -> None:
        """Do it again and again until the database takes it; its first refusal was logged."""
        self.begin(_insist(work), **facts)

    def cancel(self) -> None:
        """Stop them all."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Stop them all; returns when they have stopped."""
        while self._tasks:
            self.cancel()
            await asyncio.wait(self._tasks)

    def _ended(self, task: asyncio.Task[None], facts: dict[str, object]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, MeterkastError):
            log.warning(self._failed, extra={**facts, "reason": str(error)})
        elif error is not None:
            log.error(self._failed, exc_info=error, extra=facts)


async def _insist(work: Callable[[], Awaitable[object]]) -> None:
    while True:
        await asyncio.sleep(RETRY_S)
        with contextlib.suppress(StorageError):
            await work()
            return
