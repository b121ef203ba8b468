"""The meter's time for chrony, as a coarse source: `refclock SOCK`.

A sample is one datagram of 40 bytes (chrony's refclock_sock.c, `struct sock_sample`): seconds and
microseconds of the system's clock, how far the true time is ahead of it, three numbers that do not matter
here, and a magic number. Whatever becomes of it, reading is never held up.
"""

from __future__ import annotations

import logging
import socket
import struct
from contextlib import suppress

from meterkast.model.time import UtcMs

log = logging.getLogger(__name__)

_SAMPLE = struct.Struct("=qqdiiii")
_MAGIC = 0x534F434B

_EVERY_NS = 8_000_000_000  # chrony looks each 16 s at most often by default


class ChronyFeed:
    """Sends the meter's time to chrony's socket.

    Attributes:
        failed: Samples since the start that it did not take.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._sent_ns: int | None = None
        self._complained = False
        self.failed = 0

    def send(self, stamp_ms: UtcMs, wall_ns: int, seen_ns: int) -> None:
        """One telegram's stamp; now and then one is sent.

        Args:
            wall_ns: What the system's clock showed when it arrived.
            seen_ns: CLOCK_BOOTTIME then.
        """
        if self._sent_ns is not None and seen_ns - self._sent_ns < _EVERY_NS:
            return
        self._sent_ns = seen_ns
        seconds, rest_ns = divmod(wall_ns, 1_000_000_000)
        ahead_s = (stamp_ms * 1_000_000 - wall_ns) / 1e9
        sample = _SAMPLE.pack(seconds, rest_ns // 1000, ahead_s, 0, 0, 0, _MAGIC)
        try:
            self._opened().send(sample)
        except OSError as error:
            self._failed(error)
            return
        if self._complained:
            log.info("chrony takes the meter's time again")
        self._complained = False

    def _opened(self) -> socket.socket:
        if self._socket is None:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            try:
                made.connect(self._path)
            except OSError:
                made.close()
                raise
            self._socket = made
        return self._socket

    def _failed(self, error: OSError) -> None:
        self.failed += 1
        self.close()  # chrony makes a new socket when it is started again
        if not self._complained:
            log.warning("chrony does not take the meter's time", extra={"reason": str(error)})
        self._complained = True

    def close(self) -> None:
        """Close the socket; the next sample opens it again."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
            self._socket = None
