"""The `Date` of a platform's answer tells the clock, where TLS proves whose it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from meterkast.clock import Undisputed
from meterkast.model.time import UtcMs, parse_iso
from meterkast.uplinks import http

from .conftest import Authority

WHEN = parse_iso("2026-10-25T01:30:07Z")


class Listening(Undisputed):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[UtcMs, int, int, str]] = []
        self._ns = 0

    def boot_ns(self) -> int:
        self._ns += 1
        return self._ns

    def utc_of(self, boot_ns: int) -> UtcMs:
        return UtcMs(WHEN + boot_ns // 1_000_000)

    def told(self, date_ms: UtcMs, asked_ns: int, seen_ns: int, host: str) -> None:
        self.heard.append((date_ms, asked_ns, seen_ns, host))


class Dated:
    """A server on loopback whose answers bear a date."""

    def __init__(self) -> None:
        self.date = "Sun, 25 Oct 2026 01:30:07 GMT"
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.method)
        return web.Response(status=405, headers={"Date": self.date})

    async def serve(self, **more: object) -> tuple[web.AppRunner, int]:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "localhost", 0, **more)  # type: ignore[arg-type]  # an SSL context
        await site.start()
        return runner, runner.addresses[0][1]


async def test_answer_over_tls_is_told_and_nothing_but_its_date_is_asked_for(
    authority: Authority, tmp_path: Path
) -> None:
    server, clock = Dated(), Listening()
    runner, port = await server.serve(ssl_context=authority.server())
    try:
        ca_file = str(authority.file)
        await http.ask_date(f"https://localhost:{port}/v2", ca_file=ca_file, proxy="", clock=clock)
        assert clock.heard == [(WHEN, 1, 2, "localhost")]
        assert server.asked == ["HEAD"]
        server.date = "yesterday"
        await http.ask_date(f"https://localhost:{port}/v2", ca_file=ca_file, proxy="", clock=clock)
        assert len(clock.heard) == 1
        # Nobody vouches for it: it is not told.
        await http.ask_date(f"https://localhost:{port}/v2", ca_file="", proxy="", clock=clock)
        assert len(clock.heard) == 1
        assert len(server.asked) == 2
    finally:
        await runner.cleanup()
    await http.ask_date(f"https://localhost:{port}/v2", ca_file="", proxy="", clock=clock)
    assert len(clock.heard) == 1


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_answer_without_tls_could_be_anybodys(scheme: str) -> None:
    server, clock = Dated(), Listening()
    runner, port = await server.serve()
    try:
        await http.ask_date(f"{scheme}://localhost:{port}/", ca_file="", proxy="", clock=clock)
        assert server.asked == []
        url = f"http://localhost:{port}/"
        async with http.session(url, clock=clock) as session, session.get(url) as answer:
            assert answer.status == 405
        assert clock.heard == []
    finally:
        await runner.cleanup()
