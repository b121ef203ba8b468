"""Where the gateway can be asked: its page and its control socket. Metering never depends on them."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import Protocol

from meterkast.model.errors import ConfigError

log = logging.getLogger(__name__)

RETRY_S = 30.0
"""How long until a door that could not be opened is tried again, in real time."""


class Opened(Protocol):
    """A door that is open."""

    async def close(self) -> None: ...


class Door(ABC):
    """Something that is held open; what cannot be opened is tried again.

    Attributes:
        tried: Set when it was tried once.
    """

    name = ""

    def __init__(self) -> None:
        self.tried = asyncio.Event()

    @abstractmethod
    def wanted(self) -> bool:
        """Whether there is to be one."""

    @abstractmethod
    async def open(self) -> Opened:
        """Open it.

        Raises:
            ConfigError: It cannot be opened now.
        """

    async def run(self) -> None:
        """Hold it open until cancelled; return at once where it is not wanted."""
        try:
            while self.wanted():
                try:
                    opened = await self.open()
                except Exception as error:  # whatever it is: meters are read all the same
                    if not self.tried.is_set():
                        self._tell(error)
                    self.tried.set()
                    await asyncio.sleep(RETRY_S)
                    continue
                self.tried.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    await opened.close()
        finally:
            self.tried.set()

    def _tell(self, error: Exception) -> None:
        if isinstance(error, ConfigError):
            log.error(f"no {self.name}", extra={"reason": str(error), "hint": error.hint})
        else:
            log.exception(f"no {self.name}")
