"""A gateway before Wattics: the stand-in, and a far end that answers as a test says."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from aiohttp import web

from meterkast.clock import FastClock
from meterkast.model.delivery import Item, ItemId
from meterkast.model.time import Grid, UtcMs, parse_iso, zone
from meterkast.ports.store import Store
from meterkast.ports.uplink import Uplink
from meterkast.uplinks.context import Context
from meterkast.uplinks.wattics import Settings, create
from meterkast.uplinks.wattics.packet import Dst, stamp
from meterkast.uplinks.wattics.settings import Meter
from meterkast_rig import wattics

AMSTERDAM = zone("Europe/Amsterdam")
NOON = parse_iso("2026-01-15T12:00:00+01:00")
HALF_PAST = parse_iso("2026-01-15T12:30:00+01:00")
USER, PASSWORD = "demo", "s3cret-é"


@contextlib.asynccontextmanager
async def started(url: str, *meters: Meter, **settings: Any) -> AsyncIterator[Uplink]:
    own = meters or (Meter(id="m1", interval_min=30, meter="E"), Meter(id="m2", interval_min=30, meter="E"))
    made = create(
        Settings(endpoint=url, meters=own, **{"user": USER, "password": PASSWORD, **settings}),
        Context(
            device_id="gw1",
            grid=Grid(AMSTERDAM),
            clock=FastClock(1, HALF_PAST),
            store=cast(Store, None),  # this uplink keeps nothing of its own
            random=lambda: 0.5,
        ),
    )
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def uplink() -> Callable[..., Any]:
    """Starts one: `async with uplink(url, *meters, **settings) as wire`; meters m1 and m2 unless given."""
    return started


@pytest.fixture
async def server() -> AsyncIterator[wattics.WatticsStandIn]:
    async with wattics.serving(username=USER, password=PASSWORD, meters=["m1", "m2"]) as stand_in:
        yield stand_in


def packet(at_ms: UtcMs = NOON, *, tries: int = 1, meter: str = "m1", dst: Dst = Dst.OFFSET) -> Item:
    written = stamp(at_ms, AMSTERDAM, dst)
    payload = f'{{"id":"{meter}","tsISO8601":"{written}","pC_1":{at_ms // 1000}}}'.encode()
    return Item(id=ItemId(1), uplink="wattics", stream=meter, at_ms=at_ms, payload=payload, tries=tries)


@pytest.fixture
def item() -> Callable[..., Item]:
    """Makes an item: a packet of a meter for an instant, noon unless given."""
    return packet


@dataclass
class Scripted:
    """A far end that answers as told, for what the stand-in does not do.

    Attributes:
        status, text, headers: Of the answer to a POST.
        last: Of the answer to a GET: status and text.
        asked: Method, path with query, and cookie of every request.
    """

    status: int = 200
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    last: tuple[int, str] = (200, "{}")
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path_qs, request.headers.get("Cookie", "")))
        text = self.text.replace("{authorization}", request.headers["Authorization"])
        if request.method == "GET":
            return web.Response(status=self.last[0], text=self.last[1])
        return web.Response(status=self.status, text=text, headers=self.headers)


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    far_end = Scripted()
    app = web.Application()
    app.router.add_route(
        "*", "/{path:.*}", cast(Callable[[web.Request], Awaitable[web.StreamResponse]], far_end.answer)
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    far_end.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield far_end
    await runner.cleanup()
