"""Keeps a driver running: starts it again with back-off and jitter, and remembers why it stopped."""

from __future__ import annotations

import logging
from collections.abc import Callable

from meterkast.model.errors import ConfigError, LinkLostError, StorageError
from meterkast.model.reading import Batch
from meterkast.pipeline.backoff import Backoff
from meterkast.pipeline.outages import Outages
from meterkast.ports.clock import Clock
from meterkast.ports.driver import Driver, DriverStatus, Emit, LinkState

log = logging.getLogger(__name__)

BASE_S, CAP_S = 1.0, 30.0
"""A cable that was pulled is looked for at least every half a minute."""

LASTED_S = 300.0
"""A driver that ran this long has worked: the next failure is the first again."""

CONFIG_S = 300.0
"""A setting that cannot work is tried again rarely: the device it names may be plugged in later."""


class Supervisor:
    """One driver and its restarts.

    Attributes:
        restarts: How often it was started again.
        problem, hint: Why it is not running now; empty when it is.
    """

    def __init__(
        self, driver: Driver, emit: Emit, clock: Clock, outages: Outages, random: Callable[[], float]
    ) -> None:
        self.driver = driver
        self._emit = emit
        self._clock = clock
        self._outages = outages
        self._backoff = Backoff(BASE_S, CAP_S, random)
        self._started_ns = 0
        self._away = True
        self._told = ""
        self._mute = False
        self.restarts = 0
        self.problem = ""
        self.hint = ""

    async def run(self) -> None:
        """Run the driver until cancelled."""
        while True:
            self._started_ns = self._clock.boot_ns()
            self.problem = self.hint = ""
            try:
                await self.driver.run(self._take)
                wait_s = self._stopped("the driver ended by itself", "", at_least_s=0.0)
            except LinkLostError as error:
                wait_s = self._stopped(str(error), error.hint, at_least_s=0.0)
            except StorageError as error:
                wait_s = self._stopped(str(error), error.hint, at_least_s=1.0)
            except ConfigError as error:
                wait_s = self._stopped(str(error), error.hint, at_least_s=CONFIG_S)
            except Exception as error:  # a driver's fault must not stop the other drivers, nor delivery
                log.exception("driver failed", extra={"driver": self.driver.name})
                wait_s = self._stopped(
                    f"internal error: {error!r}", "Please report this, with the log.", at_least_s=1.0
                )
            await self._clock.sleep(wait_s)
            self.restarts += 1

    def status(self) -> DriverStatus:
        """What the driver tells of itself."""
        try:
            status = self.driver.status()
        except Exception as error:  # a driver's fault must end neither the gateway nor the page
            if not self._mute:
                log.exception("driver tells nothing", extra={"driver": self.driver.name})
            self._mute = True
            detail = f"internal error: {error!r}. Please report this, with the log."
            return DriverStatus(state=LinkState.LOST, detail=detail, counters={})
        self._mute = False
        return status

    def _take(self, batch: Batch) -> None:
        if self._away:
            self._away = False
            if self._told:
                log.info("driver reads again", extra={"driver": self.driver.name})
                self._told = ""
            self._outages.back(self.driver.name, self._clock.boot_ns() // 1_000_000)
        self._emit(batch)

    def _stopped(self, problem: str, hint: str, *, at_least_s: float) -> float:
        if problem != self._told:
            log.warning("driver stopped", extra={"driver": self.driver.name, "reason": problem})
            self._told = problem
        self.problem, self.hint = problem, hint
        self._away = True
        self._outages.lost(self.driver.name, self._clock.boot_ns() // 1_000_000)
        if self._clock.boot_ns() - self._started_ns > LASTED_S * 1_000_000_000:
            self._backoff.reset()
        return self._backoff.next_s(at_least_s)
