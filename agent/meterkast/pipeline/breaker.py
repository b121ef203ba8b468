"""The breaker of an uplink: what its failures mean for the whole of it, and how long it waits.

*Transient*: keep, wait with full jitter; two different streams failing in a row open the breaker for the
whole uplink. *Configuration*: keep everything, pause, say so, probe rarely. What happens to an item that is
refused is not decided here; see `Refusals`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from meterkast.model.errors import MisconfiguredError, NotDeliveredError, StorageError
from meterkast.model.time import UtcMs
from meterkast.pipeline.backoff import Backoff
from meterkast.pipeline.stream_state import StreamState
from meterkast.ports.clock import Clock

log = logging.getLogger(__name__)

BASE_S, CAP_S = 5.0, 300.0
PROBE_FIRST_S, PROBE_S = 60.0, 900.0
"""A paused uplink or stream is tried again after a minute, then every quarter of an hour."""

STUBBORN = 3
"""Failures in a row of one stream, while others are delivered, after which the page shows them."""


def internal(error: Exception) -> NotDeliveredError:
    """A fault of our own code, as the page tells it."""
    return NotDeliveredError(
        f"internal error: {error!r}", hint="Nothing is lost. Please report this, with the log."
    )


class Breaker:
    """How one uplink is as a whole.

    Args:
        uplink: Its name.
        streams: By name, those that have or had something waiting.
        random: Uniform in [0, 1), for the jitter.

    Attributes:
        state: "idle", "sending", "waiting" or "paused".
        detail, hint: What happened last, and what to do; empty when all is well.
        retry_boot_ms: Nothing is sent before this, in ms of CLOCK_BOOTTIME: the clock may be set meanwhile.
        failures: Since the start.
    """

    def __init__(
        self,
        uplink: str,
        clock: Clock,
        streams: Mapping[str, StreamState],
        random: Callable[[], float],
    ) -> None:
        self._uplink = uplink
        self._clock = clock
        self._streams = streams
        self._backoff = Backoff(BASE_S, CAP_S, random)
        self._failed_streams: set[str] = set()
        self._probes = 0
        self.retry_boot_ms = 0
        self.state = "idle"
        self.detail = ""
        self.hint = ""
        self.failures = 0

    def say(self, state: str, detail: str = "", hint: str = "") -> None:
        """How it is now."""
        self.state, self.detail, self.hint = state, detail, hint

    def succeeded(self, name: str, state: StreamState) -> None:
        """A stream delivered: the uplink works."""
        if self.detail:
            log.info("delivering again", extra={"uplink": self._uplink, "stream": name})
        state.backoff.reset()
        state.probes = 0
        state.paused = state.hint = ""
        for other in self._streams.values():
            if other.backoff.failures >= STUBBORN and not other.paused:
                other.paused, other.hint = other.trouble
        self._backoff.reset()
        self._failed_streams.clear()
        self._probes = 0
        self.say("sending")

    def failed(self, name: str, state: StreamState, error: NotDeliveredError) -> None:
        """A stream did not deliver: it waits, and maybe the whole uplink."""
        self.failures += 1
        wait_s = state.backoff.next_s(error.retry_after_s or 0.0)
        state.retry_boot_ms = self.after(wait_s)
        state.trouble = str(error), error.hint
        self._failed_streams.add(name)
        first = not self.detail
        # One stream alone is the whole uplink as far as anyone can tell.
        if len(self._failed_streams) > 1 or len(self._streams) == 1 or error.retry_after_s:
            uplink_s = self._backoff.next_s(error.retry_after_s or 0.0)
            self.retry_boot_ms = self.after(uplink_s)
        self.say("waiting", str(error), error.hint)
        level = logging.WARNING if first else logging.DEBUG
        log.log(level, "not delivered", extra={"uplink": self._uplink, "stream": name, "reason": str(error)})

    def misconfigured(self, state: StreamState, error: MisconfiguredError) -> None:
        """A person has to act: the uplink pauses, or the stream where it is only that."""
        self.failures += 1
        if error.stream is None:
            wait_s = PROBE_S if self._probes else PROBE_FIRST_S
            self._probes += 1
            self.retry_boot_ms = state.retry_boot_ms = self.after(wait_s)
            self.say("paused", str(error), error.hint)
        else:
            wait_s = PROBE_S if state.probes else PROBE_FIRST_S
            state.probes += 1
            state.retry_boot_ms = self.after(wait_s)
            state.paused, state.hint = str(error), error.hint
        log.error(
            "paused",
            extra={"uplink": self._uplink, "stream": error.stream or "all", "reason": str(error)},
        )

    def hold_all(self, error: Exception) -> float:
        """The database refused, or our own code failed: all wait.

        Returns:
            For how long, s.
        """
        if isinstance(error, StorageError):
            self.say("waiting", str(error), error.hint)
        else:
            log.exception("delivery failed", extra={"uplink": self._uplink}, exc_info=error)
            self.say("waiting", str(internal(error)), internal(error).hint)
        wait_s = self._backoff.next_s(1.0)
        self.retry_boot_ms = self.after(wait_s)
        return wait_s

    @property
    def retry_at_ms(self) -> UtcMs | None:
        """When it tries again, by the clock as it is; None where all is well."""
        return self._clock.utc_of(self.retry_boot_ms * 1_000_000) if self.detail else None

    def after(self, wait_s: float) -> int:
        """So much later than now, in ms of CLOCK_BOOTTIME."""
        return self._clock.boot_ns() // 1_000_000 + int(wait_s * 1000)
