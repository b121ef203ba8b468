"""What stands before the web server on every connection: a cap on how many, and deadlines.

aiohttp 3.14 keeps a connection whose headers never end open for over a minute, takes any number of
connections, and waits for a phone that walked out of range until TCP gives up after a quarter of an hour.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

CONNECTIONS = 32
"""More than all tabs of an installer's phone, few enough for 64 MB to spare."""

HEADER_S = 5.0
"""How long a client may take for the headers of its first request."""

KEEP_ALIVE_S = 15.0
"""How long a connection may stay open between two requests, half of the next one's headers included."""

# How long what was sent may stay unacknowledged: a dead phone must not hold a live stream's place for long.
_UNACKNOWLEDGED_MS = 30_000


class Gate:
    """Counts the connections of one server and makes the protocol for each."""

    def __init__(
        self,
        server: Callable[[], asyncio.Protocol],
        *,
        most: int = CONNECTIONS,
        header_s: float = HEADER_S,
    ) -> None:
        self._server = server
        self.most = most
        self.header_s = header_s
        self.live = 0

    def __call__(self) -> asyncio.Protocol:
        return _Guard(self, self._server())


class _Guard(asyncio.Protocol):
    """Passes everything on to the server's protocol, and cuts off who is late or one too many."""

    def __init__(self, gate: Gate, inner: asyncio.Protocol) -> None:
        self._gate = gate
        self._inner = inner
        self._tail = b""
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._gate.live += 1
        self._inner.connection_made(transport)
        if self._gate.live > self._gate.most:
            transport.abort()
            return
        self._deadline = asyncio.get_running_loop().call_later(self._gate.header_s, transport.abort)
        transport.get_extra_info("socket").setsockopt(
            socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS
        )

    def data_received(self, data: bytes) -> None:
        if self._deadline is not None:
            seen = self._tail + data
            # The blank line after the headers; its four bytes may come in two pieces.
            if b"\r\n\r\n" in seen or b"\n\n" in seen:
                self._deadline.cancel()
                self._deadline = None
            self._tail = seen[-3:]
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gate.live -= 1
        if self._deadline is not None:
            self._deadline.cancel()
        self._inner.connection_lost(exc)
