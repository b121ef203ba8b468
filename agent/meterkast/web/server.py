"""The web server: the page's routes, and the socket they are reached by."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from meterkast.config.sections import Page
from meterkast.model.errors import ConfigError
from meterkast.model.time import Grid
from meterkast.pipeline.health import Snapshot
from meterkast.ports.store import Store
from meterkast.web import guard, rules
from meterkast.web.answers import plain_errors
from meterkast.web.api import Api
from meterkast.web.assets import Assets
from meterkast.web.events import Live
from meterkast.web.gateway import Gateway
from meterkast.web.metrics import Metrics
from meterkast.web.pages import Pages

log = logging.getLogger(__name__)

# How long a clean stop waits for answers under way; streams end at once.
_STOP_S = 2.0


def application(page: Page, *, snapshot: Callable[[], Snapshot], store: Store, grid: Grid) -> web.Application:
    """The page as an application that listens nowhere yet.

    Args:
        page: The names it may be asked by.
        snapshot: How the gateway is now; asked at every request and, for live pages, every two seconds.
        store: For half-hours.
        grid: The site's wall clock.
    """
    gateway = Gateway(snapshot=snapshot, store=store, grid=grid)
    assets = Assets()
    pages = Pages(gateway, assets)
    live = Live(pages)
    api = Api(gateway)
    errors = plain_errors("page", rules.refusal, elsewhere="The status page is at /.")
    app = web.Application(middlewares=[errors, rules.admission(page)], client_max_size=1024)
    app.on_response_prepare.append(rules.harden)

    async def stop(_: web.Application) -> None:
        live.stop()

    app.on_shutdown.append(stop)
    app.router.add_get("/", pages.whole)
    app.router.add_get("/half-hours", pages.half_hours)
    app.router.add_get("/events", live.serve)
    app.router.add_get("/static/{name}", assets.serve)
    app.router.add_get("/api/status", api.status)
    app.router.add_get("/api/half-hours", api.half_hours)
    app.router.add_get("/healthz", api.healthz)
    app.router.add_get("/metrics", Metrics(gateway).serve)
    return app


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A page that is being served.

    Attributes:
        url: Where, with the real port.
    """

    url: str
    runner: web.AppRunner
    listener: asyncio.Server

    async def close(self) -> None:
        """Stop listening, end the streams, let answers under way finish."""
        self.listener.close()
        await self.runner.cleanup()
        await self.listener.wait_closed()


async def serve(app: web.Application, page: Page) -> Running:
    """Serve the application where the configuration says.

    Raises:
        ConfigError: The address or port cannot be had.
    """
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        keepalive_timeout=guard.KEEP_ALIVE_S,
        lingering_time=1.0,
        shutdown_timeout=_STOP_S,
    )
    await runner.setup()
    assert runner.server is not None
    try:
        listener = await asyncio.get_running_loop().create_server(
            guard.Gate(runner.server), page.host, page.port, backlog=guard.CONNECTIONS
        )
    except OSError as error:
        await runner.cleanup()
        raise ConfigError(
            f'the page cannot listen on page.host = "{page.host}", page.port = {page.port}: {error.strerror}',
            hint="Another program may have the port; choose another, or 0 for any free one.",
        ) from error
    port = listener.sockets[0].getsockname()[1]
    url = f"http://{_shown(page.host)}:{port}/"
    log.info("page served", extra={"url": url})
    return Running(url=url, runner=runner, listener=listener)


def _shown(host: str) -> str:
    if host in ("", "0.0.0.0", "::"):
        return "localhost"
    return f"[{host}]" if ":" in host else host
