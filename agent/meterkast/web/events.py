"""`/events`: server-sent events that keep an open page up to date.

Every open page is sent the parts that changed, as the same HTML that the page was made of. What all of them
are sent is rendered once.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec
from aiohttp import web

from meterkast.web.pages import Pages

PERIOD_S = 2.0
"""The least real time between two events: fast enough to follow a meter, cheap on a Pi."""

STREAMS = 8
"""How many pages are kept live at once; each costs memory and a rendering's share."""

_HEARTBEAT_S = 14.0
_WRITE_S = 10.0


class Live:
    """The handler, and what all streams share."""

    def __init__(self, pages: Pages, *, period_s: float = PERIOD_S, streams: int = STREAMS) -> None:
        self._pages = pages
        self._period_s = period_s
        self._most = streams
        self._open = 0
        self._stopped = asyncio.Event()
        self._lock = asyncio.Lock()
        self._parts: dict[str, str] = {}
        self._rendered_s = float("-inf")

    def stop(self) -> None:
        """End every stream: the gateway is going down."""
        self._stopped.set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """`GET /events`."""
        if self._open >= self._most:
            raise web.HTTPServiceUnavailable(
                reason=f"{self._most} pages are live already; this one tries again",
                headers={"Retry-After": "10"},
            )
        self._open += 1
        try:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
            await response.prepare(request)
            if request.method == "GET":
                # A client that left is no error.
                with suppress(ConnectionError, TimeoutError):
                    await self._send(response)
            return response
        finally:
            self._open -= 1

    async def _send(self, response: web.StreamResponse) -> None:
        loop = asyncio.get_running_loop()
        sent: dict[str, str] = {}
        quiet_since = loop.time()
        await self._write(response, b"retry: 3000\n\n")
        while not self._stopped.is_set():
            parts = await self._newest()
            changed = {name: html for name, html in parts.items() if sent.get(name) != html}
            if changed:
                # JSON has no bare line break, so one `data:` line holds it all.
                await self._write(response, b"data: " + msgspec.json.encode(changed) + b"\n\n")
                sent, quiet_since = parts, loop.time()
            elif loop.time() - quiet_since >= _HEARTBEAT_S:
                await self._write(response, b": still here\n\n")
                quiet_since = loop.time()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), self._period_s)

    async def _newest(self) -> dict[str, str]:
        loop = asyncio.get_running_loop()
        async with self._lock:
            # Streams started at different moments share a rendering that is at most half a period old.
            if loop.time() - self._rendered_s >= self._period_s / 2:
                self._parts = await self._pages.parts()
                self._rendered_s = loop.time()
            return self._parts

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        async with asyncio.timeout(_WRITE_S):
            await response.write(data)
